"""Plain supervised learning: MAML's network from a random start, trained on the support set alone."""

import copy

import torch
from torch.nn import functional as F

from learners.base import Learner
from learners.bodies.norm import measure
from learners.capabilities import Capabilities
from learners.classifier import Affine, Classifier, FixedPart
from learners.heads.network import loss as loss_of
from learners.optimisers import AdamW
from learners.support import Support, check_support


class Scratch(Learner):
    """A two-layer network D-64-N on features standardised by the support set, trained by AdamW on full batches.

    On raw examples the network is a copy of the body, as random as it was made, with a linear head.

    I. Loshchilov, F. Hutter. Decoupled weight decay regularization. ICLR 2019. https://arxiv.org/abs/1711.05101
    """

    name = "scratch"
    capabilities = Capabilities(meta_trained=False)
    hidden, steps, rate, decay, seed = 64, 60, 1e-2, 1e-3, 0
    body_rate = 1e-3

    def adapt(self, support: Support) -> Classifier:
        if self.raw:
            return self.train_body(support)
        ways = check_support(support, self.shape)
        mean, scale = support.x.mean(0), support.x.std(0).clamp_min(1e-6)
        x = (support.x - mean) / scale
        draw = torch.Generator().manual_seed(self.seed)
        w1 = (torch.randn(self.hidden, x.shape[1], generator=draw) * (2 / x.shape[1]) ** 0.5).to(x).requires_grad_()
        w2 = (torch.randn(ways, self.hidden, generator=draw) * self.hidden**-0.5).to(x).requires_grad_()
        b1, b2 = x.new_zeros(self.hidden).requires_grad_(), x.new_zeros(ways).requires_grad_()
        optimiser = AdamW([w1, b1, w2, b2], lr=self.rate, weight_decay=self.decay)
        for _ in range(self.steps):
            optimiser.zero_grad()
            with torch.enable_grad():
                loss = F.cross_entropy(F.linear(F.relu(F.linear(x, w1, b1)), w2, b2), support.y)
            loss.backward()
            optimiser.step()
        first = Affine(w1.detach() / scale, b1.detach() - w1.detach() @ (mean / scale))
        return Classifier((first, "relu", Affine(w2.detach(), b2.detach())))

    def train_body(self, support: Support) -> Classifier:
        """Return a classifier of raw examples [S, *shape] trained on these alone."""
        ways, x, y = check_support(support, self.shape, self.ways, regression=True), support.x, support.y
        body = copy.deepcopy(self.body).train()
        draw = torch.Generator().manual_seed(self.seed)
        weight = (torch.randn(ways, self.dim, generator=draw) * self.dim**-0.5).to(x).requires_grad_()
        bias = torch.zeros_like(weight[:, 0]).requires_grad_()
        optimiser = AdamW([*body.parameters(), weight, bias], lr=self.body_rate, weight_decay=self.decay)
        for _ in range(self.steps):
            optimiser.zero_grad()
            with torch.enable_grad():
                value = loss_of(F.linear(body(x), weight, bias), y)
            value.backward()
            optimiser.step()
        measure(body, [x])
        return Classifier((FixedPart.of(body), Affine(weight.detach(), bias.detach())))
