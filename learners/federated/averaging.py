"""The mean of what sites learned in a round, in which no site can move the weights further than honest steps would."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

MOST_DOMAINS = 20  # that a site counts for, however many it says it has

Weights = Mapping[str, Tensor]


@dataclass(frozen=True)
class Update:
    """What a site sends after a round: the weights it came to, and how many domains it trained on."""

    weights: Weights
    domains: int


@dataclass(frozen=True)
class Average:
    """The weights of the next round.

    Attributes:
        norms: of each accepted site's difference to the last weights, before clipping.
        clipped: sites whose difference was scaled down; refused: why others do not count, by site.
    """

    weights: dict[str, Tensor]
    norms: dict[str, float]
    clipped: tuple[str, ...]
    refused: dict[str, str]


def wrong(update: Update, like: Weights) -> str | None:
    """Return in one line why an update cannot be used; None: it can."""
    if update.weights.keys() != like.keys():
        other = sorted(update.weights.keys() ^ like.keys())
        return f"its weights are not those of this learner: {', '.join(map(repr, other[:3]))}; install the same version"
    for name, tensor in like.items():
        sent = update.weights[name]
        if sent.shape != tensor.shape or sent.dtype != tensor.dtype:
            return (
                f"{name} is {sent.dtype} {list(sent.shape)}, not {tensor.dtype} {list(tensor.shape)}; "
                "its encoder or version is another one"
            )
        if not torch.isfinite(sent).all():
            return f"{name} is not finite"
    return None if update.domains >= 1 else "it says that it trained on no domain"


def honest_bound(like: Weights, rate: float, steps: int) -> float:
    """Return how far steps of Adam at a rate can lead, as a norm: no weight moves by much more than the rate a step.

    (Kingma & Ba, ICLR 2015, section 2.1.)
    """
    return rate * steps * math.sqrt(sum(tensor.numel() for tensor in like.values()))


def average(
    last: Weights,
    updates: Mapping[str, Update],
    bound: float,
    noise: float = 0.0,
    sites: int = 0,
    generator: torch.Generator | None = None,
) -> Average:
    """Return last + mean of the sites' differences to it, each clipped to norm ``bound``.

    Federated averaging (McMahan et al., AISTATS 2017), where a site weighs as many domains as it has, since the pooled
    training draws domains evenly; MOST_DOMAINS at most. With ``noise``, DP-FedAvg: every site weighs the same, the sum
    is divided by the number ``sites`` of all, not of those that answered, and has Gaussian noise of standard deviation
    ``noise * bound`` (see ``privacy.epsilon``). Without one usable update the weights stay as they are.

    Args:
        generator: of the noise. It has to be secret: who knows its seed subtracts the noise.

    Raises:
        ValueError: there is noise, but no number of sites or generator.
    """
    if noise and (sites < 1 or generator is None):
        raise ValueError("noise needs the number of all sites and a generator")
    refused = {site: why for site, update in updates.items() if (why := wrong(update, last))}
    total = {name: torch.zeros_like(tensor, dtype=torch.float64) for name, tensor in last.items()}
    weight, norms, clipped = 0.0, {}, []
    for site in sorted(updates.keys() - refused.keys()):  # in one order, whoever came first: the same bits
        moved = {name: updates[site].weights[name].double() - tensor.double() for name, tensor in last.items()}
        norms[site] = math.sqrt(sum(float(m.square().sum()) for m in moved.values()))
        scale = min(1.0, bound / norms[site]) if norms[site] > 0 else 1.0
        if scale < 1:
            clipped.append(site)
        own = 1.0 if noise else float(min(updates[site].domains, MOST_DOMAINS))
        weight += own
        for name, m in moved.items():
            total[name] += own * scale * m
    if noise:
        weight = float(sites)
        for name in sorted(total):
            total[name] += noise * bound * torch.randn(total[name].shape, generator=generator, dtype=torch.float64)
    if not weight:
        return Average(dict(last), norms, (), refused)
    weights = {name: (last[name].double() + total[name] / weight).to(last[name].dtype) for name in last}
    return Average(weights, norms, tuple(clipped), refused)


@dataclass(frozen=True)
class Moments:
    """Mean and mean square [D] of a site's source features, and how many domains they are of."""

    mean: Tensor
    square: Tensor
    domains: int

    @classmethod
    def of(cls, x: Tensor, domains: int) -> "Moments":
        """Return the moments of features [n, D]."""
        exact = x.double()
        return cls(exact.mean(0), exact.square().mean(0), domains)

    def wrong(self, dim: int) -> str | None:
        """Return in one line why no features have these moments; None: some have."""
        if self.mean.shape != (dim,) or self.square.shape != (dim,):
            return f"its features have {self.mean.numel()} numbers, not {dim}; choose the encoder of the federation"
        if not (torch.isfinite(self.mean).all() and torch.isfinite(self.square).all()):
            return "moments of its features are not finite"
        if (self.square - self.mean.square() < -1e-6).any() or self.domains < 1:
            return "moments of its features are none"
        return None


def pool_scale(sites: Mapping[str, Moments]) -> tuple[Tensor, Tensor]:
    """Return mean and scale [D] of the features of all sites, weighed as in ``average``.

    Raises:
        ValueError: no sites.
    """
    if not sites:
        raise ValueError("no site sent the moments of its features")
    own = torch.tensor([float(min(m.domains, MOST_DOMAINS)) for m in sites.values()], dtype=torch.float64)
    own = own / own.sum()
    mean = (own[:, None] * torch.stack([m.mean for m in sites.values()])).sum(0)
    square = (own[:, None] * torch.stack([m.square for m in sites.values()])).sum(0)
    return mean.float(), (square - mean.square()).clamp_min(1e-12).sqrt().clamp_min(1e-6).float()
