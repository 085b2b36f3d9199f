"""DDG-DA: moments give linear models, weights are of the past alone, and what is like what comes gains weight."""

import torch
from sklearn.linear_model import Ridge

from learners.market.ddg_da import DDGDA, Moments
from learners.optimisers import Adam

SLICES, DAYS, ASSETS = 30, 4, 25


def slices_of(signs, noise=0.3, seed=0):
    """Return slices whose label follows the first feature, with a sign each: moments [n], and losses [n, n]."""
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(len(signs) * DAYS, ASSETS, 2, generator=g, dtype=torch.double)
    score = x[..., 0] * torch.tensor(signs).repeat_interleave(DAYS)[:, None]
    y = (score + noise * torch.randn(score.shape, generator=g, dtype=torch.double) > 0).long()
    by_day = Moments.of_days(x, torch.nn.functional.one_hot(y, 2).double())
    slices = by_day.over(torch.arange(0, len(x), DAYS), DAYS)
    return x, y, by_day, slices, torch.stack([slices.losses(one) for one in slices.ridge(0.1)])


def test_moments_give_ridge_regression_and_its_squared_error():
    x, y, _, slices, _ = slices_of([1.0] * 3)
    flat, labels = x[:DAYS].flatten(0, 1).numpy(), torch.nn.functional.one_hot(y[:DAYS].flatten(), 2).double()
    expected = Ridge(alpha=0.1 * len(flat)).fit(flat, labels.numpy())
    weights = slices.ridge(0.1)[0]
    torch.testing.assert_close(weights[1:].T, torch.from_numpy(expected.coef_))
    torch.testing.assert_close(weights[0], torch.from_numpy(expected.intercept_))
    error = ((torch.from_numpy(expected.predict(flat)) - labels) ** 2).sum(1).mean()
    torch.testing.assert_close(slices.losses(weights)[0], error)


def test_weights_are_of_the_past_alone_and_even_before_anything_is_learned():
    _, _, _, _, losses = slices_of([1.0, -1.0] * (SLICES // 2))
    model, known = DDGDA(), torch.tensor([10, 30])
    q = model.weights(losses, known)
    assert torch.equal(q[0, 10:], torch.zeros(20, dtype=q.dtype))
    torch.testing.assert_close(q[0, :10], torch.ones(10, dtype=q.dtype))
    model.theta.data += torch.tensor([2.0, 1.0, 0.5])
    changed = losses.clone()
    changed[10:], changed[:, 10:] = 7.0, 9.0
    torch.testing.assert_close(model.weights(losses, known)[0], model.weights(changed, known)[0])
    torch.testing.assert_close(model.weights(losses, known).sum(1), known.double())


def test_where_regimes_return_it_learns_to_weigh_what_is_like_the_newest():
    signs = ([1.0] * 5 + [-1.0] * 5) * (SLICES // 10)
    _, _, by_day, slices, losses = slices_of(signs)
    model = DDGDA()
    optimiser = Adam(model.parameters(), 0.1)
    known = torch.tensor([n for n in range(12, SLICES - 1) if signs[n] == signs[n - 1]])
    following = by_day.over(known * DAYS, DAYS)
    for _ in range(40):
        optimiser.zero_grad()
        loss = model.meta_loss(losses, slices, known, following).mean()
        loss.backward()
        optimiser.step()
    q = model.weights(losses, torch.tensor([23]))[0, :23]
    alike = torch.tensor(signs[:23]) == signs[22]
    assert q[alike].mean() > 5 * q[~alike].mean()
