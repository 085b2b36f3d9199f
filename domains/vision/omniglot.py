"""Omniglot: 1,623 handwritten characters of 50 alphabets, each by 20 drawers; the raw images for benchmarks.

B. M. Lake, R. Salakhutdinov and J. B. Tenenbaum. Human-level concept learning through probabilistic program
induction. Science 350 (6266), 2015, 1332-1338. https://github.com/brendenlake/omniglot, MIT licence.
"""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import PurePosixPath

import numpy as np

from domains.domain import Role
from domains.fetch import Fetch, PinnedFile
from domains.mirror import FileReader
from domains.reading.archives import ClassImages, ImageArchive, content_sha256, read_classes
from domains.source import Source

URL = "https://raw.githubusercontent.com/brendenlake/omniglot/master/python"
#: `content_sha256` of the two archives: whoever packs them again leaves it as it is.
CONTENT_SHA256 = {
    "images_background.zip": "07356096b8076fcf915341f8715e94822249e2a4d5b999fd2d0f6cf9ebffebd5",
    "images_evaluation.zip": "f5165eb5f20d18e13c6515650b69a42a2c0507506969d410ba5e4a1c572bd542",
}
CHARACTERS = 1623
TRAIN, VALIDATION = 1100, 100


#: The 30 alphabets that are learned from, and the 20 that are tested on (Lake et al. 2015).
BACKGROUND, EVALUATION = CONTENT_SHA256


def load_omniglot(fetch: Fetch, pixels: int = 28, files: Sequence[str] = (BACKGROUND, EVALUATION)) -> ClassImages:
    """Return all characters of both archives, or of one, as grey images with C = 1 and H = W = ``pixels``.

    A class is called ``<alphabet>/<character>``, as ``Greek/character01``. The drawings, black on white in 105 x
    105 pixels, become white on black: 0 is paper, 255 is ink, and what lies between is what antialiasing makes of a
    stroke's edge; it is kept, not thresholded.

    Raises:
        UserError: an archive is not to be had, or its images are not the published ones.
    """
    members: dict[str, list[tuple[ImageArchive, str]]] = {}
    with ExitStack() as stack:
        for file in files:
            path = fetch.file(file, "vision", f"{URL}/{file}", CONTENT_SHA256[file], content_sha256)
            archive = stack.enter_context(ImageArchive(path))
            for name in archive.names:
                alphabet_and_character = "/".join(PurePosixPath(name).parts[-3:-1])
                members.setdefault(alphabet_and_character, []).append((archive, name))
        images = read_classes(members, "L", pixels)
    return replace(images, x=255 - images.x)


def omniglot_split(seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return class indices (int64, sorted) for training [1,100], validation [100] and test [423].

    Characters are drawn at random, whatever their alphabet, by a generator of their own. C. Finn, P. Abbeel and S.
    Levine (Model-Agnostic Meta-Learning, ICML 2017) draw 1,200 characters for training, of which their code holds
    100 for validation, and test on the rest.
    """
    order = np.random.default_rng(seed).permutation(CHARACTERS)
    train, validation, test = np.split(order, [TRAIN, TRAIN + VALIDATION])
    return np.sort(train), np.sort(validation), np.sort(test)


def add_rotations(images: ClassImages) -> ClassImages:
    """Return four times as many classes: every class as it is, and turned by 90, 180 and 270 degrees as new ones.

    A class that is turned, counter-clockwise, is called as before with ``@90``, ``@180`` or ``@270`` at the end.
    Names are sorted again, so choose classes before (`ClassImages.take`), not after: then a character and its
    rotations are on the same side of a split.

    A. Santoro et al. Meta-Learning with Memory-Augmented Neural Networks. ICML 2016.
    """
    rows = [np.flatnonzero(images.y == c) for c in range(len(images.names))]
    turned = sorted(
        (name + (f"@{90 * quarters}" if quarters else ""), quarters, c)
        for c, name in enumerate(images.names)
        for quarters in range(4)
    )
    return ClassImages(
        names=tuple(name for name, _, _ in turned),
        x=np.concatenate([np.rot90(images.x[rows[c]], quarters, axes=(2, 3)) for _, quarters, c in turned]),
        y=np.repeat(np.arange(len(turned)), [len(rows[c]) for _, _, c in turned]).astype(np.int64),
    )


_FILES = {
    file: PinnedFile(f"vision/{file}", CONTENT_SHA256[file], size, f"{URL}/{file}", content_sha256)
    for file, size in ((BACKGROUND, 8426706), (EVALUATION, 5757818))
}


def _source(name: str, role: Role, about: str, files: Sequence[str], classes: int, examples: int) -> Source:
    return Source(
        name=name,
        family="vision",
        role=role,
        title=f"Omniglot: handwritten characters of {about}",
        read=FileReader(tuple(_FILES[file] for file in files), depth=2),
        licence="MIT",
        citation=(
            "B. M. Lake, R. Salakhutdinov and J. B. Tenenbaum. Human-level concept learning through probabilistic "
            "program induction. Science 350 (6266), 2015, 1332-1338"
        ),
        where="https://github.com/brendenlake/omniglot, 105 x 105 pixels; sha256 over the images, however packed",
        classes=classes,
        examples=examples,
        quick=False,
    )


SOURCES = (
    _source("omniglot", "source", "50 alphabets", (BACKGROUND, EVALUATION), CHARACTERS, 32459),
    replace(
        _source("omniglot-background", "source", "the 30 background alphabets", (BACKGROUND,), 964, 19279),
        overlaps=("omniglot",),
    ),
    replace(
        _source("omniglot-evaluation", "target", "the 20 evaluation alphabets", (EVALUATION,), 659, 12544),
        overlaps=("omniglot",),
    ),
)
