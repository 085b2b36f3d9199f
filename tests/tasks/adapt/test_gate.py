"""Every rule of the gate, on scores made to meet or break exactly that rule."""

import numpy as np
import pytest

from tasks.adapt.gate import MISSING, align, gate, hash_of_test, score

N = 400
TARGETS = np.arange(N) % 4
TEST = hash_of_test([f"text {i}" for i in range(N)], TARGETS)


def model(accuracy, confidence=None, test_hash=TEST, first_wrong=0):
    """Scores of a model that is right on a share of the examples and always equally sure."""
    confidence = accuracy if confidence is None else confidence
    right = np.ones(N, bool)
    right[np.arange(first_wrong, first_wrong + round(N * (1 - accuracy))) % N] = False
    p = np.full((N, 4), (1 - confidence) / 3)
    p[np.arange(N), np.where(right, TARGETS, (TARGETS + 1) % 4)] = confidence
    return score(p, TARGETS, test_hash)


PROBE = model(0.60)


def test_a_significantly_better_challenger_is_promoted_and_the_reason_has_the_numbers():
    decision = gate(model(0.75), model(0.65), PROBE)
    assert decision.promote
    for part in ("75.0 %", "65.0 %", "400 examples", "+10.0 points", "significantly better", "limit"):
        assert part in decision.reason
    assert "\n" not in decision.reason


def test_a_challenger_better_within_noise_is_promoted_and_the_reason_says_so():
    decision = gate(model(0.71, first_wrong=200), model(0.70), PROBE)
    assert decision.promote
    assert "better, though within noise" in decision.reason


def test_a_significantly_worse_challenger_is_refused():
    decision = gate(model(0.65), model(0.75), PROBE)
    assert not decision.promote
    assert "significantly worse" in decision.reason


def test_an_equal_challenger_is_promoted_only_for_a_lower_log_loss():
    unsure, calibrated = model(0.70, confidence=0.62), model(0.70)
    assert gate(calibrated, unsure, PROBE).promote
    assert "log-loss lower" in gate(calibrated, unsure, PROBE).reason
    assert not gate(unsure, calibrated, PROBE).promote
    assert not gate(calibrated, calibrated, PROBE).promote


def test_a_challenger_clearly_lower_though_within_noise_is_refused_whatever_its_log_loss():
    decision = gate(model(0.68, first_wrong=200), model(0.70, confidence=0.6), PROBE)
    assert not decision.promote
    assert "worse by more than 1.0 points, though within noise" in decision.reason


def test_a_first_champion_needs_only_floor_and_calibration():
    assert gate(model(0.60), None, PROBE).promote
    assert "first champion" in gate(model(0.60), None, PROBE).reason
    assert "linear probe" in gate(model(0.50), None, PROBE).reason
    assert not gate(model(0.50), None, PROBE).promote
    assert not gate(model(0.60, confidence=0.95), None, PROBE).promote


def test_of_a_first_champion_the_reason_says_truly_where_it_stands_beside_the_probe():
    targets = TARGETS[:24]

    def small(right):  # so many of 24, at a confidence that such a share deserves
        p = np.full((24, 4), 0.24)
        p[np.arange(24), np.where(np.arange(24) < right, targets, (targets + 1) % 4)] = 0.28
        return score(p, targets, TEST)

    below = gate(small(3), None, small(5), 0.1)
    assert below.promote
    assert below.reason.startswith(
        "promoted as first champion: accuracy 12.5 % is not significantly below the linear probe at 20.8 % on the same "
        "24 examples (-8.3 points, 95 % interval -20.8 to +0.0) and above 10.0 %, that of always naming "
        "their most frequent label; calibration error "
    )
    assert "is not below the linear probe at 20.8 %" in gate(small(5), None, small(5)).reason
    assert "is not below the linear probe at 20.8 %" in gate(small(6), None, small(5), 0.2).reason
    above = gate(model(0.75), None, PROBE).reason
    assert "accuracy 75.0 % is significantly above the linear probe at 60.0 % on the same 400" in above
    assert "(+15.0 points, 95 % interval +1" in above
    assert "most frequent" not in above


@pytest.mark.parametrize("majority", [0.6, 0.7])
def test_a_first_champion_that_is_not_above_the_most_frequent_label_is_refused(majority):
    decision = gate(model(0.60), None, PROBE, majority)
    assert not decision.promote
    share = f"{100 * majority:.1f} %"
    assert decision.reason == (
        f"refused: accuracy 60.0 % is not above the {share} of always naming the most frequent label of the same "
        "400 examples"
    )
    assert gate(model(0.60), None, PROBE, 0.599).promote
    assert gate(model(0.60), model(0.40), PROBE, majority).promote  # what is in service is the measure then


def test_a_log_loss_that_is_lower_by_a_trifle_is_not_called_higher():
    a, b = model(0.70, confidence=0.7000), model(0.70, confidence=0.6900)
    assert 0 < b.log_loss - a.log_loss < 0.001
    decision = gate(a, b, PROBE)
    assert not decision.promote
    assert "log-loss not lower by 0.001 or more (-0.000" in decision.reason


def test_below_the_linear_probe_is_refused_even_when_better_than_the_champion():
    decision = gate(model(0.50), model(0.40), PROBE)
    assert not decision.promote
    assert "significantly below 60.0 % of the linear probe" in decision.reason


def test_overconfidence_is_refused_however_accurate():
    decision = gate(model(0.75, confidence=0.99), model(0.65), PROBE)
    assert not decision.promote
    assert "calibration error 0.240" in decision.reason


def test_a_badly_calibrated_champion_may_be_replaced_by_one_no_worse():
    champion = model(0.65, confidence=0.95)
    assert gate(model(0.75, confidence=0.99), champion, PROBE).promote
    assert not gate(model(0.70, confidence=0.999), model(0.65, confidence=0.9), PROBE).promote


def test_perfectly_calibrated_models_pass_on_a_test_set_of_a_hundred():
    rng = np.random.default_rng(0)
    passed = 0
    for _ in range(200):
        p = rng.dirichlet(np.ones(5), 100)
        y = (p.cumsum(1) > rng.random((100, 1))).argmax(1)
        scores = score(p, y, TEST)
        passed += gate(scores, None, scores).promote
    assert passed >= 198


@pytest.mark.parametrize("who", ["challenger", "champion", "linear probe"])
def test_a_missing_score_is_refused(who):
    scores = {"challenger": model(0.9), "champion": model(0.5), "linear probe": PROBE} | {who: MISSING}
    decision = gate(*scores.values())
    assert not decision.promote
    assert decision.reason == f"refused: the score of the {who} is missing"


@pytest.mark.parametrize("broken", [np.nan, -0.5, 7.0])
def test_what_is_not_a_probability_is_a_missing_score(broken):
    p = np.full((N, 4), 0.25)
    p[3, 1] = broken
    assert score(p, TARGETS, TEST).missing
    assert score(p[:-1], TARGETS, TEST).missing
    assert score(p[:0], [], TEST).missing


def test_scores_of_different_test_examples_are_never_compared():
    other = hash_of_test([f"text {i}" for i in range(N)][::-1], TARGETS)
    for champion, probe in ((model(0.5, test_hash=other), PROBE), (model(0.5), model(0.5, test_hash=other))):
        decision = gate(model(0.9), champion, probe)
        assert not decision.promote
        assert "other examples" in decision.reason


def test_the_hash_of_a_test_set_sees_every_example_and_target():
    assert hash_of_test(["ab", "c"], [0, 1]) != hash_of_test(["a", "bc"], [0, 1])
    assert hash_of_test(["ab", "c"], [0, 1]) != hash_of_test(["ab", "c"], [1, 0])
    assert hash_of_test([b"\x89PNG"], [0]) == hash_of_test([b"\x89PNG"], [0])
    assert hash_of_test([[0.1, 0.2]], [0]) == hash_of_test([np.array([0.1, 0.2])], [0])


def test_a_champion_of_other_labels_is_scored_on_the_labels_of_today():
    aligned = align(np.array([[0.5, 0.3, 0.2], [0.0, 0.0, 1.0]]), ["a", "b", "gone"], ["b", "new", "a"])
    assert aligned == pytest.approx(np.array([[0.375, 0, 0.625], [1 / 3, 1 / 3, 1 / 3]]))
