"""Building a domain: the same bytes every time, fair splits, and the old data safe until the new is whole."""

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest

from domains.build import build
from domains.catalogue import find_source
from domains.domain import Domain
from domains.errors import UserError
from domains.fetch import Fetch
from domains.source import Source, SplitRule

NOTHING = Fetch(cache=Path("nowhere"))


def made_of(examples: list[tuple[str, str]], role: str = "target", **rule: int) -> Source:
    """Return a text source of given texts and labels."""
    return Source(
        name="made",
        family="text",
        role=role,  # type: ignore[arg-type]
        title="t",
        read=lambda fetch: pd.DataFrame(examples, columns=["text", "label"]),
        licence="l",
        citation="c",
        where="w",
        split=SplitRule(**rule),
    )


def texts(label: str, count: int) -> list[tuple[str, str]]:
    return [(f"{label} {i}", label) for i in range(count)]


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("name", ["digits", "drugreviews", "glyphs-hebrew"])
def test_building_twice_gives_the_same_bytes(name: str, fetch: Fetch, tmp_path: Path) -> None:
    first = contents(build(find_source(name), fetch, tmp_path / "first"))
    assert "domain.yaml" in first
    assert contents(build(find_source(name), fetch, tmp_path / "second")) == first
    assert contents(build(find_source(name), fetch, tmp_path / "first")) == first


def test_the_splits_of_a_target_share_no_example(fetch: Fetch, tmp_path: Path) -> None:
    domain = Domain.read(build(find_source("digits"), fetch, tmp_path))
    assert domain.counts == {"pool": 797, "test": 500, "train": 500}
    everything = [image for split in ("train", "pool", "test") for image in domain.column(split)]
    assert len(set(everything)) == len(everything) == 1797
    assert [domain.targets("test").count(label) for label in range(10)] == [50] * 10


def test_datasets_reads_labels_by_name_images_decoded_and_a_pool_without_labels(fetch: Fetch, tmp_path: Path) -> None:
    from datasets import Dataset

    path = build(find_source("digits"), fetch, tmp_path / "data")
    cache = str(tmp_path / "cache")
    test = Dataset.from_parquet(str(path / "test.parquet"), cache_dir=cache)
    assert test.features["label"].names == list("0123456789")
    assert test[0]["image"].size == (8, 8)
    assert Dataset.from_parquet(str(path / "pool.parquet"), cache_dir=cache).column_names == ["image"]


def test_a_source_is_all_train(tmp_path: Path) -> None:
    domain = Domain.read(build(made_of(texts("a", 5) + texts("b", 5), role="source"), NOTHING, tmp_path))
    assert domain.counts == {"train": 10}
    assert domain.labels == ("a", "b")


def test_duplicates_are_kept_once_and_conflicting_labels_not_at_all(tmp_path: Path) -> None:
    examples = [*texts("a", 5), *texts("b", 5), ("a 0", "a"), ("both", "a"), ("both", "b")]
    domain = Domain.read(build(made_of(examples, role="source"), NOTHING, tmp_path))
    assert sorted(domain.column("train")) == sorted(text for text, _ in texts("a", 5) + texts("b", 5))


def test_a_small_class_keeps_ten_labelled_before_any_goes_to_the_pool(tmp_path: Path) -> None:
    domain = Domain.read(build(made_of(texts("big", 300) + texts("small", 21)), NOTHING, tmp_path))
    small = domain.labels.index("small")
    assert [domain.targets(split).count(small) for split in ("train", "test")] == [10, 7]
    assert sum(text.startswith("small") for text in domain.column("pool")) == 4


def test_a_large_pool_is_cut_to_its_size(tmp_path: Path) -> None:
    made = made_of(texts("a", 300) + texts("b", 300), pool=100)
    assert Domain.read(build(made, NOTHING, tmp_path)).counts == {"pool": 100, "test": 100, "train": 100}


def test_one_label_is_not_a_domain(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="made: has 1 labels"):
        build(made_of(texts("a", 9)), NOTHING, tmp_path)
    assert list(tmp_path.iterdir()) == []


def refuse(*_: object, **__: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def refuse_the_finished_folder(replace: Callable[[Path, Path], None]) -> Callable[[Path, Path], None]:
    """Return ``os.replace`` that lets a folder be put aside and come back, but none be put in its place."""

    def refusing(old: Path, new: Path) -> None:
        if Path(old).name == "made" and Path(new).name == "made":
            refuse()
        replace(old, new)

    return refusing


def test_a_full_disk_is_said_in_one_line_and_leaves_the_old_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build(made_of(texts("a", 9) + texts("b", 9)), NOTHING, tmp_path)
    before = contents(tmp_path)
    changed = made_of(texts("c", 9) + texts("d", 9))
    monkeypatch.setattr(pq, "write_table", refuse)
    with pytest.raises(UserError, match=r"cannot write .*made: No space left on device") as caught:
        build(changed, NOTHING, tmp_path)
    assert "\n" not in str(caught.value)
    assert contents(tmp_path) == before
    assert [path.name for path in tmp_path.iterdir()] == ["made"]


def test_the_old_folder_comes_back_when_the_new_one_cannot_take_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build(made_of(texts("a", 9) + texts("b", 9)), NOTHING, tmp_path)
    before = contents(tmp_path)
    monkeypatch.setattr(os, "replace", refuse_the_finished_folder(os.replace))
    with pytest.raises(UserError, match="No space left on device"):
        build(made_of(texts("c", 9) + texts("d", 9)), NOTHING, tmp_path)
    assert contents(tmp_path) == before
    assert [path.name for path in tmp_path.iterdir()] == ["made"]


def test_a_new_build_replaces_the_old_folder_whole(tmp_path: Path) -> None:
    build(made_of(texts("a", 30) + texts("b", 30)), NOTHING, tmp_path)
    domain = Domain.read(build(made_of(texts("c", 9) + texts("d", 9), role="source"), NOTHING, tmp_path))
    assert domain.labels == ("c", "d")
    assert sorted(contents(tmp_path)) == ["made/domain.yaml", "made/train.parquet"]
