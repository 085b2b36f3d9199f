"""Volatility models recover what data were made by, and states follow from a forecast and two thresholds."""

import numpy as np
import pytest
import torch
from scipy.stats import norm

from domains.episode import Episode
from domains.market.features import FEATURES
from learners.market.garch import garch_variance
from learners.market.har import HAR, state_probabilities
from learners.market.log_volatility import LogVolatility
from learners.market.ordinal import LOWER, UPPER, Ordinal
from learners.support import Support


def test_har_recovers_the_coefficients_that_data_were_made_by():
    rng = np.random.default_rng(0)
    past, b, s = np.exp(rng.normal(-4, 0.5, (20_000, 3))), np.array([-0.8, 0.1, 0.3, 0.4]), 0.3
    coming = np.exp(b[0] + np.log(past) @ b[1:] + s * rng.normal(size=20_000))
    model = HAR.fit(past, coming)
    assert model.coefficients == pytest.approx(b, abs=0.03)
    assert model.residuals.std() == pytest.approx(s, abs=0.01)
    assert model.variance(past).mean() == pytest.approx(np.mean(coming**2), rel=0.05)
    terciles = np.quantile(coming, [1 / 3, 2 / 3])[None].repeat(20_000, 0)
    state = np.digitize(coming, terciles[0])
    assert model.states(past, terciles).mean(0) == pytest.approx(np.bincount(state) / 20_000, abs=0.01)
    with pytest.raises(ValueError, match="ten or more finite volatilities"):
        HAR.fit(past[:5], coming[:5])


def test_states_are_the_shares_of_residuals_between_thresholds():
    residuals = 0.5 * norm.ppf((np.arange(9999) + 0.5) / 9999)
    p = state_probabilities(np.log([0.01]), residuals, np.array([[0.01, 0.02]]))
    assert p[0] == pytest.approx([0.5, norm.cdf(np.log(2) / 0.5) - 0.5, norm.sf(np.log(2) / 0.5)], abs=1e-3)
    assert (state_probabilities(np.log([0.01]), residuals, np.array([[1e-9, 99.0]])) > 0).all()


def test_log_volatility_is_as_sure_as_it_may_be():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(6000, 4))
    spread = np.exp(0.5 * x[:, 1])
    mean = 0.4 * x[:, 0] + 0.3 * (x[:, 2] > 0)
    z = mean + spread * rng.normal(size=6000)
    model = LogVolatility.fit(x, z, leaf=200)
    thresholds = np.tile([-0.5, 0.5], (6000, 1))
    p, state = model.states(x, thresholds), np.digitize(z, [-0.5, 0.5])
    truth = norm.cdf((thresholds - mean[:, None]) / spread[:, None])
    best = np.stack([truth[:, 0], truth[:, 1] - truth[:, 0], 1 - truth[:, 1]], 1)
    losses = [-np.log(q[np.arange(6000), state]).mean() for q in (best, p, np.full((6000, 3), 1 / 3))]
    assert losses[1] < losses[0] + 0.02 < losses[2] - 0.1


def test_garch_expects_more_after_a_shock_than_before_and_reads_no_later_return():
    rng = np.random.default_rng(0)
    h, returns = 1e-4, []
    for _ in range(900):
        returns.append(np.sqrt(h) * rng.normal())
        h = 5e-6 + 0.1 * returns[-1] ** 2 + 0.85 * h
    returns = np.array(returns)
    returns[801] = 0.08
    days = np.array([800, 801, 805])
    before, shocked, later = garch_variance(returns, 700, days, 5)
    assert shocked > 3 * before
    assert before < later < shocked
    changed = returns.copy()
    changed[806:] = 0.2
    assert garch_variance(changed, 700, days, 5) == pytest.approx([before, shocked, later], rel=1e-12)
    with pytest.raises(ValueError, match="100 or more returns"):
        garch_variance(returns, 50, days, 5)


def test_the_thresholds_are_the_columns_that_market_features_have_them_in():
    assert [FEATURES[column][0] for column in (LOWER, UPPER)] == ["low_tercile", "high_tercile"]
    with pytest.raises(ValueError, match="3 labels between columns 5 and 6"):
        Ordinal(16, 2)


def test_an_ordered_probit_learns_the_quantity_behind_the_labels():
    draw = torch.Generator().manual_seed(0)
    x = torch.randn(3000, 4, generator=draw)
    x[:, 2], x[:, 3] = -0.5 + 0.1 * x[:, 2], 0.5 + 0.1 * x[:, 3]
    behind = 0.6 * x[:, 0] + 0.4 * torch.randn(3000, generator=draw)
    y = (behind > x[:, 2]).long() + (behind > x[:, 3]).long()
    learner = Ordinal(4, 3, 2, 3)
    learner.fit_scale(x)
    optimiser = torch.optim.Adam(learner.parameters(), 0.02)
    for _ in range(200):
        optimiser.zero_grad()
        learner.meta_loss(Episode(x[:0], y[:0], x, y, ways=3)).backward()
        optimiser.step()
    mu, sigma = learner.network.moments(x)
    assert torch.corrcoef(torch.stack([mu, x[:, 0]]))[0, 1] > 0.98
    assert float(sigma.detach().mean()) == pytest.approx(0.4, abs=0.06)
    p = learner.adapt(Support(x[:3], y[:3])).predict_proba(x)
    assert torch.allclose(p.sum(1), torch.ones(3000), atol=1e-5)
    assert float((p.argmax(1) == y).float().mean()) > 0.6


def test_an_ordered_probit_is_saved_with_its_thresholds(tmp_path):
    x, y = torch.randn(5, 4), torch.tensor([0, 1, 2, 1, 0])
    classifier = Ordinal(4, 3, 2, 3).adapt(Support(x, y))
    classifier.save(tmp_path)
    assert torch.equal(type(classifier).load(tmp_path).predict_proba(x), classifier.predict_proba(x))
