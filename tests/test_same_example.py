"""Which examples are the same and whose labels contradict each other: all that ask agree on a table of cases."""

import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from domains.build import build
from domains.checks import run_checks
from domains.domain import Domain
from domains.fetch import Fetch
from domains.labelled_examples import clean
from domains.own.opening import open_input
from domains.own.options import AddOptions
from domains.own.writing import write_domain
from domains.same_example import content_key, content_keys, contradict, drop_copies, find_copies
from domains.source import Source
from domains.text.examples import FEWEST, text_examples
from tasks.adapt.usable_examples import contradictions

Given = Sequence[tuple[str, str]]
CAFE = "a caf\u00e9 in the rain", "a cafe\u0301 in the rain"  # in one code point, and in two

#: Texts with their labels, and the places of those that are kept; both a rash and a fever are in other examples too.
TEXTS: dict[str, tuple[Given, list[int]]] = {
    "one label": ([("an itch at night", "rash"), ("an itch at night", "rash")], [0]),
    "runs of white space": ([("an itch  at\tnight ", "rash"), ("an itch at night", "rash")], [0]),
    "case": ([("An itch at night", "rash"), ("an itch at night", "rash")], [0, 1]),
    "punctuation": ([("an itch at night!", "rash"), ("an itch at night", "rash")], [0, 1]),
    "spelling in Unicode": ([(CAFE[0], "rash"), (CAFE[1], "rash")], [0]),
    "two labels": ([("an itch at night", "rash"), ("an itch at night", "fever")], []),
    "two labels and white space": ([("an itch at night", "rash"), ("an itch  at night", "fever")], []),
    "two labels and case": ([("An itch at night", "rash"), ("an itch at night", "fever")], [0, 1]),
    "two labels of three copies": ([(CAFE[0], "rash"), (CAFE[1], "rash"), (CAFE[0], "fever")], []),
}
FILLING = [(f"{label} number {i} of many", label) for label in ("rash", "fever") for i in range(FEWEST)]

Read = Callable[[Given, Path], list[str]]


def frame(given: Given) -> pd.DataFrame:
    return pd.DataFrame(list(given), columns=["text", "label"])


def built(given: Given, folder: Path) -> list[str]:
    made = Source("made", "text", "source", "t", lambda fetch: frame(given), "l", "c", "w")
    return Domain.read(build(made, Fetch(folder), folder)).column("train")


def added(given: Given, folder: Path) -> list[str]:
    frame(given).to_csv(folder / "given.csv", index=False)
    found = open_input(str(folder / "given.csv"), AddOptions()).understand(lambda n: None)
    domain = Domain.read(write_domain(found, "mine", folder / "data", lambda n: None))
    return [text for split in ("train", "test") for text in domain.column(split)]  # type: ignore[arg-type]


WRITERS: dict[str, Read] = {
    "the catalogue": built,
    "a text source": lambda given, _: text_examples(*zip(*given, strict=True))["text"].tolist(),
    "a file of a mirror": lambda given, _: clean("made", "text", frame(given))["text"].tolist(),
    "domains add": added,
}


@pytest.mark.parametrize("case", TEXTS)
@pytest.mark.parametrize("writer", WRITERS)
def test_whoever_writes_a_domain_keeps_the_same_texts(writer: str, case: str, tmp_path: Path) -> None:
    given, kept = TEXTS[case]
    found = WRITERS[writer]([*given, *FILLING], tmp_path)
    expected = [given[place][0] for place in kept] + [text for text, _ in FILLING]
    spaced = [" ".join(text.split()) for text in expected]
    assert sorted(" ".join(text.split()) for text in found) == sorted(spaced)


@pytest.mark.parametrize("case", TEXTS)
def test_whoever_reads_a_domain_finds_the_same_copies_and_contradictions(case: str, tmp_path: Path) -> None:
    given, kept = TEXTS[case]
    folder = build(
        Source("made", "text", "source", "t", lambda _: frame(FILLING), "l", "c", "w"), Fetch(tmp_path), tmp_path
    )
    table = pd.read_parquet(folder / "train.parquet")
    labels = ["fever", "rash"]
    rows = pd.DataFrame({"text": [t for t, _ in given], "label": [labels.index(y) for _, y in given]})
    pd.concat([rows, table], ignore_index=True).to_parquet(folder / "train.parquet", index=False)
    domain = Domain.read(folder)
    kinds = [
        finding.kind.name for finding in run_checks(domain) if finding.kind.name in ("repeated", "conflicting-labels")
    ]
    found = contradictions(domain, "train", range(domain.counts["train"]), domain.targets("train"))
    several = len({label for _, label in given}) > 1 and not kept
    assert ("conflicting-labels" in kinds) == several
    assert bool(kinds) == (len(kept) < len(given))
    assert found == ([list(range(len(given)))] if several else [])


@pytest.mark.parametrize(
    ("y", "kept", "dropped", "contradicting"),
    [
        ([0, 0, 0], [0], 2, []),
        ([-1, -1], [0], 1, []),
        ([-1, 1, -1], [1], 2, []),
        ([0, 1], [], 0, [(0, 1)]),
        ([-1, 0, 0, 1], [], 0, [(0, 1, 2, 3)]),
    ],
)
def test_the_first_copy_with_a_label_is_kept_and_none_where_labels_contradict(
    y: list[int], kept: list[int], dropped: int, contradicting: list[tuple[int, ...]]
) -> None:
    keys = content_keys(["another", *["the same"] * len(y)])
    found = find_copies(keys, np.array([5, *y]))
    assert np.flatnonzero(found.keep).tolist() == [0, *(1 + place for place in kept)]
    assert found.dropped == dropped
    assert found.contradictions == tuple(tuple(1 + place for place in places) for places in contradicting)


def test_no_example_has_no_copy() -> None:
    found = find_copies(content_keys([]), np.array([], np.int64))
    assert (found.keep.tolist(), found.dropped, found.contradictions) == ([], 0, ())


def test_a_missing_label_contradicts_none() -> None:
    assert contradict(0, 1)
    assert not contradict(1, 1)
    assert not contradict(-1, 1)
    assert not contradict(1, -1)


def test_days_of_a_market_that_look_the_same_are_all_kept() -> None:
    same = np.ones(3, np.float32)
    table = pd.DataFrame({"x": [same, same.copy()], "label": ["calm", "usual"]})
    assert content_key(same) == content_key(same.copy())
    assert drop_copies(table, "market").equals(table)


def encoded(pixels: np.ndarray, kind: str, **how: Any) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, kind, **how)
    return out.getvalue()


def test_images_are_the_same_by_the_bytes_that_are_stored(tmp_path: Path) -> None:
    """A BMP and a TIFF of one picture are stored as one PNG; a PNG that is kept as it is stays another example."""
    pixels = np.random.default_rng(0).integers(0, 256, (12, 9, 9, 3), np.uint8)
    for label, some in (("whole", pixels[:6]), ("cracked", pixels[6:])):
        (tmp_path / "parts" / label).mkdir(parents=True)
        for i, image in enumerate(some):
            (tmp_path / "parts" / label / f"{i}.png").write_bytes(encoded(image, "PNG"))
    more = np.random.default_rng(1).integers(0, 256, (9, 9, 3), np.uint8)
    for name, content in {
        "a.bmp": encoded(more, "BMP"),
        "b.tiff": encoded(more, "TIFF"),
        "c.png": encoded(more, "PNG", compress_level=9),
    }.items():
        (tmp_path / "parts" / "whole" / name).write_bytes(content)
    found = open_input(str(tmp_path / "parts"), AddOptions()).understand(lambda n: None)
    assert "1 copy of other examples left out" in found.warnings
    domain = Domain.read(write_domain(found, "mine", tmp_path / "data", lambda n: None))
    assert sum(domain.counts.values()) == 14
    assert not {"repeated", "train-in-test"} & {finding.kind.name for finding in run_checks(domain)}
