"""What is known to do well on Bernoulli bandits: rules that choose an arm from how often it paid.

All trials side by side. A rule is ``(successes [B, K], pulls [B, K], left, rng) -> arms [B]``; left is how many pulls
remain, this one included. Ties are broken at random; arms are Beta(1, 1) before the first pull.
"""

from collections.abc import Callable

import numpy as np

from domains.decisions.bandit import Bandits

Rule = Callable[[np.ndarray, np.ndarray, int, np.random.Generator], np.ndarray]


def play(rule: Rule, env: Bandits, seed: int) -> np.ndarray:
    """Return what a rule earns in one trial of each task [B]; the tasks are those that a seed draws."""
    rng = np.random.default_rng([seed, 1])
    env.reset(seed=seed)
    successes, pulls = (np.zeros((env.num_envs, env.arms)) for _ in range(2))
    rows, total = np.arange(env.num_envs), np.zeros(env.num_envs)
    for left in range(env.steps, 0, -1):
        arm = rule(successes, pulls, left, rng)
        reward = env.step(arm)[1]
        successes[rows, arm] += reward
        pulls[rows, arm] += 1
        total += reward
    return total


def _best(score: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return np.where(score == score.max(1, keepdims=True), rng.random(score.shape), -1).argmax(1)


def greedy(successes: np.ndarray, pulls: np.ndarray, left: int, rng: np.random.Generator) -> np.ndarray:
    """Take the arm with the largest posterior mean, (s + 1) / (n + 2)."""
    return _best((successes + 1) / (pulls + 2), rng)


def epsilon_greedy(epsilon: float) -> Rule:
    """Return the rule that takes any arm with probability epsilon, else the greedy one."""

    def rule(successes: np.ndarray, pulls: np.ndarray, left: int, rng: np.random.Generator) -> np.ndarray:
        anything = rng.random(len(pulls)) < epsilon
        return np.where(anything, rng.integers(pulls.shape[1], size=len(pulls)), greedy(successes, pulls, left, rng))

    return rule


def ucb1(scale: float = 2.0) -> Rule:
    """Return the rule of the largest s / n + sqrt(scale log t / n) (Auer, Cesa-Bianchi and Fischer 2002: scale 2)."""

    def rule(successes: np.ndarray, pulls: np.ndarray, left: int, rng: np.random.Generator) -> np.ndarray:
        n = np.maximum(pulls, 1)
        bonus = np.sqrt(scale * np.log(np.maximum(pulls.sum(1, keepdims=True), 1)) / n)
        return _best(np.where(pulls == 0, np.inf, successes / n + bonus), rng)

    return rule


def thompson(successes: np.ndarray, pulls: np.ndarray, left: int, rng: np.random.Generator) -> np.ndarray:
    """Take the arm that is best in a draw from the posterior (Thompson 1933)."""
    return rng.beta(successes + 1, pulls - successes + 1).argmax(1)


def gittins(horizon: int) -> Rule:
    """Return the rule of the largest finite-horizon Gittins index (:func:`indices`)."""
    table = indices(horizon)

    def rule(successes: np.ndarray, pulls: np.ndarray, left: int, rng: np.random.Generator) -> np.ndarray:
        return _best(table[left - 1][successes.astype(int), (pulls - successes).astype(int)], rng)

    return rule


def indices(horizon: int, grid: int = 400) -> list[np.ndarray]:
    """Return the index of an arm, [left - 1][successes, failures], for every state that can be reached.

    The index is the price of a pull at which it is just worth while to go on with the arm alone:
    sup { c : V_left(s, f; c) > 0 },  V_m = max(0, mu - c + E[V_{m-1}]), V_0 = 0 (Gittins 1979; Kaufmann 2018 for finite
    horizons). V falls with c and is convex; its zero is where a line through two prices of a grid meets it.
    """
    tables = [np.ones((horizon - m + 1, horizon - m + 1)) for m in range(1, horizon + 1)]
    before = earlier = _worth(horizon, -1 / grid)
    for price in np.arange(grid + 1) / grid:
        now = _worth(horizon, price)
        for table, v, v1, v2 in zip(tables, now, before, earlier, strict=True):
            ends = (v1 > 0) & (v == 0)
            fall = np.maximum(v2 - v1, v1)[ends]  # from price to price
            table[ends] = price - (1 - v1[ends] / fall) / grid
        earlier, before = before, now
    return tables


def _worth(horizon: int, price: float) -> list[np.ndarray]:
    """Return V_m [successes, failures] of every m from 1 to the horizon."""
    values = [np.zeros((horizon + 1, horizon + 1))]
    for m in range(1, horizon + 1):
        size = horizon - m + 1  # no arm has more successes or failures by then
        s, f = np.ogrid[:size, :size]
        mean, later = (s + 1) / (s + f + 2), values[-1]
        going = mean * later[1 : size + 1, :size] + (1 - mean) * later[:size, 1 : size + 1]
        values.append(np.maximum(0, mean - price + going))
    return values[1:]


RULES: dict[str, Callable[[int], Rule]] = {
    "Gittins": gittins,
    "Thompson": lambda horizon: thompson,
    "UCB1": lambda horizon: ucb1(),
    "epsilon-greedy": lambda horizon: epsilon_greedy(0.1),
    "greedy": lambda horizon: greedy,
}
