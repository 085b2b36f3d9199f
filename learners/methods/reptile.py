"""Reptile: the start moves towards where training on an episode ends."""

from collections.abc import Callable, Sequence
from random import Random
from typing import Literal

import torch
from torch import Tensor

from domains.episode import Episode
from learners.base import group_by_shape, vmap_episodes
from learners.bodies import Body
from learners.bodies.norm import inside_vmap
from learners.heads.network import loss
from learners.methods.maml import MAML

DECAY, EPSILON = 0.999, 1e-8  # Adam's beta_2 and epsilon; beta_1 is 0


class Reptile(MAML):
    """Meta-learns the start of a network by moving it towards where training on each episode ends.

    theta <- theta + epsilon * mean_episodes(theta_T - theta),  theta_T = T minibatch steps on the support set.

    ``backward`` makes theta - theta_T the gradient, so ``Training(optimiser="sgd", rate=epsilon, schedule="linear",
    clip=1e9)`` is the method as published. The steps are of SGD, or of Adam with beta_1 = 0. Minibatches cycle through
    fixed shuffles of the episode, and Adam's second moments start anew in each episode, so that its update depends only
    on theta and the episode. Where all classes start from one head row, that row moves to the mean of theirs.

    A. Nichol, J. Achiam, J. Schulman. On first-order meta-learning algorithms. 2018. https://arxiv.org/abs/1803.02999

    Args:
        steps, test_steps: T in meta-training and when adapting.
        rate: of the inner steps; None: 1e-3 on raw examples, 1e-2 on features.
        batch: examples a minibatch; None: all of them.
        queries: meta-train on the query examples as well, which is how the paper has more shots in training than at the
            end; adapting uses the support set alone.
    """

    name = "reptile"

    def __init__(
        self,
        body: int | Body,
        ways: int | None = None,
        steps: int = 5,
        rate: float | None = None,
        test_steps: int | None = 50,
        batch: int | None = 10,
        optimiser: Literal["sgd", "adam"] = "adam",
        queries: bool = False,
    ) -> None:
        if optimiser not in ("sgd", "adam"):
            raise ValueError(f"optimiser must be sgd or adam, not {optimiser!r}")
        if batch is not None and batch < 1:
            raise ValueError(f"batch must be at least 1, not {batch}")
        self_rate = rate if rate is not None else 1e-2 if isinstance(body, int) else 1e-3
        super().__init__(body, ways, steps, self_rate, test_steps)
        self.batch, self.optimiser, self.queries = batch, optimiser, queries

    def descend(self, x: Tensor, y: Tensor, ways: int, steps: int) -> tuple[dict[str, Tensor], Tensor]:
        """Return theta_T, and the loss [] of the last minibatch before its step.

        All parameters are one vector [P], so a step is a handful of operations however many tensors there are.
        """
        assert self.rate is not None
        every = self.network.start(ways)
        start = {name: every[name].detach() for name in self.names}  # what is frozen stays
        sizes = [value.numel() for value in start.values()]
        theta = torch.cat([value.flatten() for value in start.values()])
        squares, value = torch.zeros_like(theta), theta.new_zeros(())

        def named(vector: Tensor) -> dict[str, Tensor]:
            parts = vector.split(sizes)
            return {name: part.view(start[name].shape) for name, part in zip(start, parts, strict=True)}

        for t, index in enumerate(minibatches(len(x), self.batch, steps), start=1):
            few, theirs = (x, y) if index is None else (x[index], y[index])
            g, value = gradient_and_value(lambda v: loss(self.network.outputs(every | named(v), few), theirs), theta)  # noqa: B023
            if self.optimiser == "adam":
                squares = torch.addcmul(DECAY * squares, g, g, value=1 - DECAY)
                root = (squares / (1 - DECAY**t)).sqrt_().add_(EPSILON)
                theta = torch.addcdiv(theta, g, root, value=-self.rate)
            else:
                theta = torch.sub(theta, g, alpha=self.rate)
        return every | named(theta), value

    def solve(self, x: Tensor, y: Tensor, ways: int, steps: int) -> dict[str, Tensor]:
        return self.descend(x, y, ways, steps)[0]

    def end(self, episode: Episode) -> tuple[Tensor, ...]:
        """Return theta_T in the shapes of the parameters, then the loss of the last minibatch."""
        mean, scale = self.scaling(episode.support_x, episode.pool_x)
        x, y = episode.support_x, episode.support_y
        if self.queries:
            x, y = torch.cat([x, episode.query_x]), torch.cat([y, episode.query_y])
        found, value = self.descend((x - mean) / scale, y, self.ways or episode.ways, self.steps)
        if self.ways is None:
            found |= {name: found[name].mean(0, keepdim=True) for name in ("weight", "bias")}
        return *(found[name] for name in self.names), value

    @torch.no_grad()
    def backward(self, episodes: Sequence[Episode]) -> list[float]:
        """Add mean(theta - theta_T) to every parameter's ``grad``; return the losses [E] of the last minibatches."""
        own: list[Tensor] = [self.network.get_parameter(name) for name in self.names]
        moves, losses = [torch.zeros_like(parameter) for parameter in own], []
        for group in group_by_shape(episodes, self.together):
            *ends, values = self.ends(group)
            here = torch._foreach_sub(own, [end.mean(0) for end in ends])
            torch._foreach_add_(moves, here, alpha=len(group) / len(episodes))
            losses += values.tolist()
        for parameter, move in zip(own, moves, strict=True):
            parameter.grad = move if parameter.grad is None else parameter.grad + move
        return losses

    def ends(self, episodes: Sequence[Episode]) -> tuple[Tensor, ...]:
        """Return what ``end`` does, stacked [E, ...], for episodes of one shape."""
        if len(episodes) == 1:
            return tuple(tensor[None] for tensor in self.end(episodes[0]))
        return vmap_episodes(self.end, episodes)


def gradient_and_value(function: Callable[[Tensor], Tensor], at: Tensor) -> tuple[Tensor, Tensor]:
    """Return the gradient of a scalar function, and its value; both constants."""
    if inside_vmap():
        return torch.func.grad_and_value(function)(at)
    with torch.enable_grad():
        at = at.detach().requires_grad_()
        value = function(at)
        return torch.autograd.grad(value, at)[0], value.detach()


def minibatches(n: int, size: int | None, steps: int) -> list[Tensor | None]:
    """Return the indices of so many minibatches of n examples, cycling through one fixed shuffle after the other."""
    if size is None or size >= n:
        return [None] * steps
    passes = -(-size * steps // n)
    # not torch.randperm, which would shuffle every episode of a vmap alike or not, by its flag
    order = [i for seed in range(passes) for i in Random(seed).sample(range(n), n)]
    return [torch.tensor(order[t * size : (t + 1) * size]) for t in range(steps)]
