"""Conditional variance of an asset's returns, by the library arch."""

import numpy as np

PERCENT = 100.0  # arch fits returns of about one


def garch_variance(returns: np.ndarray, fitted: int, days: np.ndarray, horizon: int) -> np.ndarray:
    """Return the mean daily variance [n] that GARCH(1,1) expects of the ``horizon`` days after each day [n].

    r_t = sqrt(h_t) e_t,  h_t = omega + alpha r_{t-1}^2 + beta h_{t-1}

    (T. Bollerslev. Generalized autoregressive conditional heteroskedasticity. Journal of Econometrics 31, 1986), with
    parameters from the first ``fitted`` returns alone; h runs on over the later ones, each up to its own day.

    Args:
        returns: daily log returns [T] of one asset.
        days: positions [n] in ``returns``, rising.

    Raises:
        ValueError: fewer than 100 returns to fit to.
    """
    from arch import arch_model

    if fitted < 100:
        raise ValueError(f"GARCH needs 100 or more returns to fit to, not {fitted}")
    model = arch_model(PERCENT * returns, mean="Zero", vol="GARCH", p=1, q=1, rescale=False)
    result = model.fit(last_obs=fitted, disp="off", show_warning=False)
    ahead = result.forecast(horizon=horizon, start=int(days[0]), method="analytic", reindex=False).variance
    return ahead.to_numpy()[days - days[0]].mean(1) / PERCENT**2
