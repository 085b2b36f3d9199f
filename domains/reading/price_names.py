"""What a column of prices is called: close or open, volume or indicator, and of which asset."""

import re
import unicodedata
from dataclasses import dataclass
from typing import Literal

Field = Literal["close", "open", "high", "low", "volume", "other"]

#: Words for the closing price, best first, and for what stands beside it, in the languages of exchanges and vendors.
#: They are a hint: where none fits, what is in the columns tells, or the user is asked.
CLOSES = (
    *("close", "closing", "closed", "adjclose", "closeprice", "closingprice", "schluss", "schlusskurs", "zamkniecie"),
    *(
        "cloture",
        "cierre",
        "chiusura",
        "fechamento",
        "slotkurs",
        "kapanis",
        "закрытие",
        "закр",
        "收盘",
        "收盘价",
        "收盤價",
    ),
    *(
        "終値",
        "종가",
        "settle",
        "settlement",
        "last",
        "lastprice",
        "ltp",
        "ultimo",
        "dernier",
        "letzter",
        "zuletzt",
        "price",
        "prices",
    ),
    *("preis", "prix", "prezzo", "precio", "kurs", "cena", "cours", "nav", "rate", "value", "px"),
)
OPENS = {
    *("open", "opening", "openprice", "eroffnung", "eroffnungskurs", "erster", "otwarcie", "ouverture", "apertura"),
    *("abertura", "откр", "открытие", "开盘", "开盘价", "開盤價", "始値", "시가"),
}
HIGHS = {
    *("high", "highest", "highprice", "hoch", "tageshoch", "hochst", "najwyzszy", "max", "haut", "alto", "maximo"),
    *("massimo", "maxima", "макс", "最高", "最高价", "最高價", "高値", "고가"),
}
LOWS = {
    *("low", "lowest", "lowprice", "tief", "tagestief", "tiefst", "najnizszy", "min", "bas", "bajo", "minimo"),
    *("minima", "мин", "最低", "最低价", "最低價", "安値", "저가"),
}
VOLUMES = {
    *("volume", "volumes", "vol", "volumen", "wolumen", "turnover", "umsatz", "obrot", "trades", "qty", "quantity"),
    *("tradecount", "stuck", "shares", "объем", "成交量", "出来高", "거래량"),
}
OTHERS = {
    *(
        "cap",
        "marketcap",
        "capitalization",
        "capitalisation",
        "dividend",
        "dividends",
        "split",
        "splits",
        "coefficient",
    ),
    *("interest", "openint", "oi", "change", "chg", "return", "returns", "gains", "pct", "percent", "ratio", "factor"),
    *("sma", "ema", "wma", "rsi", "macd", "atr", "adx", "obv", "vwap", "average", "mean", "bollinger", "stoch"),
    *(
        "prev",
        "previous",
        "time",
        "date",
        "unix",
        "timestamp",
        "unnamed",
        "index",
        "bid",
        "ask",
        "spread",
        "52w",
        "52wk",
    ),
}
ADJUSTED = {"adj", "adjusted", "adjclose", "bereinigt"}

#: Words that say of a column among assets that it is none of them, as its first word or its last.
NO_ASSET = {
    *("volume", "volumen", "wolumen", "turnover", "marketcap", "dividends", "splits", "openint"),
    *("sma", "ema", "rsi", "macd", "atr", "adx", "obv"),
}
KNOWN: dict[Field, set[str]] = {
    "close": {*CLOSES, *ADJUSTED},
    "open": OPENS,
    "high": HIGHS,
    "low": LOWS,
    "volume": VOLUMES,
    "other": OTHERS,
}
SURE = CLOSES.index("last")  # of the words for a close those before this one mean nothing else
WORD = re.compile(r"[^\W_]+")


@dataclass(frozen=True)
class ColumnName:
    """A name taken apart.

    Attributes:
        field: what it is called; None where no word tells.
        rank: of a close, by how sure the word is; 0 is best.
        asset: what else the name says.
        no_asset: whether among assets it is none.
    """

    field: Field | None
    rank: int
    adjusted: bool
    asset: str
    no_asset: bool


def plain(word: str) -> str:
    """Return a word in lower case without accents."""
    apart = unicodedata.normalize("NFKD", word.lower().replace("ł", "l").replace("ø", "o"))
    return unicodedata.normalize("NFC", "".join(c for c in apart if not "\u0300" <= c <= "\u036f"))


def take_apart(name: str) -> ColumnName:
    """Return what a name says by its words; a number before them, as in ``4. close``, says nothing.

    ``open price`` is an open, ``previous close`` and ``open interest`` are others, ``ACME close`` is of ACME.
    """
    found = list(WORD.finditer(name))
    found = found[1:] if len(found) > 1 and found[0].group().isdigit() else found
    words = [plain(word.group()).rstrip("0123456789") or word.group() for word in found]
    said = [field for field, known in KNOWN.items() if known & set(words)]
    if len(said) > 1 and "close" in said and not set(CLOSES[:SURE]) & set(words):
        said.remove("close")
    field: Field | None = None
    if said:
        field = said[0] if len(said) == 1 else "volume" if "volume" in said and "other" not in said else "other"
    used = set().union(*KNOWN.values()) if field else set()
    rest = [word for word, in_lower in zip(found, words, strict=True) if in_lower not in used]
    return ColumnName(
        field,
        min((CLOSES.index(word) for word in words if word in CLOSES), default=len(CLOSES)),
        bool(set(words) & ADJUSTED),
        name[rest[0].start() : rest[-1].end()] if rest else "",
        bool({*words[:1], *words[-1:]} & NO_ASSET) or {"market", "cap"} <= set(words),
    )
