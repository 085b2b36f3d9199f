"""What every text source does to its texts before they are examples."""

from collections.abc import Iterable

import pandas as pd

from domains.same_example import drop_copies, single_spaced

#: A class with fewer distinct texts is dropped: it could not fill a 5-shot support, a query set and a pool.
FEWEST = 20


def text_examples(texts: Iterable[str], labels: Iterable[str]) -> pd.DataFrame:
    """Return the frame of columns ``text`` and ``label``, without copies, contradictions and rare classes.

    Each run of white space becomes one space, and empty texts are left out. The texts of a class are counted after
    copies and contradictions are gone (``domains/same_example.py``).
    """
    frame = pd.DataFrame({"text": [single_spaced(text) for text in texts], "label": list(labels)})
    frame = drop_copies(frame[frame["text"] != ""], "text")
    return frame[frame.groupby("label")["label"].transform("size") >= FEWEST].reset_index(drop=True)
