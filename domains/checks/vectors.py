"""Vectors of numbers with a date and an asset: market examples."""

import numpy as np
import pandas as pd

from domains.checks.finding import Finding
from domains.checks.scan import Parts
from domains.checks.schema import NUMBER, parse_days
from domains.same_example import content_keys


class Vectors:
    """Reads vectors. Parts: ``key``, ``excerpt``, ``x`` float32 [n, D], ``day`` datetime64[D] and ``asset``."""

    def __init__(self) -> None:
        self.width = 0  # of the first vector that is met; the others must be as long

    def look(self, frame: pd.DataFrame, file: str) -> tuple[Parts, list[Finding]]:
        """Return the parts of a batch, and which vectors have another length."""
        vectors = frame["x"].tolist()
        self.width = self.width or len(vectors[0])
        good = np.array([len(x) == self.width for x in vectors])
        found = [
            Finding(NUMBER, file, f"{len(vectors[i])} numbers", int(frame.index[int(i)]), f"the first has {self.width}")
            for i in np.flatnonzero(~good)
        ]
        empty = np.zeros(self.width, np.float32)
        x = np.stack([np.asarray(v, np.float32) if ok else empty for v, ok in zip(vectors, good, strict=True)])
        excerpts = [f"{asset} on {date}" for asset, date in zip(frame["asset"], frame["date"], strict=True)]
        parts = {
            "key": content_keys(x),
            "excerpt": np.array(excerpts, object),
            "x": x,
            "day": parse_days(frame["date"]).to_numpy().astype("datetime64[D]"),
            "asset": frame["asset"].to_numpy(object),
            "good": good,
        }
        return parts, found
