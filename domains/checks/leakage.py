"""Find leakage: a word that only the texts of a label have, its own name in them, a feature that looks ahead."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pandas as pd
from scipy.sparse import csc_matrix

from domains.checks.finding import Finding, Kind, short_value
from domains.checks.scan import Scan
from domains.checks.texts import WORD
from domains.domain import Domain
from domains.market.features import FEATURES
from domains.names import LETTERS

TOKEN = Kind(
    "telling-word",
    "warning",
    "a word in nearly all texts of one label and in no other: the word may be a trace of how labels were given",
    "look at the texts: if the word will not be in new ones, take it out",
)
NAME = Kind(
    "label-in-text",
    "warning",
    "texts of a label that nearly all hold its own name, while others hardly do",
    "look at the texts: if the label was written into them, take it out",
)
FEATURE = Kind(
    "telling-feature",
    "error",
    "a feature that alone tells a label nearly perfectly (AUC above 0.99): it looks ahead",
    "compute it from prices up to its own date only, or leave it out",
)
KINDS = (TOKEN, NAME, FEATURE)

#: Shares of the texts of a label, and of all others, that hold a word or a name; labels of fewer texts are not judged.
NEARLY_ALL, HARDLY, ENOUGH = 0.95, 0.05, 20

#: A feature is suspect if its area under the curve, or one minus that, is above this.
SUSPECT = 0.99


def find_leakage(domain: Domain, scans: Sequence[Scan], vocabulary: Mapping[str, int]) -> list[Finding]:
    """Return what gives labels away in the labelled shards of texts or vectors."""
    labelled = [scan for scan in scans if scan.split != "pool"]
    if not labelled or domain.family == "vision":
        return []
    y = np.concatenate([scan.labels for scan in labelled])
    if domain.family == "market":
        x = np.concatenate([scan.parts["x"] for scan in labelled])
        return list(leaking_features(domain, x, y, labelled[0].file))
    words = [row for scan in labelled for row in scan.parts["words"]]
    return list(leaking_words(domain, words, y, vocabulary, labelled[0].file))


def leaking_words(
    domain: Domain, words: Sequence[np.ndarray], y: np.ndarray, vocabulary: Mapping[str, int], file: str
) -> Iterator[Finding]:
    """Yield words that only one label's texts hold, and names of labels that their own texts hold.

    Args:
        words: [n] the numbers of the distinct words of each text.
        y: [n] labels.
    """
    ends = np.cumsum([0, *(len(row) for row in words)])
    numbers = np.concatenate([*words, np.zeros(0, np.int32)])
    rows = np.repeat(np.arange(len(words)), np.diff(ends))
    shape = (len(words), len(vocabulary) + 1)
    holds = csc_matrix((np.ones(len(rows), np.int32), (rows, numbers)), shape)
    texts = np.asarray(holds.sum(axis=0)).ravel()
    spelled = {number: word for word, number in vocabulary.items()}
    for c, label in enumerate(domain.labels):
        own = int((y == c).sum())
        if own < ENOUGH or own == len(y):
            continue
        inside = np.asarray(holds[y == c].sum(axis=0)).ravel()
        for number in np.flatnonzero((inside >= NEARLY_ALL * own) & (inside == texts)):
            about = f"in {inside[number]} of {own} texts of {short_value(label)}, in no other"
            yield Finding(TOKEN, file, short_value(spelled[int(number)]), about=about)
        name = [vocabulary.get(word, 0) for word in WORD.findall(label.lower())]
        if not LETTERS.search(label) or not all(name):
            continue
        with_name = np.asarray(holds[:, name].sum(axis=1)).ravel() == len(name)
        mine, others = int(with_name[y == c].sum()), int(with_name[y != c].sum())
        if mine >= NEARLY_ALL * own and others <= HARDLY * (len(y) - own):
            yield Finding(NAME, file, short_value(label), about=f"in {mine} of {own} of its texts, in {others} others")


def leaking_features(domain: Domain, x: np.ndarray, y: np.ndarray, file: str) -> Iterator[Finding]:
    """Yield features [n, D] whose order alone tells one label from the others.

    The area under the curve is the chance that an example of the label has the higher value.
    """
    ranks = pd.DataFrame(x).rank().to_numpy()
    for c, label in enumerate(domain.labels):
        own = int((y == c).sum())
        rest = len(y) - own
        if min(own, rest) < ENOUGH:
            continue
        area = (ranks[y == c].sum(axis=0) - own * (own + 1) / 2) / own / rest
        for d in np.flatnonzero(np.abs(area - 0.5) > SUSPECT - 0.5):
            name = f" ({FEATURES[d][0]})" if x.shape[1] == len(FEATURES) else ""
            about = f"AUC {area[d]:.3f} for {short_value(label)}"
            yield Finding(FEATURE, file, f"feature {d}{name}", about=about)
