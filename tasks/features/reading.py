"""Whether an encoder can read the texts of a domain: how its tokenizer takes them apart, and how long they are."""

from collections.abc import Sequence
from functools import lru_cache
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

from tasks.base.settings import Settings
from tasks.features.encoders import BUILT_IN, LONG, WINDOWS, weights
from tasks.features.spec import EncoderSpec

SAMPLE, LETTERS = 300, 2000  # texts that are looked at, and letters of each
MOST_UNKNOWN = 0.1  # share of word pieces that stand for what the tokenizer does not know
LEAST_WHOLE = 0.6  # share of words that are one piece: 0.7 and more of English, also medical; 0.4 to 0.5 of German
MOSTLY_LONG = 0.5  # share of texts twice as long as what an encoder reads, from which on they are read in windows too
SOME_LONG = 0.1  # share of texts that are longer, from which on it is said


def readable(
    settings: Settings, encoders: Sequence[EncoderSpec], examples: Sequence[Any]
) -> tuple[tuple[EncoderSpec, ...], list[str]]:
    """Return the encoders that can read a domain's examples, and a line about each of the others, and about long texts.

    Where none can, all are kept. Where most texts are long, what reads them in windows joins the usual encoders.
    """
    if not examples or not isinstance(examples[0], str):
        return tuple(encoders), []
    sample = list(examples[:: max(1, len(examples) // SAMPLE)])
    chosen, doubts = _those_that_know(settings, encoders, [text[:LETTERS] for text in sample])
    first = chosen[0]
    if first.tokens is None:
        return chosen, doubts
    lengths = word_pieces(weights(settings, first), [text[: LETTERS * WINDOWS] for text in sample])
    longer = sum(length > first.tokens for length in lengths) / len(sample)
    if longer < SOME_LONG:
        return chosen, doubts
    said = f"{longer:.0%} of the texts are longer than the {first.tokens} word pieces that {first.identity} reads"
    twice = sum(length > 2 * first.tokens for length in lengths) / len(sample)
    name = next((name for name, spec in BUILT_IN["text"].items() if spec == first and name in LONG), None)
    if twice < MOSTLY_LONG or name is None or tuple(encoders) != tuple(BUILT_IN["text"].values()):
        return chosen, [*doubts, f"{said}; their words are read to the end"]
    return (*chosen, LONG[name]), [*doubts, f"{said}: they are read in windows too"]


def _those_that_know(
    settings: Settings, encoders: Sequence[EncoderSpec], sample: Sequence[str]
) -> tuple[tuple[EncoderSpec, ...], list[str]]:
    """Return the encoders that know the words of texts, or all where none does, and a line about each of the others."""
    if len(encoders) < 2:
        return tuple(encoders), []
    found, doubts = [], []
    for spec in encoders:
        doubt = reading_doubt(weights(settings, spec), sample)
        if doubt is None:
            found.append(spec)
        else:
            doubts.append(f"encoder {spec.identity} is not used: it cannot read these texts ({doubt})")
    return (tuple(found), doubts) if found else (tuple(encoders), [])


def word_pieces(folder: Path, texts: Sequence[str]) -> list[int]:
    """Return how many word pieces texts have, by the tokenizer in a folder; [] where it has no file."""
    tokenizer = _tokenizer(folder)
    return [] if tokenizer is None else [len(each.ids) for each in tokenizer.encode_batch(list(texts))]


@lru_cache(maxsize=2)  # it is asked twice, and one of 250,000 pieces takes seconds to load
def _tokenizer(folder: Path) -> Any:
    """Return the tokenizer in a folder, which cuts nothing; None where it has no file."""
    file = folder / "tokenizer.json"
    if not file.exists():
        return None
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(file))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def reading_doubt(folder: Path, texts: Sequence[str]) -> str | None:
    """Return in words why the tokenizer in a folder is not made for texts; None: it is, or has no file to tell by."""
    tokenizer = _tokenizer(folder)
    if tokenizer is None:
        return None
    marks_words = type(tokenizer.model).__name__ == "WordPiece"  # others know no words, or all letters
    unknown = pieces = whole = words = 0
    for encoding in tokenizer.encode_batch(list(texts), add_special_tokens=False):
        pieces += len(encoding.tokens)
        unknown += sum(token == "[UNK]" for token in encoding.tokens)
        places = zip(encoding.word_ids, encoding.tokens, strict=True)
        for word, parts in groupby(places, key=itemgetter(0)):
            first, *rest = (token for _, token in parts)
            if marks_words and word is not None and first[:1].isalpha():
                words, whole = words + 1, whole + (not rest)
    if unknown > MOST_UNKNOWN * pieces:
        return f"{unknown / pieces:.0%} of their word pieces are unknown to it"
    if words and whole < LEAST_WHOLE * words:
        return f"{1 - whole / words:.0%} of their words fall to pieces"
    return None
