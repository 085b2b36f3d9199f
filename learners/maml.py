"""MAML (Finn, Abbeel & Levine 2017, "Model-Agnostic Meta-Learning for Fast Adaptation of Deep Networks")."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from domains.episode import Episode
from learners.base import Learner, check_support
from learners.classifier import Affine, Classifier

Weights = tuple[Tensor, Tensor, Tensor, Tensor]


class MAML(Learner):
    """Meta-learns the start of a network D-64-N so that a few gradient steps on the support solve the episode.

    min_theta  sum_episodes L_query(theta_T),  theta_{t+1} = theta_t - a_t grad L_support(theta_t),

    differentiated through the steps (second order), with a learned rate a_t for every step and tensor (as in
    MAML++, Antoniou et al. 2019). Where labels differ between domains, all classes start from one learned head
    vector, so that N is free (Ye & Chao 2022, "How to Train Your MAML to Excel in Few-Shot Classification");
    where they are shared, every label has a learned head vector of its own.
    """

    name = "maml"
    steps, hidden = 5, 64

    def __init__(self, dim: int, ways: int | None = None) -> None:
        super().__init__(dim, ways)
        draw = torch.Generator().manual_seed(0)
        self.w1 = nn.Parameter(torch.randn(self.hidden, dim, generator=draw) * (2 / dim) ** 0.5)
        self.b1 = nn.Parameter(torch.zeros(self.hidden))
        self.w2 = nn.Parameter(torch.zeros(ways or 1, self.hidden))
        self.b2 = nn.Parameter(torch.zeros(ways or 1))
        rate = (
            0.01 if ways is not None else 0.5 * min(1.0, (384 / dim) ** 2)
        )  # the longer the inputs, the steeper the loss
        self.log_rates = nn.Parameter(torch.full((self.steps, 4), rate).log())

    def start(self, ways: int) -> Weights:
        if self.ways is not None:
            return self.w1, self.b1, self.w2, self.b2
        return self.w1, self.b1, self.w2.expand(ways, -1), self.b2.expand(ways)

    def solve(self, x: Tensor, y: Tensor, create_graph: bool) -> Weights:
        """Return the adapted weights for a standardised support [S, D], [S]."""
        weights = self.start(self.ways or int(y.max()) + 1)
        return inner_loop(weights, x, y, self.log_rates.exp(), create_graph)

    def meta_loss(self, episode: Episode) -> Tensor:
        mean, scale = self.scaling(episode.support_x, episode.pool_x)
        weights = self.solve((episode.support_x - mean) / scale, episode.support_y, create_graph=True)
        return F.cross_entropy(forward(weights, (episode.query_x - mean) / scale), episode.query_y)

    def adapt(self, support_x: Tensor, support_y: Tensor, pool_x: Tensor | None = None) -> Classifier:
        check_support(support_x, support_y, self.dim, self.ways)
        mean, scale = self.scaling(support_x, pool_x)
        with torch.enable_grad():
            weights = self.solve((support_x - mean) / scale, support_y, create_graph=False)
        w1, b1, w2, b2 = (w.detach() for w in weights)
        first = Affine(w1 / scale, b1 - w1 @ (mean / scale))
        return Classifier((first, "relu", Affine(w2, b2)))


def forward(weights: Weights, x: Tensor) -> Tensor:
    """Return logits [n, N] of the two-layer network."""
    w1, b1, w2, b2 = weights
    return F.linear(F.relu(F.linear(x, w1, b1)), w2, b2)


def inner_loop(weights: Weights, x: Tensor, y: Tensor, rates: Tensor, create_graph: bool) -> Weights:
    """Return theta_T after one gradient step a row of rates [T, 4] on the support's cross-entropy."""
    for step in rates:
        loss = F.cross_entropy(forward(weights, x), y)
        gradients = torch.autograd.grad(loss, weights, create_graph=create_graph)
        w1, b1, w2, b2 = (w - rate * g for w, rate, g in zip(weights, step, gradients, strict=True))
        weights = w1, b1, w2, b2
    return weights
