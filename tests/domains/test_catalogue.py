"""The catalogue: every entry is complete, and what is read from a file is read from the pinned one or refused."""

import hashlib
import re
from collections import Counter
from pathlib import Path
from zipfile import ZipFile

import numpy as np
import pandas as pd
import pytest

from domains import catalogue
from domains.build import build
from domains.catalogue import find_source, overlaps, quick_start
from domains.class_split import class_split
from domains.domain import FAMILIES, Domain, check_name
from domains.errors import UserError
from domains.fetch import Fetch, PinnedFile, sha256_of
from domains.market.series import PriceFile, PriceWindow
from domains.market.windows import Window
from domains.mirror import FileReader
from domains.reading.png import to_png
from domains.source import Source, SplitRule
from domains.text import bao
from tasks.base.settings import settings

ROOT = Path(__file__).parents[2]
EVERY = catalogue.catalogue()


def pinned(path: Path, family: str = "text") -> PinnedFile:
    return PinnedFile(f"{family}/{path.name}", sha256_of(path), path.stat().st_size)


def entry(read: FileReader, **more: object) -> Source:
    base = {"name": "made", "family": read.family, "role": "target", "title": "t", "licence": "l", "citation": "c"}
    return Source(**{**base, "read": read, "where": "w", "quick": False, **more})  # type: ignore[arg-type]


@pytest.fixture
def mirror(tmp_path: Path) -> Path:
    for family in FAMILIES:
        (tmp_path / "mirror" / family).mkdir(parents=True)
    return tmp_path / "mirror"


@pytest.fixture
def here(mirror: Path, tmp_path: Path) -> Fetch:
    return Fetch(tmp_path / "cache", mirror)


@pytest.fixture
def notes(mirror: Path) -> PinnedFile:
    """Thirty texts of each of three labels, a fourth of two labels, and a copy."""
    rows = [(f"{label} {i}", label) for label in ("flu", "skin", "sport") for i in range(30)]
    rows += [("skin 1", "skin"), ("both", "flu"), ("both", "skin")]
    path = mirror / "text" / "notes.parquet"
    pd.DataFrame(rows, columns=["text", "label"]).to_parquet(path)
    return pinned(path)


# Entries


@pytest.mark.parametrize("name", EVERY)
def test_an_entry_says_all_that_has_to_be_said(name: str) -> None:
    found = find_source(name)
    assert check_name(name) == found.name == name
    assert found.family in FAMILIES
    assert found.role in ("source", "target")
    assert all((found.title, found.licence, found.citation, found.where))
    assert found.classes >= 2
    assert found.examples > found.classes
    assert set(overlaps(name)) <= EVERY.keys() - {name}
    for part in (*found.files, *found.wheels):
        assert re.fullmatch("[0-9a-f]{64}", part.sha256)
        assert part.size > 1000
    if not found.quick:
        assert found.files
        assert not found.wheels
    for file in found.files:
        assert file.path.split("/")[0] == found.family


def test_no_two_entries_have_one_name_and_the_quick_start_is_what_it_was() -> None:
    from importlib import import_module

    modules = [p for family in FAMILIES for p in (ROOT / "domains" / family).glob("*.py")]
    names = Counter(
        entry.name
        for path in modules
        for entry in getattr(import_module(f"domains.{path.parent.name}.{path.stem}"), "SOURCES", ())
    )
    assert set(names) == EVERY.keys()
    assert set(names.values()) == {1}
    assert len(quick_start()) == 46
    assert not any(entry.files for entry in quick_start().values())


def test_the_standard_sets_of_the_field_are_there() -> None:
    assert {
        *("omniglot", "omniglot-background", "omniglot-evaluation", "miniimagenet", "gtsrb", "mednist", "pbc_blood"),
        *("chula_rbc", "ham10000", "clinc150", "banking77", "hwu64", "huffpost-test", "20newsgroups-test"),
        *("reuters31-test", "amazon_products", "ohsumed23", "medical_abstracts", "chemprot", "us60-history"),
    } <= EVERY.keys()
    assert (EVERY["clinc150"].classes, EVERY["omniglot"].classes, EVERY["miniimagenet"].classes) == (150, 1623, 100)


def test_an_overlap_is_said_on_both_sides() -> None:
    assert "medical_abstracts" in overlaps("ohsumed23")
    assert "ohsumed23" in overlaps("medical_abstracts")
    for name in EVERY:
        assert all(name in overlaps(other) for other in overlaps(name))


@pytest.mark.parametrize(("split", "sizes"), [(bao.HUFFPOST, (20, 5, 16)), (bao.NEWSGROUPS, (8, 5, 7))])
def test_the_class_splits_of_bao_have_the_published_sizes_and_share_no_class(split: dict, sizes: tuple) -> None:
    assert tuple(map(len, split.values())) == sizes
    assert len({label for labels in split.values() for label in labels}) == sum(sizes)


def test_the_topics_of_reuters_are_divided_as_published() -> None:
    assert tuple(map(len, bao.REUTERS.values())) == (15, 5, 11)


def test_a_part_with_a_medical_class_is_medical() -> None:
    assert EVERY["huffpost-train"].medical
    assert EVERY["20newsgroups-train"].medical
    assert not EVERY["huffpost"].medical  # its medical classes are left out
    assert not EVERY["huffpost-test"].medical


def test_an_unknown_name_is_told_where_names_are() -> None:
    with pytest.raises(UserError, match="no domain 'nope' in the catalogue; see `acclimate domains list`"):
        find_source("nope")


def test_the_page_of_the_catalogue_shows_the_table_as_it_is() -> None:
    page = (ROOT / "docs" / "catalogue.md").read_text("utf-8")
    assert catalogue.catalogue_table() in page, (
        'put it there: python -c "from domains.catalogue import catalogue_table; print(catalogue_table())"'
    )


# Files


def test_a_table_of_the_mirror_becomes_a_domain_with_the_file_it_came_from(
    notes: PinnedFile, here: Fetch, tmp_path: Path
) -> None:
    domain = Domain.read(build(entry(FileReader((notes,))), here, tmp_path / "data"))
    assert domain.labels == ("flu", "skin", "sport")
    assert sum(domain.counts.values()) == 90
    assert domain.meta["files"] == [{"path": "text/notes.parquet", "sha256": notes.sha256}]
    again = build(entry(FileReader((notes,))), here, tmp_path / "again")
    for path in domain.path.iterdir():
        assert path.read_bytes() == (again / path.name).read_bytes()


def test_another_version_of_a_file_is_refused_in_a_line_and_nothing_is_built(
    notes: PinnedFile, here: Fetch, mirror: Path, tmp_path: Path
) -> None:
    pd.DataFrame({"text": ["a", "b"], "label": ["x", "y"]}).to_parquet(mirror / notes.path)
    with pytest.raises(UserError, match=rf"notes\.parquet: content has sha256 \w+, pinned is {notes.sha256}") as caught:
        build(entry(FileReader((notes,))), here, tmp_path / "data")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "data").exists()


def test_another_version_in_the_cache_is_refused_too(notes: PinnedFile, mirror: Path) -> None:
    (mirror / notes.path).rename(mirror / "notes.parquet")
    fetch = Fetch(mirror)
    assert fetch.pinned_file(notes) == mirror / "notes.parquet"
    (mirror / "notes.parquet").write_bytes(b"cut off")
    with pytest.raises(UserError, match="does not have the pinned sha256"):
        fetch.pinned_file(notes)


def test_a_missing_file_is_told_with_what_to_set(notes: PinnedFile, here: Fetch, mirror: Path, tmp_path: Path) -> None:
    (mirror / notes.path).unlink()
    with pytest.raises(UserError) as without:
        Fetch(tmp_path / "cache").pinned_file(notes)
    assert str(without.value) == (
        "notes.parquet is read from a mirror: put text/notes.parquet into a folder and set ACCLIMATE_MIRROR to it"
    )
    with pytest.raises(UserError, match=r"no text/notes\.parquet in .*put it there, or set ACCLIMATE_MIRROR"):
        here.pinned_file(notes)


def test_an_entry_with_an_address_can_be_had_without_a_mirror(tmp_path: Path) -> None:
    fetch = Fetch(tmp_path)
    assert all(fetch.has(file) for file in EVERY["omniglot"].files)
    assert not any(fetch.has(file) for file in EVERY["clinc150"].files)


def test_a_class_split_gives_three_domains_without_a_class_in_common(notes: PinnedFile, here: Fetch) -> None:
    whole = entry(FileReader((notes,), without=("flu",)), medical_labels=("flu",), overlaps=("other",))
    parts = class_split(
        whole,
        {"train": ("flu", "skin"), "validation": ("skin", "sport"), "test": ("skin", "sport")},
        (60, 60, 60),
        "us",
    )
    assert [(p.name, p.role, p.medical) for p in parts] == [
        ("made-train", "source", True),
        ("made-validation", "source", False),
        ("made-test", "target", False),
    ]
    assert set(parts[0].read(here)["label"]) == {"flu", "skin"}
    assert parts[0].overlaps == ("made", "other")
    with pytest.raises(UserError, match="notes: no label 'cold' that could be kept"):
        FileReader((notes,), only=("flu", "cold"))(here)


def images(path: Path, smears: int = 12) -> PinnedFile:
    """Pack 36 small images of each of two classes, three of a smear."""
    rng = np.random.default_rng(0)
    with ZipFile(path, "w") as archive:
        for label in ("round", "oval"):
            for i in range(36):
                body = to_png(rng.integers(0, 255, (4, 4), np.uint8))
                archive.writestr(f"cells/{label}/{i % smears}_{i}.png", body)
    return pinned(path, "vision")


def test_no_group_has_examples_in_the_test_and_outside_of_it(here: Fetch, mirror: Path, tmp_path: Path) -> None:
    read = FileReader((images(mirror / "vision" / "cells.zip"),), group=0, depth=1)
    of = read(here).set_index("image")["group"].to_dict()
    domain = Domain.read(build(entry(read, split=SplitRule(train=10, test=9)), here, tmp_path / "data"))
    assert domain.labels == ("oval", "round")
    groups = {split: {of[body] for body in domain.column(split)} for split in ("train", "pool", "test")}
    assert not groups["test"] & (groups["train"] | groups["pool"])
    assert 2 <= domain.counts["test"] <= 18
    assert sum(domain.counts.values()) == 72


def prices(days: int, assets: int) -> pd.DataFrame:
    steps = np.random.default_rng(1).normal(0, 0.01, (days, assets))
    dates = pd.bdate_range("2010-01-04", periods=days)
    return pd.DataFrame(100 * np.exp(steps.cumsum(0)), dates, [f"a{i}" for i in range(assets)])


@pytest.mark.parametrize("form", ["wide", "long", "single"])
def test_a_window_of_a_price_table_is_read_wide_long_or_of_one_asset(form: str, here: Fetch, mirror: Path) -> None:
    wide, path = prices(700, 3), mirror / "market" / "closes.parquet"
    wide.loc[wide.index[:600], "a2"] = np.nan  # not listed for most of the window
    columns: tuple[str, ...] = ()
    if form == "wide":
        wide.to_parquet(path)
    elif form == "long":
        long = wide.rename_axis("day").reset_index().melt("day", var_name="who", value_name="paid").dropna()
        long.assign(day=long["day"].dt.strftime("%Y-%m-%d")).to_parquet(path)
        columns = ("day", "paid", "who")
    else:
        wide["a0"].rename_axis("day").rename("paid").reset_index().to_parquet(path)
        columns = ("day", "paid")
    window = Window("w", "about", str(wide.index[300].date()), str(wide.index[650].date()))
    found = PriceWindow(PriceFile(pinned(path, "market"), *columns), window)(here)
    assert set(found["asset"]) == ({"closes"} if form == "single" else {"a0", "a1"})
    assert set(found["split"]) == {"train"}
    assert len(found) == 70 * found["asset"].nunique()
    with pytest.raises(UserError, match="no column 'when'"):
        PriceFile(pinned(path, "market"), "when").prices(here)


# The user's mirror


@pytest.mark.parametrize("name", ["clinc150", "reuters31-test", "chula_rbc", "vix-latest", "snips"])
def test_a_domain_of_the_mirror_has_as_many_classes_and_examples_as_is_said(name: str, tmp_path: Path) -> None:
    now, found = settings(), find_source(name)
    if now.mirror is None:
        pytest.skip("ACCLIMATE_MIRROR is not set")
    fetch = Fetch(now.home_path / "downloads", now.mirror)
    if not all(fetch.has(file) for file in found.files):
        pytest.skip(f"ACCLIMATE_MIRROR has no {found.files[0].path}")
    domain = Domain.read(build(found, fetch, tmp_path))
    assert (len(domain.labels), sum(domain.counts.values())) == (found.classes, found.examples)
    assert domain.role == found.role


@pytest.mark.parametrize("name", ["digits", "drugreviews", "glyphs-hebrew"])
def test_a_domain_of_the_quick_start_has_as_many_too(name: str, fetch: Fetch, tmp_path: Path) -> None:
    domain = Domain.read(build(find_source(name), fetch, tmp_path))
    assert (len(domain.labels), sum(domain.counts.values())) == (find_source(name).classes, find_source(name).examples)
    assert "files" not in domain.meta  # or every hash of the quick start would be another


def test_a_content_digest_is_what_is_compared(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("body")
    known = PinnedFile(
        "text/a.txt", hashlib.sha256(b"4").hexdigest(), 4, digest=lambda p: hashlib.sha256(b"4").hexdigest()
    )
    assert Fetch(tmp_path).pinned_file(known) == tmp_path / "a.txt"
