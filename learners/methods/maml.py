"""MAML: a start from which a few gradient steps solve an episode."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from domains.episode import Episode
from learners.base import Learner
from learners.bodies import Body
from learners.capabilities import Capabilities
from learners.classifier import Affine, Classifier, FixedPart, Layer
from learners.heads.network import Network, loss
from learners.heads.two_layer import TwoLayer
from learners.support import Support

Rates = Sequence[Mapping[str, Tensor | float]]


class MAML(Learner):
    """Meta-learns the start of a network so that a few gradient steps on the support set solve the episode.

    min_theta  sum_episodes L_query(theta_T),  theta_{t+1} = theta_t - a_t grad L_support(theta_t),

    differentiated through the steps (second order). L is the cross-entropy, or the squared error where the targets are
    numbers. With ``ways`` the head has a row of its own for every label, as published. Without, all classes start from
    one learned row, so that N is free (Ye & Chao 2022, https://arxiv.org/abs/2106.16245). On features of length D the
    network is D-64-N.

    C. Finn, P. Abbeel, S. Levine. Model-agnostic meta-learning for fast adaptation of deep networks. ICML 2017.
    https://arxiv.org/abs/1703.03400

    Args:
        steps: T in meta-training.
        rate: the inner rate a, as published; None: a rate is learned for every step and tensor (Antoniou et al. 2019).
        test_steps: T when adapting; rates repeat the last one.
    """

    name = "maml"
    hidden, first_order = 64, False
    capabilities = Capabilities(regression=True)

    def __init__(
        self,
        body: int | Body,
        ways: int | None = None,
        steps: int = 5,
        rate: float | None = None,
        test_steps: int | None = None,
    ) -> None:
        super().__init__(body, ways)
        self.steps, self.rate, self.test_steps = steps, rate, test_steps or steps
        del self.body  # the network has it
        self.network = TwoLayer(body, self.hidden, ways) if isinstance(body, int) else Network(body, ways)
        if not self.raw:
            self.together = 64
        self.names = [name for name, p in self.network.named_parameters() if p.requires_grad]
        if rate is None:
            # the longer the inputs, the steeper the loss
            start = 0.01 if ways is not None else 0.5 * min(1.0, (384 / self.dim) ** 2)
            self.log_rates = nn.Parameter(torch.full((steps, len(self.names)), 0.1 if self.raw else start).log())

    @property
    def trunk(self) -> nn.Module:
        return self.network.body

    def rates(self, steps: int) -> Rates:
        """Return what each of so many steps multiplies the gradient of each tensor with."""
        if self.rate is not None:
            return [dict.fromkeys(self.names, self.rate)] * steps
        return self.by_name(self.log_rates.exp(), steps)

    def by_name(self, rates: Tensor, steps: int) -> Rates:
        """Return rates [T, tensors] as one mapping a step, the last one repeated where there are more steps."""
        rows = [dict(zip(self.names, row.unbind(), strict=True)) for row in rates.unbind()]
        return [rows[min(t, len(rows) - 1)] for t in range(steps)]

    def solve(self, x: Tensor, y: Tensor, ways: int, steps: int) -> dict[str, Tensor]:
        """Return theta_T for a standardised support [S, *shape], [S]."""
        return self.network.descend(self.network.start(ways), x, y, self.rates(steps), self.first_order)

    def meta_loss(self, episode: Episode) -> Tensor:
        mean, scale = self.scaling(episode.support_x, episode.pool_x)
        support, query = (episode.support_x - mean) / scale, (episode.query_x - mean) / scale
        parameters = self.solve(support, episode.support_y, self.ways or episode.ways, self.steps)
        return loss(self.network.outputs(parameters, query), episode.query_y)

    @torch.no_grad()
    def adapt(self, support: Support) -> Classifier:
        ways = self.check(support)
        mean, scale = self.scaling(support.x, support.pool_x)
        with torch.enable_grad():
            now = self.solve((support.x - mean) / scale, support.y, ways, self.test_steps)
        return Classifier(self.layers({name: value.detach() for name, value in now.items()}, mean, scale))

    def layers(self, parameters: Mapping[str, Tensor], mean: Tensor, scale: Tensor) -> tuple[Layer, ...]:
        """Return adapted parameters as the layers of a classifier of examples that are not standardised."""
        head = Affine(parameters["weight"], parameters["bias"])
        if self.raw:
            weights = {k.removeprefix("body."): v for k, v in parameters.items() if k.startswith("body.")}
            return FixedPart.of(self.network.body, weights), head
        w, b = parameters["body.layers.0.weight"], parameters["body.layers.0.bias"]
        return Affine(w / scale, b - w @ (mean / scale)), "relu", head
