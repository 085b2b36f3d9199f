"""Planners on the posterior means that pay themselves a bonus for what was seldom tried."""

from dataclasses import dataclass

import numpy as np

from learners.decisions.planning import Planner, Posterior


@dataclass(eq=False)
class BonusPlanner(Planner):
    """Plans with rewards m(s, a) + beta / sqrt(1 + n(s, a)), which is beta standard deviations above their means.

    The bonus has the form of that of model-based interval estimation (MBIE-EB).

    A. L. Strehl, M. L. Littman. An analysis of model-based interval estimation for Markov decision processes. Journal
    of Computer and System Sciences 74, 2008. https://doi.org/10.1016/j.jcss.2007.08.009

    Args:
        beta: in units of reward; with 0 it is greedy.
    """

    beta: float = 0.6

    def rewards(self, known: Posterior) -> np.ndarray:
        return known.rewards + self.beta * known.deviations


@dataclass(eq=False)
class BEB(BonusPlanner):
    """Bayesian exploration bonus: plans with rewards m(s, a) + beta / (1 + n(s, a)).

    In the paper rewards are known, and n counts the prior's transitions too, of which there are as many as states; that
    keeps the bonus high for longer than pays here.

    J. Z. Kolter, A. Y. Ng. Near-Bayesian exploration in polynomial time. ICML 2009.
    https://doi.org/10.1145/1553374.1553441
    """

    def rewards(self, known: Posterior) -> np.ndarray:
        return known.rewards + self.beta / known.counts
