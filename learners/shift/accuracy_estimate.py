"""How often a model is right on new examples that nobody has labelled, with an interval.

D. Guillory et al. Predicting with confidence on unseen distributions. ICCV 2021. https://arxiv.org/abs/2107.03315
S. Garg et al. Leveraging unlabeled data to predict out-of-distribution performance. ICLR 2022.
https://arxiv.org/abs/2201.04234
"""

from dataclasses import dataclass

import numpy as np

#: What source domains say, by `acclimate bench in-service` (tasks/bench/drift/calibration.py).
DOUBT, UNLIKE = 0.84, 0.58
SPREAD, GROWTH = 0.02, 0.43
BELOW, ABOVE = 2.71, 1.62


@dataclass(frozen=True)
class AccuracyEstimate:
    """The accuracy on new examples, its 95 % interval, and the accuracy on held-out ones."""

    accuracy: float
    low: float
    high: float
    before: float


@dataclass(frozen=True)
class Evidence:
    """What is known of a model's accuracy on n new examples.

    Attributes:
        before: accuracy on m held-out examples.
        doubt: how much less probable its labels are than on these, on average.
        unlike: how much less typical the new examples are, 0 to 1: 1 less twice their mean p-value.
        noise: variance that the difference of both accuracies has by chance.
    """

    before: float
    doubt: float
    unlike: float
    noise: float

    @classmethod
    def of(
        cls,
        right: np.ndarray,
        sure_before: np.ndarray,
        sure: np.ndarray,
        typical: np.ndarray,
        weights: np.ndarray | None = None,
    ) -> "Evidence":
        """Return what held-out and new examples say.

        Args:
            right: [m] whether the named label of a held-out example is its own; sure_before: [m] its probability.
            sure: [n] of the label that is named of new examples; typical: [n] their p-values
                (``learners/shift/typicality.py``), even from 0 to 1 where they are like held-out ones.
            weights: [m] of the held-out examples; None: they count alike.
        """
        w = np.ones(len(right)) if weights is None else weights
        before = float(np.average(right, weights=w))
        doubt = float(np.average(sure_before, weights=w) - sure.mean())
        effective = w.sum() ** 2 / (w**2).sum()
        p = (before * effective + 1) / (effective + 2)  # a few examples without a mistake do not say that none come
        return cls(before, doubt, float(1 - 2 * typical.mean()), p * (1 - p) * (1 / effective + 1 / len(sure)))

    @property
    def terms(self) -> tuple[float, float]:
        """What the accuracy falls by, before the coefficients."""
        return self.doubt, self.before * self.unlike


def estimate_accuracy(evidence: Evidence) -> AccuracyEstimate:
    """Estimate the accuracy on new examples from the accuracy a on held-out ones.

        a - DOUBT doubt - UNLIKE a unlike

    The first difference is that of confidences (Guillory et al.), which alone misses what a model is sure of and wrong
    about; the second tells examples that are far from all known ones. Around it lies an interval of BELOW standard
    deviations to one side and ABOVE to the other,

        sd^2 = noise + SPREAD^2 + (GROWTH (DOUBT |doubt| + UNLIKE a |unlike|))^2,

    so that a large change makes it wide. All six numbers come from shifts of source domains. A class that is new and
    like the known ones shows in neither term.
    """
    doubt, unlike = evidence.terms
    middle = evidence.before - DOUBT * doubt - UNLIKE * unlike
    size = DOUBT * abs(doubt) + UNLIKE * abs(unlike)
    sd = float(np.sqrt(evidence.noise + SPREAD**2 + (GROWTH * size) ** 2))
    low, middle, high = (float(np.clip(each, 0, 1)) for each in (middle - BELOW * sd, middle, middle + ABOVE * sd))
    return AccuracyEstimate(middle, low, high, evidence.before)
