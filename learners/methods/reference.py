"""The reference learner: represent the task, learn the update, initialise from the task, fine-tune."""

from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from domains.episode import Episode
from learners.base import Learner, one_hot
from learners.capabilities import Capabilities
from learners.classifier import Classifier
from learners.representation.axes import Axes, Space, Start, agreement
from learners.representation.task import TaskTokens
from learners.support import Support, check_support
from learners.temperature import best_temperature

PARTS = frozenset({"represent", "update", "initialise", "finetune"})
ROUNDS = (10, 4, 4)  # of soft clustering: among axes of all variance, then twice among axes of variance within classes

#: The numbers of each stage, at their start (found by hand on text domains): w_i = (lambda_i + shrink)^-power.
START = {
    "sharpness": (20.0, 20.0, 20.0),
    "pool": (0.3, 0.3, 0.3),
    "smoothing": (1.0, 1.0, 1.0),
    "power": (0.25, 0.5, 0.5),
    "shrink": (0.5, 1.0, 1.0),
}
NAME_SHOTS = 1.5  # examples that a label's name counts as, where names tell classes apart
NAME_GATE = (6.0, 0.5)  # slope and middle of the trust in names by their agreement with the support


class Reference(Learner):
    """Soft clustering of support set and pool, in spaces that the task itself shapes, with meta-learned numbers.

    1. *Represent*: ``TaskTokens`` gives z, what a task looks like in the features of any encoder.
    2. *Update*: prototypes move by T gradient steps, dW = -a_t(z) grad CE, on the support set and the softly labelled
       pool. The numbers by which they move in a round (START) depend on z too.
    3. *Initialise*: features are scaled along each principal axis i by FiLM weights
       w_i = (lambda_i + shrink)^-power * exp(g(lambda_i, ratio_i, z)). A prototype is the sum of its examples and
       ``names(z)`` times its label's name, as far as names tell the classes of the support set apart.
    4. *Fine-tune*: there are R rounds. In each, pool examples take soft labels r = softmax(sharpness cos + log prior),
       and every prototype becomes the sum of its support examples and pool(z) times its share of the pool. Then the
       axes are taken anew from the variance within the classes so found, as in linear discriminant analysis.

    All of it is differentiable except the axes. Meta-training minimises the loss of the query set over source episodes
    with pools, at the temperature that suits each (a classifier's temperature is fitted later). Untrained it is a fixed
    recipe. Each of the four steps can be left out of ``parts``.

    It builds on these: M. Ren, E. Triantafillou, S. Ravi, J. Snell, K. Swersky, J. B. Tenenbaum, H. Larochelle, R. S.
    Zemel. Meta-learning for semi-supervised few-shot classification. ICLR 2018. https://arxiv.org/abs/1803.00676 E.
    Perez, F. Strub, H. de Vries, V. Dumoulin, A. Courville. FiLM: visual reasoning with a general conditioning layer.
    AAAI 2018. https://arxiv.org/abs/1709.07871 R. A. Fisher. The use of multiple measurements in taxonomic problems.
    Annals of Eugenics 7, 1936. https://doi.org/10.1111/j.1469-1809.1936.tb02137.x
    """

    name = "reference"
    capabilities = Capabilities(examples="features", reads_names=True, scaled_loss=True)
    steps = 3

    def __init__(self, dim: int, ways: int | None = None, parts: frozenset[str] = PARTS) -> None:
        super().__init__(dim, ways)
        self.parts, stages = parts, len(ROUNDS)
        self.task = TaskTokens()
        self.base = nn.Parameter(torch.tensor(list(START.values())).log())
        self.log_rates = nn.Parameter(torch.full((self.steps,), -6.0))
        self.names = nn.Parameter(torch.tensor(NAME_SHOTS).log())
        self.gate = nn.Parameter(torch.tensor(NAME_GATE))
        self.shift = nn.Linear(self.task.size, self.base.numel() + self.steps + 1)
        last = nn.Linear(16, stages)
        self.film = nn.Sequential(nn.Linear(2 + self.task.size, 16), nn.GELU(), last)
        for layer in (self.shift, last):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def solve(self, x: Tensor, y: Tensor, pool: Tensor | None, names: Tensor | None) -> tuple[Start, Space, Tensor]:
        """Return the start, the last space, and the head [N, r] on its unit coordinates, times the sharpness."""
        ways, names = int(y.max()) + 1, names if "initialise" in self.parts else None
        whole = Start.of(x, y, pool)
        agreed = None if names is None else agreement(whole.x, y, whole.rotate(names))
        z = self.task(whole.x, y, whole.pool) if "represent" in self.parts else x.new_zeros(self.task.size)
        moves = self.shift(z)
        size, numbers = self.base.numel(), self.base
        if "update" in self.parts:
            numbers = numbers + moves[:size].view_as(numbers)
        stages = [dict(zip(START, stage.exp(), strict=True)) for stage in numbers.T]
        start, labels, trust = whole.leading(), one_hot(y, ways, x.dtype), x.new_zeros(())
        x, axes = start.x, start.axes
        if names is not None and agreed is not None:
            trust = torch.sigmoid(self.gate[0] * (agreed - self.gate[1])) * (self.names + moves[-1]).exp()
            names = start.rotate(names - names.mean(0))
        unlabelled = start.pool if "finetune" in self.parts else None
        soft = x.new_zeros(0, ways)
        prior = x.new_full((ways, 1), 1 / ways)
        for i, number in enumerate(stages if unlabelled is not None else stages[:1]):
            if i and unlabelled is not None:
                axes = Axes.within(torch.cat([x, unlabelled]), torch.cat([labels, soft]), whole.x.shape[1])
            space = self.space(i, axes, number, z)
            support = space.unit(x)
            known = labels.T @ support
            if names is not None:
                known = known + trust * space.unit(names)
            if unlabelled is None:
                head, others = known, support[:0]
                break
            others = space.unit(unlabelled)
            head = known + soft.T @ others if i else known
            even = len(others) / ways
            for _ in range(ROUNDS[i]):  # a class a row: such products of few classes and many examples are faster
                share = F.softmax(number["sharpness"] * F.normalize(head, dim=-1) @ others.T + prior.log(), dim=0)
                mass = share.sum(1, keepdim=True)
                prior = (mass + number["smoothing"] * even) / (mass + number["smoothing"] * even).sum()
                soft = share * (number["pool"] * even / mass.clamp_min(even))  # no class gets more than its even part
                head = known + soft @ others
            soft = soft.T
        if "update" in self.parts:
            rates = (self.log_rates + moves[size:-1]).exp()
            head = self.descend(
                head, torch.cat([support, others]), torch.cat([labels, soft]), rates, number["sharpness"]
            )
        return start, space, number["sharpness"] * F.normalize(head, dim=-1)

    def space(self, stage: int, axes: Axes, number: dict[str, Tensor], z: Tensor) -> Space:
        """Return the space of a stage: FiLM weights of its axes."""
        weights = -number["power"] * (axes.values + number["shrink"]).log()
        if "initialise" in self.parts:
            described = torch.stack([(axes.values + 0.01).log() / 2, (axes.ratio + 0.01).log() / 2], dim=1)
            film = self.film(torch.cat([described, z.expand(len(described), -1)], dim=1))
            weights = weights + film[:, stage] * (axes.values > 0)
        return Space(axes.basis, weights.exp(), (-number["power"] * number["shrink"].log()).exp())

    def descend(self, head: Tensor, x: Tensor, members: Tensor, rates: Tensor, sharpness: Tensor) -> Tensor:
        """Return prototypes after T gradient steps on the cross-entropy of unit features x [n, r] (in closed form).

        The targets are memberships [n, N], whose sums weigh the examples. The length of a head plays no part.
        """
        head = F.normalize(head, dim=-1)
        mass = members.sum(1, keepdim=True)
        for rate in rates:
            error = mass * F.softmax(x @ (sharpness * F.normalize(head, dim=-1)).T, dim=-1) - members
            head = head - rate * error.T @ x * sharpness / mass.sum()
        return head

    def meta_loss(self, episode: Episode) -> Tensor:
        start, space, head = self.solve(episode.support_x, episode.support_y, episode.pool_x, episode.names_x)
        logits = space.unit(start.rotate(episode.query_x) - start.mean) @ head.T
        return F.cross_entropy(logits / best_temperature([logits.detach()], [episode.query_y]), episode.query_y)

    @torch.no_grad()
    def adapt(self, support: Support) -> Classifier:
        check_support(support, self.shape)
        pool_x = support.pool_x if support.pool_x is not None and len(support.pool_x) else None
        start, space, head = self.solve(support.x, support.y, pool_x, support.names_x)
        return Classifier(start.layers(space, head))


class Whitened(Reference):
    """The reference learner as it starts, without a pool: prototypes of examples and names in a partly whitened space.

    R. A. Fisher. The use of multiple measurements in taxonomic problems. Annals of Eugenics 7, 1936.
    https://doi.org/10.1111/j.1469-1809.1936.tb02137.x
    """

    name = "whitened"
    capabilities = replace(Reference.capabilities, meta_trained=False)

    def __init__(self, dim: int, ways: int | None = None) -> None:
        super().__init__(dim, ways, parts=frozenset({"initialise"}))

    def adapt(self, support: Support) -> Classifier:
        return super().adapt(replace(support, pool_x=None))


class Transductive(Reference):
    """The reference learner as it starts, without meta-training: what names and the pool alone give.

    M. Ren, E. Triantafillou, S. Ravi, J. Snell, K. Swersky, J. B. Tenenbaum, H. Larochelle, R. S. Zemel. Meta-learning
    for semi-supervised few-shot classification. ICLR 2018. https://arxiv.org/abs/1803.00676
    """

    name = "transductive"
    capabilities = replace(Reference.capabilities, meta_trained=False)

    def __init__(self, dim: int, ways: int | None = None) -> None:
        super().__init__(dim, ways, parts=frozenset({"initialise", "finetune"}))
