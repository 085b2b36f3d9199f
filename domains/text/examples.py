"""What every text source does to its texts before they are examples."""

from collections.abc import Iterable

import pandas as pd

from domains.build import drop_duplicates

#: A class with fewer distinct texts is dropped: it could not fill a 5-shot support, a query set and a pool.
FEWEST = 20


def examples(texts: Iterable[str], labels: Iterable[str]) -> pd.DataFrame:
    """Return the frame of columns ``text`` and ``label``, without duplicates and without rare classes.

    Runs of white space become one space, empty texts go, and so do texts that carry two labels; only then
    are the texts of a class counted.
    """
    frame = pd.DataFrame({"text": [" ".join(text.split()) for text in texts], "label": list(labels)})
    frame = drop_duplicates(frame[frame["text"] != ""], "text")
    return frame[frame.groupby("label")["label"].transform("size") >= FEWEST].reset_index(drop=True)
