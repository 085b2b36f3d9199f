"""``acclimate domains add`` from the command line: what is shown and written, and ``data/`` untouched by mistakes."""

import errno
import json
import os
import subprocess
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from domains.domain import Domain
from tasks.adapt.adaptation import Adaptation, encode_domain
from tasks.adapt.trials import run_trial

Said = tuple[int, str, str]


@pytest.fixture
def run(run: Callable[..., Said]) -> Callable[..., Said]:
    """Run a command of ``acclimate domains`` in this process."""
    return partial(run, "domains")


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout with one domain of the user's own in data/."""
    root = tmp_path / "checkout"
    (root / "data" / "used").mkdir(parents=True)
    (root / "data" / "used" / "domain.yaml").write_text("name: used\nfamily: text\nrole: target\nlabels: [a, b]\n")
    (root / "data.dvc").write_text(f"outs:\n- md5: {'0' * 32}.dir\n  hash: md5\n  path: data\n")
    for command in (["init", "-q"], ["add", "data.dvc"], ["commit", "-qm", "data"]):
        subprocess.run(["git", "-c", "user.name=t", "-c", "user.email=t@example.org", *command], cwd=root, check=True)
    monkeypatch.setenv("ACCLIMATE_ROOT", str(root))
    monkeypatch.setenv("COLUMNS", "100")
    return root


@pytest.fixture
def reports(tmp_path: Path) -> Path:
    path = tmp_path / "reports.csv"
    lines = [f"report number {'abcdefgh'[i % 8] * (i + 1)},{('flu', 'cold', '')[i % 3]}" for i in range(60)]
    path.write_text("report,diagnosis\n" + "\n".join(lines) + "\n")
    return path


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_table_becomes_a_domain_that_is_shown(run: Callable[..., Said], root: Path, reports: Path) -> None:
    code, out, error = run("add", "reports", str(reports))
    assert code == 0
    for part in ("text: report, label: diagnosis", "30 train, 10 test, 20 pool", "UTF-8", "warning: 10 test examples"):
        assert part in out
    assert "acclimate data commit" in error
    shown = json.loads(run("show", "reports", "--json")[1])
    assert (shown["labels"], shown["counts"]) == (["cold", "flu"], {"pool": 20, "test": 10, "train": 30})
    assert [path.name for path in (root / "data").iterdir() if path.name.startswith(".")] == []


def test_what_models_are_to_be_best_in_is_kept_in_the_domain(
    run: Callable[..., Said], root: Path, reports: Path
) -> None:
    assert Domain.read(root / "data" / "used").objective == "accuracy"
    code, out, _ = run("add", "reports", str(reports), "--objective", "macro_f1")
    assert (code, "macro_f1" in out) == (0, True)
    assert Domain.read(root / "data" / "reports").objective == "macro_f1"


def test_a_dry_run_says_the_same_and_writes_nothing(run: Callable[..., Said], root: Path, reports: Path) -> None:
    before = contents(root / "data")
    code, out, _ = run("add", "reports", str(reports), "--dry-run", "--json")
    found = json.loads(out)
    assert code == 0
    assert (found["written"], found["classes"]["flu"]) == (False, {"train": 15, "test": 5})
    assert contents(root / "data") == before


def test_an_added_domain_is_adapted_to(
    run: Callable[..., Said], root: Path, reports: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    from learners.choice.prior import Prior
    from learners.meta_model import MetaModel
    from tasks.base.settings import Settings
    from tasks.features import encoders, encoding
    from tasks.features.spec import EncoderSpec

    class Letters:
        """An encoder that one can check by eye."""

        def encode(self, texts: list[str]) -> torch.Tensor:
            return torch.tensor([[float(text.count(letter)) for letter in "abcdefgh"] for text in texts])

    settings = Settings(root=root, processes=1)
    spec = EncoderSpec("letters-1", 8, encoders.MINILM, lambda archive, folder: None, lambda _: Letters())
    monkeypatch.setitem(encoders.BUILT_IN["text"], "minilm", spec)
    (settings.home_path / "encoders" / "letters-1").mkdir(parents=True)
    encoding._encoder.cache_clear()
    run("add", "reports", str(reports))
    how = Adaptation(k=5)
    data = encode_domain(settings, Domain.read(root / "data" / "reports"), how)
    encoding._encoder.cache_clear()
    trial = run_trial(MetaModel("text", "letters-1", 8, None, {}, Prior()), data, how, 0)
    assert trial.probabilities["acclimate"].shape == (10, 2)
    assert trial.classifier.labels == ("cold", "flu")


def test_a_name_in_use_is_refused_until_it_is_to_be_replaced(
    run: Callable[..., Said], root: Path, reports: Path
) -> None:
    before = contents(root / "data")
    code, out, error = run("add", "used", str(reports))
    assert (code, out) == (2, "")
    assert error == "error: domain used already exists; choose another name, or say --replace\n"
    assert contents(root / "data") == before
    assert run("add", "used", str(reports), "--replace")[0] == 0
    assert Domain.read(root / "data" / "used").labels == ("cold", "flu")


MISTAKES = {
    "add ../x {reports}": "domain name '../x': use 1 to 64 lower-case letters",
    "add hpo {reports} --replace": "domain name 'hpo': a built-in domain has this name; choose another",
    "add new {reports} --label-column dx": "no column 'dx' (--label-column); it has report, diagnosis",
    "add new {reports} --family audio": "no family 'audio'; there are: text, vision, market",
    "add new {reports} --objective recall": "no objective 'recall'; there are: accuracy, balanced_accuracy, macro_f1",
    "add new {absent}": "absent.csv: no such file or folder",
    "add new {one}": "1 label in column label ('a') at examples that can be used",
    "add new {ragged}": "row 2 has 3 cells and the header 2",
    "add new {pictures}": "1 unreadable image: a/0.png (0 bytes)",
}


@pytest.mark.parametrize("command", MISTAKES)
def test_a_mistake_is_one_line_and_leaves_data_untouched(
    command: str, run: Callable[..., Said], root: Path, reports: Path, tmp_path: Path
) -> None:
    files = {"reports": reports, "absent": tmp_path / "absent.csv", "pictures": tmp_path / "pictures"}
    for name, content in {"one": "text,label\nx,a\ny,a\n", "ragged": "text,label\nx,a\ny,b,c\n"}.items():
        files[name] = tmp_path / f"{name}.csv"
        files[name].write_text(content)
    (files["pictures"] / "a").mkdir(parents=True)
    (files["pictures"] / "a" / "0.png").touch()
    before = contents(root / "data")
    code, out, error = run(*(word.format(**files) for word in command.split()))
    assert (code, out, error.count("\n")) == (2, "", 1)
    assert MISTAKES[command] in error
    assert contents(root / "data") == before


def test_a_full_disk_is_one_line_and_leaves_the_old_domain(
    run: Callable[..., Said], root: Path, reports: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import pyarrow.parquet as pq

    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    before = contents(root / "data")
    monkeypatch.setattr(pq.ParquetWriter, "write_table", refuse)
    code, _, error = run("add", "used", str(reports), "--replace")
    assert (code, error.count("\n")) == (2, 1)
    assert "cannot write" in error
    assert "No space left on device; free some space" in error
    assert contents(root / "data") == before
    assert sorted(path.name for path in (root / "data").iterdir()) == ["used"]


def test_outside_of_a_checkout_nothing_is_written(
    run: Callable[..., Said], reports: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.setenv("ACCLIMATE_ROOT", str(tmp_path / "elsewhere"))
    code, _, error = run("add", "reports", str(reports))
    assert code == 2
    assert "is not a git checkout" in error
    assert list((tmp_path / "elsewhere").iterdir()) == []
