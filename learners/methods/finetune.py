"""Pretrain on all source classes, then fine-tune on the support set."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

from domains.episode import Episode, Pile
from learners import checkpoint
from learners.base import Learner
from learners.bodies import MLP, Body
from learners.bodies.norm import measure
from learners.capabilities import Capabilities
from learners.classifier import Affine, Classifier, FixedPart, Layer
from learners.heads.network import loss
from learners.optimisers import Adam
from learners.support import Support

Tensors = Mapping[str, Tensor]
SHARPNESS = 10.0  # of the cosine head


class Finetune(Learner):
    """Learns a body by ordinary supervised classification of all source classes; a new task trains a new head on it.

    1. min_{f, W}  E_{(x, y) in all sources}[CE(W f(x) + b, y)]      (``pretrain``; nothing is episodic)
    2. min_{W'}    sum_{(x, y) in support} CE(W' f(x) + b', y)       (``adapt``, Adam; also over f with ``tune_body``)

    On features of length D the body is D-64 and reads standardised features.

    W.-Y. Chen, Y.-C. Liu, Z. Kira, Y.-C. F. Wang, J.-B. Huang. A closer look at few-shot classification. ICLR 2019.
    https://arxiv.org/abs/1904.04232

    Args:
        steps, rate: of Adam on the whole support set.
        tune_body: fine-tune the body too.
        cosine: "Baseline++", whose logits are s cos(w_c, f(x)) with s = 10 in both phases; else "Baseline", an affine
            head.
    """

    name = "finetune"
    capabilities = Capabilities(regression=True)
    hidden, seed = 64, 0

    def __init__(
        self,
        body: int | Body,
        ways: int | None = None,
        steps: int = 100,
        rate: float = 1e-2,
        tune_body: bool = False,
        cosine: bool = False,
    ) -> None:
        super().__init__(body, ways)
        self.steps, self.rate, self.tune_body, self.cosine = steps, rate, tune_body, cosine
        if not self.raw:
            self.body = MLP(self.dim, [self.hidden])
        self.width = self.body.dim

    def meta_loss(self, episode: Episode) -> Tensor:
        raise NotImplementedError(f"{self.name} is not trained by episodes: call pretrain")

    def head(self, f: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """Return logits [n, N] of vectors [n, d]."""
        if self.cosine:
            return SHARPNESS * F.linear(F.normalize(f, dim=-1), F.normalize(weight, dim=-1))
        return F.linear(f, weight, bias)

    def pretrain(
        self,
        piles: Sequence[Pile],
        steps: int,
        batch: int,
        rate: float,
        generator: torch.Generator,
        path: Path | None = None,
        every: int = 100,
    ) -> list[float]:
        """Train the body in place and return the loss of every step.

        Classes of piles with shared labels are one; those of other piles are apart. With a ``path`` the state is saved
        every so many steps, and an interrupted call goes on from there to the same bits.

        Raises:
            ValueError: no piles, or fewer than two classes in all.
        """
        targets, classes = label_classes(piles)
        if classes < 2:
            raise ValueError(f"pretraining needs at least 2 classes, {len(piles)} piles have {classes}")
        weight = nn.Parameter(torch.randn(classes, self.width, generator=generator).to(self.mean) * self.width**-0.5)
        bias = nn.Parameter(torch.zeros_like(weight[:, 0]))
        own = {name: value for name, value in self.body.named_parameters() if value.requires_grad}
        trained = {**own, "head.weight": weight, "head.bias": bias}
        optimiser = Adam(trained.values(), lr=rate)
        losses: list[float] = []
        if path is not None and (found := checkpoint.load(path)):
            _restore(found[0], trained, optimiser, generator)
            losses = found[1]["losses"]
        self.train()
        for step in range(len(losses), steps):
            x, y = draw_batch(piles, targets, batch, generator)
            x, y = (x.to(self.mean) - self.mean) / self.scale, y.to(weight.device)
            optimiser.zero_grad()
            value = F.cross_entropy(self.head(self.body(x), weight, bias), y)
            value.backward()
            optimiser.step()
            losses.append(value.item())
            if path is not None and ((step + 1) % every == 0 or step + 1 == steps):
                _keep(path, trained, optimiser, generator, losses)
        fixed = torch.Generator().manual_seed(self.seed)
        batches = (draw_batch(piles, targets, batch, fixed)[0].to(self.mean) for _ in range(16))
        measure(self.body, ((x - self.mean) / self.scale for x in batches))
        self.eval()
        return losses

    @torch.no_grad()
    def adapt(self, support: Support) -> Classifier:
        ways = self.check(support)
        mean, scale = self.scaling(support.x, support.pool_x)
        x = (support.x - mean) / scale
        draw = torch.Generator().manual_seed(self.seed)
        weight = x.new_zeros(ways, self.width)
        if self.cosine:  # 0 has no direction
            weight = (torch.randn(ways, self.width, generator=draw) * self.width**-0.5).to(x)
        head = [weight.requires_grad_(), torch.zeros_like(weight[:, 0]).requires_grad_()]
        body = {name: value.detach().clone() for name, value in self.body.named_parameters()}
        free = [name for name, value in self.body.named_parameters() if value.requires_grad and self.tune_body]
        moving = [body[name].requires_grad_() for name in free]
        f = None if self.tune_body else self.body(x)
        optimiser = Adam([*head, *moving], lr=self.rate)
        for _ in range(self.steps):
            optimiser.zero_grad()
            with torch.enable_grad():
                now = functional_call(self.body, body, (x,)) if f is None else f
                value = loss(self.head(now, *head), support.y)
            value.backward()
            optimiser.step()
        return Classifier(self.layers(body, head[0].detach(), head[1].detach(), mean, scale))

    def layers(self, body: Tensors, weight: Tensor, bias: Tensor, mean: Tensor, scale: Tensor) -> tuple[Layer, ...]:
        """Return a tuned body and head as the layers of a classifier of examples that are not standardised."""
        if self.cosine:
            weight, bias = SHARPNESS * F.normalize(weight, dim=-1), torch.zeros_like(bias)
        head: tuple[Layer, ...] = ("normalise", Affine(weight, bias)) if self.cosine else (Affine(weight, bias),)
        if self.raw:
            return FixedPart.of(self.body, body), *head
        w, b = body["layers.0.weight"].detach(), body["layers.0.bias"].detach()
        return Affine(w / scale, b - w @ (mean / scale)), "relu", *head


def label_classes(piles: Sequence[Pile]) -> tuple[list[Tensor], int]:
    """Return every pile's labels [n] among all classes, and how many those are."""
    shared = [int(pile.y.max()) + 1 for pile in piles if pile.shared]
    targets, count = [], max(shared, default=0)
    for pile in piles:
        found, index = pile.y.unique(return_inverse=True)
        targets.append(pile.y if pile.shared else index + count)
        count += 0 if pile.shared else len(found)
    return targets, count


def draw_batch(
    piles: Sequence[Pile], targets: Sequence[Tensor], batch: int, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Return examples [batch, *shape] and labels [batch] drawn uniformly from all piles, pile by pile."""
    ends = torch.tensor([len(pile.y) for pile in piles]).cumsum(0)
    index = torch.randint(int(ends[-1]), (batch,), generator=generator)
    owner = torch.bucketize(index, ends, right=True)
    picks = [(i, index[owner == i] - (ends[i - 1] if i else 0)) for i in owner.unique().tolist()]
    return torch.cat([piles[i].examples(k) for i, k in picks]), torch.cat([targets[i][k] for i, k in picks])


def _keep(
    path: Path, trained: Tensors, optimiser: torch.optim.Optimizer, generator: torch.Generator, losses: list[float]
) -> None:
    tensors = {f"now.{name}": value for name, value in trained.items()}
    tensors |= {f"{kind}.{name}": t for name, value in trained.items() for kind, t in optimiser.state[value].items()}
    checkpoint.save(path, tensors | {"generator": generator.get_state()}, {"losses": losses})


@torch.no_grad()
def _restore(tensors: Tensors, trained: Tensors, optimiser: torch.optim.Optimizer, generator: torch.Generator) -> None:
    for name, value in trained.items():
        value.copy_(tensors[f"now.{name}"])
        optimiser.state[value] = {kind: tensors[f"{kind}.{name}"] for kind in ("step", "exp_avg", "exp_avg_sq")}
    generator.set_state(tensors["generator"])
