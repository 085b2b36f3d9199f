"""ANIL: model-agnostic meta-learning whose inner steps move the head alone."""

from collections.abc import Mapping, Sequence

from torch import Tensor, nn
from torch.nn import functional as F

from learners.bodies import Body
from learners.heads.network import errors
from learners.methods.maml import MAML


class ANIL(MAML):
    """Meta-learns a body and the start of a head; only the head takes inner steps ("almost no inner loop").

    min_{f, w_0}  sum_episodes L_query(w_T, f),  w_{t+1} = w_t - a_t grad_w L_support(w_t, f).

    The body passes over the support set once. On its vectors f [S, d] the gradient of softmax regression has a closed
    form, E^T f with E = (softmax(f W^T + b) - Y) / S. The steps are therefore products of small matrices, and they are
    differentiated exactly (with ``first_order``: as constants). The arguments are those of ``MAML``.

    A. Raghu, M. Raghu, S. Bengio, O. Vinyals. Rapid learning or feature reuse? Towards understanding the effectiveness
    of MAML. ICLR 2020. https://arxiv.org/abs/1909.09157
    """

    name = "anil"

    def __init__(
        self,
        body: int | Body,
        ways: int | None = None,
        steps: int = 5,
        rate: float | None = None,
        test_steps: int | None = None,
        first_order: bool = False,
    ) -> None:
        super().__init__(body, ways, steps, rate, test_steps)
        self.names, self.first_order = ["weight", "bias"], first_order
        if rate is None:
            self.log_rates = nn.Parameter(self.log_rates.detach()[:, : len(self.names)].clone())

    def solve(self, x: Tensor, y: Tensor, ways: int, steps: int) -> dict[str, Tensor]:
        now = self.network.start(ways)
        weight, bias = descend_head(
            now["weight"], now["bias"], self.network.body(x), y, self.rates(steps), self.first_order
        )
        return now | {"weight": weight, "bias": bias}


def descend_head(
    w: Tensor,
    b: Tensor,
    f: Tensor,
    y: Tensor,
    rates: Sequence[Mapping[str, Tensor | float]],
    first_order: bool = False,
) -> tuple[Tensor, Tensor]:
    """Return W_T [N, d] and b_T [N] after gradient descent on vectors f [S, d] and labels [S] or targets [S, N]."""
    for step in rates:
        error = errors(F.linear(f, w, b), y)
        by_w, by_b = error.T @ f, error.sum(0)
        if first_order:
            by_w, by_b = by_w.detach(), by_b.detach()
        w, b = w - step["weight"] * by_w, b - step["bias"] * by_b
    return w, b
