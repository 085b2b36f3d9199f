"""Digits: the small handwritten digits that scikit-learn carries."""

import gzip
import io

import numpy as np
import pandas as pd

from domains.fetch import Fetch, package_file
from domains.reading.png import to_png
from domains.source import Source

SHA256 = "09f66e6debdee2cd2b5ae59e0d6abbb73fc2b0e0185d2e1957e9ebb51e23aa22"


def read(fetch: Fetch) -> pd.DataFrame:
    """Return the 8x8 images, white on black, their 17 levels spread over 0 to 255; nothing is fetched."""
    table = gzip.decompress(package_file("sklearn", "datasets/data/digits.csv.gz", SHA256).read_bytes())
    rows = pd.read_csv(io.BytesIO(table), header=None, dtype=np.uint16).to_numpy()
    images = [to_png(pixels.reshape(8, 8)) for pixels in (rows[:, :-1] * 255 // 16).astype(np.uint8)]
    return pd.DataFrame({"image": images, "label": [str(digit) for digit in rows[:, -1]]})


SOURCES = (
    Source(
        name="digits",
        family="vision",
        role="target",
        title="UCI optical recognition of handwritten digits, 8x8",
        read=read,
        licence="images: CC BY 4.0 (UCI Machine Learning Repository); scikit-learn: BSD-3-Clause",
        citation=(
            "E. Alpaydin and C. Kaynak. Optical Recognition of Handwritten Digits. UCI Machine Learning "
            "Repository, 1998, https://doi.org/10.24432/C50P49"
        ),
        where="datasets/data/digits.csv.gz of the installed scikit-learn (a copy of the UCI test set)",
        classes=10,
        examples=1797,
    ),
)
