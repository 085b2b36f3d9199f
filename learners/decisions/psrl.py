"""Posterior sampling for reinforcement learning."""

import numpy as np


class PSRL:
    """Draws a process from its posterior for every episode, and plays the best policy of the draw to the episode's end.

    The prior is that of the trials: P(. | s, a) ~ Dirichlet(1, ..., 1), mean rewards ~ N(1, 1) with noise N(0, 1).

    I. Osband, D. Russo, B. Van Roy. (More) efficient reinforcement learning via posterior sampling. NeurIPS 2013.
    https://arxiv.org/abs/1306.0940

    Args:
        states, actions: of the processes.
        horizon: steps of an episode.
        sampled: False: the posterior means stand for the process, so that nothing is explored on purpose (greedy).
    """

    def __init__(self, states: int, actions: int, horizon: int, sampled: bool = True, seed: int = 0) -> None:
        self.states, self.actions, self.horizon, self.sampled, self.seed = states, actions, horizon, sampled, seed

    def begin(self, trials: int, steps: int) -> None:
        self.rng = np.random.default_rng(self.seed)
        self.every, self.t = np.arange(trials), 0
        self.visits = np.zeros((trials, self.states, self.actions, self.states))
        self.pulls, self.gained = np.zeros((2, trials, self.states, self.actions))

    def act(self, observation: np.ndarray) -> np.ndarray:
        if self.t == 0:
            self.plan = best_policy(*self.process(), self.horizon)
        self.state, now = observation, self.plan[self.t]
        return now[self.every, observation]

    def learn(self, action: np.ndarray, reward: np.ndarray, done: np.ndarray, observation: np.ndarray) -> None:
        at = self.every, self.state, action
        self.pulls[at] += 1
        self.gained[at] += reward
        self.visits[(*at, observation)] += ~done  # where an episode ends, the next one's first state is observed
        self.t = (self.t + 1) % self.horizon

    def process(self) -> tuple[np.ndarray, np.ndarray]:
        """Return P [E, S, A, S] and mean rewards [E, S, A] of a draw from the posterior, or of its means.

        After n rewards of sum g the mean reward is N((1 + g) / (1 + n), 1 / (1 + n)).
        """
        weights, mean = self.visits + 1, (1 + self.gained) / (1 + self.pulls)
        if self.sampled:
            weights = self.rng.standard_gamma(weights)
            mean = self.rng.normal(mean, 1 / np.sqrt(1 + self.pulls))
        return weights / weights.sum(-1, keepdims=True), mean


def best_policy(transitions: np.ndarray, means: np.ndarray, horizon: int) -> np.ndarray:
    """Return the best actions [H, E, S] by backward induction from P [E, S, A, S] and mean rewards [E, S, A].

    Q_t(s, a) = m(s, a) + sum_s' P(s' | s, a) max_a' Q_{t+1}(s', a')
    """
    plan = np.empty((horizon, *means.shape[:2]), np.int64)
    value = np.zeros(means.shape[:2])
    for t in range(horizon - 1, -1, -1):
        q = means + np.einsum("esan,en->esa", transitions, value, optimize=True)
        plan[t], value = q.argmax(-1), q.max(-1)
    return plan
