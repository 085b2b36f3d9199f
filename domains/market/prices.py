"""The table of prices that features and labels are computed from, and what is wrong with a bad one."""

import numpy as np
import pandas as pd

from domains.errors import UserError

#: Longest gap between two rows, in calendar days; the longest market closure since 1990 took seven.
MAX_GAP_DAYS = 10
LIKE_RETURNS = 0.2  # of the dates of an asset have numbers below zero
MAX_GAP_STEPS = 3  # of weekly or monthly prices, in the usual distance of two rows

#: A split of so many for one, or one for so many, that prices were not adjusted for: a price within NEAR of the ratio,
#: where that is more than JUMP deviations of the quarter before and the days after are usual (at most USUAL of them).
SPLITS, NEAR, JUMP, USUAL = (2, 3, 4, 5, 7, 10, 20), 0.03, 8.0, 3.0
BEFORE, AFTER = 60, 5  # days, of the former a third at least


def check_prices(prices: pd.DataFrame) -> pd.DataFrame:
    """Return ``prices`` [dates, assets] as float64, or say in one line what is wrong with them.

    Args:
        prices: closing prices in any one currency, indexed by strictly rising dates, one column an asset.

    Raises:
        UserError: a date is repeated, out of order or far from the one before it, or a price is missing,
            not a number, zero or negative, or jumps as at a split. The message names the date, the
            asset and the remedy, or that the numbers are returns.
    """
    if not isinstance(prices.index, pd.DatetimeIndex) or prices.empty:
        raise UserError("prices: expected one row a date and one column an asset; parse the first column as dates")
    if prices.columns.has_duplicates:
        twice = prices.columns[prices.columns.duplicated()][0]
        raise UserError(f"prices: asset {twice} has two columns; keep one of them")
    _check_dates(prices.index)
    values = prices.apply(pd.to_numeric, errors="coerce").astype("float64")
    bad = ~(np.isfinite(values.to_numpy()) & (values.to_numpy() > 0))
    if bad.any():
        row, column = np.argwhere(bad)[0]
        below = (values.iloc[:, column] < 0).mean()
        if below > LIKE_RETURNS:
            raise UserError(
                f"prices: {prices.columns[column]} is below zero on {below:.0%} of the dates, as returns are; give the "
                "prices themselves"
            )
        cell: object = prices.iloc[row, column]
        raise UserError(
            f"prices: {prices.columns[column]} on {prices.index[row]:%Y-%m-%d} is {cell}; "
            "every price must be a positive number: correct that cell, or drop the asset or the date"
        )
    _check_splits(values)
    return values


def _check_dates(dates: pd.DatetimeIndex) -> None:
    """Raise UserError at the first date that is missing, out of order, repeated, or after a long gap."""
    if dates.hasnans:
        raise UserError(f"prices: row {int(np.argmax(dates.isna()))} has no date; add the date or drop the row")
    days = np.diff(dates.to_numpy()) / np.timedelta64(1, "D")
    if (days <= 0).any():
        at = int(np.argmax(days <= 0)) + 1
        raise UserError(
            f"prices: date {dates[at]:%Y-%m-%d} comes after {dates[at - 1]:%Y-%m-%d}; "
            "sort the rows by date and keep one row a date"
        )
    most = max(MAX_GAP_DAYS, MAX_GAP_STEPS * np.median(days)) if len(days) else MAX_GAP_DAYS
    if (days > most).any():
        at = int(np.argmax(days > most)) + 1
        raise UserError(
            f"prices: no asset has a price between {dates[at - 1]:%Y-%m-%d} and {dates[at]:%Y-%m-%d} "
            f"({days[at - 1]:.0f} days, at most {most:.0f}); add the missing dates or start after the gap"
        )


def _check_splits(prices: pd.DataFrame) -> None:
    """Raise UserError at the first day that looks like a split: a whole ratio out of nothing, and nothing after it.

    On adjusted prices of 504 stocks over 21 years it stops at four jumps out of nothing, and at one real fall.
    """
    moves = np.diff(np.log(prices.to_numpy()), axis=0)
    ratios = np.log([*SPLITS, *(1 / n for n in SPLITS)])
    for row, column in np.argwhere(np.abs(moves) > np.log(min(SPLITS)) - NEAR):
        move, before = moves[row, column], moves[max(row - BEFORE, 0) : row, column]
        usual = np.sqrt(np.mean(before**2)) if 3 * row >= BEFORE else np.inf
        after = np.abs(moves[row + 1 : row + 1 + AFTER, column])
        sudden = abs(move) > JUMP * usual and (after <= USUAL * usual).all() and usual > 0
        if sudden and np.abs(move - ratios).min() < NEAR:
            many = round(float(np.exp(abs(move))))
            raise UserError(
                f"prices: {prices.columns[column]} on {prices.index[row + 1]:%Y-%m-%d} is {np.exp(move):.2f} times the "
                f"price before, as at a split {f'{many} for 1' if move < 0 else f'1 for {many}'}; adjust the earlier "
                "prices, or start at that date"
            )
