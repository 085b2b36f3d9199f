"""How good predicted probabilities are, and how sure of that one may be: pure numpy.

Everywhere ``p`` is [n, N], the probability of each of N labels for n examples, and ``y`` is [n], the index of
the true label. A NaN in ``p``, or no example, makes every measure NaN: nothing missing may look like a score.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import stdtrit

#: Probabilities below this count as this in a logarithm; about the resolution of float32.
SMALLEST = 1e-7


def accuracy(p: ArrayLike, y: ArrayLike) -> float:
    """Return the share of examples whose most probable label is the true one."""
    p = np.asarray(p, float)
    return _mean(correct(p, y)) if _usable(p) else float("nan")


def correct(p: ArrayLike, y: ArrayLike) -> NDArray[np.bool_]:
    """Return [n]: whether the most probable label is the true one, example by example."""
    return np.asarray(p).argmax(axis=1) == np.asarray(y)


def confusion(p: ArrayLike, y: ArrayLike) -> NDArray[np.intp]:
    """Return [N, N]: how many examples of each label (row) have which most probable label (column)."""
    p = np.asarray(p)
    return count_pairs(p.argmax(axis=1), y, p.shape[1])


def count_pairs(named: ArrayLike, y: ArrayLike, labels: int) -> NDArray[np.intp]:
    """Return [N, N]: how many examples of each label (row) are named which (column)."""
    return np.bincount(np.asarray(y, int) * labels + np.asarray(named), minlength=labels**2).reshape(labels, labels)


class ClassMeasures(NamedTuple):
    """How well each of N labels is predicted, each [N]; see :func:`class_measures`."""

    precision: NDArray[np.floating]
    recall: NDArray[np.floating]
    f1: NDArray[np.floating]
    support: NDArray[np.intp]


def class_measures(p: ArrayLike, y: ArrayLike) -> ClassMeasures:
    """Return precision, recall, F1 and support of every label, by its most probable examples.

    With TP_c examples of label c predicted as c, FN_c as another, and FP_c of other labels predicted as c,

        precision_c = TP_c / (TP_c + FP_c),    recall_c = TP_c / (TP_c + FN_c),
        F1_c = 2 TP_c / (2 TP_c + FP_c + FN_c),    support_c = TP_c + FN_c

    (van Rijsbergen, "Information Retrieval", 1979). What would be 0 / 0 is NaN: the precision of a label that is never
    predicted, the recall of one without examples. A label that training never had is never predicted, so that its
    examples count as errors.
    """
    p = np.asarray(p, float)
    if not _usable(p):
        nan = np.full(p.shape[1], np.nan)
        return ClassMeasures(nan, nan, nan, np.bincount(np.asarray(y, int), minlength=p.shape[1]))
    table = confusion(p, y)
    right, predicted, support = table.diagonal().astype(float), table.sum(axis=0), table.sum(axis=1)
    with np.errstate(invalid="ignore"):
        return ClassMeasures(right / predicted, right / support, 2 * right / (predicted + support), support)


def balanced_accuracy(p: ArrayLike, y: ArrayLike) -> float:
    """Return the mean recall over the labels that have examples: accuracy where every label counts the same.

    Brodersen et al., "The Balanced Accuracy and Its Posterior Distribution", ICPR 2010.
    """
    recall = class_measures(p, y).recall
    return float(np.nanmean(recall)) if _usable(np.asarray(p, float)) else float("nan")


def macro_f1(p: ArrayLike, y: ArrayLike) -> float:
    """Return the mean F1 over the labels that have examples or are predicted, as scikit-learn takes it."""
    f1 = class_measures(p, y).f1
    return float(np.nanmean(f1)) if _usable(np.asarray(p, float)) else float("nan")


def log_loss(p: ArrayLike, y: ArrayLike, weights: ArrayLike | None = None) -> float:
    """Return the mean of -log p[i, y_i], in nats, with weights [n] if there are any."""
    p, y = np.asarray(p, float), np.asarray(y)
    if not _usable(p):
        return float("nan")
    return float(
        np.average(
            -np.log(np.clip(p[np.arange(len(y)), y], SMALLEST, 1.0)),
            weights=None if weights is None else np.asarray(weights),
        )
    )


def ece(p: ArrayLike, y: ArrayLike, bins: int = 15) -> float:
    """Return the expected calibration error.

    Examples fall into ``bins`` bins of equal width by confidence c_i = max_k p[i, k]; B_m are those in bin m.

        ECE = sum_m |B_m| / n * |accuracy(B_m) - confidence(B_m)|

    (Guo et al., "On Calibration of Modern Neural Networks", ICML 2017). The estimate is biased upward on few
    examples: compare it with :func:`ece_by_chance`.
    """
    p = np.asarray(p, float)
    if not _usable(p):
        return float("nan")
    gap = np.bincount(_bin_of(p, bins), weights=correct(p, y) - p.max(axis=1))
    return float(np.abs(gap).sum() / len(p))


def ece_by_chance(p: ArrayLike, bins: int = 15) -> float:
    """Return the ECE to expect of these confidences if they were perfectly calibrated.

    Example i is then right with probability c_i, so the gap of a bin is a sum of independent terms of mean 0
    and variance c_i (1 - c_i), about normal, and E|normal| = sqrt(2 / pi) standard deviations:

        E[ECE] = 1/n sum_m sqrt(2/pi * sum_{i in B_m} c_i (1 - c_i)).

    About 0.12 for 100 examples at 60 % confidence spread over ten bins, 0.04 for 1,000.
    """
    p = np.asarray(p, float)
    if not _usable(p):
        return float("nan")
    confidence = np.clip(p.max(axis=1), 0.0, 1.0)
    variance = np.bincount(_bin_of(p, bins), weights=confidence * (1 - confidence))
    return float(np.sqrt(2 / np.pi * variance).sum() / len(p))


def mean_interval(values: ArrayLike) -> tuple[float, float]:
    """Return the mean of independent draws and the half-width of its 95 % interval.

    Half-width = t(0.975, n - 1) * s / sqrt(n), with Student's t; unknown (NaN) for fewer than two values.
    """
    values = np.asarray(values, float)
    n = len(values)
    if n < 2:
        return (_mean(values) if n else float("nan")), float("nan")
    return _mean(values), float(stdtrit(n - 1, 0.975) * values.std(ddof=1) / np.sqrt(n))


def accuracy_interval(p: ArrayLike, y: ArrayLike) -> tuple[float, float]:
    """Return the accuracy of one model and the half-width of its 95 % interval, see :func:`wilson_half_width`.

    The n examples are taken as drawn independently from what the model will see. Unknown (NaN) for fewer than two.
    """
    a, n = accuracy(p, y), len(np.asarray(y))
    return (a, float("nan")) if n < 2 or np.isnan(a) else (a, wilson_half_width(a, n))


def wilson_half_width(a: float, n: int) -> float:
    """Return h such that a - h to a + h covers the 95 % interval of a share a of n: Wilson's, by its farther end.

    It is not empty where all are right or all wrong. With z = 1.96,

        (a + z^2 / 2n +- z sqrt(a (1 - a) / n + z^2 / 4n^2)) / (1 + z^2 / n).

    E. B. Wilson. Probable inference, the law of succession, and statistical inference. JASA 22, 1927.
    https://doi.org/10.1080/01621459.1927.10502953
    """
    z2 = 1.96**2 / n
    centre, half = (a + z2 / 2) / (1 + z2), (z2 * (a * (1 - a) + z2 / 4)) ** 0.5 / (1 + z2)
    return float(abs(centre - a) + half)


def paired_bootstrap(
    correct_a: ArrayLike, correct_b: ArrayLike, rng: np.random.Generator, n: int = 2000
) -> tuple[float, float, float]:
    """Return mean(a - b) over the same test examples and its 95 % percentile interval.

    Args:
        correct_a: [m] score of each test example under model a, here right (1) or wrong (0).
        correct_b: [m] the same examples, in the same order, under model b.
        rng: source of the resamples.
        n: number of resamples.

    Returns:
        ``(difference, low, high)``.

    Raises:
        ValueError: the two do not have the same length, or are empty.

    All that a resample of m examples decides is how often each distinct difference occurs, a multinomial:
    it costs three numbers, not m (Efron & Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 13).
    """
    a, b = np.asarray(correct_a, float), np.asarray(correct_b, float)
    if a.shape != b.shape or not a.size:
        raise ValueError(f"paired bootstrap needs the same examples twice, got {a.shape} and {b.shape}")
    differences, counts = np.unique(a - b, return_counts=True)
    means = rng.multinomial(a.size, counts / a.size, size=n) @ differences / a.size
    low, high = np.quantile(means, (0.025, 0.975))
    return float(np.mean(a - b)), float(low), float(high)


def clustered_bootstrap(
    clusters: Sequence[ArrayLike], rng: np.random.Generator, n: int = 2000
) -> tuple[float, float, float]:
    """Return the mean of the clusters' means and its 95 % percentile interval.

    Values of one cluster (episodes of one domain) are alike, so a resample draws clusters, and then values within each
    that it drew (Davison & Hinkley, "Bootstrap Methods and their Application", 1997, section 3.8). Of one cluster the
    interval is that of its values. Of few clusters it is somewhat too narrow.

    Args:
        clusters: the values [m] of each of G clusters.
        rng: source of the resamples.
        n: number of resamples.

    Returns:
        ``(mean, low, high)``.

    Raises:
        ValueError: there is no cluster, or an empty one.
    """
    values = [np.asarray(cluster, float) for cluster in clusters]
    if not values or not all(v.size for v in values):
        raise ValueError(f"a bootstrap needs values in every cluster, got {[v.size for v in values]}")
    count = len(values)
    means = np.stack([v[rng.integers(v.size, size=(n, count, v.size))].mean(-1) for v in values])  # [G, n, G]
    drawn = np.take_along_axis(means, rng.integers(count, size=(1, n, count)), 0)[0].mean(-1)
    low, high = np.quantile(drawn, (0.025, 0.975))
    return float(np.mean([v.mean() for v in values])), float(low), float(high)


def _mean(values: NDArray[np.generic]) -> float:
    return float(values.mean())


def _usable(p: NDArray[np.floating]) -> bool:
    return len(p) > 0 and not np.isnan(p).any()


def _bin_of(p: NDArray[np.floating], bins: int) -> NDArray[np.intp]:
    """Return [n]: the bin ((m - 1) / bins, m / bins] that each example's confidence falls into."""
    return np.clip(np.ceil(p.max(axis=1) * bins).astype(np.intp) - 1, 0, bins - 1)
