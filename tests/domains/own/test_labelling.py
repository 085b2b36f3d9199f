"""Labels that a person filled in: which examples they are of, what they are called, and what is written."""

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from domains.checks import run_checks
from domains.domain import Domain
from domains.errors import UserError
from domains.own.label_file import open_labels, read_labels
from domains.own.labelling import Labelling, doubts, known_examples, merge_labels, summary_rows
from domains.own.opening import open_input
from domains.own.options import AddOptions
from domains.own.rewriting import write_labelling
from domains.own.writing import write_domain

TICKETS = {
    "billing": [f"the invoice number {i} is wrong by a sum of {i}" for i in range(12)],
    "login": [f"nobody can sign in on machine {i}, not even number {i}" for i in range(12)],
    "": [f"the parcel {i} has not come, it is late by {i} days" for i in range(8)],
}


def add(path: Path, data: Path, name: str) -> Domain:
    found = open_input(str(path), AddOptions()).understand(lambda n: None)
    return Domain.read(write_domain(found, name, data, lambda n: None))


@pytest.fixture
def tickets(tmp_path: Path) -> Domain:
    """A domain of two classes with 16 examples in train, 8 in test and 8 in the pool."""
    rows = [(text, label) for label, texts in TICKETS.items() for text in texts]
    pd.DataFrame(rows, columns=["text", "label"]).to_csv(tmp_path / "tickets.csv", index=False)
    return add(tmp_path / "tickets.csv", tmp_path / "data", "tickets")


def merge(domain: Domain, path: Path, **options: Any) -> Labelling:
    known, items = known_examples(domain), open_labels(str(path), domain, AddOptions(**options))
    return merge_labels(list(read_labels(items, path.parent, domain, known)), domain, known)


@pytest.fixture
def said(tmp_path: Path, tickets: Domain) -> Callable[..., Labelling]:
    """What rows of texts and labels make of the domain."""

    def merge_rows(*rows: tuple[str, str], **options: Any) -> Labelling:
        pd.DataFrame(rows, columns=["text", "label"]).to_csv(tmp_path / "filled.csv", index=False)
        return merge(tickets, tmp_path / "filled.csv", **options)

    return merge_rows


def label_of(domain: Domain, text: str) -> tuple[str, str]:
    """Return the split and the label of a text."""
    for split in ("train", "test"):
        found = domain.column(split)  # type: ignore[arg-type]
        if text in found:
            return split, domain.labels[domain.targets(split)[found.index(text)]]  # type: ignore[arg-type]
    return "pool", ""


def test_labels_of_the_pool_go_to_train_by_content_and_all_else_stays(
    said: Callable[..., Labelling], tickets: Domain
) -> None:
    late = TICKETS[""]
    test = tickets.column("test"), tickets.targets("test")
    found = said((f"  {late[5]} ", "Billing "), (late[0], "delivery"), (late[3], "delivery"), (late[1], ""))
    assert found.added == {"billing": 1, "delivery": 2}
    assert (found.new_classes, found.empty, found.unchanged, found.changed) == ({"delivery": 2}, 1, 0, ())
    assert found.notes == ("'Billing ' (1) read as 'billing'",)
    write_labelling(tickets, found)
    now = Domain.read(tickets.path)
    assert now.labels == ("billing", "login", "delivery")
    assert now.counts == {"pool": 5, "test": 8, "train": 19}
    assert now.meta["counts"] == now.counts
    assert label_of(now, late[5]) == ("train", "billing")
    assert label_of(now, late[0]) == label_of(now, late[3]) == ("train", "delivery")
    assert sorted(now.column("pool")) == sorted(set(late) - {late[5], late[0], late[3]})
    assert (now.column("test"), now.targets("test")) == test
    assert not [finding for finding in run_checks(now, lambda n: None) if finding.is_error]
    assert now.split("train").features["label"].names == list(now.labels)


def test_the_same_file_again_changes_nothing(said: Callable[..., Labelling], tickets: Domain) -> None:
    rows = (TICKETS[""][0], "delivery"), (TICKETS[""][1], "login")
    write_labelling(tickets, said(*rows))
    now = Domain.read(tickets.path)
    known = known_examples(now)
    items = open_labels(str(tickets.path.parents[1] / "filled.csv"), now, AddOptions())
    again = merge_labels(list(read_labels(items, tickets.path, now, known)), now, known)
    assert (again.changes, again.unchanged, again.labels) == (False, 2, now.labels)


def test_a_correction_stays_in_its_split_and_is_counted(said: Callable[..., Labelling], tickets: Domain) -> None:
    train, test = tickets.column("train"), tickets.column("test")
    with pytest.raises(UserError, match="all examples of domain tickets would be labelled 'login': leave two labels"):
        said(*((text, "login") for text in (*train, *test)))
    found = said(*((text, "login") for text in (*train[1:], *test)))
    assert {(each.split, each.old, each.new, each.count) for each in found.changed} == {
        ("train", "billing", "login", 7),
        ("test", "billing", "login", 4),
    }
    assert (found.unchanged, found.labels, found.gone) == (12, ("billing", "login"), ())
    few = said((train[0], "parcel"), (test[0], "parcel"))
    write_labelling(tickets, few)
    now = Domain.read(tickets.path)
    assert (now.column("train"), now.column("test")) == (train, test)
    assert label_of(now, train[0]) == ("train", "parcel")
    assert label_of(now, test[0]) == ("test", "parcel")
    assert {row["what"] for row in summary_rows(few)} == {
        "changed, a new class",
        "changed in the test, where it stays, a new class",
    }


def test_a_class_without_an_example_goes_and_the_others_keep_their_names(
    said: Callable[..., Labelling], tickets: Domain
) -> None:
    found = said(*((text, "money") for text in TICKETS["billing"]))
    write_labelling(tickets, found)
    now = Domain.read(tickets.path)
    assert now.labels == ("login", "money")
    for text in TICKETS["login"]:
        assert label_of(now, text)[1] == "login"
    for text in TICKETS["billing"]:
        assert label_of(now, text)[1] == "money"
    assert not [finding for finding in run_checks(now, lambda n: None) if finding.is_error]


def test_rows_that_are_not_used_are_named(said: Callable[..., Labelling], tickets: Domain) -> None:
    late = TICKETS[""]
    found = said((late[0], "login"), ("another text altogether", "login"), (late[1], "login"), (late[1], "billing"))
    assert (found.unknown, found.contradictory) == (("row 2",), ("row 3", "row 4"))
    assert found.added == {"login": 1}
    assert doubts(found, "tickets") == [
        "1 row not used, as their examples are not in domain tickets: row 2",
        "an example has two labels, so none of them is used: row 3, row 4",
    ]


def test_a_class_of_the_test_alone_and_a_slip_are_said(said: Callable[..., Labelling], tickets: Domain) -> None:
    found = said((tickets.column("test")[0], "delivery"), (TICKETS[""][0], "biling"))
    assert found.notes == (
        "new class 'biling' is almost 'billing': if that is meant, write it so",
        "only test examples are labelled 'delivery': label one of the pool or train so too",
    )


def test_numbers_are_read_as_a_spreadsheet_writes_them(tmp_path: Path) -> None:
    rows = [(text, "1" if label == "login" else "2") for label, texts in TICKETS.items() if label for text in texts]
    pd.DataFrame([*rows, (TICKETS[""][0], "")], columns=["text", "label"]).to_csv(tmp_path / "a.csv", index=False)
    domain = add(tmp_path / "a.csv", tmp_path / "data", "a")
    (tmp_path / "b.csv").write_text(f"text;label\n{TICKETS[''][0]};1.0\n")
    found = merge(domain, tmp_path / "b.csv")
    assert (found.added, found.notes) == ({"1": 1}, ("'1.0' (1) read as '1'",))


def test_a_label_that_may_be_two_is_asked_about(tmp_path: Path) -> None:
    rows = [(text, "IT" if label == "login" else "it") for label, texts in TICKETS.items() if label for text in texts]
    pd.DataFrame([*rows, (TICKETS[""][0], "")], columns=["text", "label"]).to_csv(tmp_path / "a.csv", index=False)
    found = open_input(str(tmp_path / "a.csv"), AddOptions(keep_case=True)).understand(lambda n: None)
    domain = Domain.read(write_domain(found, "a", tmp_path / "data", lambda n: None))
    filled = tmp_path / "b.csv"
    filled.write_text(f'text,label\n"{TICKETS[""][0]}",It\n')
    with pytest.raises(UserError, match=r"label 'It': is it 'IT' or 'it'\? Write it as it stands there"):
        merge(domain, filled)
    filled.write_text(f'text,label\n"{TICKETS[""][0]}",it\n')
    assert merge(domain, filled).added == {"it": 1}


def test_a_models_labels_are_not_taken_for_a_persons(tmp_path: Path, tickets: Domain) -> None:
    path = tmp_path / "out.csv"
    path.write_text(f'text,label,probability\n"{TICKETS[""][0]}",login,0.7\n')
    with pytest.raises(UserError, match="so it is what a model says; say --label-column"):
        merge(tickets, path)
    assert merge(tickets, path, label_column=("label",)).added == {"login": 1}
    path.write_text(f'text,label,guess,probability,why,row\n"{TICKETS[""][0]}",,login,0.7,unlike any other,0\n')
    assert (merge(tickets, path).added, merge(tickets, path).empty) == ({}, 1)


@pytest.mark.parametrize("ending", ["jsonl", "parquet", "tsv"])
def test_every_format_that_is_added_can_be_labelled(tmp_path: Path, tickets: Domain, ending: str) -> None:
    rows = [{"text": TICKETS[""][0], "dx": "login"}, {"text": TICKETS[""][1], "dx": None}]
    path = tmp_path / f"filled.{ending}"
    if ending == "jsonl":
        path.write_text("\n".join(map(json.dumps, rows)))
    elif ending == "parquet":
        pd.DataFrame(rows).to_parquet(path)
    else:
        pd.DataFrame(rows).to_csv(path, sep="\t", index=False)
    assert merge(tickets, path, label_column=("dx",)).added == {"login": 1}


def test_a_market_is_refused_in_a_line(tmp_path: Path, tickets: Domain) -> None:
    market = Domain("acme", "market", "target", ("calm", "turbulent"), tmp_path)
    with pytest.raises(UserError, match="domain acme: market states follow from prices; nobody labels them"):
        open_labels(str(tmp_path / "x.csv"), market, AddOptions())


# Images


def picture(seed: int) -> bytes:
    out = io.BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (7, 9, 3), np.uint8)).save(out, "PNG")
    return out.getvalue()


@pytest.fixture
def parts(tmp_path: Path) -> Domain:
    """Images of two classes and four of none."""
    for c, (folder, count) in enumerate((("ok", 6), ("scratched", 6), ("unlabelled", 4))):
        (tmp_path / "photos" / folder).mkdir(parents=True)
        for i in range(count):
            (tmp_path / "photos" / folder / f"{i}.png").write_bytes(picture(100 * c + i))
    return add(tmp_path / "photos", tmp_path / "data", "parts")


def test_images_are_found_by_the_files_that_a_table_names_and_never_outside_of_its_folder(
    parts: Domain, tmp_path: Path
) -> None:
    inside = tmp_path / "sent"
    (inside / "to_label").mkdir(parents=True)
    for i in range(2):
        (inside / "to_label" / f"{i}.png").write_bytes(picture(200 + i))
    names = ["to_label/0.png", "to_label\\1.png", "../photos/unlabelled/2.png", "no.png", "x" * 5000]
    path = inside / "to_label.csv"
    pd.DataFrame({"image": names, "label": ["ok", "Dented", "ok", "ok", "ok"], "guess": "ok"}).to_csv(path, index=False)
    found = merge(parts, path)
    assert (found.added, found.new_classes) == ({"ok": 1, "Dented": 1}, {"Dented": 1})
    assert found.unknown[:2] == ("row 3 (../photos/unlabelled/2.png)", "row 4 (no.png)")
    write_labelling(parts, found)
    now = Domain.read(parts.path)
    assert now.column("train")[-2:] == [picture(200), picture(201)]
    assert [now.labels[i] for i in now.targets("train")[-2:]] == ["ok", "Dented"]
    assert now.split("train")[-1]["image"].size == (9, 7)


def test_images_are_found_by_their_names_where_the_domain_has_them(tmp_path: Path, parts: Domain) -> None:
    images = [{"bytes": picture(200 + i), "path": name} for i, name in enumerate(["a/x.png", "b/x.png", "y.png"])]
    pd.DataFrame({"image": images}).to_parquet(parts.path / "pool.parquet")
    path = tmp_path / "filled.csv"
    path.write_text("image,label\nx.png,ok\nscans/y.png,ok\n")
    found = merge(parts, path)
    assert (found.moved, found.unknown) == ({2: "ok"}, ("row 1 (x.png)",))


def test_images_that_were_put_into_folders_of_classes_are_labelled(tmp_path: Path, parts: Domain) -> None:
    sorted_by_hand = tmp_path / "sorted"
    for i, label in enumerate(("ok", "dented", "unlabelled")):
        (sorted_by_hand / label).mkdir(parents=True)
        (sorted_by_hand / label / "x.png").write_bytes(picture(200 + i))
    found = merge(parts, sorted_by_hand)
    assert (found.added, found.empty) == ({"dented": 1, "ok": 1}, 1)
    pd.DataFrame({"picture": [picture(203)], "label": ["ok"]}).to_parquet(tmp_path / "cells.parquet")
    assert merge(parts, tmp_path / "cells.parquet").added == {"ok": 1}
