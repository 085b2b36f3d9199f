"""A market as a table of days and assets: features, labels by every rule, and what came after each day."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from domains.market.features import LEAST_VOL, WARM_UP, feature_cube
from domains.market.labels import HORIZON, RULES
from domains.market.returns import YEAR, coming_returns, log_prices, realised_volatility, terciles


@dataclass(frozen=True)
class Panel:
    """Days [T] with features by assets [A].

    Attributes:
        dates, assets: of the rows and columns.
        x: features, float32 [T, A, F]; known at the close of the day.
        y: labels by rule, int8 [T, A]; UNKNOWN where the outcome is not in the table.
        returns: daily log returns [T, A].
        volatility: realised volatility of the last 1, 5 and 22 days, daily, [T, A, 3].
        year_volatility: realised volatility of the trailing year [T, A], at least LEAST_VOL.
        terciles: of the trailing year's five-day volatilities [T, A, 2], which ``volatility_state`` compares with.
        coming_volatility, coming_return: realised volatility and log return of the next HORIZON days [T, A]; NaN at
            the end.
    """

    dates: pd.DatetimeIndex
    assets: tuple[str, ...]
    x: np.ndarray
    y: dict[str, np.ndarray]
    returns: np.ndarray
    volatility: np.ndarray
    year_volatility: np.ndarray
    terciles: np.ndarray
    coming_volatility: np.ndarray
    coming_return: np.ndarray

    @classmethod
    def of(cls, prices: pd.DataFrame) -> "Panel":
        """Compute everything from prices [dates, assets].

        Raises:
            UserError: the prices are not usable or too few.
        """
        (dates, assets, x), logs = feature_cube(prices), log_prices(prices)
        returns = logs.diff()
        past = {days: realised_volatility(returns, days) for days in (1, HORIZON, 22)}

        def days(frame: pd.DataFrame) -> np.ndarray:
            return frame.to_numpy()[WARM_UP:]

        return cls(
            dates=dates,
            assets=assets,
            x=x,
            y={name: days(rule(prices)) for name, rule in RULES.items()},
            returns=days(returns),
            volatility=np.stack([days(frame) for frame in past.values()], -1),
            year_volatility=days(realised_volatility(returns, YEAR).clip(lower=LEAST_VOL)),
            terciles=np.stack(list(map(days, terciles(past[HORIZON]))), -1),
            coming_volatility=days(past[HORIZON].shift(-HORIZON)),
            coming_return=days(coming_returns(logs, HORIZON)),
        )
