"""Fine-tune a pretrained body and a head on the support set alone, without other domains or a pool."""

import copy

import torch
from torch import Tensor
from torch.nn import functional as F

from learners.base import Learner, compute_prototypes
from learners.bodies import Body
from learners.capabilities import Capabilities
from learners.classifier import Affine, Classifier, FixedPart
from learners.optimisers import Adam
from learners.support import Support

SHARPNESS = 20.0  # of the head at its start, as in ``NearestPrototype``
FEWEST = 30  # steps, however small the support set


class Tune(Learner):
    """min_{f, W, b}  sum_{(x, y) in support} CE(W f(x) + b, y), by Adam in small batches; the rate falls to 0 linearly.

    W starts at the class means of f(x), at unit length times a sharpness, and b at 0. At step 0 this is the nearest
    prototype, and one example a class cannot lead far from that. All weights of the body that ask for a gradient move:
    its adapters alone where it has them (LoRA), else all. Normalisation keeps the statistics it was pretrained with.

    E. J. Hu, Y. Shen, P. Wallis, Z. Allen-Zhu, Y. Li, S. Wang, L. Wang, W. Chen. LoRA: low-rank adaptation of large
    language models. ICLR 2022. https://arxiv.org/abs/2106.09685

    Args:
        epochs: passes over the support set, but at least FEWEST steps.
        batch: examples a step.
        rate, head_rate: of Adam for the body and the head.
    """

    name = "tune"
    capabilities = Capabilities(meta_trained=False, examples="raw")

    def __init__(
        self,
        body: Body,
        ways: int | None = None,
        epochs: int = 10,
        batch: int = 16,
        rate: float = 5e-5,
        head_rate: float = 1e-2,
        seed: int = 0,
    ) -> None:
        super().__init__(body, ways)
        self.epochs, self.batch, self.rate, self.head_rate, self.seed = epochs, batch, rate, head_rate, seed

    def adapt(self, support: Support) -> Classifier:
        """Return a classifier of raw examples; see ``Learner.adapt``. The pool is not used."""
        ways = self.check(support)
        body = copy.deepcopy(self.body).eval()
        draw = torch.Generator().manual_seed(self.seed)
        with torch.no_grad():
            start = torch.cat([body(trim_padding(part)) for part in support.x.split(self.batch)])
            weight = SHARPNESS * F.normalize(compute_prototypes(F.normalize(start, dim=-1), support.y, ways), dim=-1)
        head = [weight.requires_grad_(), torch.zeros_like(weight[:, 0]).requires_grad_()]
        moving = [parameter for parameter in body.parameters() if parameter.requires_grad]
        groups = [{"params": moving, "lr": self.rate}, {"params": head, "lr": self.head_rate}]
        optimiser = Adam(groups)
        batch = min(self.batch, len(support.y))
        steps = max(FEWEST, self.epochs * -(-len(support.y) // batch))
        schedule = torch.optim.lr_scheduler.LinearLR(optimiser, 1.0, 0.0, total_iters=steps)
        order = torch.cat([torch.randperm(len(support.y), generator=draw) for _ in range(steps)])  # more than enough
        for step in range(steps):
            rows = order[step * batch : (step + 1) * batch].to(support.y.device)
            optimiser.zero_grad()
            with torch.enable_grad():
                loss = F.cross_entropy(F.linear(body(trim_padding(support.x[rows])), *head), support.y[rows])
            loss.backward()
            optimiser.step()
            schedule.step()
        return Classifier((FixedPart.of(body), Affine(head[0].detach(), head[1].detach())))


def trim_padding(x: Tensor) -> Tensor:
    """Return texts [n, 2, tokens] without the last columns that are padding in all of them; images as they are.

    Attention is quadratic in the tokens, and a batch of titles has far fewer than 128.
    """
    if x.ndim != 3:
        return x
    used = x[:, 1].any(0).nonzero()
    return x[:, :, : int(used[-1]) + 1] if len(used) else x
