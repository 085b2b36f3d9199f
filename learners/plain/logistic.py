"""Logistic regression on frozen features: the linear probe that every other method has to beat."""

from learners.base import Learner
from learners.capabilities import Capabilities
from learners.classifier import Affine, Classifier
from learners.plain.softmax_regression import fit_path, principal_coordinates
from learners.support import Support, check_support


class Logistic(Learner):
    """min_W  sum_i CE(W x_i + b, y_i) + |W|^2 / (2 C), on features that ``principal_coordinates`` has standardised.

    G. Alain, Y. Bengio. Understanding intermediate layers using linear classifier probes. 2016.
    https://arxiv.org/abs/1610.01644
    """

    name = "logistic"
    capabilities = Capabilities(meta_trained=False, examples="features")
    C = 1.0

    def adapt(self, support: Support) -> Classifier:
        return fit_logistic(support, check_support(support, self.shape), self.C)


def fit_logistic(support: Support, ways: int, strength: float) -> Classifier:
    """Return the classifier of a support set whose labels 0..N-1 all have an example."""
    x, to, shift = principal_coordinates(support.x)
    ((weight, bias),) = fit_path(x, support.y, ways, [strength])
    return Classifier((Affine(weight @ to.T, bias + weight @ shift),))
