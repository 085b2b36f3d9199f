"""Fit a learner to all examples at once, where its loss does not depend on episodes."""

from torch import Tensor

from domains.episode import Episode
from learners.base import Learner
from learners.optimisers import LBFGS

DECAY = 1e-4  # of every parameter's square, against flat directions
STEPS = 80


def fit_whole(learner: Learner, x: Tensor, y: Tensor, steps: int = STEPS) -> Learner:
    """Minimise meta_loss(learner; all examples) + DECAY |theta|^2 by L-BFGS, in place, and return the learner.

    It is for learners whose loss on an episode is the mean over its examples: ``Pooled`` and ``Ordinal``.

    D. C. Liu, J. Nocedal. On the limited memory BFGS method for large scale optimization. Mathematical Programming 45,
    1989. https://doi.org/10.1007/BF01589116

    Args:
        x: features [n, D]; y: labels [n].
    """
    learner.fit_scale(x)
    every = Episode(x[:0], y[:0], x, y, ways=learner.ways or int(y.max()) + 1)
    parameters = list(learner.parameters())
    optimiser = LBFGS(parameters, max_iter=steps, history_size=20, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimiser.zero_grad()
        value = learner.meta_loss(every) + DECAY * sum(parameter.square().sum() for parameter in parameters)
        value.backward()
        return value

    optimiser.step(loss)
    return learner
