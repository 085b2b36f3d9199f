"""Check how many examples each label has, and where."""

from collections.abc import Iterator, Sequence

import numpy as np

from domains.checks.finding import Finding, Kind, short_value
from domains.checks.scan import Scan
from domains.domain import Domain

ONE = Kind(
    "one-class",
    "error",
    "a training shard with examples of fewer than two labels",
    "add labelled examples of another label, or choose other dates of a market: one cannot be told apart from others",
)
UNUSED = Kind(
    "unused-label",
    "error",
    "a label in domain.yaml that no example has",
    "add examples of it, or take it out of `labels` (a label is an index: add the domain again)",
)
UNLEARNT = Kind(
    "only-in-test",
    "error",
    "a label that test examples have and no training example",
    "move examples of it from test.parquet to train.parquet, or remove the label from both",
)
UNTESTED = Kind(
    "only-in-train",
    "warning",
    "a label that training examples have and no test example: how well it is predicted is not known",
    "move some of its examples from train.parquet to test.parquet",
)
SMALL = Kind(
    "small-class",
    "warning",
    "a label with few training examples: what is learnt of it rests on them",
    "label more of it: `acclimate adapt NAME --suggest 20` says what",
)
SHIFT = Kind(
    "label-shift",
    "warning",
    "labels that are much more frequent in test than in train, or less",
    "draw both shards from the same examples, class by class; or leave it so if the shift is what you want to test",
)
RARE = Kind(
    "rare-state",
    "warning",
    "a state of a market that few labelled days have, or none: the market was otherwise then",
    "leave it so, or choose other dates by `acclimate domains add --start --end`",
)
KINDS = (ONE, UNUSED, UNLEARNT, UNTESTED, SMALL, SHIFT, RARE)

SHOTS = (1, 5, 10)

#: Examples of a class beside the support that meta-training wants, see ``domains/episode.py``.
BESIDE = 2

#: Share of the examples that would have to change their label: at least so much, and so many standard errors.
SHIFTED, ERRORS = 0.2, 4.0


def check_classes(domain: Domain, scans: Sequence[Scan]) -> list[Finding]:
    """Return what is wrong with the numbers of labels. On markets a label may be missing in a shard."""
    counts = {
        scan.split: np.bincount(scan.labels, minlength=len(domain.labels)) for scan in scans if scan.split != "pool"
    }
    files = {scan.split: scan.file for scan in scans}
    if "train" not in counts:
        return []
    train = counts["train"]
    if np.count_nonzero(train) < 2:
        names = ", ".join(repr(domain.labels[i]) for i in np.flatnonzero(train))
        return [Finding(ONE, files["train"], names or "no label")]
    if domain.family == "market":
        return list(find_rare(domain, train, files["train"]))
    found = list(find_small(domain, train, files["train"]))
    test = counts.get("test")
    for i, label in enumerate(domain.labels):
        of_test = 0 if test is None else int(test[i])
        if not train[i] and not of_test:
            found.append(Finding(UNUSED, f"{domain.name}/domain.yaml", short_value(label)))
        elif not train[i]:
            found.append(Finding(UNLEARNT, files["test"], short_value(label), about=f"{of_test} test examples"))
        elif test is not None and not of_test:
            found.append(Finding(UNTESTED, files["train"], short_value(label), about=f"{train[i]} training examples"))
    if test is not None and test.sum():
        found += find_shift(domain, train, test, files["test"])
    return found


def find_small(domain: Domain, train: np.ndarray, file: str) -> Iterator[Finding]:
    """Yield the labels that have some training examples, but too few."""
    beside = BESIDE if domain.role == "source" else 0
    for i in np.flatnonzero((train > 0) & (train < SHOTS[-1] + beside)):
        about = f"{train[i]} training examples"
        if domain.role == "source":
            enough = [str(k) for k in SHOTS if train[i] >= k + beside]
            about += f", enough for {'K = ' + ', '.join(enough) if enough else 'no K'}"
        yield Finding(SMALL, file, short_value(domain.labels[i]), about=about)


def find_rare(domain: Domain, train: np.ndarray, file: str) -> Iterator[Finding]:
    """Yield the states of a market that a target's train has too few days of."""
    for i in np.flatnonzero(train < SHOTS[-1]):
        yield Finding(RARE, file, short_value(domain.labels[i]), about=f"{train[i]} training examples")


def find_shift(domain: Domain, train: np.ndarray, test: np.ndarray, file: str) -> list[Finding]:
    """Compare half of the sum of differences of label frequencies with its size by chance."""
    p, q = train / train.sum(), test / test.sum()
    distance = np.abs(p - q).sum() / 2
    by_chance = np.sqrt(p * (1 - p) * (1 / train.sum() + 1 / test.sum())).sum() / 2
    if distance < SHIFTED or distance < ERRORS * by_chance:
        return []
    i = int(np.abs(p - q).argmax())
    about = f"{100 * p[i]:.0f} % of train, {100 * q[i]:.0f} % of test; {100 * distance:.0f} % of all labels shifted"
    return [Finding(SHIFT, file, short_value(domain.labels[i]), about=about)]
