"""``acclimate domains label`` from the command line: what is shown, and ``data/`` as it was after mistakes."""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pandas as pd
import pytest
import yaml

from domains.own import rewriting

Said = tuple[int, str, str]


@pytest.fixture
def run(run: Callable[..., Said]) -> Callable[..., Said]:
    """Run ``acclimate domains label`` in this process."""
    return partial(run, "domains", "label")


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with a domain of somebody's own in data/, whose shards have one column more."""
    folder = tmp_path / "data" / "mail"
    folder.mkdir(parents=True)
    about = {"name": "mail", "family": "text", "role": "target", "labels": ["ham", "spam"], "note": "by hand"}
    (folder / "domain.yaml").write_text(yaml.safe_dump(about))
    for split, count in {"train": 4, "test": 2, "pool": 3}.items():
        frame = pd.DataFrame(
            {"text": [f"{split} {i}" for i in range(count)], "sender": [f"s{i}" for i in range(count)]}
        )
        frame = frame if split == "pool" else frame.assign(label=[i % 2 for i in range(count)])
        frame.to_parquet(folder / f"{split}.parquet", index=False)
    monkeypatch.setenv("ACCLIMATE_ROOT", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "100")
    return tmp_path


@pytest.fixture
def filled(root: Path) -> Path:
    rows = ["pool 0,SPAM", "pool 2,advert", "pool 1,", "train 0,ham", "train 1,ham", "test 0,spam", "elsewhere,ham"]
    (root / "filled.csv").write_text("\n".join(["text,label", *rows]) + "\n")
    return root / "filled.csv"


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_what_changes_is_shown_and_written(run: Callable[..., Said], root: Path, filled: Path) -> None:
    code, out, error = run("mail", str(filled))
    assert code == 0
    assert [" ".join(line.split()) for line in out.splitlines() if line.strip(" ─")] == [
        "what examples label",
        "newly labelled, a new class 1 advert",
        "newly labelled 1 spam",
        "changed in the test, where it stays 1 ham -> spam",
        "changed 1 spam -> ham",
        "unchanged 1",
        "left empty 1",
    ]
    assert error.splitlines() == [
        f"warning: {filled}: 'SPAM' (1) read as 'spam'",
        f"warning: {filled}: 1 row not used, as their examples are not in domain mail: row 7",
        'data/mail is written. Next: acclimate data commit -m "Labels of mail"; where acclimate up runs, it adapts to '
        "them, else acclimate adapt mail",
    ]
    folder = root / "data" / "mail"
    train, pool = pd.read_parquet(folder / "train.parquet"), pd.read_parquet(folder / "pool.parquet")
    assert train["label"].tolist() == [0, 0, 0, 1, 1, 2]
    assert train["sender"].tolist() == ["s0", "s1", "s2", "s3", "s0", "s2"]
    assert pool.to_dict("records") == [{"text": "pool 1", "sender": "s1"}]
    assert pd.read_parquet(folder / "test.parquet")["label"].tolist() == [1, 1]
    about = yaml.safe_load((folder / "domain.yaml").read_text())
    assert (about["labels"], about["note"]) == (["ham", "spam", "advert"], "by hand")
    assert run("mail", str(filled))[2].endswith("data/mail stays as it is: no label is new\n")


def test_a_pool_that_is_labelled_wholly_is_no_shard_any_more(run: Callable[..., Said], root: Path) -> None:
    (root / "all.csv").write_text("text,label\npool 0,ham\npool 1,ham\npool 2,spam\n")
    found = json.loads(run("mail", str(root / "all.csv"), "--json")[1])
    assert (found["written"], found["added"], found["changed"]) == (True, {"ham": 2, "spam": 1}, [])
    assert sorted(path.name for path in (root / "data" / "mail").iterdir()) == [
        *("domain.yaml", "test.parquet", "train.parquet")
    ]


def test_a_dry_run_and_a_killed_write_leave_the_old_data(
    run: Callable[..., Said], root: Path, filled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = contents(root / "data")
    code, out, error = run("mail", str(filled), "--dry-run")
    assert (code, "advert" in out, error.splitlines()[-1]) == (0, True, "nothing is written: --dry-run")
    assert contents(root / "data") == before

    def stop(*asked: object) -> str:
        raise KeyboardInterrupt

    monkeypatch.setattr(rewriting, "relabelled_yaml", stop)
    assert run("mail", str(filled))[0] == 130
    assert contents(root / "data") == before


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ("nothing {filled}", "no domain 'nothing' in data/; see `acclimate domains list`"),
        ("../mail {filled}", "domain name '../mail': use 1 to 64 lower-case letters"),
        ("mail {root}/absent.csv", "absent.csv: no such file or folder"),
        ("mail {filled} --label-column dx", "no column 'dx' (--label-column); it has text, label"),
        ("shares {filled}", "domain shares: market states follow from prices; nobody labels them"),
    ],
)
def test_mistakes_are_one_line(run: Callable[..., Said], root: Path, filled: Path, arguments: str, line: str) -> None:
    (root / "data" / "shares").mkdir()
    about = {"name": "shares", "family": "market", "role": "target", "labels": ["calm", "turbulent"]}
    (root / "data" / "shares" / "domain.yaml").write_text(yaml.safe_dump(about))
    before = contents(root / "data")
    code, out, error = run(*arguments.format(filled=filled, root=root).split())
    assert (code, out, error.count("\n")) == (2, "", 1)
    assert line in error
    assert contents(root / "data") == before
