"""Logistic regression on frozen features: the linear probe that every other method has to beat."""

import warnings

import torch
from sklearn.linear_model import LogisticRegression

from learners.base import Learner
from learners.capabilities import Capabilities
from learners.classifier import Affine, Classifier
from learners.support import Support, check_support


class Logistic(Learner):
    """min_W  sum_i CE(W x_i + b, y_i) + |W|^2 / (2 C), by scikit-learn's multinomial solver.

    Features are standardised by the support set, as users of scikit-learn do, but with one scale for all dimensions.
    Unit-length features thus keep their geometry, and C means the same in every family.

    G. Alain, Y. Bengio. Understanding intermediate layers using linear classifier probes. 2016.
    https://arxiv.org/abs/1610.01644
    """

    name = "logistic"
    capabilities = Capabilities(meta_trained=False, examples="features")
    C = 1.0

    def adapt(self, support: Support) -> Classifier:
        ways = check_support(support, self.shape)
        mean, scale = support.x.mean(0), support.x.std(0).norm() / support.x.shape[1] ** 0.5 + 1e-12
        x = ((support.x - mean) / scale).double()
        basis, inside = torch.linalg.qr(x.T)  # the solution lies in the span of the examples (representer theorem)
        model = LogisticRegression(C=self.C, max_iter=200, tol=1e-3)
        with warnings.catch_warnings():  # which says that one label a class may be a regression
            warnings.filterwarnings("ignore", "The number of unique classes", UserWarning)
            model.fit(inside.T.numpy(), support.y.numpy())
        weight = (torch.from_numpy(model.coef_) @ basis.T).float()
        bias = torch.from_numpy(model.intercept_).float()
        if ways == 2:  # scikit-learn keeps one row for two classes
            weight, bias = torch.cat([-weight, weight]) / 2, torch.cat([-bias, bias]) / 2
        return Classifier((Affine(weight / scale, bias - weight @ (mean / scale)),))
