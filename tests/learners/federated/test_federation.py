"""Several sites train together as one would, whatever one of them sends or when one dies."""

import math
import re
from dataclasses import replace

import numpy as np
import pytest
import torch

from domains.episode import Pile, Shape
from learners.choice.prior_sums import FEATURES
from learners.federated import messages
from learners.federated.averaging import Moments, Update, average, honest_bound, pool_scale
from learners.federated.federation import Federation, Outcome
from learners.federated.privacy import epsilon
from learners.federated.server import Plan, State
from learners.federated.site import Identity, Site
from learners.meta_train import Training

DIM = 8
SHAPE = Shape(ways=(2, 4), shots=(1, 3), queries=4, pool=(0, 12))
TRAINING = {"protonet": Training(SHAPE, steps=6, batch=2, rate=5e-3, episodes=2, seed=5)}
SAME = Identity("minilm", "0.11", "protonet")


def gaussians(name, seed, classes=6, n=20):
    generator = torch.Generator().manual_seed(seed)
    centres = torch.randn(classes, DIM, generator=generator)
    y = torch.arange(classes).repeat_interleave(n)
    return Pile(name, centres[y] + 0.5 * torch.randn(len(y), DIM, generator=generator), y)


def site(seed, domains=1, identity=SAME, **more):
    piles = [gaussians(f"{seed}-{i}", 10 * seed + i) for i in range(domains)]
    held_out = [gaussians(f"{seed}-v", 10 * seed + 8)], [gaussians(f"{seed}-p", 10 * seed + 9)]
    return Site(identity, piles, *held_out, TRAINING, [SHAPE], **more)


class Wire:
    """Carries questions to sites in this process; ``change(question, site, answer)`` is what travels."""

    def __init__(self, sites, change=lambda question, name, answer: answer):
        self.sites, self.change, self.asked = sites, change, []

    def __call__(self, question, told, names):
        self.asked.append(question)
        found = {}
        for name, one in self.sites.items():
            if names and name not in names:
                continue
            try:
                found[name] = self.change(question, name, one.answer(question, told))
            except ValueError:
                continue
        return {name: answer for name, answer in found.items() if answer is not None}


def dies_in_the_second_round():
    """Return a change of answers at which the server dies."""
    seen = []

    def change(question, name, answer):
        seen.append(question)
        if seen.count("round") == 3:
            raise KeyboardInterrupt
        return answer

    return change


def without_b_in_the_second_round():
    """Return a change of answers that loses one."""
    seen = []

    def change(question, name, answer):
        seen.append((question, name))
        return None if name == "b" and seen.count(("round", "b")) == 2 else answer

    return change


def federation(wire, lines=None, path=None, rounds=3, kind=Federation, **more):
    plan = Plan(TRAINING, rounds=rounds, steps=2, sites=len(wire.sites), every=2, **more)
    said = [] if lines is None else lines
    return kind(plan, SAME, DIM, wire, episodes=8, path=path, say=said.append)


def assert_same(one, other):
    assert one.keys() == other.keys()
    assert all(torch.equal(one[n][k], other[n][k]) for n in one for k in one[n])


def test_sites_learn_together_and_what_travels_is_numbers_that_do_not_grow_with_their_examples():
    wire, sizes, moved = Wire({"a": site(1), "b": site(2, 3)}), {}, []

    def note(question, name, answer):
        sizes[question, name] = messages.size(messages.check(answer))
        moved.extend(
            [name] if question == "round" and not np.array_equal(answer["protonet/weight"], np.eye(DIM)) else []
        )
        return answer

    wire.change = note
    prior = federation(wire).run().prior
    assert wire.asked == ["hello", "scale", "round", "round", "round", "validate", "prior", "thresholds"]
    assert prior.regressions.keys() >= {"protonet", "tuned_logistic"}
    assert len(prior.regressions["protonet"].weights) == FEATURES
    assert moved
    for question in ("scale", "round", "prior"):
        assert abs(sizes[question, "a"] - sizes[question, "b"]) <= 16  # one domain or three


def test_a_server_that_died_goes_on_to_the_same_bits(tmp_path):
    path, straight = tmp_path / "state.checkpoint", federation(Wire({"a": site(1), "b": site(2)})).run()
    with pytest.raises(KeyboardInterrupt):
        federation(Wire({"a": site(1), "b": site(2)}, dies_in_the_second_round()), path=path).run()
    again = Wire({"a": site(1), "b": site(2)})
    found = federation(again, path=path).run()
    assert again.asked.count("round") == 2
    assert_same(found.weights, straight.weights)
    assert found.prior == straight.prior
    copy = Outcome.of(messages.check(found.arrays()))
    assert_same(copy.weights, found.weights)
    assert copy.prior == found.prior


def test_a_site_that_dies_costs_a_round_nothing():
    lines, wire = [], Wire({"a": site(1), "b": site(2)}, without_b_in_the_second_round())
    weights = federation(wire, lines).run().weights
    assert all(torch.isfinite(t).all() for t in weights["protonet"].values())
    assert not lines


@pytest.mark.parametrize(
    ("poison", "line"),
    [
        (lambda a: a | {"protonet/weight": a["protonet/weight"] * np.nan}, "weight is not finite"),
        (lambda a: a | {"protonet/weight": np.zeros((3, 3), np.float32)}, r"weight is torch.float32 \[3, 3\], not"),
        (lambda a: {k: v for k, v in a.items() if "weight" not in k}, "are not those of this learner: 'weight'"),
        (lambda a: a | {"protonet/weight": np.array(["x"])}, "is not an array of numbers"),
        (lambda a: a | {"protonet/weight": np.array([print], object)}, "is not an array of numbers"),
        (lambda a: b"pickle", "not a table of arrays"),
    ],
    ids=["nan", "shape", "missing", "text", "object", "bytes"],
)
def test_an_answer_that_is_wrong_is_left_out_in_one_line(poison, line):
    def change(question, name, answer):
        return poison(answer) if (question, name) == ("round", "bad") else answer

    lines = []
    found = federation(Wire({"a": site(1), "bad": site(2)}, change), lines).run()
    silent = Wire({"a": site(1), "bad": site(2)}, lambda q, n, a: None if (q, n) == ("round", "bad") else a)
    assert_same(found.weights, federation(silent).run().weights)
    assert all(text.startswith("bad: ") and "\n" not in text for text in lines)
    assert len(lines) == 3
    assert re.search(line, lines[0])


def test_a_malicious_update_moves_the_mean_no_further_than_honest_steps_could():
    def far(question, name, answer):
        if (question, name) != ("round", "bad"):
            return answer
        return answer | {"protonet/weight": answer["protonet/weight"] + 1e9}

    lines, start = [], torch.eye(DIM)
    weights = federation(Wire({"a": site(1), "bad": site(2)}, far), lines, rounds=1).run().weights
    bound = honest_bound({"weight": start, "rest": torch.zeros(1 + 2 * DIM)}, 5e-3, 2)
    assert float((weights["protonet"]["weight"] - start).norm()) <= bound
    assert lines[0].startswith("bad: protonet clipped in round 0: norm 8e+09")


def test_sites_of_another_encoder_version_or_recipe_are_left_out_in_one_line_whatever_they_say():
    others = {
        "enc": replace(SAME, encoder="e5"),
        "old": replace(SAME, version="0.10"),
        "recipe": replace(SAME, learners="{0.__class__} {}\n{9}"),
    }

    class Loose(Site):
        def hello(self, told):
            return super().hello(self.identity.arrays())  # does not look itself

    sites = {name: Loose(**{k: v for k, v in vars(site(3)).items() if k != "_measured"}) for name in others}
    for name, identity in others.items():
        sites[name].identity = identity
    lines = []
    federation(Wire({"a": site(1)} | sites), lines).run()
    assert sorted(lines) == [
        "enc: not used: encoder of this site: e5; of the federation: minilm",
        "old: not used: version of this site: 0.10; of the federation: 0.11",
        "recipe: not used: learners of this site: {0.__class__} {}{9}; of the federation: protonet",
    ]
    with pytest.raises(ValueError, match="encoder of the federation: minilm; of this site: e5; make them the same"):
        site(3, identity=others["enc"]).answer("hello", SAME.arrays())


def test_label_sets_need_not_agree_since_every_domain_has_classes_of_its_own():
    other = replace(site(2), train=[gaussians("few", 7, classes=3)])
    lines = []
    alone = federation(Wire({"a": site(1)})).run()
    found = federation(Wire({"a": site(1), "b": other}), lines).run()
    assert not lines
    assert not torch.equal(found.weights["protonet"]["weight"], alone.weights["protonet"]["weight"])


def test_a_site_with_one_small_domain_trains_and_measures_nothing():
    lines, moved = [], []

    def note(question, name, answer):
        if (question, name) == ("round", "small"):
            moved.append(np.abs(answer["protonet/weight"] - np.eye(DIM)).max() > 0)
        return answer

    wire = Wire({"a": site(1), "small": replace(site(2), validation=[], prior=[])}, note)
    found, alone = federation(wire, lines).run(), federation(Wire({"a": site(1)})).run()
    assert not lines
    assert moved == [True] * 3
    assert found.sums["tuned_logistic"].episodes.tolist() == alone.sums["tuned_logistic"].episodes.tolist()


def test_a_federation_that_no_site_can_take_part_in_says_so():
    with pytest.raises(ValueError, match="no site can be used"):
        federation(Wire({"a": site(1, identity=replace(SAME, encoder="e5"))})).run()


def test_sums_that_no_episodes_have_do_not_reach_the_prior():
    def forge(question, name, answer):
        if (question, name) == ("prior", "bad"):
            return answer | {"protonet/episodes": 1e6 * answer["protonet/episodes"]}
        return answer

    lines = []
    prior = federation(Wire({"a": site(1), "bad": site(2)}, forge), lines).run().prior
    assert lines[0].startswith("bad: its prior is not used: protonet: ")
    silent = Wire({"a": site(1), "bad": site(2)}, lambda q, n, a: None if (q, n) == ("prior", "bad") else a)
    assert prior == federation(silent).run().prior


def test_what_a_site_does_not_share_it_does_not_send_and_its_log_says_what_it_sent():
    said, sent = [], {}

    def note(question, name, answer):
        sent[question, name] = answer
        return answer

    sites = {"a": site(1), "b": site(2, share=("prior",), say=said.append), "c": site(3, share=("learners",))}
    federation(Wire(sites, note)).run()
    assert sent["round", "b"] == {}
    assert ("prior", "c") not in sent
    assert all("protonet" not in name or name.startswith("protonet/") for name in sent["prior", "b"])
    assert said[-1].startswith("sent for thresholds: ")


def test_without_noise_the_mean_is_weighed_by_domains_and_with_noise_sites_weigh_the_same():
    last = {"w": torch.zeros(4)}
    updates = {
        "a": Update({"w": torch.ones(4)}, 3),
        "b": Update({"w": -torch.ones(4)}, 1),
        "c": Update({"w": last["w"]}, 10**9),
    }
    assert torch.allclose(average(last, updates, 10).weights["w"], torch.full((4,), 2 / 24))
    secret = torch.Generator().manual_seed(0)
    many = torch.stack([average(last, updates, 2.0, 0.5, 10, secret).weights["w"] for _ in range(4000)])
    assert many.mean().abs() < 0.01  # (1 - 1 + 0) / 10
    assert many.std().item() == pytest.approx(0.5 * 2.0 / 10, rel=0.05)


def test_epsilon_is_that_of_the_gaussian_mechanism():
    assert epsilon(0, 10, 1e-5) == math.inf
    assert epsilon(1.0, 1, 1e-5) == pytest.approx(4.3775, abs=1e-3)  # Balle & Wang: sigma 1, sensitivity 1
    assert epsilon(10.0, 100, 1e-5) == pytest.approx(epsilon(1.0, 1, 1e-5), rel=1e-6)
    assert epsilon(2.0, 50, 1e-5) > epsilon(4.0, 50, 1e-5) > epsilon(4.0, 10, 1e-5)
    assert 40 < epsilon(0.5, 20, 1e-6) < 200


def test_moments_of_sites_give_the_scale_of_all():
    parts = [torch.randn(50, DIM, generator=torch.Generator().manual_seed(i)) * (1 + i) + i for i in range(3)]
    mean, scale = pool_scale({str(i): Moments.of(x, 1) for i, x in enumerate(parts)})
    x = torch.cat(parts)
    assert torch.allclose(mean, x.mean(0), atol=1e-5)
    assert torch.allclose(scale, x.std(0, correction=0), rtol=1e-4)
    assert "not 8" in Moments.of(x[:, :5], 1).wrong(DIM)
    assert Moments(mean.double(), -mean.double().square() - 1, 1).wrong(DIM)


def test_a_state_is_kept_to_the_bit(tmp_path):
    w = torch.randn(3, 3, generator=torch.Generator().manual_seed(0))
    weights = {"protonet": {"w": w, "s": torch.tensor(0.5)}, "maml": {"w": w}}
    state = State(4, weights, weights, {"protonet": (1.0, 0.5), "maml": ()})
    state.save(tmp_path / "s.checkpoint", {"a": 1})
    again, about = State.load(tmp_path / "s.checkpoint")
    assert (again.rounds, again.losses, about) == (4, state.losses, {"a": 1})
    assert_same(again.weights, weights)
