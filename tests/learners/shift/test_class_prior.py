"""The class frequencies of a pool: found where they show, left alone where they do not."""

import torch
from torch.nn import functional as F

from learners.shift.class_prior import FEWEST, estimate_prior, prior_shift

WAYS = 5
EVEN = torch.full((WAYS,), 1 / WAYS, dtype=torch.double)


def log_p_of_pool(shares: list[float], count: int, sharpness: float, seed: int = 0) -> torch.Tensor:
    """Return log-probabilities [n, N] under an even prior of examples whose classes have these shares."""
    generator = torch.Generator().manual_seed(seed)
    y = torch.multinomial(torch.tensor(shares), count, replacement=True, generator=generator)
    scores = sharpness * F.one_hot(y, WAYS) + torch.randn(count, WAYS, generator=generator) * sharpness**0.5
    return F.log_softmax(scores, 1)


def test_a_long_tail_is_found() -> None:
    shares = [0.6, 0.2, 0.1, 0.06, 0.04]
    estimate, evidence = estimate_prior(log_p_of_pool(shares, 2000, 4.0), EVEN)
    assert torch.allclose(estimate.float(), torch.tensor(shares), atol=0.05)
    assert evidence > 0.25


def test_an_even_pool_shifts_nothing() -> None:
    for seed in range(5):
        assert prior_shift(log_p_of_pool([0.2] * 5, 1000, 3.0, seed), EVEN, shots=5) is None


def test_a_shift_favours_the_frequent_and_grows_with_the_labels() -> None:
    pool = log_p_of_pool([0.6, 0.2, 0.1, 0.06, 0.04], 1000, 4.0)
    few, many = prior_shift(pool, EVEN, shots=2), prior_shift(pool, EVEN, shots=50)
    assert few is not None
    assert many is not None
    assert many[0] > few[0] > 0 > few[-1] > many[-1]


def test_a_small_pool_says_nothing() -> None:
    assert prior_shift(log_p_of_pool([0.96, 0.01, 0.01, 0.01, 0.01], FEWEST - 1, 4.0), EVEN, shots=50) is None
