"""Meta-SGD: a learned rate for every parameter."""

import torch
from torch import Tensor, nn

from learners.bodies import MLP, Body
from learners.heads.network import Network
from learners.methods.maml import MAML, Rates


class MetaSGD(MAML):
    """Meta-learns the start of a network together with a rate for every element of it.

    min_{theta, alpha}  sum_episodes L_query(theta - alpha o grad L_support(theta)),

    where o is elementwise: alpha holds the direction and length of the step and may turn negative. All steps share it.
    Without ``ways`` all classes start from one head row, so they share its rates. Errors then sum to zero over the
    rows, and the first step moves the head alone.

    Z. Li, F. Zhou, F. Chen, H. Li. Meta-SGD: learning to learn quickly for few-shot learning. 2017.
    https://arxiv.org/abs/1707.09835

    Args:
        steps, test_steps: inner steps in meta-training and when adapting (one, as published).
        rate: the value that every rate starts from; None: 0.1 on raw examples, as for ``MAML`` on features.
    """

    name = "meta_sgd"

    def __init__(
        self,
        body: int | Body,
        ways: int | None = None,
        steps: int = 1,
        rate: float | None = None,
        test_steps: int | None = None,
    ) -> None:
        super().__init__(body, ways, steps, None, test_steps)
        if isinstance(body, int):  # its closed form has one rate a tensor
            start = self.network.state_dict()
            self.network = Network(MLP(body, [self.hidden]), ways)
            self.network.load_state_dict(start)
        start_rate = rate if rate is not None else self.log_rates.detach()[0, 0].exp().item()
        del self.log_rates
        self.alpha = nn.ParameterDict(
            {parameter_key(name): torch.full_like(self.network.get_parameter(name), start_rate) for name in self.names}
        )

    def rates(self, steps: int) -> Rates:
        alpha: dict[str, Tensor | float] = {name: self.alpha[parameter_key(name)] for name in self.names}
        return [alpha] * steps


def parameter_key(name: str) -> str:
    """Return a parameter's name without dots, which names of parameters may not have."""
    return name.replace(".", "_")
