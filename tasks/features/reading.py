"""Whether an encoder can read the texts of a domain: how its tokenizer takes their words apart."""

from collections.abc import Sequence
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

from tasks.base.settings import Settings
from tasks.features.encoders import weights
from tasks.features.spec import EncoderSpec

SAMPLE, LETTERS = 300, 2000  # texts that are looked at, and letters of each
MOST_UNKNOWN = 0.1  # share of word pieces that stand for what the tokenizer does not know
LEAST_WHOLE = 0.6  # share of words that are one piece: 0.7 and more of English, also medical; 0.4 to 0.5 of German


def readable(
    settings: Settings, encoders: Sequence[EncoderSpec], examples: Sequence[Any]
) -> tuple[tuple[EncoderSpec, ...], list[str]]:
    """Return the encoders that can read a domain's examples, and a line about each of the others.

    Where none can, all are kept.
    """
    if len(encoders) < 2 or not examples or not isinstance(examples[0], str):
        return tuple(encoders), []
    step = max(1, len(examples) // SAMPLE)
    sample = [text[:LETTERS] for text in examples[::step]]
    found, doubts = [], []
    for spec in encoders:
        doubt = reading_doubt(weights(settings, spec), sample)
        if doubt is None:
            found.append(spec)
        else:
            doubts.append(f"encoder {spec.identity} is not used: it cannot read these texts ({doubt})")
    return (tuple(found), doubts) if found else (tuple(encoders), [])


def reading_doubt(folder: Path, texts: Sequence[str]) -> str | None:
    """Return in words why the tokenizer in a folder is not made for texts; None: it is, or has no file to tell by."""
    file = folder / "tokenizer.json"
    if not file.exists():
        return None
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(file))
    tokenizer.no_truncation()
    tokenizer.no_padding()
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
