"""What a cell holds, as a text or as an image."""

import math
import re
from datetime import date, datetime
from decimal import Decimal
from typing import Any

#: Texts by which tables say that a cell holds nothing, in lower case.
MISSING = frozenset({"", "nan", "na", "n/a", "<na>", "null"})

#: A Chinese or Japanese character, which no space sets apart.
IDEOGRAPH = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]")
LETTER = re.compile(r"[^\W\d_]")


def count_words(text: str) -> int:
    """Return how many words with a letter a text has; a Chinese or Japanese character is one."""
    return max(len(IDEOGRAPH.findall(text)), sum(LETTER.search(word) is not None for word in text.split()))


def as_text(value: Any) -> str | None:
    """Return a cell as text: a number as people write it (``1``, not ``1.0``), nothing or NaN as the empty text.

    Return None if the cell holds no single value (but a list, bytes or an object).
    """
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, float):
        return "" if math.isnan(value) else str(int(value)) if value.is_integer() else repr(value)
    if isinstance(value, bool | int | Decimal):
        return str(value)
    return value.isoformat() if isinstance(value, date | datetime) else None


def image_bytes(value: Any) -> bytes | None:
    """Return the bytes of a cell that holds an image, as ``datasets`` writes them or as they are; else None."""
    if isinstance(value, dict) and isinstance(value.get("bytes"), bytes):
        value = value["bytes"]
    return value if isinstance(value, bytes) else None
