"""Logistic regression on frozen features: the linear probe that everything has to beat."""

import warnings

import torch
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from learners.base import Learner, check_support
from learners.classifier import Affine, Classifier


class Logistic(Learner):
    """min_W  sum_i CE(W x_i + b, y_i) + |W|^2 / (2 C), scikit-learn's multinomial solver.

    Features are standardised as scikit-learn users do, by the support at hand, as one scale for all
    dimensions: unit-length features keep their geometry, and C means the same in every family.
    """

    name = "logistic"
    meta_trained = False
    C = 1.0

    def adapt(self, support_x: Tensor, support_y: Tensor, pool_x: Tensor | None = None) -> Classifier:
        ways = check_support(support_x, support_y, self.dim, pool=pool_x)
        mean, scale = support_x.mean(0), support_x.std(0).norm() / support_x.shape[1] ** 0.5 + 1e-12
        x = ((support_x - mean) / scale).double()
        basis, inside = torch.linalg.qr(x.T)  # the solution lies in the span of the examples (representer theorem)
        model = LogisticRegression(C=self.C, max_iter=200, tol=1e-3)
        with warnings.catch_warnings():  # that one label a class may be a regression
            warnings.filterwarnings("ignore", "The number of unique classes", UserWarning)
            model.fit(inside.T.numpy(), support_y.numpy())
        weight = (torch.from_numpy(model.coef_) @ basis.T).float()
        bias = torch.from_numpy(model.intercept_).float()
        if ways == 2:  # scikit-learn keeps one row for two classes
            weight, bias = torch.cat([-weight, weight]) / 2, torch.cat([-bias, bias]) / 2
        return Classifier((Affine(weight / scale, bias - weight @ (mean / scale)),))
