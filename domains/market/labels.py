"""What is to be predicted: rules that turn prices into one label a date and asset."""

from collections.abc import Callable

import numpy as np
import pandas as pd

from domains.errors import UserError
from domains.market.returns import coming_returns, log_prices, realised_volatility, terciles

#: Trading days that a label looks ahead: the label of day t is known at the close of day t + HORIZON.
HORIZON = 5

#: Label names of ``volatility_state``; a label is an index into them.
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
    coming = volatility.shift(-HORIZON).to_numpy()
    lower, upper = (tercile.to_numpy() for tercile in terciles(volatility))
    state = (coming > lower).astype(np.int8) + (coming > upper).astype(np.int8)
    known = np.isfinite(coming) & np.isfinite(lower)
    return pd.DataFrame(np.where(known, state, UNKNOWN).astype(np.int8), prices.index, prices.columns)


def direction(prices: pd.DataFrame) -> pd.DataFrame:
    """Return the direction of the next five days, int8 [dates, assets]: 1 up, 0 down or unchanged, -1 unknown.

    Raises:
        UserError: the prices are not usable.
    """
    coming = coming_returns(log_prices(prices), HORIZON)
    return coming.gt(0).astype(np.int8).where(coming.notna(), UNKNOWN)


def cross_section(prices: pd.DataFrame) -> pd.DataFrame:
    """Return the third of the day's assets that an asset's next five days fall into, int8 [dates, assets].

    With R the rank, 1 to A, of log(p_{t+5} / p_t) among the A assets of day t: label = ceil(3 R / A) - 1, that is 0
    bottom, 1 middle, 2 top; -1 unknown. Equal returns share their mean rank.

    Raises:
        UserError: the prices are not usable, or of fewer than three assets.
    """
    assets = prices.shape[1]
    if assets < 3:
        raise UserError(f"prices: {assets} assets, a rank among assets needs 3 or more; add some or take another rule")
    ranks = coming_returns(log_prices(prices), HORIZON).rank(axis=1)
    thirds = np.ceil(3 * ranks.to_numpy() / assets) - 1
    known = np.isfinite(thirds)
    return pd.DataFrame(np.where(known, thirds, UNKNOWN).astype(np.int8), prices.index, prices.columns)


#: Label rules by name: prices [dates, assets] to int8 [dates, assets].
RULES: dict[str, Callable[[pd.DataFrame], pd.DataFrame]] = {
    "volatility_state": volatility_state,
    "direction": direction,
    "cross_section": cross_section,
}

#: What the labels of each rule are called.
NAMES: dict[str, tuple[str, ...]] = {
    "volatility_state": LABELS,
    "direction": ("down", "up"),
    "cross_section": ("bottom", "middle", "top"),
}
