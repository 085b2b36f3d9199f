"""How accuracy grows with the labels of a domain: the portfolio adapted to few of them, then to more."""

from dataclasses import dataclass, replace

import numpy as np
import torch

from domains.episode import draw_support
from learners import metrics
from learners.choice.forecast import FEWEST, Forecast, forecast
from learners.choice.portfolio import choose
from learners.meta_model import MetaModel
from tasks.adapt.adaptation import Encoded
from tasks.adapt.suggestion import accuracy_by_rows, natural_curve

SHOTS = (1, 2, 5, 10, 20, 50)
FEW, DRAWS = 5, 3  # up to FEW labels a class there are so many draws, as one alone says little; above there is one
MOST = 50_000  # labels times classes, above which a point is left out: half a minute or so
MOST_AHEAD = 200_000  # the same of all labels, above which nothing is forecast


@dataclass(frozen=True)
class CurvePoint:
    """The accuracy on the test examples after adaptation to some of the labels.

    Attributes:
        shots: at most so many labels a class; None: all labels.
        labels: how many labels there are in all.
        accuracy: the mean over draws; ci95: the half-width of its 95 % interval, None where it is not known.
    """

    shots: int | None
    labels: int
    accuracy: float
    ci95: float | None


def learning_curve(model: MetaModel, data: Encoded, seed: int) -> list[CurvePoint]:
    """Return the accuracy of the portfolio at every K of SHOTS below all labels, the fewest first.

    A draw of K labels a class is part of the draw of the next K. A K whose labels times classes are more than MOST is
    left out, and so is one at which a draw cannot be adapted to.
    """
    y, points = data.train_y, []
    counts = torch.bincount(y)
    possible = [k for k in SHOTS if k < counts.max() and int(counts.clamp_max(k).sum()) * len(data.labels) <= MOST]
    if not possible:
        return []
    orders = [_nested_order(y, possible[-1], 1000 * seed + number) for number in range(DRAWS)]
    for k in possible:
        draws = [rows[place < k] for rows, place in orders[: DRAWS if k <= FEW else 1]]
        try:
            right = np.stack([_adapt_and_check(model, data, rows, 1000 * seed + i) for i, rows in enumerate(draws)])
        except ValueError:  # of a support set that is unsound, for instance of examples that are all the same
            continue
        points.append(CurvePoint(k, len(draws[0]), *mean_over_draws(right)))
    return points


def mean_over_draws(right: np.ndarray) -> tuple[float, float | None]:
    """Return the mean accuracy of d draws on the same m test examples, and the half-width of its 95 % interval.

        half-width = sqrt(w^2 + 1.96^2 s^2 / d),

    as test examples are drawn by chance, with half-width w by Wilson, and supports, with deviation s over draws
    (0 of one draw).

    Args:
        right: [d, m] whether a test example is predicted rightly.
    """
    accuracies, (d, m) = right.mean(1), right.shape
    a = float(accuracies.mean())
    if m < 2:
        return a, None
    between = float(accuracies.var(ddof=1)) / d if d > 1 else 0.0
    return a, (metrics.wilson_half_width(a, m) ** 2 + 1.96**2 * between) ** 0.5


def forecast_beyond(model: MetaModel, data: Encoded, strategy: str, accuracy: float, seed: int) -> Forecast | None:
    """Return the accuracy to expect at twice all labels; None where that is unknown, or would take long.

    What the strategy alone gains is measured on nested shares of the labels and carried on by an inverse power law
    (``learners/choice/forecast.py``). Its gain from all labels to twice as many is added to the accuracy of the
    adaptation, whose model may have more than the strategy (words, say). It is 0 or more, as in the law.

    Args:
        strategy: that the portfolio took with all labels; accuracy: that it reached.
    """
    y = data.train_y
    if len(y) < FEWEST * len(y.unique()) or len(y) * len(data.labels) > MOST_AHEAD:
        return None

    with torch.no_grad():
        sizes, accuracies = natural_curve(accuracy_by_rows(model, strategy, data), y.numpy(), seed)
    found = forecast(sizes, accuracies, len(data.test_y), seed)
    if found is None:
        return None
    more = accuracy - float(accuracies[:, -1].mean())
    ahead, low, high = (min(max(value + more, 0.0), 1.0) for value in (found.accuracy, found.low, found.high))
    ahead = max(ahead, accuracy)
    return replace(found, accuracy=ahead, low=min(low, ahead), high=max(high, ahead))


def _nested_order(y: torch.Tensor, most: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the rows of at most so many examples of every class, at random, and the place of each in its class."""
    rows = draw_support(y, most, torch.Generator().manual_seed(seed))
    counts = y[rows].unique_consecutive(return_counts=True)[1]
    return rows, torch.cat([torch.arange(int(count)) for count in counts])


def _adapt_and_check(model: MetaModel, data: Encoded, rows: torch.Tensor, seed: int) -> np.ndarray:
    """Return whether each test example [m] is predicted rightly by the portfolio adapted to these labelled examples."""
    generator = torch.Generator().manual_seed(seed)
    given = model.strategies, data.support(rows), model.prior, generator
    choice = choose(*given, in_time=model.in_time, others=data.others)
    return metrics.correct(choice.classifier.predict_proba(data.test).numpy(), data.test_y.numpy())
