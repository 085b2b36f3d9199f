"""What reads the examples of a domain: which encoders know its texts, and what joins them for long texts and images."""

import io
from collections.abc import Sequence
from functools import lru_cache
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

from PIL import Image

from domains.errors import UserError
from tasks.base.settings import Settings
from tasks.features.encoders import JOINING, WINDOWS, weights, weights_here
from tasks.features.spec import EncoderSpec

SAMPLE, LETTERS = 300, 2000  # texts that are looked at, and letters of each
MOST_UNKNOWN = 0.1  # share of word pieces that stand for what the tokenizer does not know
LEAST_WHOLE = 0.6  # share of words that are one piece: 0.7 and more of English, also medical; 0.4 to 0.5 of German
MOSTLY_LONG = 0.5  # share of texts twice as long as what an encoder reads, from which on they are read in windows too
SOME_LONG = 0.1  # share of texts that are longer, from which on it is said
LARGE = 192  # pixels of an image's longer side: where most images have so many, they are read at 224
MOST_TURNED = 5000  # images: what joins takes five to nine times the time of reading them once


def readable(
    settings: Settings,
    encoders: Sequence[EncoderSpec],
    examples: Sequence[Any],
    named: bool = False,
    images_join: bool = True,
) -> tuple[tuple[EncoderSpec, ...], list[str]]:
    """Return the encoders that can read a domain's examples, and a line about each of the others, and about long texts.

    Where none can, all are kept. Where most texts are long, what reads them in windows joins the usual encoders. Images
    are read in four orientations too, and at more pixels if most are large.

    Args:
        named: whether someone named the encoders, so that nothing joins them.
        images_join: whether a label has two examples, so that held-out ones tell what another reading of images is
            worth.
    """
    if not examples:
        return tuple(encoders), []
    if isinstance(examples[0], bytes):
        return (*encoders, *(_joining_images(examples) if images_join and not named else ())), []
    if not isinstance(examples[0], str):
        return tuple(encoders), []
    sample = list(examples[:: max(1, len(examples) // SAMPLE)])
    chosen, doubts = _those_that_know(settings, encoders, [text[:LETTERS] for text in sample])
    first = chosen[0]
    said, twice = describe_length(first, weights(settings, first), sample)
    if not said:
        return chosen, doubts
    if twice < MOSTLY_LONG or named:
        return chosen, [*doubts, f"{said}; their words are read to the end"]
    windows = next(spec for spec in JOINING["text"].values() if spec.of == first.identity)
    return (*chosen, windows), [*doubts, f"{said}: they are read in windows too"]


def describe_length(spec: EncoderSpec, folder: Path, texts: Sequence[str]) -> tuple[str, float]:
    """Return in words how many texts are longer than what an encoder reads, and the share of those twice as long.

    "" where few are, or where that is not known.
    """
    if spec.tokens is None:
        return "", 0.0
    lengths = word_pieces(folder, [text[: LETTERS * WINDOWS] for text in texts])
    longer, twice = (sum(length > times * spec.tokens for length in lengths) / len(texts) for times in (1, 2))
    said = f"{longer:.0%} of the texts are longer than the {spec.tokens} word pieces that {spec.identity} reads"
    return (said if longer >= SOME_LONG else ""), twice


def length_warnings(settings: Settings, encoders: Sequence[EncoderSpec], texts: Sequence[str]) -> list[str]:
    """Return the line about long texts, if there is one, without fetching an encoder: none before the first is here."""
    try:
        folder = weights_here(settings, encoders[0])
    except UserError:
        return []
    said, _ = describe_length(encoders[0], folder, texts)
    return [said] if said else []


def _joining_images(images: Sequence[bytes]) -> tuple[EncoderSpec, ...]:
    """Return what joins the usual encoder of images: on medical ones +5 points, on traffic signs and objects 0.

    Of one example a class nothing can be held out, and there it costs objects 3 points.
    """
    if len(images) > MOST_TURNED:
        return ()
    joining = JOINING["vision"]
    sample = images[:: max(1, len(images) // SAMPLE)]
    large = sum(max(Image.open(io.BytesIO(image)).size) >= LARGE for image in sample)
    found = (joining["efficientnet-turned"],)
    return (*found, joining["efficientnet-fine"]) if 2 * large > len(sample) else found


def _those_that_know(
    settings: Settings, encoders: Sequence[EncoderSpec], sample: Sequence[str]
) -> tuple[tuple[EncoderSpec, ...], list[str]]:
    """Return the encoders that know the words of texts, or all where none does, and a line about each of the others."""
    if len(encoders) < 2:
        return tuple(encoders), []
    found, doubts = [], []
    for spec in encoders:
        doubt = None if spec.any_text else reading_doubt(weights(settings, spec), sample)
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
