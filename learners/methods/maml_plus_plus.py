"""MAML++: remedies for the instability of MAML."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from domains.episode import Episode
from learners.bodies import Body
from learners.bodies.norm import BatchNorm
from learners.heads.network import loss
from learners.methods.maml import MAML


class MAMLPlusPlus(MAML):
    """MAML with the paper's remedies for its instability, each of which can be switched off.

    min_{theta, a, gamma, beta}  sum_episodes sum_t v_t L_query(theta_t),
    theta_{t+1} = theta_t - a_t grad L_support(theta_t; gamma_t, beta_t).

    - Learned rates a_t by step and tensor (LSLR); off: ``rate`` is a number.
    - Multi-step loss (MSL): weights v_t are equal at first and go linearly to the last step alone.
    - Derivative-order annealing (DA): first-order gradients at first.
    - Weights gamma_t and biases beta_t of normalisations by step (BNWB), which the inner steps leave alone.

    Statistics by step are not needed, because those of a batch belong to its step. The cosine schedule of the
    meta-update (CA) is the default of ``Training``. ``progress`` drives the schedules in training mode; in evaluation
    mode the loss is that of the last step.

    A. Antoniou, H. Edwards, A. Storkey. How to train your MAML. ICLR 2019. https://arxiv.org/abs/1810.09502

    Args:
        multi_step_until: the share of meta-training over which v_t moves to the last step; 0: no multi-step loss.
        second_order_from: the share of meta-training that is first-order; 0: none, 1: all.
        step_norms: weights and biases of normalisations by step; False: they descend like any other tensor.
    """

    name = "maml_plus_plus"

    def __init__(
        self,
        body: int | Body,
        ways: int | None = None,
        steps: int = 5,
        rate: float | None = None,
        test_steps: int | None = None,
        multi_step_until: float = 0.15,
        second_order_from: float = 0.3,
        step_norms: bool = True,
    ) -> None:
        for share in (multi_step_until, second_order_from):
            if not 0 <= share <= 1:
                raise ValueError(f"a share of meta-training must be within 0..1, not {share}")
        super().__init__(body, ways, steps, rate, test_steps)
        self.multi_step_until, self.second_order_from = multi_step_until, second_order_from
        self.by_step = nn.ParameterDict()
        self.norm_names: list[str] = []
        if step_norms:
            norms = [name for name, module in self.network.named_modules() if isinstance(module, BatchNorm)]
            every = [f"{name}.{what}" for name in norms for what in ("weight", "bias")]
            self.norm_names = [name for name in every if name in self.names]  # what is frozen stays
        for name in self.norm_names:
            once = self.network.get_parameter(name).requires_grad_(False)  # its rows take its place
            self.by_step[name.replace(".", "_")] = nn.Parameter(once.detach().expand(steps, -1).clone())
        self.names = [name for name in self.names if name not in self.norm_names]
        if rate is None:
            self.log_rates = nn.Parameter(self.log_rates.detach()[:, : len(self.names)].clone())

    @property
    def done(self) -> float:
        """How far the schedules are, 0 to 1."""
        return self.progress if self.training else 1.0

    def weights(self) -> list[float]:
        """Return v_1..v_T, which sum to 1."""
        moved = min(1.0, self.done / self.multi_step_until) if self.multi_step_until else 1.0
        early = (1 - moved) / self.steps
        return [early] * (self.steps - 1) + [1 - early * (self.steps - 1)]

    def trajectory(self, x: Tensor, y: Tensor, ways: int, steps: int) -> Iterator[dict[str, Tensor]]:
        """Yield theta_1..theta_T for a standardised support, each with the normalisations of the step it came from."""
        now, first_order = self.network.start(ways), self.done < self.second_order_from
        for t, step in enumerate(self.rates(steps)):
            row = min(t, self.steps - 1)
            now |= {name: self.by_step[name.replace(".", "_")][row] for name in self.norm_names}
            now = self.network.descend(now, x, y, [step], first_order)
            yield now

    def solve(self, x: Tensor, y: Tensor, ways: int, steps: int) -> dict[str, Tensor]:
        *_, last = self.trajectory(x, y, ways, steps)
        return last

    def meta_loss(self, episode: Episode) -> Tensor:
        mean, scale = self.scaling(episode.support_x, episode.pool_x)
        support, query = (episode.support_x - mean) / scale, (episode.query_x - mean) / scale
        path = self.trajectory(support, episode.support_y, self.ways or episode.ways, self.steps)
        # a step of no weight costs nothing
        losses = [
            v * loss(self.network.outputs(now, query), episode.query_y)
            for v, now in zip(self.weights(), path, strict=True)
            if v
        ]
        return torch.stack(losses).sum()
