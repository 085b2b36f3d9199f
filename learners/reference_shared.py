"""The reference learner where labels mean the same in every domain (market states)."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from learners.maml import MAML, Weights, forward, inner_loop
from learners.task import TaskEncoder


class SharedReference(MAML):
    """MAML whose start and rates follow the task: how far to move from what the past taught is itself learned.

    1. *Represent*: z from ``TaskEncoder``, joined by the start's own loss on each label of the support.
    2. *Update*: rates a_t(z) by step and tensor.
    3. *Initialise*: hidden units are FiLM-modulated, gamma(z), beta(z) (Perez et al. 2018), and head biases moved.
    4. *Fine-tune*: the inner steps on the support.
    """

    name = "reference"

    def __init__(
        self,
        dim: int,
        ways: int,
        parts: frozenset[str] = frozenset({"represent", "update", "initialise", "finetune"}),
    ) -> None:
        super().__init__(dim, ways)
        self.parts, self.labels = parts, ways
        self.task = TaskEncoder(dim)
        size = self.task.query.shape[1] + ways
        self.rates = nn.Linear(size, self.steps * 4)
        self.modulate = nn.Linear(size, 2 * self.hidden + ways)
        for layer in (self.rates, self.modulate):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def solve(self, x: Tensor, y: Tensor, create_graph: bool) -> Weights:
        w1, b1, w2, b2 = self.start(self.labels)
        z = x.new_zeros(self.rates.in_features)
        if "represent" in self.parts:
            loss = F.cross_entropy(forward((w1, b1, w2, b2), x), y, reduction="none").detach()
            one_hot = F.one_hot(y, self.labels).to(x.dtype)
            by_label = one_hot.T @ loss / one_hot.sum(0).clamp_min(1)
            _, y_seen = y.unique(return_inverse=True)
            z = torch.cat([self.task(x, y_seen, None), by_label])
        if "initialise" in self.parts:
            gamma, beta, bias = self.modulate(z).split([self.hidden, self.hidden, self.labels])
            w1, b1, b2 = w1 * (1 + gamma)[:, None], b1 * (1 + gamma) + beta, b2 + bias
        if "finetune" not in self.parts:
            return w1, b1, w2, b2
        moves = self.rates(z).view(self.steps, 4) if "update" in self.parts else torch.zeros(self.steps, 4)
        return inner_loop((w1, b1, w2, b2), x, y, (self.log_rates + moves).exp(), create_graph)
