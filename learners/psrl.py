"""Posterior sampling for tabular decision processes (Strens 2000; Osband, Russo and Van Roy 2013): PSRL."""

import numpy as np

from domains.decisions.mdp import TabularMDPs


def play_psrl(env: TabularMDPs, seed: int) -> np.ndarray:
    """Return what PSRL earns in one trial of every task [B]; it knows how the tasks were drawn.

    Before every episode it draws a process from its posterior, finds the best policy for it by dynamic programming over
    the horizon, and follows that. Rewards are N(mu, 1) with mu ~ N(1, 1), transitions Dirichlet(1).
    """
    rng, b = np.random.default_rng([seed, 1]), env.num_envs
    states, actions = env.shape
    state, _ = env.reset(seed=seed)
    seen, earned = np.zeros((b, states, actions)), np.zeros((b, states, actions))
    moved, rows, total = np.ones((b, states, actions, states)), np.arange(b), np.zeros(b)
    for _ in range(env.episodes):
        mean = (1 + earned) / (1 + seen) + rng.normal(size=seen.shape) / np.sqrt(1 + seen)
        drawn = rng.standard_gamma(moved)
        policy = best_policy(mean, drawn / drawn.sum(-1, keepdims=True), env.horizon)
        for t in range(env.horizon):
            at = rows, state, policy[t][rows, state]
            after, reward, ended, _, _ = env.step(at[2])
            seen[at] += 1
            earned[at] += reward
            if not ended.all():  # the first state of the next episode is no consequence
                moved[(*at, after)] += 1
            state, total = after, total + reward
    return total


def best_policy(reward: np.ndarray, transition: np.ndarray, horizon: int) -> list[np.ndarray]:
    """Return the best action [B, S] of each step of an episode.

    Args:
        reward: means [B, S, A]; transition: [B, S, A, S].
    """
    value, policy = np.zeros(reward.shape[:2]), []
    for _ in range(horizon):
        worth = reward + np.einsum("bsat,bt->bsa", transition, value)
        policy.append(worth.argmax(-1))
        value = worth.max(-1)
    return policy[::-1]
