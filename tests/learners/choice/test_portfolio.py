"""The choice between strategies: never against the evidence, and with probabilities that can be believed."""

import json

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from domains.episode import Pile, Shape, draw
from learners import MAML, PLAIN_STRATEGIES, ProtoNet, SharedReference
from learners.base import Learner
from learners.choice.all_labels import adapt_to_all_labels
from learners.choice.averaging import average, chances_of_best
from learners.choice.comparison import UNKNOWN
from learners.choice.conformal import episodes_threshold, held_out_threshold
from learners.choice.cross_validation import cross_validate
from learners.choice.fallback import PROBE
from learners.choice.harder import draw_harder, make_harder
from learners.choice.portfolio import choose
from learners.choice.prior import CAUTION, Gain, Heat, Prior, Regression, describe_support, learn_prior, nearest_shots
from learners.choice.unseen import Unseen, UnseenTask, describe_confidence
from learners.classifier import Affine, Blend, Classifier
from learners.folds import sample_rows, stratified_folds
from learners.methods.reference import Transductive
from learners.metrics import log_loss
from learners.plain.logistic import Logistic
from learners.plain.prototype import NearestPrototype
from learners.plain.tuned_logistic import TunedLogistic
from learners.support import Support
from learners.temperature import GRID, best_temperature, doubt_of

DIM, DESCRIPTION = 8, 18


class Fixed(Learner):
    """Knows the truth of the synthetic classes, or is wrong in a fixed way, whatever the support."""

    name = "fixed"

    def __init__(self, weight):
        super().__init__(DIM)
        self.weight = weight

    def adapt(self, support):
        return Classifier((Affine(self.weight, torch.zeros(len(self.weight))),))


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def centres(ways):
    return 2 * F.normalize(torch.randn(ways, DIM, generator=seeded(11)), dim=1)


def task(ways=3, shots=5, noise=1.0, seed=0):
    """Features and labels around fixed centres."""
    y = torch.arange(ways).repeat_interleave(shots)
    return centres(ways)[y] + noise * torch.randn(len(y), DIM, generator=seeded(seed)), y


def strategies():
    return {kind.name: kind(DIM) for kind in PLAIN_STRATEGIES}


def expects(mean, spread=0.02):
    """A regression that says the same of every task."""
    zero = [0.0] * DESCRIPTION
    return Regression(zero, zero, mean, [zero] * DESCRIPTION, spread)


# The choice


@pytest.mark.parametrize("shots", [1, 2, 5, 20])
@pytest.mark.parametrize("seed", range(4))
def test_a_strategy_is_chosen_only_if_it_is_expected_to_beat_the_probe(shots, seed):
    x, y = task(shots=shots, noise=2.0, seed=seed)
    gains = {name: expects(0.1 * (seed - 1.5) * i, 0.05) for i, name in enumerate(strategies(), 1)}
    choice = choose(strategies(), Support(x, y, ways=3), Prior(gains), seeded())
    assert choice.expected_gain[PROBE] == 0
    best = max(choice.expected_gain, key=choice.expected_gain.get)
    assert choice.strategy == best or (best, choice.strategy) == (PROBE, "tuned_logistic")  # the probe, tuned
    assert choice.expected_gain[best] >= 0


def test_without_a_prior_one_shot_leaves_the_probe():
    x, y = task(shots=1)
    choice = choose(strategies(), Support(x, y, ways=3), Prior(), seeded())
    assert choice.strategy == PROBE
    assert max(choice.expected_gain.values()) == 0
    assert torch.allclose(choice.classifier.logits(x), Logistic(DIM).adapt(Support(x, y)).logits(x))
    assert choice.classifier.temperature == UNKNOWN


@pytest.mark.parametrize("promised", [0.0, 0.02, 0.2])
@pytest.mark.parametrize("shots", [2, 5, 10])
def test_a_strategy_that_fails_in_cross_validation_is_not_chosen_whatever_the_prior_promises(promised, shots):
    x, y = task(shots=shots)
    wrong = Fixed(5 * centres(3).roll(1, 0))
    choice = choose(
        {**strategies(), "wrong": wrong}, Support(x, y, ways=3), Prior({"wrong": expects(promised)}), seeded()
    )
    assert choice.strategy != "wrong"


def test_a_strategy_that_is_much_better_in_cross_validation_is_chosen_unless_the_prior_is_against_it():
    x, y = task(shots=10, noise=2.5)
    knowing = Fixed(centres(3))
    probe = Logistic(DIM)
    open_minded = Prior({"knowing": expects(0.0, spread=0.2)})
    choice = choose({PROBE: probe, "knowing": knowing}, Support(x, y, ways=3), open_minded, seeded())
    test_x, test_y = task(shots=500, noise=2.5, seed=9)
    right = {
        name: (learner.adapt(Support(x, y)).logits(test_x).argmax(1) == test_y).double().mean()
        for name, learner in (("probe", probe), ("knowing", knowing))
    }
    assert right["knowing"] > right["probe"] + 0.05
    assert choice.strategy == "knowing"


def test_with_one_shot_the_prior_alone_weighs_strategies_by_their_chance_of_being_the_best():
    x, y = task(shots=1)
    heat = {name: Heat(0.7, 0.7) for name in strategies()}
    gains = {"prototype": expects(0.16, 0.02), "transductive": expects(0.16, 0.02), "whitened": expects(-0.4, 0.02)}
    unseen = Unseen([0.2, 0.0, 0.0, 0.0, 0.0], 0.6)
    choice = choose(strategies(), Support(x, y, ways=3), Prior(gains, {}, heat, unseen=unseen), seeded())
    assert choice.expected_gain["prototype"] == pytest.approx(0.16 - CAUTION * 0.02)
    assert choice.strategy in ("prototype", "transductive")
    (pool,) = choice.classifier.layers
    assert pool.weights == pytest.approx((0.5, 0.5))
    assert [member.temperature for member in pool.members] == [0.7, 0.7]
    assert choice.classifier.temperature == pytest.approx(np.exp(0.2))
    assert choice.classifier.threshold == pytest.approx(0.6 / 3)


def test_chances_of_being_the_best_are_those_of_normal_draws():
    means, deviations = {"a": 0.03, "b": 0.01, "c": -0.02}, {"a": 0.01, "b": 0.02, "c": 0.03}
    draws = np.random.default_rng(0).normal([*means.values()], 2 * np.array([*deviations.values()]), (200_000, 3))
    best = np.bincount(np.column_stack([draws, np.zeros(len(draws))]).argmax(1)) / len(draws)
    found = chances_of_best(means, deviations, PROBE)
    assert found == pytest.approx(dict(zip(["a", "b", "c", PROBE], best, strict=True)), abs=0.01) or 0 < best[3] < 0.05
    assert sum(found.values()) == pytest.approx(1)


@pytest.mark.parametrize("mean", [-1.0, 1.0])
def test_what_is_certain_to_be_the_best_is_alone(mean):
    assert chances_of_best({"a": mean}, {"a": 0.0}, PROBE) == {PROBE if mean < 0 else "a": 1.0}
    assert chances_of_best({}, {}, PROBE) == {PROBE: 1.0}


def test_an_average_is_the_normalised_geometric_mean():
    p, q = torch.tensor([[0.9, 0.1]]), torch.tensor([[0.2, 0.8]])
    found = average({"p": p.log(), "q": q.log(), "not in it": q.log()}, {"p": 0.75, "q": 0.25}).exp()
    raw = p**0.75 * q**0.25
    assert torch.allclose(found, raw / raw.sum())


def test_what_source_episodes_rule_out_is_not_tried_but_where_it_is_asked_for():
    x, y = task(shots=4)
    hopeless = Fixed(centres(3))
    for only, tried in ((None, False), ("hopeless", True)):
        prior = Prior({"hopeless": expects(-0.2, 0.05)})
        choice = choose({**strategies(), "hopeless": hopeless}, Support(x, y, ways=3), prior, seeded(), only=only)
        assert ("hopeless" in choice.expected_gain) == tried
        assert (choice.strategy == "hopeless") == tried


def test_the_expected_gain_weighs_prior_and_evidence_by_their_precision():
    x, y = task(shots=10, noise=1.5)
    chosen_from = {name: learner for name, learner in strategies().items() if name in (PROBE, "prototype")}
    choice = choose(chosen_from, Support(x, y, ways=3), Prior({"prototype": expects(0.04, 0.03)}), seeded(5))
    held_out = cross_validate(chosen_from, Support(x, y, ways=3), stratified_folds(y, seeded(5)))
    difference = (held_out["prototype"].argmax(1) == y).double() - (held_out[PROBE].argmax(1) == y).double()
    s2, e2 = 0.03**2, (difference.var() + 1 / 30) / 30
    mean = (0.04 / s2 + difference.mean() / e2) / (1 / s2 + 1 / e2)
    assert choice.expected_gain["prototype"] == pytest.approx((mean - CAUTION * (1 / s2 + 1 / e2) ** -0.5).item())


def test_the_probe_has_a_tuned_strength_where_that_lowers_the_held_out_loss():
    for noise in (0.1, 4.0):
        x, y = task(shots=30, noise=noise)
        learners = {PROBE: Logistic(DIM), "tuned_logistic": TunedLogistic(DIM)}
        support, fold = Support(x, y), stratified_folds(y, seeded())
        held_out = cross_validate({name: learner.tune(support) for name, learner in learners.items()}, support, fold)
        doubt = doubt_of(len(y))
        losses = {n: F.cross_entropy(z / best_temperature([z], [y], doubt=doubt), y) for n, z in held_out.items()}
        assert choose(learners, support, Prior(), seeded()).strategy == min(losses, key=losses.get)


def test_of_equals_the_probe_is_kept():
    x, y = task(shots=5)
    copy = Logistic(DIM)
    choice = choose({"a": copy, PROBE: Logistic(DIM), "z": copy}, Support(x, y, ways=3), Prior(), seeded())
    assert choice.strategy == PROBE


def test_the_same_seed_gives_the_same_choice():
    x, y = task(shots=4, noise=2.0)
    one, other = (choose(strategies(), Support(x, y, x[::2], ways=3), Prior(), seeded(3)) for _ in range(2))
    assert (one.strategy, one.expected_gain) == (other.strategy, other.expected_gain)
    assert torch.equal(one.classifier.logits(x), other.classifier.logits(x))


def test_in_the_long_run_the_choice_is_not_worse_than_the_probe():
    mine, probe = [], []
    for seed in range(10):
        x, y = task(shots=5, noise=1.5, seed=seed)
        test_x, test_y = task(shots=100, noise=1.5, seed=1000 + seed)
        choice = choose(
            {**strategies(), "wrong": Fixed(centres(3).roll(1, 0))}, Support(x, y, ways=3), Prior(), seeded(seed)
        )
        mine.append((choice.classifier.logits(test_x).argmax(1) == test_y).double().mean().item())
        probe.append((Logistic(DIM).adapt(Support(x, y)).logits(test_x).argmax(1) == test_y).double().mean().item())
    assert np.mean(mine) > np.mean(probe) - 0.01
    assert min(np.subtract(mine, probe)) > -0.1


# Labels without a support example

SEEN = torch.tensor([1, 4])


@pytest.mark.parametrize(
    "learner", [*strategies().values(), ProtoNet(DIM), MAML(DIM)], ids=lambda learner: learner.name
)
@pytest.mark.parametrize("temperature", [0.05, 1.0, 20.0])
def test_a_label_without_a_support_example_gets_hardly_any_probability_but_a_finite_logarithm(learner, temperature):
    x, y = task(ways=2, shots=4)
    whole = learner.adapt(Support(x, y)).with_temperature(temperature).predict_proba(x)
    classifier, absent = adapt_to_all_labels(learner, Support(x, SEEN[y], ways=6), temperature), [0, 2, 3, 5]
    p = classifier.predict_proba(x)
    assert p.shape == (len(x), 6)
    assert (p[:, absent] < 1e-6).all()
    assert torch.isfinite(F.log_softmax(classifier.logits(x) / temperature, 1)).all()
    assert 6 < log_loss(p, torch.zeros(len(x), dtype=torch.int64)) < 100
    assert torch.allclose(p[:, SEEN], whole, atol=1e-5)


@pytest.mark.parametrize(
    "learner", [*strategies().values(), ProtoNet(DIM), MAML(DIM)], ids=lambda learner: learner.name
)
def test_a_label_without_a_support_example_is_never_preferred_not_even_far_away(learner):
    with torch.no_grad():
        if isinstance(learner, ProtoNet):
            learner.log_sharpness += 1.5  # as after meta-training
    x, y = task(ways=2, shots=4)
    far = torch.cat([scale * torch.randn(200, DIM, generator=seeded(7)) for scale in (1, 10, 1000)])
    p = adapt_to_all_labels(learner, Support(x, SEEN[y], ways=6), 20.0).predict_proba(far)
    assert set(p.argmax(1).tolist()) <= set(SEEN.tolist())
    assert p[:, [0, 2, 3, 5]].max() < 1e-6


def test_choose_gives_a_classifier_of_all_labels_though_the_support_lacks_some():
    x, y = task(ways=3, shots=6, noise=3.0)
    labels = torch.tensor([0, 2, 5])
    choice = choose(strategies(), Support(x, labels[y], x, ways=7), Prior(), seeded())
    p = choice.classifier.predict_proba(x)
    assert p.shape == (18, 7)
    assert p[:, [1, 3, 4, 6]].sum(1).max() < 1e-5
    assert F.nll_loss(F.log_softmax(choice.classifier.logits(x), 1), labels[y]).isfinite()


@pytest.mark.parametrize("kind", [ProtoNet, MAML, SharedReference])
@pytest.mark.parametrize("present", [[0, 2], [0, 1], [1, 2]])
def test_learners_of_shared_labels_and_plain_ones_give_as_many_columns(kind, present):
    x, y = task(ways=2, shots=4)
    y = torch.tensor(present)[y]
    every = {**strategies(), "learner": kind(DIM, 3)}
    held_out = cross_validate(every, Support(x, y, ways=3), stratified_folds(y, seeded()))
    assert {z.shape for z in held_out.values()} == {(8, 3)}
    assert choose(every, Support(x, y, ways=3), Prior(), seeded()).classifier.predict_proba(x).shape == (8, 3)


# Cross-validation


@pytest.mark.parametrize("counts", [[9, 9, 9], [2, 7, 4], [10, 3, 30]], ids=str)
def test_folds_are_stratified(counts):
    y = torch.arange(3).repeat_interleave(torch.tensor(counts))[torch.randperm(sum(counts), generator=seeded())]
    fold = stratified_folds(y, seeded(1))
    for c, n in enumerate(counts):
        sizes = torch.bincount(fold[y == c], minlength=int(fold.max()) + 1)
        assert sizes.sum() == n
        assert sizes.max() - sizes.min() <= 1


def test_cross_validation_never_shows_a_strategy_the_example_it_is_asked_about():
    x, y = task(shots=4)

    class Memory(Learner):
        """Remembers what it was shown and fails to forget."""

        def adapt(self, support):
            shown.append(support.x)
            return Classifier((Affine(torch.zeros(3, DIM), torch.zeros(3)),))

    shown = []
    held_out = cross_validate(
        {PROBE: NearestPrototype(DIM), "memory": Memory(DIM)}, Support(x, y, ways=3), stratified_folds(y, seeded(2))
    )
    fold = stratified_folds(y, seeded(2))
    assert len(shown) == 3
    for i, support in enumerate(shown):
        assert torch.equal(support, x[fold != i])
        expected = NearestPrototype(DIM).adapt(Support(x[fold != i], y[fold != i])).logits(x[fold == i])
        assert torch.allclose(held_out[PROBE][fold == i], expected)


def test_the_only_example_of_a_class_stays_in_every_training_part():
    x, y = task(shots=3)
    fold = stratified_folds(y[2:], seeded())
    assert fold is not None
    assert fold[y[2:] == y[2]].tolist() == [-1]
    found = cross_validate(strategies(), Support(x[2:], y[2:], ways=3), fold)
    assert {len(logits) for logits in found.values()} == {len(y) - 3}


def test_one_example_of_every_class_leaves_nothing_to_hold_out():
    x, y = task(shots=1)
    assert stratified_folds(y, seeded()) is None
    assert cross_validate(strategies(), Support(x, y, ways=3), None) == {}


# Temperature


@pytest.mark.parametrize("truth", [0.2, 1.0, 5.0])
def test_the_temperature_that_made_the_labels_is_found(truth):
    z = 3 * truth * torch.randn(4000, 4, generator=seeded())
    y = torch.multinomial(F.softmax(z / truth, 1), 1, generator=seeded(1))[:, 0]
    assert best_temperature([z], [y]) == pytest.approx(truth, rel=0.12)
    assert best_temperature([z[:1000], z[1000:]], [y[:1000], y[1000:]]) == pytest.approx(truth, rel=0.12)


@pytest.mark.parametrize("doubt", [0.0, 0.05])
@pytest.mark.parametrize("scale", [0.1, 1.0, 30.0])
def test_bisection_finds_the_best_temperature_of_the_grid(scale, doubt):
    z, y = scale * torch.randn(50, 5, generator=seeded(1)).double(), torch.arange(50) % 5
    z[torch.arange(50), y] += scale
    losses = [F.cross_entropy(z / t, y, label_smoothing=doubt) for t in GRID]
    assert best_temperature([z[:20], z[20:]], [y[:20], y[20:]]) in GRID
    assert best_temperature([z], [y], doubt=doubt) == GRID[int(torch.stack(losses).argmin())]


def test_the_temperature_stays_between_a_twentieth_and_twenty():
    z, y = torch.eye(3), torch.arange(3)
    assert best_temperature([z], [y]) == pytest.approx(10**-1.3)
    assert best_temperature([-z], [y]) == pytest.approx(10**1.3)


@pytest.mark.parametrize("only", [PROBE, "prototype"])
def test_a_strategy_alone_has_the_temperature_of_its_held_out_log_loss(only):
    x, y = task(shots=10, noise=2.0)
    choice = choose(strategies(), Support(x, y, ways=3), Prior(), seeded(4), only=only)
    held_out = cross_validate({only: strategies()[only]}, Support(x, y, ways=3), stratified_folds(y, seeded(4)))
    doubt = doubt_of(len(y))
    assert choice.classifier.temperature == best_temperature([held_out[only]], [y], doubt=doubt)


def test_where_a_temperature_is_expected_few_examples_change_it_little_and_many_do():
    z, y = 4 * torch.eye(3).repeat(400, 1), torch.arange(3).repeat(400)
    y[::10] = (y[::10] + 1) % 3
    best = best_temperature([z], [y])
    near = [best_temperature([z[:n]], [y[:n]], around=4 * best) for n in (3, 60, 1200)]
    assert near[0] > 2.5 * best
    assert near[0] > near[1] > near[2]
    assert near[2] == pytest.approx(best, rel=0.1)
    assert best_temperature([z[:3]], [y[:3]], around=2.0, deviation=0.01) == pytest.approx(2.0, rel=0.05)


def test_a_classifier_of_all_labels_is_heated_as_much_less_as_more_labels_are_expected_to_allow():
    x, y = task(shots=9, noise=2.0)
    choice, steady = (
        choose(strategies(), Support(x, y, ways=3), Prior(temperatures={PROBE: heat}), seeded(4), only=PROBE)
        for heat in (Heat(8.0, 1.0), Heat(2.0, 2.0))
    )
    held_out = cross_validate({PROBE: Logistic(DIM)}, Support(x, y, ways=3), stratified_folds(y, seeded(4)))[PROBE]
    in_folds, whole = 8 ** (6**-0.5), 8 ** (9**-0.5)
    found = best_temperature([held_out], [y], around=in_folds)
    assert choice.classifier.temperature == pytest.approx(found * whole / in_folds)
    assert steady.classifier.temperature == pytest.approx(best_temperature([held_out], [y], around=2.0))


def test_few_examples_that_are_all_right_do_not_make_certain():
    z, y = torch.eye(3).repeat(5, 1), torch.arange(3).repeat(5)
    assert F.softmax(z / best_temperature([z], [y], doubt=1 / 17), 1).amax() == pytest.approx(16.3 / 17, abs=0.02)


# Prediction sets


def test_the_chosen_classifier_has_the_threshold_of_its_held_out_probabilities():
    x, y = task(shots=10, noise=2.0)
    choice = choose(strategies(), Support(x, y, ways=3), Prior(thresholds={PROBE: 5.0}), seeded(4), only=PROBE)
    held_out = cross_validate({PROBE: Logistic(DIM)}, Support(x, y, ways=3), stratified_folds(y, seeded(4)))
    p = F.softmax(held_out[PROBE] / choice.classifier.temperature, 1)
    assert choice.classifier.threshold == pytest.approx(held_out_threshold(p, y), rel=1e-6)


@pytest.mark.parametrize(("shots", "in_time"), [(1, False), (5, True)])
def test_where_nothing_is_held_out_the_threshold_is_a_multiple_of_chance_from_the_prior(shots, in_time):
    x, y = task(shots=shots)
    for prior, threshold in ((Prior(thresholds={PROBE: 0.6}), pytest.approx(0.2)), (Prior(), None)):
        choice = choose(strategies(), Support(x, y, ways=3), prior, seeded(), only=PROBE, in_time=in_time)
        assert choice.classifier.threshold == threshold


# The prior


def episodes(n=30, shots=(1, 5), pool=(0, 60), shared=False):
    """Tasks in which a few directions matter and the others are noise."""
    generator, piles = seeded(), []
    for seed in range(4):
        y = torch.arange(6).repeat_interleave(60)
        means = torch.randn(6, DIM, generator=seeded(seed)) * torch.linspace(2, 0.2, DIM)
        piles.append(Pile(str(seed), means[y] + 0.7 * torch.randn(len(y), DIM, generator=seeded(seed + 50)), y, shared))
    shape = Shape(ways=(3, 6), shots=shots, queries=10, pool=pool)
    return [draw(piles, shape, generator) for _ in range(n)]


def test_a_prior_learns_on_episodes_what_a_strategy_gains_by_shots():
    chosen_from = {PROBE: Logistic(DIM), "transductive": Transductive(DIM), "wrong": Fixed(-torch.ones(6, DIM))}
    shared = episodes(shared=True)
    prior = learn_prior(chosen_from, shared, [0] * len(shared), 6, seeded())
    assert set(prior.regressions) == {"transductive", "wrong"}
    assert set(prior.means["transductive"]) == {1, 5}
    assert all(gain.mean == gain.deviation == 0 for gain in prior.means[PROBE].values())
    for e in shared[:5]:
        description = describe_support(Support(e.support_x, e.support_y, e.pool_x), {})
        assert prior.expected_gain("wrong", description).mean < -0.2
    assert prior.temperatures.keys() == prior.thresholds.keys() == chosen_from.keys()
    single = [e for e in shared if len(e.support_y) == 6]
    logits = [
        adapt_to_all_labels(chosen_from["wrong"], Support(e.support_x, e.support_y, e.pool_x, ways=6)).logits(e.query_x)
        for e in single
    ]
    p = [F.softmax(z / prior.temperature("wrong", 1), 1) for z in logits]
    assert prior.thresholds["wrong"] == pytest.approx(episodes_threshold(p, [e.query_y for e in single]))


def test_a_prior_of_episodes_with_several_shots_only_has_no_one_shot_threshold():
    prior = learn_prior(
        {PROBE: Logistic(DIM), "t": Transductive(DIM)}, episodes(10, shots=(4,)), [0] * 10, None, seeded()
    )
    assert prior.temperatures.keys() == {PROBE, "t"}
    assert prior.thresholds == {}
    assert prior.unseen is None
    assert set(prior.means["t"]) == {5}  # the nearest that is shown


def test_a_regression_recovers_a_gain_that_depends_on_the_description():
    rng = np.random.default_rng(0)
    phi = rng.normal(size=(300, DESCRIPTION))
    gains = 0.05 + 0.1 * phi[:, 2] + rng.normal(0, 0.03, 300)
    regression = Regression.fit(phi, gains, 0.0, np.arange(len(phi)) % 5)
    probe = np.zeros(DESCRIPTION)
    probe[2] = 1.0
    assert regression.predict(probe).mean == pytest.approx(0.15, abs=0.02)
    assert regression.predict(probe).deviation == pytest.approx(0.03, abs=0.006)
    assert (
        regression.predict(100 * probe).deviation > 2 * regression.predict(probe).deviation
    )  # far from all that was seen


def test_the_noise_of_few_queries_is_not_taken_for_a_difference_between_tasks():
    rng = np.random.default_rng(0)
    phi, noise = rng.normal(size=(300, DESCRIPTION)), 0.05
    gains = rng.normal(0, noise, 300)
    assert Regression.fit(phi, gains, noise**2, np.arange(len(phi)) % 5).spread < 0.03
    assert Regression.fit(phi, gains, 0.0, np.arange(len(phi)) % 5).spread == pytest.approx(noise, rel=0.15)


def test_episodes_that_are_all_alike_can_be_learned_from():
    regression = Regression.fit(np.ones((20, DESCRIPTION)), np.zeros(20), 0.0, np.arange(20) % 2)
    gain = regression.predict(np.zeros(DESCRIPTION))
    assert np.isfinite([gain.mean, gain.deviation]).all()


def test_a_prior_comes_back_from_json_as_it_was():
    prior = learn_prior({PROBE: Logistic(DIM), "t": Transductive(DIM)}, episodes(20), [0] * 20, None, seeded())
    again = Prior.from_json(json.loads(json.dumps(prior.to_json())))
    assert again == prior
    older = {name: value for name, value in prior.to_json().items() if name != "thresholds"}
    assert Prior.from_json(older).thresholds == {}
    older["temperatures"] = {PROBE: 0.5}
    assert Prior.from_json(older).temperature(PROBE, 1) == pytest.approx(1.0)
    x, y = task(shots=5)
    description = describe_support(Support(x, y), {})
    assert again.expected_gain("t", description) == prior.expected_gain("t", description)
    assert again.expected_gain("unheard of", description).mean == 0


def test_a_description_does_not_depend_on_which_labels_are_seen():
    x, y = task(ways=2, shots=4)
    held_out = cross_validate({PROBE: Logistic(DIM)}, Support(x, SEEN[y], ways=6), stratified_folds(SEEN[y], seeded()))
    found = describe_support(Support(x, SEEN[y]), held_out)
    assert found.shape == (DESCRIPTION,)
    assert np.allclose(found[:10], describe_support(Support(x, y), {})[:10])
    assert found[10:12].tolist() == [1.0, (held_out[PROBE].argmax(1) == SEEN[y]).double().mean().item()]
    assert describe_support(Support(x, y), {})[10:].tolist() == pytest.approx([0, 0, 0, 0, 0.5, 0.5, 1, 0])


def test_a_description_tells_whether_names_agree_with_the_classes():
    x, y = task(shots=4)
    told, few = describe_support(Support(x, y, None, centres(3)), {})[12:14]
    assert told > 0.5
    assert few == pytest.approx(told / 4)
    assert describe_support(Support(x, y, None, centres(3).roll(1, 0)), {})[12] < 0.5


# How far to believe


def test_the_temperature_of_few_and_of_many_labels_is_that_of_the_lowest_loss():
    heat = Heat(4.0, 0.5)
    losses = np.stack(
        [(np.log(np.array(GRID)) - np.log(heat.at(k))) ** 2 for k in (1, 2, 5, 10, 20, 50, 100, 200, 500)]
    )
    found = Heat.fit(100 * losses, 900, steady=False)
    assert (found.one, found.many) == (pytest.approx(4.0, rel=0.05), pytest.approx(0.5, rel=0.05))
    steady = Heat.fit(100 * losses, 900, steady=True)
    assert steady.one == steady.many


def test_a_model_that_is_surer_of_the_pool_than_it_is_right_is_heated_and_one_that_is_not_is_cooled():
    def told(scale, noise, seed):
        y = torch.randint(4, (80,), generator=seeded(seed))
        z = scale * F.one_hot(y, 4).float() + noise * torch.randn(80, 4, generator=seeded(seed + 99))
        return UnseenTask(F.log_softmax(z, 1), y, F.log_softmax(z, 1))

    tasks = [told(0.0, 3.0, i) for i in range(10)] + [told(8.0, 1.0, i) for i in range(10)]
    unseen = Unseen.fit(tasks)
    wrong, right = (unseen.temperature(4, told(*how, 50).pool) for how in ((0.0, 3.0), (8.0, 1.0)))
    assert wrong > 1.5 * right
    assert unseen.threshold < 1
    assert describe_confidence(4, None).tolist() == [1, np.log(4) / 3, 0, 0, 0]
    assert describe_confidence(4, torch.zeros(5, 4)).tolist() == pytest.approx([1, np.log(4) / 3, 1, 0, 0])


def test_a_harder_pile_has_its_classes_closer_together_or_made_of_several():
    y = torch.arange(12).repeat_interleave(20)
    x = F.normalize(
        torch.randn(12, DIM, generator=seeded(1))[y] + 0.3 * torch.randn(240, DIM, generator=seeded(2)), dim=1
    )
    pile, kinds = Pile("p", x, y, names=torch.eye(12)), set()
    for seed in range(12):
        harder = make_harder(pile, seeded(seed))
        if harder is pile:
            kinds.add("as it is")
        elif len(harder.y.unique()) < 12:
            kinds.add("merged")
            assert len(harder.names) == len(harder.y.unique()) in (4, 6)
            assert harder.names.sum(1) == pytest.approx(1)
        else:
            kinds.add("closer")
            assert harder.x.norm(dim=1) == pytest.approx(1, abs=1e-5)
            apart = [torch.stack([p.x[p.y == c].mean(0) for c in range(12)]).var(0).sum() for p in (harder, pile)]
            assert apart[0] < apart[1]
    assert kinds == {"as it is", "merged", "closer"}
    few = draw_harder([pile], Shape(ways=(3, 5), shots=(9,), queries=4, pool=(0,), at_most=True), 20, seeded())
    assert {len(e.support_y) // e.ways for e in few} == {1, 2, 5}
    assert min(e.ways for e in few) == 2


def test_a_blend_of_averages_is_one_pool():
    x, y = task(shots=8, noise=2.0)
    choice = choose(strategies(), Support(x, y, ways=3), Prior(), seeded())
    layers = choice.classifier.layers
    assert not any(
        isinstance(layer, Blend)
        for each in layers
        if isinstance(each, Blend)
        for m in each.members
        for layer in m.layers
    )


# Many examples


class Counted(NearestPrototype):
    """Records how many examples it was fitted to."""

    def __init__(self, name):
        super().__init__(DIM)
        self.name, self.sizes = name, []

    def adapt(self, support):
        self.sizes.append(len(support.y))
        return super().adapt(support)


def test_of_many_examples_a_sample_decides_and_the_winner_alone_is_fitted_to_the_others(monkeypatch):
    monkeypatch.setattr("learners.folds.MOST", 50)
    monkeypatch.setattr("learners.folds.MOST_HELD_OUT", 30)
    monkeypatch.setattr("learners.choice.comparison.MOST_REFITTED", 60)
    monkeypatch.setattr("learners.choice.portfolio.MOST_COMPARED", 120)
    x, y = task(shots=100)
    winner, loser = Counted("winner"), Counted("loser")
    learners = {PROBE: Logistic(DIM), "winner": winner, "loser": loser}
    choice = choose(learners, Support(x, y), Prior({"winner": expects(0.1), "loser": expects(0.05)}), seeded())
    assert choice.strategy == "winner"
    assert winner.sizes == [90, 270]
    assert loser.sizes == [90]
    test_x, test_y = task(shots=100, seed=3)
    assert log_loss(choice.classifier.predict_proba(test_x), test_y) < 0.7


def test_a_sample_has_every_class_and_the_size_that_was_wanted():
    y = torch.cat([torch.zeros(500, dtype=torch.long), torch.arange(1, 8)])
    rows = sample_rows(y, 40, seeded())
    assert len(rows.unique()) == len(rows) == 40
    assert set(y[rows].tolist()) == set(range(8))
    assert torch.equal(sample_rows(y, 1000, seeded()), torch.arange(len(y)))


def test_a_description_tells_few_labels_from_many_and_even_ones_from_uneven():
    x, y = task(shots=9)
    assert describe_support(Support(x, y), {})[14:].tolist() == pytest.approx([1 / 3, 1 / 3, 1, 0])
    kept = torch.cat([(y == c).nonzero()[:n, 0] for c, n in enumerate((9, 4, 1))])
    mean, median, even, apart = describe_support(Support(x[kept], y[kept]), {})[14:]
    assert (mean, median, apart) == (pytest.approx((14 / 3) ** -0.5), 0.5, 0)
    assert even == pytest.approx(-sum(n / 14 * np.log(n / 14) for n in (9, 4, 1)) / np.log(3))
    like, unlike = (describe_support(Support(x[kept], y[kept], pool), {})[17] for pool in (x[kept], x[y == 2]))
    assert like < 0.2 < 0.6 < unlike <= 1


def test_a_prior_of_an_earlier_version_reads_of_a_description_what_it_was_learned_with():
    earlier = Regression([0.0] * 14, [0.0] * 13 + [1.0], 0.25, np.zeros((14, 14)).tolist(), 0.01)
    description = np.array([0.0] * 13 + [0.5] + [9.0] * 4)
    prior = Prior.from_json(json.loads(json.dumps(Prior({"t": earlier}).to_json())))
    assert prior.expected_gain("t", description) == Gain(0.75, 0.01)


@pytest.mark.parametrize(("mean", "shown"), [(1, 1), (1.3, 1), (4, 5), (10.4, 10), (16, 20), (90, 100), (9999, 500)])
def test_gains_are_shown_for_few_numbers_of_shots(mean, shown):
    assert nearest_shots(mean) == shown
