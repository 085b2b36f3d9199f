"""Plain strategies for Bernoulli bandits, as players that RL2 is compared with. All start from a uniform prior.

What is compared, and how it is tuned, follows Y. Duan et al. RL2: fast reinforcement learning via slow reinforcement
learning. 2016. https://arxiv.org/abs/1611.02779
"""

import numpy as np

from learners.decisions.gittins import gittins


class CountingPlayer:
    """Counts successes and failures of every arm; a strategy turns them into ``scores``, and the highest is pulled.

    Args:
        arms: k; seed: of what is random in the strategy.
    """

    def __init__(self, arms: int, seed: int = 0) -> None:
        self.arms, self.seed = arms, seed

    def begin(self, trials: int, steps: int) -> None:
        self.rng = np.random.default_rng(self.seed)
        self.every, self.steps, self.t = np.arange(trials), steps, 0
        self.successes, self.failures = np.zeros((2, trials, self.arms), np.int64)

    @property
    def pulls(self) -> np.ndarray:
        """[E, k] times that every arm was pulled."""
        return self.successes + self.failures

    @property
    def mean(self) -> np.ndarray:
        """[E, k] posterior means of the arms' chances."""
        return (self.successes + 1) / (self.pulls + 2)

    def scores(self) -> np.ndarray:
        """Return a number for every arm [E, k]; here the posterior mean, which is greedy."""
        return self.mean

    def act(self, observation: np.ndarray) -> np.ndarray:
        return self.scores().argmax(1)

    def learn(self, action: np.ndarray, reward: np.ndarray, done: np.ndarray, observation: np.ndarray) -> None:
        self.successes[self.every, action] += reward > 0.5
        self.failures[self.every, action] += reward <= 0.5
        self.t += 1


class Greedy(CountingPlayer):
    """The arm whose posterior mean is highest."""


class EpsilonGreedy(CountingPlayer):
    """Any arm with probability epsilon, else the greedy one.

    R. S. Sutton, A. G. Barto. Reinforcement learning: an introduction. 2nd edition, 2018, section 2.2.
    http://incompleteideas.net/book/the-book-2nd.html
    """

    def __init__(self, arms: int, epsilon: float = 0.1, seed: int = 0) -> None:
        super().__init__(arms, seed)
        self.epsilon = epsilon

    def scores(self) -> np.ndarray:
        explore = self.rng.random((len(self.every), 1)) < self.epsilon
        return np.where(explore, self.rng.random((len(self.every), self.arms)), self.mean)


class UCB1(CountingPlayer):
    """Upper confidence bounds: mean + c sqrt(2 ln t / pulls), where the prior counts as two pulls.

    P. Auer, N. Cesa-Bianchi, P. Fischer. Finite-time analysis of the multiarmed bandit problem. Machine Learning 47,
    2002. https://doi.org/10.1023/A:1013689704352
    """

    def __init__(self, arms: int, c: float = 1.0, seed: int = 0) -> None:
        super().__init__(arms, seed)
        self.c = c

    def scores(self) -> np.ndarray:
        return self.mean + self.c * np.sqrt(2 * np.log(self.t + 1) / (self.pulls + 2))


class Thompson(CountingPlayer):
    """Posterior sampling: the arm that is best in one draw from the posterior.

    W. R. Thompson. On the likelihood that one unknown probability exceeds another in view of the evidence of two
    samples. Biometrika 25, 1933. https://doi.org/10.1093/biomet/25.3-4.285
    """

    def scores(self) -> np.ndarray:
        return self.rng.beta(self.successes + 1, self.failures + 1)


class Gittins(CountingPlayer):
    """The arm of the highest index for the pulls that are left of a game that ends; see ``gittins`` for the papers."""

    def begin(self, trials: int, steps: int) -> None:
        super().begin(trials, steps)
        if getattr(self, "table", np.empty(0)).shape[0] != steps + 1:
            self.table = gittins(steps)

    def scores(self) -> np.ndarray:
        return self.table[self.steps - self.t, self.successes, self.failures]
