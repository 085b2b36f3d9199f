"""The k nearest neighbours."""

import torch
from torch import Tensor
from torch.nn import functional as F

from learners.base import Learner, one_hot
from learners.capabilities import Capabilities
from learners.classifier import Affine, Classifier, FixedPart
from learners.parts import Part, register_part
from learners.support import Support, check_support

CLOSEST = 1e-3  # the least distance in a weight: a copy of a support example decides alone, at a finite weight


@register_part
class Nearest(Part):
    """Cosines [n, S] to the shares [n, S] of the k nearest: 1 / distance on the unit sphere, 0 for the others."""

    name = "nearest"

    def __init__(self, k: int) -> None:
        super().__init__()
        self.k, self.config = k, {"k": k}

    def forward(self, cosine: Tensor) -> Tensor:
        near, index = cosine.topk(min(self.k, cosine.shape[1]), dim=1)
        weight = 1 / (2 - 2 * near).clamp_min(0).sqrt().clamp_min(CLOSEST)
        return torch.zeros_like(cosine).scatter(1, index, F.normalize(weight, p=1, dim=1))


class KNN(Learner):
    """p(c | x) is the share of class c among the k support examples nearest to x by cosine, each weighing 1 / distance.

    k = 5 at any number of shots. With one shot a class, the class of the nearest example has the largest share.

    T. Cover, P. Hart. Nearest neighbor pattern classification. IEEE Transactions on Information Theory 13, 1967.
    https://doi.org/10.1109/TIT.1967.1053964
    S. A. Dudani. The distance-weighted k-nearest-neighbor rule. IEEE Transactions on Systems, Man, and Cybernetics 6,
    1976. https://doi.org/10.1109/TSMC.1976.5408784
    """

    name = "knn"
    capabilities = Capabilities(meta_trained=False, examples="features")
    k = 5

    def adapt(self, support: Support) -> Classifier:
        ways = check_support(support, self.shape)
        embedded = F.normalize(support.x, dim=-1)
        compare = Affine(embedded, embedded.new_zeros(len(embedded)))
        label = Affine(one_hot(support.y, ways, embedded.dtype).T, embedded.new_zeros(ways))
        return Classifier(("normalise", compare, FixedPart.of(Nearest(self.k)), label, "log"))
