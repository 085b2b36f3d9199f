"""A market domain of a user's prices: the latest year, or the window that the user names."""

from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pandas as pd

from domains.errors import UserError
from domains.fetch import sha256_of
from domains.market.doubts import doubts_about, doubts_in_words
from domains.market.features import WARM_UP
from domains.market.labels import HORIZON, LABELS
from domains.market.period import Period, in_words, period_of, period_warnings
from domains.market.returns import YEAR
from domains.market.windows import SPLITS, Market, Window, window_examples
from domains.own.new_domain import NewDomain, Row
from domains.own.options import AddOptions
from domains.reading.price_tables import PriceTable, read_prices

RULE = (
    f"volatility_state: the realised volatility of the next {HORIZON} days, in thirds of the asset's own trailing "
    f"{YEAR} days"
)


def understand_prices(path: Path, options: AddOptions) -> NewDomain:
    """Return a market domain of the latest year, or of the window that the options name.

    Raises:
        UserError: the file is no price table, or its prices are not usable or too few.
    """
    options.refuse("prices", "text_column", "label_column", "group_column", "encoding", "keep_case")
    options.refuse("prices", "skip_unreadable", "test_share", "test_most")
    found = read_prices(path, options.prices)
    try:
        period = period_of(found.prices.index)
        check_length(found, period)
        market = Market.of(found.prices)
        window = choose_window(market, options)
        frame = window_examples(market, window)
    except UserError as error:
        raise UserError(f"{path}: {str(error).removeprefix('prices: ')}") from error
    index = {label: i for i, label in enumerate(LABELS)}

    def rows() -> Iterator[Row]:
        for row in frame.itertuples(index=False):
            label = {} if row.split == "pool" else {"label": index[str(row.label)]}
            yield str(row.split), {"date": row.date, "asset": row.asset, "x": row.x} | label

    labelled = frame[frame["split"] != "pool"]
    counts = {str(split): int(n) for split, n in frame["split"].value_counts().sort_index().items()}
    sizes = labelled.groupby(["label", "split"]).size().to_dict()
    classes = {label: {split: int(sizes.get((label, split), 0)) for split in ("train", "test")} for label in LABELS}
    if sum(of["train"] > 0 for of in classes.values()) < 2:
        raise UserError(
            in_words(
                f"{path}: its first labelled days have one state only; choose other dates by --start and --end", period
            )
        )
    doubts = doubts_about(found.prices)
    first = labelled.drop_duplicates("label")
    return NewDomain(
        family="market",
        kind=f"prices, {found.layout}",
        file=path.name,
        sha256=sha256_of(path),
        columns=found.columns,
        labels=LABELS,
        counts=counts,
        classes=classes,
        examples=tuple({"label": str(row.label), "example": f"{row.asset} {row.date}"} for row in first.itertuples()),
        warnings=(*found.warnings, *period_warnings(found.prices.index), *doubts_in_words(doubts)),
        rule=in_words(SPLITS[options.role], period),
        division={"by": "time", "seed": 0, "window": [window.start, window.end]},
        rows=rows,
        notes={"label_rule": in_words(RULE, period), "assets": list(market.assets)}
        | ({} if period == "day" else {"period": period})
        | {key: list(lines) for key in ("inferred", "not_used") if (lines := getattr(found, key))}
        | ({"price_options": kept} if (kept := options.prices.to_keep()) else {})
        | ({"price_doubts": [vars(doubt) for doubt in doubts]} if doubts else {}),
        role=options.role,
    )


def check_length(found: PriceTable, period: Period) -> None:
    """Raise UserError if there are fewer rows than the rules count, in periods that are no days."""
    rows = len(found.prices)
    if period != "day" and rows <= WARM_UP:
        raise UserError(
            f"{rows} {period}ly prices, and rules count {period}s: features look back {WARM_UP}; give daily prices, or "
            f"more {period}s"
        )


def choose_window(market: Market, options: AddOptions) -> Window:
    """Return the window that the options name, by default the latest year of dates that have features."""
    for option, value in (("start", options.start), ("end", options.end)):
        if value is not None and not is_day(value):
            raise UserError(f"--{option} {value!r} is not a date; write YYYY-MM-DD")
    days = market.dates
    if options.end is not None:
        days = days[days <= pd.Timestamp(options.end)]
    days = days[-YEAR:] if options.start is None else days[days >= pd.Timestamp(options.start)]
    if not len(days):
        raise UserError(
            f"no date between --start and --end has features; choose between {market.dates[0]:%Y-%m-%d} and "
            f"{market.dates[-1]:%Y-%m-%d}"
        )
    return Window("window", "the user's", f"{days[0]:%Y-%m-%d}", f"{days[-1]:%Y-%m-%d}", options.role)


def is_day(text: str) -> bool:
    """Return whether a text is an ISO date."""
    try:
        date.fromisoformat(text.strip())
    except ValueError:
        return False
    return True
