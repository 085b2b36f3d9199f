"""Planners of tabular decision processes: what a trial has shown so far, and what is best to do by it."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Posterior:
    """What is known of the processes of E trials. The trials are the last axis, which arithmetic runs along quickly.

    The prior is that of the trials: P(. | s, a) ~ Dirichlet(1, ..., 1), mean rewards m(s, a) ~ N(1, 1), and a reward is
    N(m(s, a), 1). After n rewards of sum g, m(s, a) ~ N((1 + g) / (1 + n), 1 / (1 + n)).

    Attributes:
        weights: [A, S, S', E] parameters of the Dirichlet distributions, 1 + transitions seen.
        counts: [A, S, E] 1 + n; sums: [A, S, E] the prior's mean + g.
    """

    weights: np.ndarray
    counts: np.ndarray
    sums: np.ndarray

    @classmethod
    def prior(cls, trials: int, states: int, actions: int, mean: float = 1.0) -> "Posterior":
        """Return what is known at first, where mean rewards are N(mean, 1)."""
        one = np.ones((actions, states, states, trials), np.float32)
        return cls(one, one[:, :, 0].copy(), np.full_like(one[:, :, 0], mean))

    def of(self, trials: np.ndarray | slice) -> "Posterior":
        """Return what is known of some of the trials."""
        return Posterior(*(part[..., trials] for part in vars(self).values()))

    def add(self, at: tuple[np.ndarray, ...], reward: np.ndarray, done: np.ndarray, after: np.ndarray) -> None:
        """Take in a step of every trial: at action, state and trial [E] each, with the state after it [E].

        Where an episode is done [E], the state after it is the first of another, which no transition led to.
        """
        action, state, trial = at
        self.counts[at] += 1
        self.sums[at] += reward
        self.weights[action, state, after, trial] += ~done

    @property
    def transitions(self) -> np.ndarray:
        """[A, S, S', E] posterior means of P(s' | s, a)."""
        return normalised(self.weights)

    @property
    def rewards(self) -> np.ndarray:
        """[A, S, E] posterior means of m(s, a)."""
        return self.sums / self.counts

    @property
    def deviations(self) -> np.ndarray:
        """[A, S, E] posterior standard deviations of m(s, a), 1 / sqrt(1 + n)."""
        return 1 / np.sqrt(self.counts)


def normalised(weights: np.ndarray) -> np.ndarray:
    """Return distributions over S' from weights [A, S, S', E]."""
    return weights / weights.sum(2, keepdims=True)


def action_values(transitions: np.ndarray, rewards: np.ndarray, steps: int) -> np.ndarray:
    """Return Q [steps, A, S, E], of actions with 1, 2, ... steps left, from P [A, S, S', E] and mean rewards [A, S, E].

    Q_1(s, a) = m(s, a),    Q_{k+1}(s, a) = m(s, a) + sum_s' P(s' | s, a) max_a' Q_k(s', a')
    """
    q = np.empty((steps, *rewards.shape), rewards.dtype)
    q[0] = rewards
    for k in range(1, steps):
        np.einsum("asne,ne->ase", transitions, q[k - 1].max(0), out=q[k])
        q[k] += rewards
    return q


@dataclass(eq=False)
class Planner:
    """Plays what is best in the process of the posterior means, planned by backward induction (greedy).

    Those that explore differ in what they plan with: ``rewards``, ``process`` or ``plan``.

    Args:
        states, actions: of the processes.
        horizon: steps of an episode; one that goes on for longer is played as its last step.
        seed: of what is random in the strategy.
        stepwise: True: a plan is made at every step, by all that is known then; else where an episode begins.
        mean: that rewards are expected to have before any is seen; that of the trials is 1.
    """

    states: int
    actions: int
    horizon: int
    seed: int = 0
    stepwise: bool = False
    mean: float = 1.0

    def begin(self, trials: int, steps: int) -> None:
        self.rng, self.every = np.random.default_rng(self.seed), np.arange(trials)
        self.known = Posterior.prior(trials, self.states, self.actions, self.mean)
        self.left = np.full(trials, self.horizon)  # steps of the episode
        self.due = np.ones(trials, bool)  # whose plan is to be made
        self.q = np.zeros((self.horizon, self.actions, self.states, trials), np.float32)

    def act(self, observation: np.ndarray) -> np.ndarray:
        if self.due.any():
            which, steps = slice(None) if self.due.all() else self.due, self.left[self.due].max()
            self.q[:steps, ..., which] = self.plan(self.known.of(which), steps)
            self.due = np.zeros_like(self.due)
        self.state = observation
        return self.q[self.left - 1, :, observation, self.every].argmax(1)

    def learn(self, action: np.ndarray, reward: np.ndarray, done: np.ndarray, observation: np.ndarray) -> None:
        done = np.asarray(done, bool)
        self.known.add((action, self.state, self.every), reward, done, observation)
        self.left = np.where(done, self.horizon, np.maximum(self.left - 1, 1))
        self.due |= done | self.stepwise
        self.state = observation

    def plan(self, known: Posterior, steps: int) -> np.ndarray:
        """Return the values of actions [steps, A, S, E] with 1, 2, ... steps left, the highest of which is taken."""
        return action_values(*self.process(known), steps)

    def process(self, known: Posterior) -> tuple[np.ndarray, np.ndarray]:
        """Return P [A, S, S', E] and mean rewards [A, S, E] to plan with."""
        return known.transitions, self.rewards(known)

    def rewards(self, known: Posterior) -> np.ndarray:
        """Return the mean rewards [A, S, E] to plan with beside the posterior means of P."""
        return known.rewards


@dataclass(eq=False)
class EpsilonGreedyPlanner(Planner):
    """Any action with probability epsilon, else what is best by the posterior means.

    R. S. Sutton, A. G. Barto. Reinforcement learning: an introduction. 2nd edition, 2018, section 2.2.
    http://incompleteideas.net/book/the-book-2nd.html
    """

    epsilon: float = 0.1

    def act(self, observation: np.ndarray) -> np.ndarray:
        explore = self.rng.random(len(self.every)) < self.epsilon
        return np.where(explore, self.rng.integers(self.actions, size=len(self.every)), super().act(observation))
