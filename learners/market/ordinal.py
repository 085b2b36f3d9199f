"""Ordered labels whose thresholds are known: a probit with a location and a scale."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from domains.episode import Episode
from learners.base import Learner
from learners.capabilities import Capabilities
from learners.classifier import Classifier, FixedPart
from learners.parts import Part, register_part
from learners.support import Support

LOWER, UPPER = 5, 6  # of the features of markets: the thresholds of their states
LEAST = 1e-6  # probability of a label, so that its logarithm and gradient are finite


@register_part
class OrderedProbit(Part):
    """x -> log P(y | x), y = 0, 1, 2 as s <= t_1, t_1 < s <= t_2 or t_2 < s, s = mu(x) + sigma(x) e, e standard normal.

    The thresholds t_1 <= t_2 are two columns of the features; mu and log sigma are linear in the standardised features.
    """

    name = "ordered_probit"

    def __init__(self, dim: int, lower: int, upper: int) -> None:
        super().__init__()
        self.config = {"dim": dim, "lower": lower, "upper": upper}
        self.lower, self.upper = lower, upper
        self.out = nn.Linear(dim, 2)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)
        self.register_buffer("mean", torch.zeros(dim))
        self.register_buffer("scale", torch.ones(dim))
        self.mean: Tensor
        self.scale: Tensor

    def moments(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return mu and sigma [n] of the quantity behind the labels, in the units of the thresholds."""
        mu, log_sigma = self.out((x - self.mean) / self.scale).unbind(1)
        return mu, log_sigma.exp()

    def forward(self, x: Tensor) -> Tensor:
        mu, sigma = self.moments(x)
        low, high = (torch.special.ndtr((x[:, column] - mu) / sigma) for column in (self.lower, self.upper))
        return torch.stack([low, high - low, 1 - high], 1).clamp_min(LEAST).log()


class Ordinal(Learner):
    """min E[-log P(y | x)] over the examples of all source domains, for labels that are thirds of a known quantity.

    Market states are thirds of log(volatility of the next days / that of the year), and the thresholds are features.
    The learner therefore learns a forecast of the quantity and how sure it is, not three classes, since the label says
    less than the thresholds do. It does not use the support set, nor does ``Pooled``.

    P. McCullagh. Regression models for ordinal data. Journal of the Royal Statistical Society B 42, 1980.
    https://doi.org/10.1111/j.2517-6161.1980.tb01109.x

    Args:
        lower, upper: columns of the features that hold the thresholds.
    """

    name = "ordinal"
    capabilities = Capabilities(examples="features", fixed_ways=True)

    def __init__(self, dim: int, ways: int | None = 3, lower: int = LOWER, upper: int = UPPER) -> None:
        super().__init__(dim, ways)
        if ways != 3 or max(lower, upper) >= dim:
            raise ValueError(
                f"ordinal: 3 labels between columns {lower} and {upper} of the features, not {ways} of {dim}"
            )
        self.network = OrderedProbit(dim, lower, upper)

    def fit_scale(self, x: Tensor) -> None:
        super().fit_scale(x)
        self.network.mean.copy_(self.mean)
        self.network.scale.copy_(self.scale)

    def meta_loss(self, episode: Episode) -> Tensor:
        x, y = torch.cat([episode.support_x, episode.query_x]), torch.cat([episode.support_y, episode.query_y])
        return F.nll_loss(self.network(x), y)

    def adapt(self, support: Support) -> Classifier:
        return Classifier((FixedPart.of(self.network),))
