"""The command line without a server: quick help, and one line that says what to do for every mistake."""

import errno
import hashlib
import json
import os
import shlex
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import torch
import typer
import yaml

from domains import catalogue
from flows import cli
from learners.choice.prior import Prior
from learners.classifier import Affine, Classifier
from learners.meta_model import MetaModel
from tasks.base.settings import Settings
from tasks.features.encoders import encoder_identity
from tasks.ingest import domain_list
from tasks.models import registry
from tasks.versions.snapshots import snapshot

ROOT = Path(__file__).parents[2]


def leaves(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield every command that does something, with the words that call it."""
    for name, child in getattr(command, "commands", {}).items():
        yield from leaves(child, (*path, name))
    if not hasattr(command, "commands"):
        yield path, command


COMMANDS = dict(leaves(typer.main.get_command(cli.app)))


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A git checkout of three domains; for text there is a meta-model, for drugreviews a champion."""
    root = tmp_path_factory.mktemp("checkout")
    files = []
    domains = {"drugreviews": ("text", "target"), "trec": ("text", "source"), "digits": ("vision", "target")}
    for name, (family, role) in domains.items():
        about = {"name": name, "family": family, "role": role, "labels": ["well", "sick"]}
        files.append({"md5": store(root, yaml.safe_dump(about).encode()), "relpath": f"{name}/domain.yaml"})
    pointer = {"md5": store(root, json.dumps(files).encode(), ".dir"), "hash": "md5", "path": "data"}
    (root / "data.dvc").write_text(yaml.safe_dump({"outs": [pointer]}))
    for command in (["init", "-q"], ["add", "data.dvc"], ["commit", "-qm", "data"]):
        subprocess.run(["git", "-c", "user.name=t", "-c", "user.email=t@example.org", *command], cwd=root, check=True)
    settings = Settings(root=root)
    for name in domains:
        snapshot(root, settings.home_path, name)
    adapted, meta = root / "adapted", root / "meta"
    adapted.mkdir()
    meta.mkdir()
    Classifier((Affine(torch.eye(2, 384), torch.zeros(2)),), ("well", "sick")).save(adapted)
    MetaModel("text", encoder_identity("text"), 384, None, {}, Prior()).save(meta)
    tags = {"family": "text", "encoder": encoder_identity("text")}
    version = registry.log_adapted(settings, "drugreviews", adapted, {}, {}, tags)
    registry.promote(settings, "drugreviews", version, lambda _: None)
    version = registry.log_meta_model(settings, "text", meta, {}, {}, {})
    registry.promote(settings, "meta-text", version, lambda _: None)
    return root


def store(root: Path, content: bytes, ending: str = "") -> str:
    """Put an object into DVC's cache and return its name."""
    name = hashlib.md5(content).hexdigest() + ending
    path = root / ".dvc/cache/files/md5" / name[:2] / name[2:]
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    return name


@pytest.fixture(autouse=True)
def here(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACCLIMATE_ROOT", str(checkout))
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    monkeypatch.delenv("ACCLIMATE_MIRROR", raising=False)
    monkeypatch.setenv("COLUMNS", "100")


Said = tuple[int, str, str]


def files(root: Path) -> set[str]:
    return {
        str(path) for path in root.rglob("*") if ".git" not in path.parts and path.suffix not in (".db-shm", ".db-wal")
    }


# Help


def test_help_loads_nothing_heavy_and_little_in_all() -> None:
    code = """if True:
        import sys
        from flows.cli import main
        main(["--help"])
        heavy = {"torch", "prefect", "mlflow", "pandas", "numpy", "pyarrow", "sqlalchemy", "dvc", "PIL", "httpx"}
        print(len(sys.modules), *sorted(heavy & set(sys.modules)))
    """
    said = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    (modules,) = said.stdout.splitlines()[-1].split()
    assert int(modules) < 700  # half a second; what is heavy brings a thousand more


def test_without_a_command_help_is_printed_and_no_error(run: Callable[..., Said]) -> None:
    for arguments in ((), ("domains",), ("data",), ("models",)):
        code, out, error = run(*arguments)
        assert (code, error) == (2, "")
        assert "Usage: " in out


def test_the_version_is_that_which_is_installed(run: Callable[..., Said]) -> None:
    assert run("--version") == (0, f"acclimate {version('acclimate')}\n", "")


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_every_command_has_help_with_an_example_that_it_accepts(
    path: tuple[str, ...], run: Callable[..., Said]
) -> None:
    code, out, error = run(*path, "--help")
    assert (code, error) == (0, "")
    words = shlex.split(next(line for line in out.splitlines() if "Example: " in line).split("Example: ")[1])
    assert words[: len(path) + 1] == ["acclimate", *path]
    COMMANDS[path].make_context(path[-1], words[len(path) + 1 :])


# Mistakes

MISTAKES = {
    "adapt nope": "no domain 'nope' at revision HEAD; there are: digits, drugreviews, trec",
    "adapt ../data": "no domain '../data'",
    "adapt trec": "domain trec is a source: it is meta-trained on; choose a target",
    "adapt drugreviews --k 0": "greater than or equal to 1",
    "adapt drugreviews --draws 0": "greater than or equal to 1",
    "adapt drugreviews --k ten": "'--k'",
    "adapt drugreviews --rev nope": "unknown git revision 'nope': give a commit, branch or tag",
    "adapt drugreviews --rev=--all": "'--all' is not a git revision: give a commit",
    "adapt": "Missing argument 'domain'",
    "adapt drugreviews --method magic": "no method 'magic'; there are: auto, logistic",
    "adapt drugreviews --nonsense": "No such option: --nonsense",
    "adapt drugreviews --suggest 0": "greater than or equal to 1",
    "adapt drugreviews --suggest 5": "domain drugreviews has no pool: add unlabelled examples as pool.parquet to",
    "adapt drugreviews --suggest 5 -o nowhere/x.csv": "cannot write nowhere/x.csv: not a file in a folder that is",
    "meta-train --family audio": "no family 'audio'; there are: text, vision, market",
    "meta-train --family text --rev nope": "unknown git revision 'nope'",
    "meta-train --family text --steps 0": "greater than or equal to 1",
    "demo --family text --family audio": "no family 'audio'; there are: text, vision, market",
    "bench lake --methods bpl": "no method 'bpl' in this benchmark; there are: protonet, logistic, nearest, hausdorff",
    "data build --domain nope": "no domain 'nope' in the catalogue; see `acclimate domains list`",
    "data build --domain ../data": "no domain '../data' in the catalogue; see `acclimate domains list`",
    "data build --domain digits --domain clinc150": "clinc150.parquet is read from a mirror: put text/clinc150.parquet "
    "into a folder and set ACCLIMATE_MIRROR to it",
    "bench market --domains panic": "no regime 'panic' in this benchmark; there are: dot-com, calm, crisis, bull",
    "bench slow": "no benchmark 'slow'; there are: quick, adapt, labels, published, suggest, omniglot, miniimagenet",
    "bench quick --json nowhere/rows.json": "cannot write nowhere/rows.json: no such folder; choose another path",
    "meta-train --family decisions --problem chess": "no problem 'chess'; there are: bandit-k5-n10, bandit-k10-n10",
    "meta-train --family decisions --sources nearest:8 --for trec": "decisions have no source domains and one learner",
    "meta-train --family decisions --promote": "decisions have no gate: a policy is always promoted",
    "bench rl2 --domains chess": "no problem 'chess'; there are: bandit-k5-n10",
    "domains audit nope": "no domain 'nope' in data/; see `acclimate domains list`",
    "domains audit nope -o nowhere/it.csv": "cannot write nowhere/it.csv: no such folder; choose another path",
    "domains check nope": "no domain 'nope' in data/; see `acclimate domains list`",
    "domains check ../data": "domain name '../data': use 1 to 64 lower-case letters",
    "meta-train --family text --sources nearest:8": "nearest to which domain? Say --for DOMAIN",
    "meta-train --family text --sources best --for trec": "they are all, or nearest:K",
    "meta-train --family text --sources nearest:8 --for digits": "domain digits is of family vision, not text",
    "meta-train --family text --sources nearest:8 --for ../data": "no domain '../data' at revision",
    "domains map --family audio": "no family 'audio'; there are: text, vision, market",
    "domains map --family text": "family text has 0 domains with labels at revision HEAD; a map needs two",
    "domains map -o nowhere/map.png": "cannot write nowhere/map.png: no such folder; choose another path",
    "domains map --rev nope": "unknown git revision 'nope'",
    "domains show nope": "no domain 'nope'; see `acclimate domains list`",
    "domains show ../data": "domain name '../data': use 1 to 64 lower-case letters",
    "predict nope {fine}": "no domain 'nope'; see `acclimate domains list`",
    "predict meta-text {fine}": "domain name 'meta-text': use 1 to 64 lower-case letters",
    "predict hpo {fine}": "domain hpo has no champion yet; run `acclimate adapt hpo`",
    "predict drugreviews {absent}": "absent.csv: no such file",
    "predict drugreviews {latin}": "latin.csv: not UTF-8 at byte 8; save it as UTF-8",
    "predict drugreviews {gap} --sheet A": "--sheet is only for Excel files",
    "predict drugreviews {gap} --column txt": "which column is the text? It has id, text; say --column",
    "predict drugreviews {empty}": "empty.csv: no examples in it",
    "models show nope": "no model of 'nope' yet; see `acclimate status`",
    "models show drugreviews --version 7": "drugreviews has no version 7; see: acclimate models show drugreviews",
    "models promote drugreviews 7": "drugreviews has no version 7; see: acclimate models show drugreviews",
    "models promote drugreviews": "Missing argument 'version'",
    "models promote ../data 1": "domain name '../data': use 1 to 64 lower-case letters",
    "models rollback nope": "no model of 'nope' yet; see `acclimate status`",
    "models rollback drugreviews": "drugreviews has no previous champion; choose one: acclimate models show",
    "adapt drugreviews --meta-version 9": "meta-text has no version or key '9'; see: acclimate models show meta-text",
    "models show ../data": "domain name '../data': use 1 to 64 lower-case letters",
    "models export nope out": "no domain 'nope'; see `acclimate domains list`",
    "models export hpo out": "domain hpo has no champion yet; run `acclimate adapt hpo`",
    "models export drugreviews out --version 7": "no version 7; see: acclimate models show drugreviews",
    "models export drugreviews {fine}": "fine.csv exists and is not empty; choose a new folder",
    "models export drugreviews out --mlflow --onnx": "--onnx and --mlflow are two formats; choose one",
    "drift nope": "no domain 'nope'; see `acclimate domains list`",
    "drift ../data": "domain name '../data': use 1 to 64 lower-case letters",
    "drift hpo": "domain hpo has no champion yet; run `acclimate adapt hpo`",
    "drift --file {fine}": "Say acclimate drift DOMAIN --file",
    "drift drugreviews --alpha 1": "alpha = 1.0: a false-alarm rate from 0.001 to 0.2",
    "drift drugreviews --rev nope": "unknown git revision 'nope'",
    "drift drugreviews --file {absent}": "absent.csv: no such file",
    "nonsense": "No such command 'nonsense'",
}

FILES = {
    "fine": b"text\nhelps\n",
    "latin": b"text\nabc\xe9\xe8\xe7\n",
    "gap": b"id,text\n1,helps\n2,\n",
    "empty": b"",
}


@pytest.mark.parametrize("command", MISTAKES)
def test_a_mistake_is_one_line_that_says_what_to_do_and_leaves_nothing(
    command: str, run: Callable[..., Said], checkout: Path, tmp_path: Path
) -> None:
    for name, content in FILES.items():
        (tmp_path / f"{name}.csv").write_bytes(content)
    words = [word.format(**{name: tmp_path / f"{name}.csv" for name in (*FILES, "absent")}) for word in command.split()]
    if words[0] == "predict":
        words += ["-o", str(tmp_path / "out.csv")]
    before = files(checkout), files(tmp_path)
    code, out, error = run(*words)
    assert (code, out) == (2, "")
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    assert MISTAKES[command] in error
    assert (files(checkout), files(tmp_path)) == before


def test_a_port_in_use_is_one_line_and_nothing_is_started(
    run: Callable[..., Said], monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        monkeypatch.setenv("ACCLIMATE_PORT", str(port))
        for command in ("adapt drugreviews", "data build", "up"):
            said = run(*command.split())
            assert said == (
                2,
                "",
                f"error: port {port} is in use by another program: stop it, or set ACCLIMATE_PORT to a free one\n",
            )


def test_outside_of_a_checkout_the_user_is_told_to_clone(
    run: Callable[..., Said], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ACCLIMATE_ROOT", str(tmp_path))
    for command in ("demo", "adapt drugreviews", "data build", "data verify", "meta-train --family text"):
        code, out, error = run(*command.split())
        assert (code, out, error.count("\n")) == (2, "", 1)
        assert "is not a git checkout" in error
        assert "get the project with git clone" in error
    assert files(tmp_path) == set()


def test_an_interrupt_says_that_the_work_goes_on_later(
    run: Callable[..., Said], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(_: Settings) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(domain_list, "list_domains", interrupt)
    assert run("domains", "list") == (130, "", "error: interrupted; the same command goes on where it stopped\n")


def test_a_full_disk_is_one_line_wherever_it_happens(run: Callable[..., Said], monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: Settings) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "x.safetensors")

    monkeypatch.setattr(domain_list, "list_domains", fail)
    code, out, error = run("domains", "list")
    assert (code, out, error.count("\n")) == (2, "", 1)
    assert "'x.safetensors': free some space; the same command goes on" in error


def test_a_server_that_was_killed_is_one_line_and_no_bug(
    run: Callable[..., Said], monkeypatch: pytest.MonkeyPatch
) -> None:
    import httpx

    def gone(_: Settings) -> None:
        raise httpx.ConnectError("[Errno 111] Connection refused")

    monkeypatch.setattr(domain_list, "list_domains", gone)
    code, out, error = run("domains", "list")
    assert (code, out, error.count("\n")) == (2, "", 1)
    assert "the Prefect server is gone ([Errno 111] Connection refused); the same command goes on" in error


def test_a_bug_is_one_line_too_and_its_details_are_kept(
    run: Callable[..., Said], checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: Settings) -> None:
        raise RuntimeError("first line\nsecond line")

    monkeypatch.setattr(domain_list, "list_domains", fail)
    log = checkout / ".acclimate" / "error.log"
    assert run("domains", "list") == (1, "", f"error: RuntimeError: first line (a bug; details: {log})\n")
    assert "second line" in log.read_text()


# Listings


def test_domains_are_listed_for_a_program(run: Callable[..., Said]) -> None:
    code, out, error = run("domains", "list", "--json")
    assert (code, error) == (0, "")
    rows = {row["domain"]: row for row in json.loads(out)}
    assert rows.keys() == catalogue.catalogue().keys()
    assert (
        rows["hpo"].items()
        >= {
            "domain": "hpo",
            "family": "text",
            "role": "target",
            "state": "can build",
            "classes": 21,
            "total": 3722,
            "medical": True,
            "quick": True,
            "here": False,
            "labels": [],
            "counts": {},
        }.items()
    )
    assert [file["bytes"] for file in rows["hpo"]["files"]] == [18_200_195]
    assert (rows["omniglot"]["state"], rows["clinc150"]["state"]) == ("can build", "mirror")
    assert rows["ohsumed23"]["overlaps"] == ["medical_abstracts"]


def test_the_list_of_domains_is_one_line_a_domain_and_says_what_each_needs(run: Callable[..., Said]) -> None:
    code, out, error = run("domains", "list")
    assert code == 0
    lines = [line for line in out.splitlines() if line.strip()]
    assert len(lines) == len(catalogue.catalogue()) + 2  # the names of the columns, and a rule
    assert max(map(len, lines)) <= 100
    assert [word for word in ("clinc150", "text", "source", "mirror", "150", "22,491") if word not in out] == []
    assert "set ACCLIMATE_MIRROR" in error
    assert "acclimate data build --domain NAME" in error


def test_a_file_in_the_mirror_can_be_built(
    run: Callable[..., Said], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ACCLIMATE_MIRROR", str(tmp_path))
    (tmp_path / "text").mkdir()
    (tmp_path / "text" / "clinc150.parquet").write_bytes(b"another version")
    rows = {row["domain"]: row["state"] for row in json.loads(run("domains", "list", "--json")[1])}
    assert (rows["clinc150"], rows["hwu64"]) == ("can build", "mirror")
    code, out, error = run("data", "build", "--domain", "clinc150")
    assert (code, out) == (2, "")
    assert "clinc150.parquet: content has sha256" in error


def test_an_entry_of_the_catalogue_is_shown_before_it_is_built(run: Callable[..., Said]) -> None:
    code, out, error = run("domains", "show", "omniglot")
    assert (code, error) == (0, "")
    assert [word for word in ("1623", "MIT", "B. M. Lake", "vision/images_background.zip") if word not in out] == []
    found = json.loads(run("domains", "show", "clinc150", "--json")[1])
    assert found["here"] == (
        "no: put text/clinc150.parquet into a folder, set ACCLIMATE_MIRROR to it, then "
        "`acclimate data build --domain clinc150` builds it"
    )


def test_a_domain_of_the_catalogue_is_built_by_name_without_a_server(
    run: Callable[..., Said], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ACCLIMATE_ROOT", str(tmp_path))
    code, out, _ = run("data", "build", "--domain", "digits", "--domain", "digits")
    assert (code, out) == (0, "built in data/: digits\n")
    assert sorted(path.name for path in (tmp_path / "data").iterdir()) == ["digits"]
    assert run("data", "build", "--domain", "digits")[1] == "already in data/: digits; --force builds again\n"


def test_versions_of_a_model_are_listed_for_a_program(run: Callable[..., Said]) -> None:
    code, out, error = run("models", "show", "drugreviews", "--json")
    assert (code, error) == (0, "")
    found = json.loads(out)
    assert [(row["version"], row["in service"]) for row in found["versions"]] == [("1", "champion")]
    assert found["lineage"]["commands"][-1].startswith("acclimate adapt drugreviews --k 10 --rev HEAD")


def test_a_domain_that_is_not_built_says_where_it_comes_from(run: Callable[..., Said]) -> None:
    code, out, error = run("domains", "show", "hpo", "--json")
    assert (code, error) == (0, "")
    found = json.loads(out)
    assert (found["name"], found["family"], found["role"]) == ("hpo", "text", "target")
    assert "acclimate data build" in found["here"]


def test_a_domain_that_is_built_is_shown_with_counts_and_examples(
    run: Callable[..., Said], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import pandas as pd

    monkeypatch.setenv("ACCLIMATE_ROOT", str(tmp_path))
    folder = tmp_path / "data" / "notes"
    folder.mkdir(parents=True)
    about = {
        "name": "notes",
        "family": "text",
        "role": "target",
        "labels": ["well", "[/sick]"],
        "title": "[red]my notes",
    }
    (folder / "domain.yaml").write_text(yaml.safe_dump(about))
    pd.DataFrame({"text": ["fine", "[/b] aches"], "label": [0, 1]}).to_parquet(folder / "train.parquet")
    found = json.loads(run("domains", "show", "notes", "--json")[1])
    assert found["counts"] == {"train": 2}
    assert found["examples"] == [{"label": "well", "example": "fine"}, {"label": "[/sick]", "example": "[/b] aches"}]
    assert next(row for row in json.loads(run("domains", "list", "--json")[1]) if row["domain"] == "notes")["here"]
    for command in (("domains", "show", "notes"), ("domains", "list")):  # as it is, not as markup of the terminal
        code, out, _ = run(*command)
        assert code == 0
        assert "[red]my" in out


def test_a_check_of_a_domain_exits_with_2_for_errors_and_0_for_warnings(
    run: Callable[..., Said], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import pandas as pd

    monkeypatch.setenv("ACCLIMATE_ROOT", str(tmp_path))
    folder = tmp_path / "data" / "notes"
    folder.mkdir(parents=True)
    about = {"name": "notes", "family": "text", "role": "source", "labels": ["well", "sick"]}
    (folder / "domain.yaml").write_text(yaml.safe_dump(about))
    frame = pd.DataFrame({"text": [f"note {i}" for i in range(24)], "label": [i % 2 for i in range(24)]})
    frame.to_parquet(folder / "train.parquet")
    assert run("domains", "check", "notes") == (0, "notes: 0 errors, 0 warnings\n", "")
    frame.loc[3, "text"] = "[/b] sister\ufffdcity"
    frame.to_parquet(folder / "train.parquet")
    code, out, error = run("domains", "check", "notes")
    assert (code, error) == (0, "")
    assert "  notes/train.parquet row 3: '[/b] sister\ufffdcity'" in out.splitlines()
    frame.loc[4, "label"] = 7
    frame.to_parquet(folder / "train.parquet")
    code, out, error = run("domains", "check", "notes")
    assert (code, error, out.splitlines()[-1]) == (2, "", "notes: 1 error, 2 warnings")
    code, out, error = run("domains", "check", "notes", "--json")
    assert (code, error) == (2, "")
    found = [(f["kind"], f["row"]) for f in json.loads(out)]
    assert found == [("bad-label", 4), ("damaged-text", 3), ("small-class", None)]
    (folder / "domain.yaml").write_text(yaml.safe_dump(about | {"name": "others"}))
    code, out, error = run("domains", "check", "notes")
    assert (code, out) == (2, "")
    assert "its name is 'others'; make it that of the folder, 'notes'" in error


def test_what_goes_with_the_flow_of_predictions_is_refused_without_it(run, tmp_path):
    (tmp_path / "new.csv").write_text("text\na\n")
    code, _, said = run("predict", "hpo", str(tmp_path / "new.csv"), "--again")
    assert (code, said) == (2, "error: --again and --rev go with --flow\n")
