"""Divide a market into domains by time: a window of dates becomes a source or a target, with a temporal split."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from domains.domain import Role
from domains.errors import UserError
from domains.market.features import WARM_UP, feature_cube
from domains.market.labels import HORIZON, LABELS, volatility_state
from domains.source import Source

#: Trading days at the start of a target that labels come from; a short window gives two thirds of its days.
LABELLED_DAYS = 60

#: A source keeps every fifth day, so that the horizons of an asset's labels do not overlap.
SOURCE_STEP = HORIZON

#: How windows are divided, in words, by role.
SPLITS = {
    "source": f"every {SOURCE_STEP}th day whose outcome, {HORIZON} days later, lies inside the window",
    "target": f"by time: a random half of the first {LABELLED_DAYS} days is labelled, the other half and the {HORIZON} "
    f"days without an outcome yet are unlabelled; {HORIZON} days are left out; every later day is test",
}

#: Most examples of a target's train and pool; beyond that a random choice is kept.
MOST = {"train": 1500, "pool": 2000}


@dataclass(frozen=True)
class Window:
    """A named span of dates, both ends included (ISO dates); ``examples`` is how many a build of it has."""

    name: str
    about: str
    start: str
    end: str
    role: Role = "source"
    examples: int = 0


def as_source(
    window: Window, what: str, read: Callable[..., pd.DataFrame], licence: str, citation: str, where: str, **more: Any
) -> Source:
    """Return the entry of a window in the catalogue; ``what`` are its assets, ``more`` is as ``Source`` has it."""
    return Source(
        name=window.name,
        family="market",
        role=window.role,
        title=f"{what}, {window.about}, {window.start} to {window.end}: 5-day volatility",
        read=read,
        licence=licence,
        citation=citation,
        where=where,
        labels=LABELS,
        own_split=SPLITS[window.role],
        classes=len(LABELS),
        examples=window.examples,
        **more,
    )


@dataclass(frozen=True)
class Market:
    """Features and labels of every asset on every date that has features.

    Attributes:
        dates: trading days [T].
        assets: names [A].
        x: features, float32 [T, A, F].
        y: label indices of ``volatility_state``, int8 [T, A]; UNKNOWN on the last HORIZON dates.
    """

    dates: pd.DatetimeIndex
    assets: tuple[str, ...]
    x: np.ndarray
    y: np.ndarray

    @classmethod
    def of(cls, prices: pd.DataFrame) -> "Market":
        """Compute features and labels from prices [dates, assets].

        Raises:
            UserError: the prices are not usable or too few.
        """
        return cls(*feature_cube(prices), volatility_state(prices).to_numpy()[WARM_UP:])


def window_examples(market: Market, window: Window, seed: int = 0) -> pd.DataFrame:
    """Return a window's examples, divided by time.

    Columns: ``date`` (ISO), ``asset``, ``x`` float32 [F], ``label`` (name; None in the pool) and ``split``.
    With n days in the window and H = HORIZON:

    - a source is all ``train``: every fifth day whose label's horizon ends inside the window;
    - a target's first LABELLED_DAYS days (or two thirds of n, if less) are its span. Of the asset-days whose
      horizon ends inside the span a random half is ``train``. The other half, its labels withheld, and the
      last H days, whose outcome is not known yet, are ``pool``;
    - then H days are left out (embargo), and ``test`` is every later day whose horizon ends inside.

    Raises:
        UserError: the market has no features for some of the window, or the window is too short to cut.
    """
    start, end = pd.Timestamp(window.start), pd.Timestamp(window.end)
    inside = np.flatnonzero((market.dates >= start) & (market.dates <= end))
    need = 10 * HORIZON
    if len(inside) < need or market.dates[0] > start or market.dates[-1] < end:
        raise UserError(
            f"{window.name}: {window.start} to {window.end} has {len(inside)} trading days with features; "
            f"choose {need} or more between {market.dates[0]:%Y-%m-%d} and {market.dates[-1]:%Y-%m-%d}"
        )
    assets = len(market.assets)
    if window.role == "source":
        splits = {"train": _asset_days(inside[:-HORIZON:SOURCE_STEP], assets)}
    else:
        splits = _split_target(inside, assets, np.random.default_rng(seed))
    return pd.concat([_frame(market, split, cells) for split, cells in splits.items()], ignore_index=True)


def _split_target(days: np.ndarray, assets: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Return the asset-days [n, 2] of a target's splits, each in order of time."""
    length = min(LABELLED_DAYS, 2 * len(days) // 3)
    span, later = days[:length], days[length + HORIZON : -HORIZON]
    known = rng.permutation(_asset_days(span[:-HORIZON], assets))
    train, withheld = np.array_split(known, 2)
    pool = rng.permutation(np.concatenate([withheld, _asset_days(span[-HORIZON:], assets)]))
    return {
        "train": _in_order(train[: MOST["train"]]),
        "pool": _in_order(pool[: MOST["pool"]]),
        "test": _asset_days(later, assets),
    }


def _asset_days(days: np.ndarray, assets: int) -> np.ndarray:
    """Return every (day, asset) index pair [len(days) * assets, 2], in order of day, then asset."""
    return np.stack(np.meshgrid(days, np.arange(assets), indexing="ij"), axis=-1).reshape(-1, 2)


def _in_order(cells: np.ndarray) -> np.ndarray:
    """Sort index pairs [n, 2] by day, then asset."""
    return cells[np.lexsort((cells[:, 1], cells[:, 0]))]


def _frame(market: Market, split: str, cells: np.ndarray) -> pd.DataFrame:
    """Return the examples at index pairs [n, 2]; labels of the pool are left out."""
    day, asset = cells[:, 0], cells[:, 1]
    return pd.DataFrame(
        {
            "date": market.dates[day].strftime("%Y-%m-%d"),
            "asset": np.array(market.assets, dtype=object)[asset],
            "x": list(market.x[day, asset]),
            "label": [None if split == "pool" else LABELS[y] for y in market.y[day, asset]],
            "split": split,
        }
    )
