"""Find nearly equal examples in train and test: a text with another word in it, an image that was saved again."""

from collections.abc import Iterator

import numpy as np

from domains.checks.finding import Finding, Kind
from domains.checks.scan import Scan

NEAR = Kind(
    "nearly-in-train",
    "warning",
    "a test example that is nearly equal to one of the training shard",
    "remove it from one of them; what belongs together (a patient, a template) goes into one shard",
)
KINDS = (NEAR,)

#: Texts: the least share of shingles in common.
ALIKE = 0.8

#: Sketch numbers that agree in a band of a candidate, and candidates of a band that are compared.
BAND, TRIED = 4, 8

#: Images: most bits of the difference hash, and mean and largest difference of the small pictures, of 255.
BITS, MEAN, LARGEST = 4, 2.0, 24

#: Hashes that are compared at once.
BLOCK = 2**22


def find_near(train: Scan, test: Scan) -> list[Finding]:
    """Return the test examples that are nearly, but not quite, equal to one in train."""
    if "sketch" not in train.parts and "hash" not in train.parts:
        return []
    pairs = near_texts(train, test) if "sketch" in train.parts else near_images(train, test)
    found: dict[int, Finding] = {}
    for i, j, alike in pairs:
        if train.parts["key"][j] != test.parts["key"][i] and i not in found:
            about = f"{alike} {train.where(j)}"
            found[i] = Finding(NEAR, test.file, test.excerpt(i), int(test.rows[i]), about)
    return [found[i] for i in sorted(found)]


def near_texts(train: Scan, test: Scan) -> Iterator[tuple[int, int, str]]:
    """Yield test and train rows whose shingles agree: candidates agree in a band of their sketches."""
    mine, theirs = test.parts["sketch"], train.parts["sketch"]
    wordless = ~theirs.any(axis=1)
    for first in range(0, mine.shape[1], BAND):
        bands = [np.ascontiguousarray(s[:, first : first + BAND]).view("V16")[:, 0] for s in (mine, theirs)]
        names, numbers = np.unique(np.concatenate(bands), return_inverse=True)
        wanted, there = numbers[: len(mine)], np.where(wordless, len(names), numbers[len(mine) :])
        order = there.argsort(kind="stable")
        low, high = (np.searchsorted(there[order], wanted, side) for side in ("left", "right"))
        for offset in range(TRIED):
            i = np.flatnonzero(low + offset < high)
            if not len(i):
                break
            j = order[low[i] + offset]
            share = (mine[i] == theirs[j]).mean(axis=1)
            for k in np.flatnonzero(share >= ALIKE):
                yield int(i[k]), int(j[k]), f"{100 * share[k]:.0f} % like"


def near_images(train: Scan, test: Scan) -> Iterator[tuple[int, int, str]]:
    """Yield test and train rows of images whose difference hashes and small pictures agree."""
    hashes, small = train.parts["hash"], train.parts["small"]
    step = max(1, BLOCK // max(1, len(hashes)))
    for first in range(0, len(test), step):
        apart = np.bitwise_count(test.parts["hash"][first : first + step, None] ^ hashes)
        for i, row in enumerate(apart <= BITS, first):
            j = np.flatnonzero(row)
            if not len(j):
                continue
            difference = np.abs(test.parts["small"][i].astype(np.int16) - small[j]).reshape(len(j), -1)
            mean = difference.mean(axis=1)
            for k in np.flatnonzero((mean <= MEAN) & (difference.max(axis=1) <= LARGEST)):
                yield i, int(j[k]), f"differs by {mean[k]:.1f} of 255 from"
