"""What travels between server and sites: named numbers, and a few short words as bytes. Nothing else is read."""

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

MOST_NAMES, MOST_BYTES, MOST_WORDS = 10_000, 2**30, 500
KEY = "key"  # the name of the sites' key, in what an encrypted federation says first

Arrays = dict[str, np.ndarray]


def check(message: object) -> Arrays:
    """Return a message from elsewhere, if it is numbers by name.

    Raises:
        ValueError: it is anything else, or too large; the message says what in one line.
    """
    if not isinstance(message, dict) or len(message) > MOST_NAMES:
        raise ValueError("its answer is not a table of arrays")
    for name, value in message.items():
        if not isinstance(name, str) or type(value) is not np.ndarray or value.dtype.kind not in "fiu":
            raise ValueError(f"{str(name)[:60]!r} in its answer is not an array of numbers")
    if sum(value.nbytes for value in message.values()) > MOST_BYTES:
        raise ValueError(f"its answer is larger than {MOST_BYTES >> 20} MiB")
    return message


def size(message: Arrays) -> int:
    """Return the bytes of the numbers and names of a message."""
    return sum(value.nbytes + len(name) for name, value in message.items())


def to_arrays(weights: Mapping[str, Mapping[str, Tensor]]) -> Arrays:
    """Return weights by learner and name as arrays ``learner/name``."""
    return {f"{n}/{k}": v.detach().cpu().numpy() for n, of in weights.items() for k, v in of.items()}


def to_weights(arrays: Arrays, learners: Mapping[str, object]) -> dict[str, dict[str, Tensor]]:
    """Return the weights of these learners that arrays hold, copied; other names are left out."""
    found: dict[str, dict[str, Tensor]] = {name: {} for name in learners}
    for key, value in arrays.items():
        learner, _, name = key.partition("/")
        if learner in found and name:
            found[learner][name] = torch.from_numpy(np.array(value))
    return found


def words(text: str) -> np.ndarray:
    """Return a short text as bytes."""
    return np.frombuffer(text.encode()[:MOST_WORDS], np.uint8).copy()


def read_words(array: np.ndarray | None) -> str:
    """Return a short text, of which only what can be printed is kept."""
    if array is None:
        return ""
    text = np.asarray(array, np.uint8).ravel()[:MOST_WORDS].tobytes().decode("utf-8", "replace")
    return "".join(c for c in text if c.isprintable())


def number(arrays: Arrays, name: str) -> float:
    """Return a number of a message.

    Raises:
        ValueError: it is absent or no single finite number.
    """
    value = arrays.get(name)
    if value is None or value.size != 1 or not np.isfinite(value).all():
        raise ValueError(f"{name} is missing in its answer")
    return float(value.reshape(()))
