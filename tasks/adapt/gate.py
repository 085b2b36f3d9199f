"""The gate: whether an adapted model may take the place of the champion. Pure functions of scores."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from domains.objective import ACCURACY, Objective
from domains.words import some
from learners import metrics
from learners.objective import WORDS, score_each
from tasks.models.adapt_result import PROMOTED, REFUSED, ClassScore, NewClasses


@dataclass(frozen=True)
class Scores:
    """How one model did on one set of examples.

    Attributes:
        value: of the objective, accuracy unless said, with the weights of the examples.
        log_loss: mean negative log-probability of the true label, in nats, with the weights.
        ece: expected calibration error, of the examples as they are.
        ece_by_chance: what ``ece`` would be on average for a perfectly calibrated model on as few examples.
        each: [n] the examples' scores, whose mean is ``value`` (``learners/objective.py``).
        test_hash: identity of the examples, see :func:`hash_of_test`.
        weighted: the weights are those of the pool's class frequencies, not all 1.
    """

    value: float
    log_loss: float
    ece: float
    ece_by_chance: float
    each: np.ndarray = field(repr=False, compare=False)
    test_hash: str
    weighted: bool = False
    objective: Objective = ACCURACY

    @property
    def missing(self) -> bool:
        """Whether any part of the score is not a number."""
        return not np.isfinite([self.value, self.log_loss, self.ece]).all()


#: The score of a model that could not be scored; the gate refuses whatever depends on it.
MISSING = Scores(float("nan"), float("nan"), float("nan"), float("nan"), np.empty(0), "")


@dataclass(frozen=True)
class GateRule:
    """What a challenger has to show.

    Attributes:
        ece: calibration error allowed beyond what chance alone gives on that many examples. 0.10 means that
            what is stated with a confidence of 90 % may be right 80 % of the time. Chance is added because a
            perfect model has an error of about 0.12 on 100 examples and 0.04 on 1,000: a plain limit would
            refuse good models of small domains.
        equal: a difference in the objective within noise and no larger than this counts as equal.
        log_loss: by how many nats the log-loss of an equal challenger has to be lower.
        resamples: of the bootstrap.
        seed: of the bootstrap.
    """

    ece: float = 0.10
    equal: float = 0.01
    log_loss: float = 0.001
    resamples: int = 2000
    seed: int = 0


@dataclass(frozen=True)
class Decision:
    """What the gate decided, and why in a sentence; and what it saw of classes that the champion does not know."""

    promote: bool
    reason: str
    new_classes: NewClasses | None = None

    @property
    def word(self) -> str:
        """``promoted`` or ``refused``."""
        return PROMOTED if self.promote else REFUSED


@dataclass(frozen=True)
class Comparison:
    """The objective of the challenger minus that of another model on the same examples, with its 95 % interval."""

    difference: float
    low: float
    high: float

    def __str__(self) -> str:
        points = [f"{100 * value:+.1f}" for value in (self.difference, self.low, self.high)]
        return f"{points[0]} points, 95 % interval {points[1]} to {points[2]}"


def score(
    probabilities: np.ndarray,
    targets: Sequence[int],
    test_hash: str,
    in_use: np.ndarray | None = None,
    weights: np.ndarray | None = None,
    named: np.ndarray | None = None,
    objective: Objective = ACCURACY,
) -> Scores:
    """Score probabilities [n, N] against targets [n]; what is not a probability gives missing scores.

    Args:
        in_use: probabilities [n, N] at the pool's class frequencies, as the model in service gives them; log-loss is of
            these. Calibration is of ``probabilities``, which are of examples as frequent as these.
        weights: [n] under which the examples are as frequent as in the pool; all 1 unless given.
        named: [n] the labels that the model names; the most probable ones in use unless given.
        objective: what ``value`` is of.
    """
    p, y = np.asarray(probabilities, float), np.asarray(targets)
    if p.ndim != 2 or len(p) != len(y) or not np.allclose(p.sum(axis=1), 1, atol=1e-3) or (p < 0).any():
        return MISSING
    served, w = p if in_use is None else in_use, np.ones(len(y)) if weights is None else weights / weights.mean()
    each = score_each(objective, served.argmax(1) if named is None else named, y, w)
    return Scores(
        value=float(each.mean()) if len(y) else float("nan"),
        log_loss=metrics.log_loss(served, y, w),
        ece=metrics.ece(p, y),
        ece_by_chance=metrics.ece_by_chance(p),
        each=each,
        test_hash=test_hash,
        weighted=objective != "balanced_accuracy" and len(y) > 0 and bool(np.ptp(w) > 0),
        objective=objective,
    )


def align(probabilities: np.ndarray, labels: Sequence[str], onto: Sequence[str]) -> np.ndarray:
    """Return probabilities [n, N] over ``labels`` as probabilities [n, M] over the labels ``onto``.

    A champion adapted before a domain's labels changed is thus scored on today's test set: labels it does not
    know get 0, and what it gave to labels that are gone is shared out (evenly where nothing is left).
    """
    p = np.asarray(probabilities, float)
    column = {label: p[:, i] for i, label in enumerate(labels)}
    kept = np.stack([column.get(label, np.zeros(len(p))) for label in onto], axis=1)
    total = kept.sum(axis=1, keepdims=True)
    return np.where(total > 0, kept / np.where(total > 0, total, 1), 1 / len(onto))


def hash_of_test(examples: Iterable[str | bytes | Sequence[float]], targets: Sequence[int]) -> str:
    """Return the identity of a test set: the sha256 of its raw examples and targets, in order."""
    digest = hashlib.sha256(np.asarray(targets, np.int64).tobytes())
    for example in examples:
        match example:
            case str():
                raw = example.encode()
            case bytes():
                raw = example
            case _:
                raw = np.asarray(example, np.float32).tobytes()
        digest.update(len(raw).to_bytes(8, "little") + raw)
    return digest.hexdigest()


def gate(
    challenger: Scores,
    champion: Scores | None,
    probe: Scores,
    majority: float | None = None,
    rule: GateRule | None = None,
    beside: Scores | None = None,
    new: NewClasses | None = None,
) -> Decision:
    """Decide whether the challenger is promoted.

    In this order, and refused at the first that fails:

    1. every score is there, and all models were scored on the same examples;
    2. floor: not significantly below the linear probe in the objective;
    3. a first champion: above whoever always names their most frequent label;
    4. calibration: ECE within the rule's limit, or not above a champion's that is itself outside it;
    5. better than the champion in the objective, or equal (``GateRule.equal``) and lower in log-loss. A challenger that
       knows classes which the champion does not is above it on their examples whatever it is worth: it must not be
       significantly worse on the others, and no worse than equal on all.

    "Significantly" means that the 95 % interval of the difference (paired bootstrap over the examples) is wholly on one
    side of zero.

    Args:
        challenger: scores of the newly adapted model.
        champion: scores of the model in service, taken again on the same examples; None if there is none.
        probe: scores of logistic regression of tuned strength, fitted to the challenger's support set.
        majority: what whoever always names the most frequent label reaches; None where that rule is not asked.
        rule: the limits; the defaults unless given.
        beside: scores of the challenger on the examples that the champion was scored on, where these are not all.
        new: classes that the champion does not know, see :func:`compare_known`.
    """
    rule, beside = rule or GateRule(), beside or challenger
    scored = {"challenger": challenger, "linear probe": probe} | ({"champion": champion} if champion else {})
    for name, scores in scored.items():
        if scores.missing:
            return Decision(False, f"refused: the score of the {name} is missing")
    for name, scores in scored.items():
        if scores.test_hash != (beside if scores is champion else challenger).test_hash:
            return Decision(False, f"refused: the {name} was scored on other examples")

    n, got = len(challenger.each), _value(challenger)
    floor = compare(challenger, probe, rule)
    if floor.high < 0:
        against = f"{percent(probe.value)} of the linear probe on the same {n} examples ({floor})"
        return Decision(False, f"refused: {got} is significantly below {against}")

    if champion is None and majority is not None and challenger.value <= majority:
        against = f"the {percent(majority)} of always naming the most frequent label of the same {n} examples"
        return Decision(False, f"refused: {got} is not above {against}")

    limit = max(rule.ece + challenger.ece_by_chance, champion.ece if champion else 0.0)
    calibration = f"calibration error {challenger.ece:.3f}, limit {limit:.3f}"
    if challenger.ece > limit:
        return Decision(False, f"refused: {got}, but badly calibrated ({calibration})")

    if champion is None:
        against = f"the linear probe at {percent(probe.value)} on the same {n} examples ({floor})"
        above = (
            ""
            if majority is None
            else f" and above {percent(majority)}, that of always naming their most frequent label"
        )
        passed = f"{_against_probe(floor)} {against}{above}"
        return Decision(True, f"promoted as first champion: {got} is {passed}; {calibration}")

    versus = compare(beside, champion, rule)
    promote, finding = (
        _against_champion(versus, champion.log_loss - beside.log_loss, rule)
        if new is None
        else _with_new_classes(versus, new, rule)
    )
    against = f"the champion's {percent(champion.value)} on the same {len(beside.each)} examples ({versus})"
    word = PROMOTED if promote else REFUSED
    return Decision(promote, f"{word}: {_value(beside)} against {against}: {finding}; {calibration}")


def _value(scores: Scores) -> str:
    where = " at the pool's class frequencies" if scores.weighted else ""
    return f"{WORDS[scores.objective]} {percent(scores.value)}{where}"


def _against_probe(floor: Comparison) -> str:
    """Return where a challenger that is not significantly below the probe stands."""
    if floor.low > 0:
        return "significantly above"
    return "not below" if floor.difference >= 0 else "not significantly below"


def _against_champion(versus: Comparison, log_loss_gain: float, rule: GateRule) -> tuple[bool, str]:
    """Return whether the challenger is better than the champion, and in which way."""
    if versus.high < 0:
        return False, "significantly worse"
    if versus.low > 0:
        return True, "significantly better"
    if versus.difference > 0:
        return True, "better, though within noise"
    if versus.difference < -rule.equal:
        return False, f"worse by more than {100 * rule.equal:.1f} points, though within noise"
    if log_loss_gain >= rule.log_loss:
        return True, f"equal within noise, and log-loss lower by {log_loss_gain:.3f}"
    return False, f"equal within noise, and log-loss not lower by {rule.log_loss} or more ({-log_loss_gain:+.4f})"


def _with_new_classes(versus: Comparison, new: NewClasses, rule: GateRule) -> tuple[bool, str]:
    """Return whether a challenger that knows more classes than the champion may take its place, and why."""
    known = Comparison(new.challenger - new.champion, new.low, new.high)
    names = some([f"{each.label!r} ({_recall(each)})" for each in new.classes])
    kept = (
        f"on the {new.examples} examples of classes that both know: {WORDS[new.objective]} {percent(new.challenger)} "
        f"against {percent(new.champion)} ({known})"
    )
    knows = f"knows {names}, which the champion does not"
    if known.high < 0:
        return False, f"{knows}, but is significantly worse {kept}"
    if versus.difference < -rule.equal:
        return False, f"{knows}, but is worse by more than {100 * rule.equal:.1f} points in all; {kept}"
    stands = "significantly better" if known.low > 0 else "not worse"
    return True, f"{knows}, and is {stands if known.difference >= 0 else 'not significantly worse'} {kept}"


def _recall(score: ClassScore) -> str:
    if score.recall is None:
        return "no example of it is scored"
    return f"{round(score.recall * score.support)} of {score.support} right"


def compare_known(
    challenger: Scores, champion: Scores, classes: Sequence[ClassScore], rule: GateRule | None = None
) -> NewClasses:
    """Compare two models on the examples of the classes that both know.

    Args:
        challenger, champion: scores on these examples.
        classes: the challenger's scores of the classes that the champion does not know.
    """
    found = compare(challenger, champion, rule or GateRule())
    return NewClasses(
        classes=list(classes),
        examples=len(challenger.each),
        objective=challenger.objective,
        challenger=challenger.value,
        champion=champion.value,
        low=found.low,
        high=found.high,
    )


def compare(a: Scores, b: Scores, rule: GateRule) -> Comparison:
    """Return the difference in the objective a - b by paired bootstrap."""
    rng = np.random.default_rng(rule.seed)
    return Comparison(*metrics.paired_bootstrap(a.each, b.each, rng, rule.resamples))


def percent(share: float) -> str:
    """Return a share as people write it: 61.2 %."""
    return f"{100 * share:.1f} %"
