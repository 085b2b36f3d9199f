"""The reference learner where all domains share their labels (market states)."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from learners.base import one_hot
from learners.capabilities import Capabilities
from learners.methods.maml import MAML
from learners.representation.task import TaskEncoder


class SharedReference(MAML):
    """MAML whose start and rates follow the task: how far to move from what the past taught is itself learned.

    1. *Represent*: ``TaskEncoder`` gives z, joined by the loss of the start on each label of the support set.
    2. *Update*: the rates a_t(z) are by step and tensor.
    3. *Initialise*: FiLM, gamma(z) and beta(z), modulates the hidden units, and the head's biases move.
    4. *Fine-tune*: the inner steps on the support set.

    Markets and their files call it ``reference``.

    C. Finn, P. Abbeel, S. Levine. Model-agnostic meta-learning for fast adaptation of deep networks. ICML 2017.
    https://arxiv.org/abs/1703.03400 E. Perez, F. Strub, H. de Vries, V. Dumoulin, A. Courville. FiLM: visual reasoning
        with a general conditioning layer.
    AAAI 2018. https://arxiv.org/abs/1709.07871
    """

    name = "shared_reference"
    capabilities = Capabilities(examples="features", fixed_ways=True)

    def __init__(
        self,
        dim: int,
        ways: int,
        parts: frozenset[str] = frozenset({"represent", "update", "initialise", "finetune"}),
    ) -> None:
        super().__init__(dim, ways)
        self.together = 1  # the representation reads which labels a support has
        self.parts, self.labels = parts, ways
        self.task = TaskEncoder(dim)
        size = self.task.query.shape[1] + ways
        self.moves = nn.Linear(size, self.steps * len(self.names))
        self.modulate = nn.Linear(size, 2 * self.hidden + ways)
        for layer in (self.moves, self.modulate):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def solve(self, x: Tensor, y: Tensor, ways: int, steps: int) -> dict[str, Tensor]:
        now = self.network.start(ways)
        z = x.new_zeros(self.moves.in_features)
        if "represent" in self.parts:
            losses = F.cross_entropy(self.network.outputs(now, x), y, reduction="none").detach()
            members = one_hot(y, self.labels, x.dtype)
            by_label = members.T @ losses / members.sum(0).clamp_min(1)
            _, y_seen = y.unique(return_inverse=True)
            z = torch.cat([self.task(x, y_seen, None), by_label])
        if "initialise" in self.parts:
            gamma, beta, bias = self.modulate(z).split([self.hidden, self.hidden, self.labels])
            w, b = now["body.layers.0.weight"], now["body.layers.0.bias"]
            now |= {"body.layers.0.weight": w * (1 + gamma)[:, None], "body.layers.0.bias": b * (1 + gamma) + beta}
            now["bias"] = now["bias"] + bias
        if "finetune" not in self.parts:
            return now
        log_rates = self.log_rates
        if "update" in self.parts:
            log_rates = log_rates + self.moves(z).view_as(log_rates)
        return self.network.descend(now, x, y, self.by_name(log_rates.exp(), steps))
