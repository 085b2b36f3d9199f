"""Read the days of prices: dates in any order, stamps with times and time zones, and seconds since 1970."""

import re
import unicodedata
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from domains.errors import UserError
from domains.reading.price_options import ORDERS, PriceOptions, zone_named

ENOUGH = 0.9  # of the cells of a column of dates are dates
FEW = 10  # stamps tell no pattern of week days
QUARTER = 15  # minutes; zones differ by so many, so that other times are midnight in none
NEAR = 10  # days; no two dates of a daily file are further apart

_TIME = r"(?P<time>\d{1,2}:\d{2}(?::\d{2}(?:[.,]\d+)?)?(?:\s?[AaPp]\.?[Mm]\.?)?)"
_ZONE = r"(?P<zone>Z|(?:UTC|GMT)?\s?[+-]\d{1,2}:?(?:\d{2})?|[A-Z]{2,5})(?:\s?[\[(][^\])]*[\])])?"
_TAIL = rf"(?:(?:T|,?\s+){_TIME}(?:\s?{_ZONE})?)?"
_MONTH = r"(?P<month>[^\W\d_]{3,12})"
_WEEKDAY = r"(?:[^\W\d_]{2,10}\.?,?\s+)?"

#: How days are written. Parts: y, m and d; or a, b and c in an order that the column tells.
PATTERNS = tuple(
    re.compile(pattern + _TAIL)
    for pattern in (
        r"(?P<y>\d{4})\s?[-/. 年년]\s?(?P<m>\d{1,2})\s?[-/. 月월]\s?(?P<d>\d{1,2})\s?[日일]?",
        r"(?P<y>(?:19|20)\d{2})(?P<m>\d{2})(?P<d>\d{2})",
        r"(?P<a>\d{1,2})[-/. ](?P<b>\d{1,2})[-/. ](?P<c>\d{4}|\d{2})",
        rf"{_WEEKDAY}{_MONTH}\.?[ -](?P<d>\d{{1,2}})(?:st|nd|rd|th)?,?[ -](?P<y>\d{{4}})",
        rf"{_WEEKDAY}(?P<d>\d{{1,2}})(?:\.|st|nd|rd|th)?[ /-]?{_MONTH}\.?,?[ /-]?(?P<y>\d{{4}}|\d{{2}})",
        r"(?P<y>\d{4})-(?P<m>\d{2})",
    )
)

#: Months by how their names begin, without accents, in English and the languages of the larger exchanges.
MONTHS = (
    ("jan", "ene", "gen", "sty"),
    ("feb", "fev", "lut"),
    ("mar", "mrz", "maer", "maa"),
    ("apr", "avr", "abr", "kwi"),
    ("may", "mai", "mag", "maj", "mei"),
    ("jun", "juin", "giu", "cze"),
    ("jul", "juil", "lug", "lip"),
    ("aug", "aou", "ago", "sie"),
    ("sep", "set", "wrz"),
    ("oct", "okt", "ott", "out", "paz"),
    ("nov", "lis"),
    ("dec", "dez", "dic", "gru"),
)

#: Whole numbers that are a time since 1970: digits, and how many make a second.
EPOCHS = {10: 1, 13: 10**3, 16: 10**6, 19: 10**9}

#: The day 0 of spreadsheets; a date there has five digits, and those before 1954 are too like other numbers.
SERIAL_ZERO, SERIAL_FROM = pd.Timestamp(1899, 12, 30), 20000


@dataclass(frozen=True)
class Stamps:
    """What cells say as it is written, before it is settled which day that is.

    Attributes:
        parts: y, m, d, or a, b, c, of each cell; NaN where it is no date.
        minutes: after midnight, NaN where no time is written.
        offset: minutes east of UTC, NaN where no zone is written.
    """

    parts: pd.DataFrame
    minutes: np.ndarray
    offset: np.ndarray


@dataclass(frozen=True)
class Days:
    """The days of the cells, NaT where a cell is no date, and what was inferred."""

    days: "pd.Series[pd.Timestamp]"
    inferred: tuple[str, ...] = field(default=())


def are_dates(cells: "pd.Series[str]") -> "pd.Series[bool]":
    """Return which cells are written as dates, or as times since 1970."""
    texts = cells.str.strip()
    found = are_epochs(texts)
    for pattern in PATTERNS:
        found |= texts.str.fullmatch(pattern).astype(bool)
    return found


def are_epochs(texts: "pd.Series[str]") -> "pd.Series[bool]":
    """Return which texts are times since 1970, between 1975 and 2100."""
    plain = texts.str.removesuffix(".0")
    seconds = seconds_since_1970(plain.where(plain.str.fullmatch(r"\d{10}|\d{13}|\d{16}|\d{19}").astype(bool)))
    return (seconds > 1.5e8) & (seconds < 4.1e9)


def serial_days(cells: "pd.Series[str]") -> "pd.Series[pd.Timestamp] | None":
    """Return the days of cells that count them as spreadsheets do, NaT for other cells; None where few are Mondays to
    Fridays of the past.
    """
    texts = cells.str.strip().str.removesuffix(".0")
    numbers = texts.where(texts.str.fullmatch(r"\d{5}").astype(bool)).astype("float64")
    days = SERIAL_ZERO + pd.to_timedelta(numbers.where(numbers >= SERIAL_FROM), unit="D")
    known = days[days <= pd.Timestamp.now()]
    usual = len(known) >= ENOUGH * len(cells) and known.nunique() >= FEW and is_working_week(known)
    return days if usual else None


def seconds_since_1970(texts: "pd.Series[str]") -> "pd.Series[float]":
    """Return seconds of whole numbers by how many digits they have."""
    return texts.astype("float64") / texts.str.len().map(EPOCHS).astype("float64")


def read_days(cells: "pd.Series[str]", options: PriceOptions, where: str) -> Days:
    """Return the day of every cell; a question where two readings are plausible.

    Args:
        where: file and column, for messages.

    Raises:
        UserError: nothing tells day from month, or at which exchange the stamps are to be days.
    """
    codes, values = pd.factorize(cells.str.strip())
    unique = pd.Series(values, dtype=object)
    stamps = parse_stamps(unique)
    local, order = settle_order(stamps.parts, unique, options, where)
    days, zone = settle_day(local, stamps, unique, options, where)
    return Days(pd.Series(days.to_numpy()[codes], cells.index), (*order, *zone))


def parse_stamps(texts: "pd.Series[str]") -> Stamps:
    """Take texts apart by the pattern that most of them have."""
    filled = texts[texts != ""]
    shares = [float(filled.str.fullmatch(pattern).mean()) if len(filled) else 0.0 for pattern in PATTERNS]
    epochs = are_epochs(texts)
    if epochs.sum() > max(shares) * len(filled):
        seconds = seconds_since_1970(texts.str.removesuffix(".0").where(epochs))
        moments = pd.to_datetime(seconds.round(), unit="s", errors="coerce")
        parts = pd.DataFrame({"y": moments.dt.year, "m": moments.dt.month, "d": moments.dt.day})
        minutes = (moments.dt.hour * 60 + moments.dt.minute).to_numpy(float)
        return Stamps(parts, minutes, np.zeros(len(texts)))
    pattern = PATTERNS[int(np.argmax(shares))]
    found = texts.str.extract(re.compile(f"^{pattern.pattern}$"))
    if "month" in found:
        found["m"] = found.pop("month").map(month_number)
    if "d" not in found and "a" not in found:
        found["d"] = "1"
    names = ["a", "b", "c"] if "a" in found else ["y", "m", "d"]
    parts = found[names].apply(pd.to_numeric, errors="coerce").astype("float64")
    if "y" in parts:
        parts["y"] = whole_year(parts["y"])
    return Stamps(parts, found["time"].map(minutes_of).to_numpy(float), found["zone"].map(offset_of).to_numpy(float))


def month_number(name: object) -> float:
    """Return the number of a month by its name, NaN for another word."""
    if not isinstance(name, str):
        return np.nan
    plain = "".join(c for c in unicodedata.normalize("NFKD", name.lower()) if not unicodedata.combining(c))
    return next((float(i) for i, starts in enumerate(MONTHS, 1) if plain.startswith(starts)), np.nan)


def minutes_of(time: object) -> float:
    """Return the minutes after midnight of a time, NaN for none."""
    if not isinstance(time, str):
        return np.nan
    hours, minutes = map(int, re.findall(r"\d+", time)[:2])
    half = re.search(r"[AaPp]", time)
    if half:
        hours = hours % 12 + 12 * (half.group().lower() == "p")
    return 60.0 * hours + minutes


def offset_of(zone: object) -> float:
    """Return the minutes that a zone lies east of UTC; NaN where it is not written, or by letters only."""
    if not isinstance(zone, str):
        return np.nan
    if zone in ("Z", "UTC", "GMT"):
        return 0.0
    found = re.search(r"([+-])(\d{1,2}):?(\d{2})?$", zone)
    return np.nan if found is None else float(found[1] + "1") * (60 * int(found[2]) + int(found[3] or 0))


def whole_year(years: "pd.Series[float]") -> "pd.Series[float]":
    """Return years of two digits in this century, or in the last where that is more than a year ahead."""
    latest = pd.Timestamp.now().year + 1 - 2000
    return years.where(years >= 100, years + np.where(years > latest, 1900, 2000))


def settle_order(
    parts: pd.DataFrame, texts: "pd.Series[str]", options: PriceOptions, where: str
) -> tuple["pd.Series[pd.Timestamp]", tuple[str, ...]]:
    """Return dates of parts, by the order of day and month that all cells allow, and what was inferred.

    Raises:
        UserError: cells allow more than one order, or contradict each other.
    """
    if "a" not in parts:
        return dates_of_parts(parts), ()
    known = parts.notna().all(axis=1)
    readings = {
        order: dates_of_parts(parts.set_axis(list(order), axis=1).assign(y=lambda p: whole_year(p["y"])))
        for order in ORDERS
    }
    if (parts["c"] >= 32).any():
        readings.pop("ymd")
    valid = {order: days for order, days in readings.items() if days[known].notna().all()}
    if options.date_order is not None:
        if options.date_order not in valid:
            bad = readings.get(options.date_order)
            at = int((known & (bad.isna() if bad is not None else True)).to_numpy().argmax())
            raise UserError(f"{where}: {texts[at]!r} is not a date by --date-order {options.date_order}; leave it out")
        return valid[options.date_order], ()
    if len(valid) > 1 and "ymd" in readings:  # a year of two digits: the readings that make a daily series
        valid = {order: days for order, days in valid.items() if is_daily(days)} or valid
    if len(valid) > 1 and all(days.equals(next(iter(valid.values()))) for days in valid.values()):
        return next(iter(valid.values())), ()
    if len(valid) == 1:
        (order, days), *_ = valid.items()
        names = {"d": "day", "m": "month", "y": "year"}
        return days, (
            f"dates are {', '.join(names[c] for c in order)}: {texts[int(known.argmax())]!r} is "
            f"{days[int(known.argmax())]:%Y-%m-%d}",
        )
    if valid:
        first, *others = valid.values()
        at = int((known & (first != others[0])).to_numpy().argmax())
        readable = " or ".join(f"{days[at]:%Y-%m-%d}" for days in valid.values())
        raise UserError(
            f"{where}: {texts[at]!r} is {readable}, and no other date tells day from month; write YYYY-MM-DD, or say "
            f"--date-order {' or '.join(valid)}"
        )
    no_day = {order: texts[int((known & days.isna()).to_numpy().argmax())] for order, days in readings.items()}
    raise UserError(
        f"{where}: {no_day['dmy']!r} has no day first and {no_day['mdy']!r} no month first; write all as YYYY-MM-DD"
    )


def dates_of_parts(parts: pd.DataFrame) -> "pd.Series[pd.Timestamp]":
    """Return dates of y, m and d; NaT where there is no such day."""
    names = parts[["y", "m", "d"]].set_axis(["year", "month", "day"], axis=1)
    good = names.notna().all(axis=1)
    days = pd.Series(pd.NaT, parts.index, dtype="datetime64[ns]")
    days[good] = pd.to_datetime(names[good].astype(int), errors="coerce").astype("datetime64[ns]")
    return days


def is_daily(days: "pd.Series[pd.Timestamp]") -> bool:
    """Return whether days follow each other as in a daily file, and none is yet to come."""
    ordered = days.dropna().drop_duplicates().sort_values()
    steps = ordered.diff().dropna().dt.days
    return bool(len(ordered)) and ordered.iloc[-1] <= pd.Timestamp.now() and bool((steps <= NEAR).all())


def settle_day(
    local: "pd.Series[pd.Timestamp]", stamps: Stamps, texts: "pd.Series[str]", options: PriceOptions, where: str
) -> tuple["pd.Series[pd.Timestamp]", tuple[str, ...]]:
    """Return the day at the exchange of each stamp, and what was inferred.

    That is the day as it is written, where times are midnight or the days are Monday to Friday. Stamps that are Monday
    to Friday on the day before or after only are midnight, or the close, of another time zone.

    Raises:
        UserError: the stamps have times, and their days fit a week by no reading.
    """
    if options.time_zone is not None:
        if np.isnan(stamps.offset[local.notna()]).any():
            at = int((local.notna() & np.isnan(stamps.offset)).to_numpy().argmax())
            raise UserError(
                f"{where}: {texts[at]!r} has no offset from UTC, so --time-zone means nothing; leave it out"
            )
        minutes = pd.to_timedelta(np.nan_to_num(stamps.minutes) - stamps.offset, unit="m")
        utc = (local + pd.Series(minutes, local.index)).dt.tz_localize("UTC")
        days = utc.dt.tz_convert(zone_named(options.time_zone)).dt.tz_localize(None).dt.normalize()
        return days, (f"days are those in {options.time_zone}",)
    timed = np.nan_to_num(stamps.minutes) > 0
    known = local.dropna()
    if not timed.any() or is_working_week(known):
        return local, ()
    zoned = bool(np.isfinite(stamps.offset).any())
    at = int(np.argmax(timed))
    if len(known) >= FEW:
        for shift, words in ((1, "midnight of a time zone further east"), (-1, "the evening before, further west")):
            moved = local + pd.Timedelta(days=shift)
            late = stamps.minutes[timed].min() >= 12 * 60 if shift > 0 else stamps.minutes[timed].max() < 12 * 60
            if late and zoned and is_working_week(moved.dropna()):
                return moved, (
                    f"times are {words}, by their week days: {texts[at]!r} is {moved[at]:%Y-%m-%d} (--time-zone says "
                    "otherwise)",
                )
    if not zoned and not is_shifted_week(known):
        return local, ()
    if len(known) < FEW or (stamps.minutes[timed] % QUARTER).all():
        return local, ()
    ask = "write the day at the exchange, YYYY-MM-DD"
    ask += ", or say --time-zone, such as UTC or Europe/Berlin" if zoned else ""
    raise UserError(f"{where}: {texts[at]!r} has a time, and may be the day before or after at the exchange; {ask}")


def is_working_week(days: "pd.Series[pd.Timestamp]") -> bool:
    """Return whether days are Monday to Friday, with both of these among them."""
    share = days.dt.weekday.value_counts(normalize=True)
    weekend = share.get(5, 0.0) + share.get(6, 0.0)
    return bool(weekend < 0.01 and min(share.get(0, 0.0), share.get(4, 0.0)) > 0.1)


def is_shifted_week(days: "pd.Series[pd.Timestamp]") -> bool:
    """Return whether days are five of a week, but not Monday to Friday."""
    share = days.dt.weekday.value_counts(normalize=True)
    return bool((share > 0.1).sum() == 5 and not is_working_week(days))
