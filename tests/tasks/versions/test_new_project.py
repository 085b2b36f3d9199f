"""A folder made a project: what is written and committed, and what is refused."""

import os
import subprocess
from pathlib import Path

import pytest
import yaml

from domains.errors import UserError
from tasks.versions import new_project
from tasks.versions.revisions import data_revision

ROOT = Path(__file__).parents[3]
WRITTEN = {".dvc/.gitignore", ".dvc/config", ".dvcignore", ".gitignore", "data.dvc", "prefect.yaml"}


@pytest.fixture(autouse=True)
def user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A git that knows nothing of this machine but a user; return its configuration."""
    for name in [name for name in os.environ if name.startswith("GIT_") or name == "EMAIL"]:
        monkeypatch.delenv(name)
    config = tmp_path / "gitconfig"
    config.write_text("[user]\n\tname = t\n\temail = t@example.org\n\tuseConfigOnly = true\n")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(config))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    return config


def git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def files(folder: Path) -> set[str]:
    found = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    return {name for name in found if not name.startswith(".git/")}


def test_an_absent_folder_becomes_a_repository_with_one_commit(tmp_path: Path) -> None:
    folder = tmp_path / "over" / "there"
    assert set(new_project.init(folder)) == files(folder) == WRITTEN
    assert set(git(folder, "ls-tree", "-r", "--name-only", "HEAD").splitlines()) == WRITTEN
    assert git(folder, "rev-list", "--count", "HEAD") == "1"
    assert git(folder, "status", "--porcelain") == ""
    for name in WRITTEN - {".gitignore"}:
        assert (folder / name).read_text() == (ROOT / name).read_text()
    assert data_revision(folder).data_hash == yaml.safe_load((ROOT / "data.dvc").read_text())["outs"][0]["md5"]
    for name in ("data/hpo/domain.yaml", ".acclimate/mlflow.db", ".dvc/cache/x", ".dvc/tmp/x", ".dvc/config.local"):
        git(folder, "check-ignore", name)


def test_a_folder_in_a_repository_leaves_what_is_there_as_it_is(tmp_path: Path) -> None:
    top, folder = tmp_path / "top", tmp_path / "top" / "sub"
    folder.mkdir(parents=True)
    git(top, "init", "--quiet")
    (folder / ".gitignore").write_text("/mine/\n/data/")
    (folder / ".dvcignore").write_text("mine\n")
    git(top, "add", ".")
    git(top, "commit", "--quiet", "--message", "mine")
    (top / "staged.txt").write_text("staged")
    git(top, "add", "staged.txt")
    written = new_project.init(folder)
    assert set(written) == WRITTEN - {".dvcignore"}
    assert not (folder / ".git").exists()
    assert set(git(top, "show", "--name-only", "--format=", "HEAD").splitlines()) == {f"sub/{name}" for name in written}
    assert git(top, "status", "--porcelain") == "A  staged.txt"
    assert (folder / ".gitignore").read_text().splitlines() == ["/mine/", *new_project.IGNORED]
    assert (folder / ".dvcignore").read_text() == "mine\n"
    data_revision(folder)


def test_a_project_is_refused_and_stays_as_it_is(tmp_path: Path) -> None:
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "data.dvc").write_text("mine")
    with pytest.raises(UserError, match=r"has a data\.dvc: it is a project already"):
        new_project.init(folder)
    assert files(folder) == {"data.dvc"}
    assert not (folder / ".git").exists()


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("prefect.yaml", "prefect.yaml of its own"),
        ("data/x.txt", "no data.dvc names"),
        (".gitignore", "commit it first"),
    ],
)
def test_a_file_in_the_way_is_never_overwritten(tmp_path: Path, name: str, said: str) -> None:
    folder = tmp_path / "project"
    (folder / name).parent.mkdir(parents=True)
    (folder / name).write_text("mine")
    git(folder, "init", "--quiet")
    with pytest.raises(UserError, match=said):
        new_project.init(folder)
    assert files(folder) == {name}
    assert (folder / name).read_text() == "mine"


def test_a_file_in_place_of_the_folder_is_refused(tmp_path: Path, user: Path) -> None:
    with pytest.raises(UserError, match="is not a folder"):
        new_project.init(user)


def test_without_a_git_user_nothing_is_written(tmp_path: Path, user: Path) -> None:
    user.write_text("[user]\n\tuseConfigOnly = true\n")
    with pytest.raises(UserError, match=r"git config --global user\.name NAME"):
        new_project.init(tmp_path / "project")
    assert not (tmp_path / "project").exists()


def test_what_was_written_is_taken_away_when_git_refuses_the_commit(tmp_path: Path) -> None:
    folder = tmp_path / "project"
    folder.mkdir()
    git(folder, "init", "--quiet")
    (folder / ".gitignore").write_text("/mine/\n")
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "--message", "mine")
    hook = folder / ".git/hooks/pre-commit"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\necho not today >&2\nexit 1\n")
    hook.chmod(0o755)
    with pytest.raises(UserError, match="not today"):
        new_project.init(folder)
    assert files(folder) == {".gitignore"}
    assert (folder / ".gitignore").read_text() == "/mine/\n"
    assert git(folder, "status", "--porcelain") == ""


def test_an_installation_has_the_files_beside_its_packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(new_project, "CODE", tmp_path)
    monkeypatch.setattr(new_project, "files", lambda name: None)
    with pytest.raises(UserError, match=r"lacks share/acclimate/data\.dvc"):
        new_project.shipped_text("data.dvc")
    (tmp_path / new_project.SHARE).mkdir(parents=True)
    (tmp_path / new_project.SHARE / "data.dvc").write_text("outs")
    assert new_project.shipped_text("data.dvc") == "outs"


@pytest.mark.parametrize("commits", [0, 1])
def test_a_repository_that_is_no_project_is_told_how_to_become_one(tmp_path: Path, commits: int) -> None:
    git(tmp_path, "init", "--quiet")
    for _ in range(commits):
        git(tmp_path, "commit", "--quiet", "--allow-empty", "--message", "empty")
    with pytest.raises(UserError, match="acclimate init makes"):
        data_revision(tmp_path)
