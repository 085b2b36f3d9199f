"""Encode grey images as PNG, the same bytes wherever they are encoded."""

import io

import numpy as np
from PIL import Image


def to_png(image: np.ndarray) -> bytes:
    """Return a uint8 image of shape [height, width] as PNG bytes.

    It is stored, not deflated: compressed bytes differ between zlib builds, and parquet compresses anyway.
    """
    out = io.BytesIO()
    Image.fromarray(image).save(out, "png", compress_level=0)
    return out.getvalue()
