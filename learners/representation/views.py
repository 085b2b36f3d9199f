"""Which of an encoder's layers a learner reads."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from domains.episode import Episode
from learners.base import Learner, check_support
from learners.classifier import Classifier, Columns


def of_learner(name: str) -> Any:
    """Return a property that is an attribute of the learner within."""
    return property(lambda view: getattr(view.learner, name), lambda view, value: setattr(view.learner, name, value))


class View(Learner):
    """A learner on some of the features, or on the features in another form; its schedules are that learner's."""

    learner: Learner
    name, meta_trained, scaled_loss = of_learner("name"), of_learner("meta_trained"), of_learner("scaled_loss")
    progress, together, regression = of_learner("progress"), of_learner("together"), of_learner("regression")


class LastLayer(View):
    """A learner on the first ``last`` features: the encoder's last layer, as its users know it.

    Args:
        learner: made for features of that length.
        dim: the length of the whole feature vector.
    """

    def __init__(self, learner: Learner, dim: int) -> None:
        super().__init__(dim, learner.ways)
        self.learner, self.last = learner, learner.dim

    def adapt(self, support_x: Tensor, support_y: Tensor, pool_x: Tensor | None = None) -> Classifier:
        zero = support_x.new_zeros(self.last)
        first = Columns(zero, zero + 1)
        pool = None if pool_x is None else first(pool_x)
        classifier = self.learner.adapt(first(support_x), support_y, pool)
        return replace(classifier, layers=(first, *classifier.layers))


class EveryLayer(View):
    """A learner on all features, each centred and scaled by the task's own examples, then to unit length.

    x -> ((x - mean) / deviation) / |...|, over support and pool. What inner layers measure (texture, colour, size)
    varies by orders of magnitude between them and between domains; in images unlike those that the encoder was
    pretrained on, they tell more than its last layer does.
    """

    def __init__(self, learner: Learner) -> None:
        super().__init__(learner.dim, learner.ways)
        self.learner = learner

    @property
    def trunk(self) -> nn.Module:
        return self.learner.trunk

    def fit_scale(self, x: Tensor) -> None:
        self.learner.fit_scale(unit(self.own_scale(x, None), x))

    def own_scale(self, support_x: Tensor, pool_x: Tensor | None) -> Columns:
        """Return the standardisation [D] by a task's examples; a feature that hardly varies is not blown up."""
        x = support_x if pool_x is None else torch.cat([support_x, pool_x])
        deviation = x.std(0, correction=0)
        return Columns(x.mean(0), deviation + 0.01 * deviation.mean() + 1e-12)

    def seen(self, episode: Episode) -> Episode:
        """Return an episode as the learner within reads it."""
        scale = self.own_scale(episode.support_x, episode.pool_x)
        return replace(
            episode,
            support_x=unit(scale, episode.support_x),
            query_x=unit(scale, episode.query_x),
            pool_x=None if episode.pool_x is None else unit(scale, episode.pool_x),
        )

    def meta_loss(self, episode: Episode) -> Tensor:
        return self.learner.meta_loss(self.seen(episode))

    def backward(self, episodes: Sequence[Episode]) -> list[float]:
        return self.learner.backward([self.seen(episode) for episode in episodes])

    def adapt(self, support_x: Tensor, support_y: Tensor, pool_x: Tensor | None = None) -> Classifier:
        check_support(support_x, support_y, self.shape, self.ways, pool_x, self.regression)  # before they are mixed
        scale = self.own_scale(support_x, pool_x)
        pool = None if pool_x is None else unit(scale, pool_x)
        classifier = self.learner.adapt(unit(scale, support_x), support_y, pool)
        return replace(classifier, layers=(scale, "normalise", *classifier.layers))


def unit(scale: Columns, x: Tensor) -> Tensor:
    """Return examples [n, D] standardised, to unit length."""
    return nn.functional.normalize(scale(x), dim=-1)
