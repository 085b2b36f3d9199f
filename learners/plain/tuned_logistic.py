"""Logistic regression whose strength of regularisation is tuned on the support set itself."""

import torch
from torch.nn import functional as F

from learners.base import Learner
from learners.capabilities import Capabilities
from learners.classifier import Classifier
from learners.folds import hold_out, sample_rows, stratified_folds
from learners.plain.logistic import fit_logistic
from learners.plain.softmax_regression import fit_path, principal_coordinates
from learners.support import Support
from learners.temperature import best_temperature

STRENGTHS = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0)  # C, of features of unit scale
UNTUNED = 0.1  # where nothing can be held out
MOST_TO_TUNE = 3000  # examples that the strength is chosen on
MOST_IN_FOLDS = 2000  # examples that are each held out once; of more, one fold is enough


class TunedLogistic(Learner):
    """min_W  sum_i CE(W x_i + b, y_i) + |W|^2 / (2 C), with the C whose held-out log-loss is lowest.

    The log-loss is that at the best temperature, so that a C is not preferred for being unsure. Features are
    standardised as ``logistic`` has them.

    C. Guo, G. Pleiss, Y. Sun, K. Q. Weinberger. On calibration of modern neural networks (the temperature). ICML 2017.
    https://arxiv.org/abs/1706.04599

    Args:
        strength: C; None: tune it on the support set.
    """

    name = "tuned_logistic"
    capabilities = Capabilities(meta_trained=False, examples="features")

    def __init__(self, dim: int, ways: int | None = None, strength: float | None = None) -> None:
        super().__init__(dim, ways)
        self.strength = strength

    def tune(self, support: Support) -> "TunedLogistic":
        """Return the learner with the C that suits a support set; where nothing can be held out, C is 0.1."""
        rows = sample_rows(support.y, MOST_TO_TUNE, torch.Generator().manual_seed(0))
        x = principal_coordinates(support.x[rows])[0]
        present, y = support.y[rows].unique(return_inverse=True)
        fold = stratified_folds(y, torch.Generator().manual_seed(0))
        if fold is None or len(present) < 2:
            return TunedLogistic(self.dim, self.ways, UNTUNED)
        if len(y) > MOST_IN_FOLDS:
            fold[fold > 0] = -1
        logits = hold_out(lambda x, y: fit_path(x, y, len(present), STRENGTHS), x, y, fold)
        y = y[fold >= 0]
        losses = [float(F.cross_entropy(z / best_temperature([z], [y]), y)) for z in logits]
        return TunedLogistic(self.dim, self.ways, STRENGTHS[losses.index(min(losses))])

    def adapt(self, support: Support) -> Classifier:
        """Return the classifier of a support set."""
        ways = self.check(support)
        strength = self.tune(support).strength if self.strength is None else self.strength
        assert strength is not None
        return fit_logistic(support, ways, strength)
