"""What is to be predicted: rules that turn prices into one label a date and asset."""

from collections.abc import Callable

import numpy as np
import pandas as pd

from domains.market.returns import YEAR, log_prices, realised_volatility

#: Trading days that a label looks ahead: the label of day t is known at the close of day t + HORIZON.
HORIZON = 5

#: Label names; a label is an index into them.
LABELS = ("calm", "usual", "turbulent")

#: The label of a day whose trailing year or next HORIZON days are not all in the table.
UNKNOWN = -1


def volatility_state(prices: pd.DataFrame) -> pd.DataFrame:
    """Return the state of the next five days, int8 [dates, assets]: 0 calm, 1 usual, 2 turbulent, -1 unknown.

    With v_t the realised volatility of days t-4 to t, and q_1, q_2 the terciles of v_{t-251} to v_t: calm if
    v_{t+5} <= q_1, turbulent if v_{t+5} > q_2, else usual. An asset is compared with its own past.

    Args:
        prices: closing prices [dates, assets], see ``check_prices``.

    Raises:
        UserError: the prices are not usable.
    """
    volatility = realised_volatility(log_prices(prices).diff(), HORIZON)
    past_year = volatility.rolling(YEAR)
    coming = volatility.shift(-HORIZON).to_numpy()
    lower, upper = (past_year.quantile(share).to_numpy() for share in (1 / 3, 2 / 3))
    state = (coming > lower).astype(np.int8) + (coming > upper).astype(np.int8)
    known = np.isfinite(coming) & np.isfinite(lower)
    return pd.DataFrame(np.where(known, state, UNKNOWN).astype(np.int8), prices.index, prices.columns)


#: Label rules by name: prices [dates, assets] to int8 [dates, assets].
RULES: dict[str, Callable[[pd.DataFrame], pd.DataFrame]] = {"volatility_state": volatility_state}
