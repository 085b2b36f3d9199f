"""The nearest prototype on frozen features."""

from torch.nn import functional as F

from learners.base import Learner, compute_prototypes
from learners.capabilities import Capabilities
from learners.classifier import Affine, Classifier
from learners.support import Support, check_support


class NearestPrototype(Learner):
    """argmax_c cos(x, mean of class c), the plain baseline of ProtoNet.

    Y. Wang, W.-L. Chao, K. Q. Weinberger, L. van der Maaten. SimpleShot: revisiting nearest-neighbor classification for
    few-shot learning. 2019. https://arxiv.org/abs/1911.04623
    """

    name = "prototype"
    capabilities = Capabilities(meta_trained=False, examples="features")
    sharpness = 20.0  # cosine to logit, for probabilities

    def adapt(self, support: Support) -> Classifier:
        ways = check_support(support, self.shape)
        centre = compute_prototypes(F.normalize(support.x, dim=-1), support.y, ways)
        weight = self.sharpness * F.normalize(centre, dim=-1)
        return Classifier(("normalise", Affine(weight, weight.new_zeros(ways))))
