"""torch's optimisers, for programs that compile nothing.

An optimiser of torch first tells `torch.compile` to keep out of it. For that it imports `torch._dynamo`, which takes a
new process three seconds: as long as the rest of an adaptation. These have the same methods without that step, and take
the same steps to the last digit.
"""

from inspect import unwrap

import torch
from torch.optim import Optimizer


class _Eager(Optimizer):
    add_param_group = unwrap(Optimizer.add_param_group)
    zero_grad = unwrap(Optimizer.zero_grad)
    state_dict = unwrap(Optimizer.state_dict)
    load_state_dict = unwrap(Optimizer.load_state_dict)


class Adam(_Eager, torch.optim.Adam):
    """Kingma and Ba (2015), Adam: a method for stochastic optimization, arXiv:1412.6980."""

    step = torch.no_grad()(unwrap(torch.optim.Adam.step))


class AdamW(_Eager, torch.optim.AdamW):
    """Loshchilov and Hutter (2019), Decoupled weight decay regularization, arXiv:1711.05101."""

    step = torch.no_grad()(unwrap(torch.optim.AdamW.step))


class SGD(_Eager, torch.optim.SGD):
    """Stochastic gradient descent."""

    step = torch.no_grad()(unwrap(torch.optim.SGD.step))


class LBFGS(_Eager, torch.optim.LBFGS):
    """Limited-memory BFGS; Nocedal and Wright (2006), Numerical optimization, algorithm 7.5."""
