"""Read texts: damage to their encoding, and the sketches and words by which near duplicates and leakage are found."""

import re
from collections.abc import Sequence

import numpy as np
import pandas as pd

from domains.checks.finding import Finding, Kind, short_value
from domains.checks.scan import Parts
from domains.same_example import content_keys

DAMAGED = Kind(
    "damaged-text",
    "warning",
    "a text in which characters were lost (U+FFFD) or read in the wrong encoding (`Ã©` for `é`)",
    "save the source as UTF-8 and add the domain again, or correct the text",
)
KINDS = (DAMAGED,)

#: UTF-8 that was read as Latin-1 or Windows-1252. Only what a right text hardly ever holds: two-byte characters after Â
#: or Ã that are no closing quote, dashes and quotes of three bytes, pictures of four, two Greek or Cyrillic letters.
AFTER = "\x80-\xbfŒœŠšŽžŸƒˆ˜–—‘’‚“”„†‡•…‰‹›€™"
MOJIBAKE = re.compile(
    f"\ufffd|[ÂÃ](?![»’”])[{AFTER}]|â[\x80€][{AFTER}]|ðŸ[{AFTER}]|(?:[ÎÏÐÑ][{AFTER}]){{2}}",
)

#: A word; a Chinese or Japanese character, which no space sets apart, is one by itself.
WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]|[^\W_]+")

#: Words in a row that make a shingle, and hash functions of a sketch.
SHINGLE, HASHES = 3, 64

_rng = np.random.default_rng(0)
FACTORS = _rng.integers(1, 2**63, (HASHES, 2), np.uint64) * np.uint64(2) + np.uint64(1)
PLACES = _rng.integers(1, 2**63, SHINGLE, np.uint64) * np.uint64(2) + np.uint64(1)


class Vocabulary(dict[str, int]):
    """Numbers of words, from 1 in the order in which they are met."""

    def __missing__(self, word: str) -> int:
        number = self[word] = len(self) + 1
        return number


class Texts:
    """Reads texts.

    Parts: ``key``, ``excerpt``, ``sketch`` uint32 [n, HASHES] (0 where there is no word), and ``words``, the sorted
    numbers of the distinct words of each text.
    """

    def __init__(self) -> None:
        self.vocabulary = Vocabulary()

    def look(self, frame: pd.DataFrame, file: str) -> tuple[Parts, list[Finding]]:
        """Return the parts of a batch, and where texts are damaged."""
        texts: list[str] = frame["text"].tolist()
        found = [
            Finding(DAMAGED, file, damage_excerpt(text, match), row)
            for row, text in zip(frame.index.tolist(), texts, strict=True)
            if not text.isascii() and (match := MOJIBAKE.search(text))
        ]
        numbers = [[self.vocabulary[word] for word in WORD.findall(text.lower())] for text in texts]
        words = np.empty(len(texts), object)
        words[:] = [np.unique(np.array(row, np.int32)) for row in numbers]
        parts = {
            "key": content_keys(texts),
            "excerpt": np.array([short_value(text) for text in texts], object),
            "sketch": sketches(numbers),
            "words": words,
        }
        return parts, found


def damage_excerpt(text: str, match: re.Match[str]) -> str:
    """Return the damage with the text around it."""
    return short_value(text[max(0, match.start() - 20) : match.end() + 20])


def sketches(numbers: Sequence[Sequence[int]]) -> np.ndarray:
    """Return MinHash sketches uint32 [n, HASHES] of the sets of shingles (Broder 1997).

    The share of equal numbers in two sketches estimates the Jaccard similarity of the texts' shingles. A text of fewer
    than SHINGLE words is one shingle.
    """
    padded = [list(row) + [0] * (SHINGLE - len(row)) for row in numbers]
    lengths = np.array([len(row) for row in padded])
    ends = lengths.cumsum()
    words = mix_bits(np.concatenate([np.array(row, np.uint64) for row in padded]))
    shingles = np.zeros(len(words) - SHINGLE + 1, np.uint64)
    for place, factor in enumerate(PLACES):
        shingles += words[place : place + len(shingles)] * factor
    inside = np.ones(len(words), bool)
    for back in range(1, SHINGLE):
        inside[ends - back] = False  # would begin in one text and end in the next
    shingles = mix_bits(shingles[inside[: len(shingles)]])
    starts = np.concatenate([[0], (lengths - SHINGLE + 1).cumsum()[:-1]])
    sketch = np.empty((len(padded), HASHES), np.uint32)
    for i, (factor, shift) in enumerate(FACTORS):
        sketch[:, i] = np.minimum.reduceat((shingles * factor + shift) >> np.uint64(32), starts)
    sketch[[not row for row in numbers]] = 0
    return sketch


def mix_bits(x: np.ndarray) -> np.ndarray:
    """Scatter uint64 numbers over all of their bits (the finaliser of splitmix64)."""
    x = x + np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(x ^ (x >> np.uint64(31)))
