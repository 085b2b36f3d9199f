"""What learners declare about themselves is true, and one that cannot cope is left out in one line."""

from dataclasses import replace

import pytest
import torch

from domains.episode import Episode, Pile, Shape, draw
from learners import (
    CAML,
    META,
    OWN_LABELS,
    PLAIN_STRATEGIES,
    SHARED_LABELS,
    Finetune,
    ProtoNet,
    SVMHead,
    kinds,
    make,
)
from learners.base import Learner, unable
from learners.capabilities import Capabilities
from learners.choice.portfolio import choose
from learners.choice.prior import Prior, learn_prior
from learners.classifier import Affine, Classifier
from learners.plain.knn import KNN
from learners.plain.logistic import Logistic
from learners.representation.layers import EveryLayer, OnLayers
from learners.support import Support

DIM = 12
EVERY = {kind.name: kind for kind in (*META, *OWN_LABELS, *PLAIN_STRATEGIES, Finetune, KNN)}


def support(ways, shots, pool=0, seed=0):
    """Classes around random centres."""
    generator = torch.Generator().manual_seed(seed)
    y, centres = torch.arange(ways).repeat_interleave(shots), 2 * torch.randn(ways, DIM, generator=generator)
    x = centres[y] + torch.randn(len(y), DIM, generator=generator)
    pool_x = centres[torch.arange(pool) % ways] + torch.randn(pool, DIM, generator=generator) if pool else None
    return Support(x, y, pool_x, centres, tuple(f"class {c}" for c in range(ways)))


class NeedsPool(Learner):
    """Stands for methods that learn from the pool alone."""

    name = "needs_pool"
    capabilities = Capabilities(needs_pool=True)

    def adapt(self, support):
        assert support.pool_x is not None
        return Classifier((Affine(torch.zeros(support.ways, DIM), torch.zeros(support.ways)),))


@pytest.mark.parametrize("name", EVERY)
def test_a_learner_reads_label_names_exactly_if_it_declares_it(name):
    torch.manual_seed(0)
    learner, given = EVERY[name](DIM), support(3, 2, pool=9)
    with_names = learner.adapt(given).logits(given.x)
    without = learner.adapt(replace(given, names_x=None)).logits(given.x)
    assert torch.equal(with_names, without) != learner.capabilities.reads_names


@pytest.mark.parametrize("name", EVERY)
def test_what_a_learner_is_not_declared_unable_to_do_it_does(name):
    torch.manual_seed(0)
    learner = EVERY[name](DIM)
    for given in (support(2, 1), support(70, 2, pool=20), support(150, 1)):
        if given.ways == 150 and name == "svm":
            continue  # able, but a matter of many seconds
        if unable(learner, given):
            with pytest.raises(ValueError, match=f"{given.ways} classes"):
                learner.adapt(given)
        else:
            assert learner.adapt(given).logits(given.x).shape == (len(given.y), given.ways)


def test_the_limits_of_the_two_learners_that_have_any_are_where_they_are_declared():
    assert [name for name, kind in EVERY.items() if unable(kind(DIM), support(150, 10))] == ["svm", "caml"]
    assert unable(CAML(DIM), support(128, 1)) is None
    assert unable(CAML(DIM), support(129, 1)) == "it tells at most 128 classes apart, and there are 129"
    assert unable(CAML(DIM, max_ways=200), support(150, 1)) is None
    assert unable(CAML(DIM), support(100, 30)) is None
    assert unable(CAML(DIM), support(3, 1001)) == "it adapts to at most 3,000 examples, and there are 3,003"
    assert unable(SVMHead(DIM), support(66, 10)) is None
    said = "67 classes and 670 examples make N S^2 = 30,076,300, and its solver has room for 30,000,000"
    assert unable(SVMHead(DIM), support(67, 10)) == said
    assert unable(OnLayers(SVMHead(DIM), EveryLayer(), DIM), support(67, 10)) == said


def test_learners_for_shared_labels_are_those_that_declare_it():
    every = {kind for shared in (True, False) for kind in kinds(shared).values()}
    assert {kind for kind in every if kind.capabilities.fixed_ways} == set(SHARED_LABELS.values())


def test_other_reasons_are_told_in_a_line_too():
    few = support(3, 2)
    assert unable(NeedsPool(DIM), few) == "it needs unlabelled examples, and there is no pool"
    assert unable(NeedsPool(DIM), support(3, 2, pool=6)) is None
    assert unable(ProtoNet(DIM), Support(few.x, few.x)) == "it tells classes apart, and the labels are numbers"
    assert unable(make("ridge", DIM), Support(few.x, few.x)) is None
    assert unable(ProtoNet(DIM, 3), support(4, 2)) == "it was made for 3 labels, and there are 4"
    assert unable(ProtoNet(5), few) == "it reads examples [5], and these are [12]"


def test_of_150_classes_the_portfolio_adapts_without_the_learners_that_cannot_and_says_why():
    learners = {"logistic": Logistic(DIM), "protonet": ProtoNet(DIM), "svm": SVMHead(DIM), "caml": CAML(DIM)}
    given = support(150, 3)
    choice = choose(learners, given, Prior(), torch.Generator().manual_seed(0))
    assert choice.classifier.predict_proba(given.x).shape == (450, 150)
    assert choice.left_out == {
        "svm": "150 classes and 450 examples make N S^2 = 30,375,000, and its solver has room for 30,000,000",
        "caml": "it tells at most 128 classes apart, and there are 150",
    }
    assert set(choice.expected_gain) <= {"logistic", "protonet"}
    with pytest.raises(ValueError, match=r"^caml cannot be used here: it tells at most 128 .* take another method"):
        choose(learners, given, Prior(), torch.Generator().manual_seed(0), only="caml")
    with pytest.raises(ValueError, match=r"^caml: it tells at most 128 classes apart, and there are 150$"):
        choose({"caml": CAML(DIM)}, given, Prior(), torch.Generator().manual_seed(0))


def episodes(ways, n):
    """Episodes of so many classes, one after the other."""
    generator, most = torch.Generator().manual_seed(0), max(ways)
    y = torch.arange(most).repeat_interleave(6)
    centres, noise = (torch.randn(n, DIM, generator=generator) for n in (most, len(y)))
    pile = Pile("many", 2 * centres[y] + noise, y)
    return [
        draw([pile], Shape(ways=(ways[i % len(ways)],) * 2, shots=(1, 3), queries=2, pool=(0,)), generator)
        for i in range(n)
    ]


def test_a_prior_is_learned_on_the_episodes_that_a_learner_can_adapt_to_and_says_which_it_cannot():
    learners = {"logistic": Logistic(DIM), "caml": CAML(DIM), "protonet": ProtoNet(DIM)}
    mixed = episodes((150, 5), 8)
    prior = learn_prior(learners, mixed, [0, 1] * 4, None, torch.Generator().manual_seed(0))
    assert prior.left_out == {"caml": "4 of 8 source episodes: it tells at most 128 classes apart, and there are 150"}
    alone = learn_prior(learners, mixed[1::2], [1] * 4, None, torch.Generator().manual_seed(0))
    assert prior.means["caml"] == alone.means["caml"]
    assert set(prior.regressions) == {"caml", "protonet"}
    assert Prior.from_json(prior.to_json()) == prior


def test_a_prior_says_nothing_of_a_learner_that_no_episode_is_fit_for():
    learners = {"logistic": Logistic(DIM), "caml": CAML(DIM)}
    prior = learn_prior(learners, episodes((150,), 3), [0] * 3, None, torch.Generator().manual_seed(0))
    assert prior.regressions == {}
    assert prior.left_out["caml"].startswith("3 of 3 source episodes: ")
    assert "caml" not in prior.means | prior.temperatures | prior.thresholds
    assert prior.expected_gain("caml", torch.zeros(14).numpy()).mean == 0
    assert "left_out" not in Prior().to_json()


def test_a_support_set_knows_its_number_of_labels():
    y = torch.tensor([0, 2])
    assert Support(torch.zeros(2, 3), y).ways == 3
    assert Support(torch.zeros(2, 3), y, labels=("a", "b", "c", "d")).ways == 4
    assert Support(torch.zeros(2, 3), y, ways=5).ways == 5
    assert Support(torch.zeros(2, 3), torch.zeros(2, 1)).ways == 1
    episode = Episode(torch.zeros(2, 3), y, torch.zeros(1, 3), y[:1], ways=7)
    assert Support.of(episode).ways == 7


def test_a_compact_support_set_keeps_the_names_of_the_labels_that_have_examples():
    given = support(4, 3).select(torch.tensor([0, 1, 6, 7]))
    present, compact = given.compact()
    assert (present.tolist(), compact.y.tolist(), compact.ways) == ([0, 2], [0, 0, 1, 1], 2)
    assert compact.labels == ("class 0", "class 2")
    assert torch.equal(compact.names_x, given.names_x[[0, 2]])


def test_dates_and_names_that_do_not_belong_to_the_examples_are_refused():
    given = support(3, 2)
    with pytest.raises(ValueError, match="5 dates for 6 support examples"):
        Logistic(DIM).adapt(replace(given, dates=torch.arange(5)))
    with pytest.raises(ValueError, match="4 label names for 3 classes"):
        Logistic(DIM).adapt(replace(given, names_x=torch.zeros(4, DIM)))
