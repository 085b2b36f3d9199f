"""What noise on the mean update of a round is worth: epsilon of client-level differential privacy."""

import math

MOST = 1e4


def epsilon(noise: float, rounds: int, delta: float) -> float:
    """Return the smallest epsilon for which the rounds together are (epsilon, delta)-differentially private.

    Every site takes part in every round. Its update, clipped to norm C, can change the sum of all by C at most, and the
    sum has Gaussian noise of standard deviation ``noise * C`` in every coordinate (DP-FedAvg: McMahan, Ramage, Talwar &
    Zhang, ICLR 2018). R such rounds are one Gaussian mechanism of mu = sqrt(R) / noise (Dong, Roth & Su, "Gaussian
    Differential Privacy", JRSS B 2022), of which exactly (Balle & Wang, ICML 2018)

        delta(epsilon) = Phi(mu / 2 - epsilon / mu) - exp(epsilon) Phi(-mu / 2 - epsilon / mu).

    Neighbours are federations with a site and without it (its update is zero). Infinite without noise.

    Args:
        noise: standard deviation of the noise over C.
        rounds: R, the number of means that are released.

    Raises:
        ValueError: delta is not between 0 and 1, or noise is negative.
    """
    if not 0 < delta < 1 or noise < 0:
        raise ValueError(f"delta = {delta}, noise = {noise}: delta is between 0 and 1, noise not negative")
    if noise == 0 or rounds == 0:
        return math.inf if rounds else 0.0
    mu = math.sqrt(rounds) / noise
    low, high = 0.0, MOST
    if _delta(high, mu) > delta:
        return math.inf
    if _delta(low, mu) <= delta:
        return 0.0
    while high - low > 1e-6 * max(1.0, low):
        middle = (low + high) / 2
        low, high = (low, middle) if _delta(middle, mu) <= delta else (middle, high)
    return high


def _delta(epsilon: float, mu: float) -> float:
    """Return delta(epsilon) of the Gaussian mechanism; its second term is one exponential, as factors overflow."""
    upper = mu / 2 + epsilon / mu
    return _phi(mu / 2 - epsilon / mu) - math.exp(min(epsilon + _log_tail(upper), 0.0))


def _phi(x: float) -> float:
    return math.erfc(-x / math.sqrt(2)) / 2


def _log_tail(x: float) -> float:
    """Return log Phi(-x) for x >= 0; far out by its asymptotic series."""
    if x < 25:
        return math.log(math.erfc(x / math.sqrt(2)) / 2)
    return -x * x / 2 - math.log(x * math.sqrt(2 * math.pi)) - 1 / (x * x)
