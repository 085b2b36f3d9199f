"""Read prices as people write them: with commas or points, parted thousands, and signs of a currency."""

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from domains.errors import UserError
from domains.reading.cells import MISSING
from domains.words import some

#: Texts that stand for no price, in lower case; so does a cell without a letter or a digit.
NO_PRICE = MISSING | {"none", "#n/a", "#n/a n/a", "nd", "n/d", "n.a.", "n.d.", "#value!"}

#: Letters after a number that make it another: thousands, millions, shares of a hundred.
MAGNITUDES = {"k", "m", "b", "t", "bn", "mn", "mm", "tn", "mio", "mrd", "mld", "mln", "cr", "x", "%", "e"}

_NUMBER = r"[+−-]?(?:\d(?:[\d.,'’\s]*\d)?[.,]?|[.,]\d+)(?:[eE][+-]?\d+)?"
CELL = re.compile(rf"(?P<minus>[+−-]?)(?P<before>[^\d+.,()−-]*?)\s*(?P<number>{_NUMBER})\s*(?P<after>[^\d()]*)")
GROUPED = re.compile(r"([+-]?\d{1,3})((?:[\s'’]\d{3})+)(?![\d'’])(.*)")
PLAIN = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?")

APART = 3.0  # in logarithms: by so much more a wrong reading jumps than the right one
HEAD = 2000  # cells that show how numbers are written


@dataclass(frozen=True)
class Signs:
    """What cells say about a point or a comma: that it stands before decimals, parts thousands, or may do either."""

    decimal: frozenset[str] = frozenset()
    thousands: frozenset[str] = frozenset()
    either: frozenset[str] = frozenset()

    def __or__(self, other: "Signs") -> "Signs":
        return Signs(self.decimal | other.decimal, self.thousands | other.thousands, self.either | other.either)

    @property
    def sign(self) -> str | None:
        """What stands before decimals, if anything tells; None also where cells contradict each other."""
        commas, points = "," in self.decimal or "." in self.thousands, "." in self.decimal or "," in self.thousands
        return None if commas == points else "," if commas else "."

    @property
    def contradict(self) -> bool:
        return ("," in self.decimal or "." in self.thousands) and ("." in self.decimal or "," in self.thousands)


def is_missing(cells: "pd.Series[str]") -> "pd.Series[bool]":
    """Return which cells hold no price."""
    texts = cells.str.strip()
    return texts.str.lower().isin(NO_PRICE) | texts.str.fullmatch(r"[^\w]*")


def number_share(cells: "pd.Series[str]") -> float:
    """Return which share of the cells that hold something are numbers, with or without the sign of one currency."""
    texts = cells[~is_missing(cells)].str.strip()
    if not len(texts):
        return 0.0
    bare, _ = bare_numbers(texts.iloc[:HEAD])
    return float(bare.notna().mean())


def bare_numbers(texts: "pd.Series[str]") -> tuple["pd.Series[str]", tuple[str, ...]]:
    """Return texts without signs of currencies and spaces, None where one is no number, and the signs there are."""
    plain = texts.str.fullmatch(PLAIN)
    if plain.all():
        return texts.astype(object), ()
    odd = texts[~plain].str.extract(re.compile(f"^{CELL.pattern}$"))
    sign = (odd["before"].fillna("") + " " + odd["after"].fillna("")).str.strip()
    number = odd["minus"].fillna("").str.cat(odd["number"]).str.replace("−", "-")
    bad = sign.map(is_magnitude) | odd["number"].isna()
    number = number.map(without_groups, na_action="ignore").mask(bad, None)
    bare = texts.astype(object).copy()
    bare[~plain] = number.astype(object).where(number.notna(), None)
    return bare, tuple(sorted({text for text, is_bad in zip(sign, bad, strict=True) if text and not is_bad}))


def is_magnitude(sign: str) -> bool:
    """Return whether what stands beside a number is more than the sign or the code of a currency."""
    letters = "".join(c for c in sign if unicodedata.category(c) != "Sc" and c not in " .*").lower()
    return letters in MAGNITUDES or len(letters) > 4 or not all(c.isalpha() for c in letters)


def without_groups(number: str) -> str:
    """Return a number without the spaces or apostrophes that part its thousands."""
    found = GROUPED.fullmatch(number)
    return number if found is None else found[1] + re.sub(r"[\s'’]", "", found[2]) + found[3]


def signs_of(numbers: Iterable[str]) -> Signs:
    """Return what bare numbers say about points and commas."""
    decimal, thousands, either = set[str](), set[str](), set[str]()
    for number in numbers:
        digits = re.split("[eE]", number.lstrip("+-"))[0]
        if "," in digits and "." in digits:
            last = max(",.", key=digits.rfind)
            decimal.add(last)
            thousands.add("." if last == "," else ",")
            continue
        for sign in ",.":
            if sign not in digits:
                continue
            before, after = digits.split(sign)[0], digits.split(sign)[-1]
            if digits.count(sign) > 1:
                thousands.add(sign)
            elif len(after) != 3 or not 1 <= len(before) <= 3 or before.startswith("0"):
                decimal.add(sign)
            else:
                either.add(sign)
    return Signs(frozenset(decimal), frozenset(thousands), frozenset(either))


def signs_of_cells(cells: "pd.Series[str]") -> Signs:
    """Return what the cells of a column say, where they are numbers of any kind."""
    texts = cells[~is_missing(cells)].str.strip().drop_duplicates()
    numbers = texts.str.extract(re.compile(f"^{CELL.pattern}$"))["number"].dropna()
    return signs_of(numbers.map(without_groups))


def to_numbers(bare: "pd.Series[str]", sign: str) -> "pd.Series[float]":
    """Return numbers by what stands before decimals; NaN where thousands are not parted by threes or twos and three."""
    other = re.escape("." if sign == "," else ",")
    whole = rf"(?:\d*|\d{{1,3}}(?:{other}\d{{2,3}})*{other}\d{{3}})"
    shape = rf"[+-]?{whole}(?:{re.escape(sign)}\d*)?(?:[eE][+-]?\d+)?"
    texts = bare.where(bare.fillna("").str.fullmatch(shape))
    texts = texts.str.replace("." if sign == "," else ",", "", regex=False).str.replace(sign, ".", regex=False)
    return pd.to_numeric(texts, errors="coerce").astype("float64")


def read_numbers(
    prices: pd.DataFrame, others: Signs, european: bool, decimal: str | None, where: str
) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Return prices [dates, assets] in order of date as numbers, and what was inferred.

    A point or a comma is read by what the cells of all prices say, else by what the other columns of the file say,
    else by which reading makes the prices go on and not jump by a factor of twenty. A cell with letters stays as it is.

    Args:
        prices: cells as texts, or as numbers where the file has types.
        others: what the other columns of the file say.
        european: whether the file is otherwise one of decimal commas, so that a point may part thousands.
        decimal: what the user says.

    Raises:
        UserError: a point or a comma may be either, cells contradict each other, or an asset is in two currencies.
    """
    columns, currencies = dict[object, "pd.Series[str]"](), dict[object, tuple[str, ...]]()
    for asset in prices.columns:
        texts = prices[asset].astype(str).str.strip()
        columns[asset], currencies[asset] = bare_numbers(texts)
        if len(currencies[asset]) > 1:
            raise UserError(
                f"{where}: prices of {asset} are in several currencies ({some(list(map(repr, currencies[asset])))}); "
                "give them in one"
            )
    signs = Signs()
    for bare in columns.values():
        signs |= signs_of(bare.dropna().drop_duplicates())
    sign = decimal or settle_sign(signs, others, columns, european, where)
    read, inferred = dict[object, "pd.Series[Any]"](), list[str]()
    for asset in prices.columns:
        bare = columns[asset]
        numbers = to_numbers(bare, sign)
        wrong = bare.notna() & numbers.isna()
        if wrong.any():
            at = int(wrong.to_numpy().argmax())
            raise UserError(
                f"{where}: {asset} on {prices.index[at]:%Y-%m-%d} is {prices[asset].iloc[at]!r}, which is not a number "
                f"where {sign} stands before decimals; correct that cell" + ("" if decimal else ", or say --decimal")
            )
        read[asset] = numbers.astype(object).where(numbers.notna(), prices[asset])
    parting = "." if sign == "," else ","
    if parting in signs.thousands or (parting in signs.either):
        inferred.append(f"{parting} parts thousands")
    if sign == "," and "," in signs.decimal | signs.either:
        inferred.append(", stands before decimals")
    if said := sorted({text for texts in currencies.values() for text in texts}):
        inferred.append(f"beside prices stands {some(list(map(repr, said)))}: left out")
    return pd.DataFrame(read, prices.index), tuple(inferred)


def settle_sign(
    signs: Signs, others: Signs, columns: "dict[object, pd.Series[str]]", european: bool, where: str
) -> str:
    """Return what stands before decimals."""
    if signs.contradict:
        shown = {sign: example(columns, sign) for sign in ",." if sign in signs.decimal | signs.thousands}
        raise UserError(
            f"{where}: {' and '.join(map(repr, shown.values()))} contradict each other on what stands before "
            "decimals; write all prices with a point, or say --decimal , or --decimal ."
        )
    if found := signs.sign:
        return found
    if not signs.either:
        return "."
    if found := None if others.contradict else others.sign:
        return found
    jumps = {sign: largest_jump(columns, sign) for sign in ",."}
    best, worst = sorted(jumps, key=lambda sign: jumps[sign])
    if jumps[worst] > jumps[best] + APART:
        return best
    if signs.either == {"."} and not european:
        return "."
    cell = repr(example(columns, min(signs.either)))
    raise UserError(
        f"{where}: {cell} may be a thousand and more, or one and decimals; write prices with a point and no other "
        "sign, or say --decimal , or --decimal ."
    )


def largest_jump(columns: "dict[object, pd.Series[str]]", sign: str) -> float:
    """Return the largest absolute log return under a reading; infinite where a number cannot be read so."""
    largest = 0.0
    for bare in columns.values():
        known = bare.dropna()
        numbers = to_numbers(known, sign).to_numpy()
        if np.isnan(numbers).any():
            return np.inf
        moves = np.abs(np.diff(np.log(numbers[numbers > 0])))
        largest = max(largest, float(moves.max(initial=0.0)))
    return largest


def example(columns: "dict[object, pd.Series[str]]", sign: str) -> str:
    """Return the first number that holds a sign."""
    return next(text for bare in columns.values() for text in bare.dropna() if sign in text)
