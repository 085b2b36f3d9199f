"""Nearest prototype on frozen features."""

from torch import Tensor
from torch.nn import functional as F

from learners.base import Learner, check_support, prototypes
from learners.classifier import Affine, Classifier


class NearestPrototype(Learner):
    """argmax_c cos(x, mean of class c), the plain baseline of ProtoNet (Snell et al. 2017)."""

    name = "prototype"
    meta_trained = False
    sharpness = 20.0  # cosine to logit, for probabilities

    def adapt(self, support_x: Tensor, support_y: Tensor, pool_x: Tensor | None = None) -> Classifier:
        ways = check_support(support_x, support_y, self.dim, pool=pool_x)
        centre = prototypes(F.normalize(support_x, dim=-1), support_y, ways)
        weight = self.sharpness * F.normalize(centre, dim=-1)
        return Classifier(("normalise", Affine(weight, weight.new_zeros(ways))))
