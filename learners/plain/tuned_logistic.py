"""Logistic regression whose strength of regularisation is tuned on the support set itself."""

import warnings

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from torch import Tensor
from torch.nn import functional as F

from learners.base import Learner
from learners.capabilities import Capabilities
from learners.classifier import Affine, Classifier
from learners.support import Support

STRENGTHS = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0)  # C, of features of unit scale
FOLDS = 3
HEATS = tuple(np.geomspace(0.3, 6.0, 14).tolist())  # temperatures that held-out logits are compared at
MOST_TO_TUNE = 4000  # examples that the strength is chosen on


class TunedLogistic(Learner):
    """min_W  sum_i CE(W x_i + b, y_i) + |W|^2 / (2 C), with the C whose held-out log-loss is lowest.

    The log-loss is that at the best temperature, so that a C is not preferred for being unsure. Features are centred
    and have one scale for all dimensions, as ``logistic`` has them.

    C. Guo, G. Pleiss, Y. Sun, K. Q. Weinberger. On calibration of modern neural networks (the temperature). ICML 2017.
    https://arxiv.org/abs/1706.04599
    """

    name = "tuned_logistic"
    capabilities = Capabilities(meta_trained=False, examples="features")

    def adapt(self, support: Support) -> Classifier:
        """Return the classifier of a support set; where nothing can be held out, C is 0.1."""
        ways, x, y = self.check(support), support.x, support.y
        mean, scale = x.mean(0), x.std(0).norm() / x.shape[1] ** 0.5 + 1e-12
        z = ((x - mean) / scale).numpy()
        strength = best_strength(z, y.numpy())
        weight, bias = fit_logistic(z, y.numpy(), strength, ways)
        return Classifier((Affine(weight / scale, bias - weight @ (mean / scale)),))


def fit_logistic(x: np.ndarray, y: np.ndarray, strength: float, ways: int) -> tuple[Tensor, Tensor]:
    """Return weight [N, D] and bias [N] of scikit-learn's multinomial logistic regression.

    Where examples are fewer than dimensions it is solved in their span, which holds the solution (representer theorem).
    """
    basis = None
    if len(x) < x.shape[1]:
        basis, inside = np.linalg.qr(x.T)
        x = inside.T
    model = LogisticRegression(C=strength, max_iter=300, tol=1e-3)
    with warnings.catch_warnings():  # few examples a label; a fit that is cut short
        warnings.simplefilter("ignore")
        model.fit(x, y)
    weight = model.coef_ if basis is None else model.coef_ @ basis.T
    bias = model.intercept_
    if ways == 2:  # scikit-learn keeps one row for two classes
        weight, bias = np.concatenate([-weight, weight]) / 2, np.concatenate([-bias, bias]) / 2
    return torch.from_numpy(np.ascontiguousarray(weight)).float(), torch.from_numpy(bias).float()


def best_strength(x: np.ndarray, y: np.ndarray, strengths: tuple[float, ...] = STRENGTHS) -> float:
    """Return the C whose held-out log-loss, at its best temperature, is lowest; a label's only example is never out."""
    rng = np.random.default_rng(0)
    if len(y) > MOST_TO_TUNE:
        rows = rng.permutation(len(y))[:MOST_TO_TUNE]
        compact = np.unique(y[rows], return_inverse=True)[1]
        x, y = x[rows], compact
    fold = assign_folds(y, rng)
    if not (fold == 0).any() or len(np.unique(y[fold != 0])) < 2:
        return 0.1
    losses = []
    for strength in strengths:
        logits, truth = [], []
        for number in range(FOLDS if len(y) <= MOST_TO_TUNE // 2 else 1):
            out = fold == number
            present, compact = np.unique(y[~out], return_inverse=True)
            if not out.any() or len(present) < 2:
                continue
            weight, bias = fit_logistic(x[~out], compact, strength, len(present))
            logits.append(F.linear(torch.from_numpy(x[out]).float(), weight, bias))
            truth.append(torch.from_numpy(np.searchsorted(present, y[out])))
        z, t = torch.cat(logits), torch.cat(truth)
        losses.append(min(float(F.cross_entropy(z / heat, t)) for heat in HEATS))
    return strengths[int(np.argmin(losses))]


def assign_folds(y: np.ndarray, rng: np.random.Generator, folds: int = FOLDS) -> np.ndarray:
    """Return the fold [S] of each example, each class spread evenly; -1 for the only example of a class."""
    fold = np.full(len(y), -1)
    for label in np.unique(y):
        rows = rng.permutation(np.flatnonzero(y == label))
        if len(rows) > 1:
            fold[rows] = np.arange(len(rows)) % folds
    return fold
