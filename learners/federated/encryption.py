"""Sums under encryption: sites seal numbers with a key that they share, and the server adds what it cannot read.

CKKS (Cheon, Kim, Kim & Song, "Homomorphic encryption for arithmetic of approximate numbers", ASIACRYPT 2017) by
TenSEAL, an optional package, with the parameters of NVIDIA FLARE (``nvflare.lighter.impl.he``). As there, encryption is
symmetric: who adds has no key at all. Nothing is multiplied, so ciphertexts stay as they were made however many rounds
there are: sites weigh before they seal, and divide after they open.
"""

import hashlib
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

import numpy as np

DEGREE, BITS, SCALE_BITS = 8192, (60, 40, 40), 40  # 140 bits in all; 218 is the most for 128 bits of security
SLOTS = DEGREE // 2  # numbers in a ciphertext
LENGTH = 4  # bytes before each ciphertext, that say how long it is
PARTS = {"save_public_key": False, "save_galois_keys": False, "save_relin_keys": False}  # that nothing here needs

Shapes = Mapping[str, tuple[int, ...]]


def make_key() -> bytes:
    """Return a new key that sites share; it must not come to the server."""
    return _context().serialize(**PARTS, save_secret_key=True)


class Key:
    """The key that all sites of a federation have, and the server has not.

    Attributes:
        name: SHA-256 of the key, by which sites find out that theirs are the same; it does not tell the key.

    Raises:
        ValueError: ``data`` is not what ``make_key`` returned.
    """

    def __init__(self, data: bytes) -> None:
        import tenseal

        try:
            self._context = tenseal.context_from(data)
            known = self._context.is_private() and self._context.global_scale == 2.0**SCALE_BITS
        except (ValueError, RuntimeError):
            known = False
        if not known:
            raise ValueError("it is not the key of a federation")
        self.name = hashlib.sha256(data).hexdigest()

    def seal(self, values: np.ndarray) -> np.ndarray:
        """Return numbers [n] as a ciphertext, some bytes.

        Raises:
            ValueError: one is not finite, or beyond 2^59.
        """
        import tenseal

        parts = [values[i : i + SLOTS] for i in range(0, len(values), SLOTS)]
        return _join(tenseal.ckks_vector(self._context, part) for part in parts)

    def open(self, sealed: np.ndarray, size: int) -> np.ndarray:
        """Return the numbers [size] of a ciphertext or of a sum; of another key's, any numbers.

        Raises:
            ValueError: it is not a ciphertext of so many numbers.
        """
        return np.concatenate([np.array(part.decrypt()) for part in _split(sealed, size, self._context)])


def add(sealed: Mapping[str, np.ndarray], size: int) -> tuple[np.ndarray | None, dict[str, str]]:
    """Return the sum of ciphertexts of ``size`` numbers, and why others are left out, by site; None: there is none."""
    total: list[Any] = []
    context, refused = _public(), {}
    for site, data in sealed.items():
        try:
            parts = _split(data, size, context)
            total = [a + b for a, b in zip(total, parts, strict=True)] if total else parts
        except (ValueError, RuntimeError) as error:
            refused[site] = str(error)
    return (_join(total) if total else None), refused


def flatten(arrays: Mapping[str, np.ndarray]) -> np.ndarray:
    """Return arrays as one vector, in the order of their names."""
    return np.concatenate([np.asarray(arrays[name], np.float64).ravel() for name in sorted(arrays)])


def unflatten(values: np.ndarray, shapes: Shapes) -> dict[str, np.ndarray]:
    """Return the arrays of these shapes that ``flatten`` made a vector of."""
    ends = np.cumsum([int(np.prod(shapes[name])) for name in sorted(shapes)])
    parts = np.split(values, ends[:-1])
    return {name: part.reshape(shapes[name]) for name, part in zip(sorted(shapes), parts, strict=True)}


def count(shapes: Shapes) -> int:
    """Return how many numbers arrays of these shapes have."""
    return sum(int(np.prod(shape)) for shape in shapes.values())


def _context() -> Any:
    import tenseal

    made = tenseal.context(
        tenseal.SCHEME_TYPE.CKKS, DEGREE, -1, list(BITS), encryption_type=tenseal.ENCRYPTION_TYPE.SYMMETRIC
    )
    made.global_scale = 2.0**SCALE_BITS
    return made


@cache
def _public() -> Any:
    """Return what ciphertexts of any key are added with: the parameters alone."""
    import tenseal

    return tenseal.context_from(_context().serialize(**PARTS, save_secret_key=False))


def _join(parts: Any) -> np.ndarray:
    every = (part.serialize() for part in parts)
    return np.frombuffer(b"".join(len(data).to_bytes(LENGTH, "big") + data for data in every), np.uint8).copy()


def _split(sealed: np.ndarray, size: int, context: Any) -> list[Any]:
    """Return the ciphertexts that ``_join`` joined, if they are of so many numbers and fresh or sums of fresh ones.

    Raises:
        ValueError: they are not.
    """
    import tenseal

    try:
        parts = [tenseal.ckks_vector_from(context, data) for data in _cut(np.asarray(sealed, np.uint8).tobytes())]
        right = [part.size() for part in parts] == [min(SLOTS, size - i) for i in range(0, size, SLOTS)]
        inner = [one for part in parts for one in part.ciphertext()]
    except (ValueError, RuntimeError) as error:
        raise ValueError("it is not a ciphertext") from error
    for one in inner:
        right &= (one.size(), one.coeff_modulus_size(), one.scale) == (2, len(BITS) - 1, 2.0**SCALE_BITS)
    if not right or len(inner) != len(parts):
        raise ValueError(f"it is not a ciphertext of {size} numbers by this version")
    return parts


def _cut(data: bytes) -> Iterator[bytes]:
    start = 0
    while start < len(data):
        end = start + LENGTH + int.from_bytes(data[start : start + LENGTH], "big")
        yield data[start + LENGTH : end]
        start = end
