"""Domains at git revisions, in temporary git and DVC repositories with tiny domains."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from dvc.repo import Repo

from domains.errors import UserError
from tasks.versions import snapshots
from tasks.versions.cache import listing_at
from tasks.versions.revisions import data_revision, domain_files
from tasks.versions.snapshots import domains_at, kept_snapshot, snapshot


def run(root: Path, *command: str) -> str:
    return subprocess.run(command, cwd=root, check=True, capture_output=True, text=True).stdout


def write_domain(root: Path, name: str, text: str) -> None:
    folder = root / "data" / name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "domain.yaml").write_text(f"name: {name}\nfamily: text\nrole: source\nlabels: [a, b]\n")
    (folder / "train.parquet").write_text(text)


def commit(root: Path) -> str:
    with Repo(str(root)) as repo:
        repo.add(str(root / "data"))
    run(root, "git", "add", "--all")
    run(
        root,
        "git",
        "-c",
        "user.name=t",
        "-c",
        "user.email=t@example.org",
        "commit",
        "--quiet",
        "--message",
        "data",
    )
    return run(root, "git", "rev-parse", "HEAD").strip()


def empty_cache(root: Path) -> None:
    run(root, "rm", "-rf", ".dvc/cache")


def object_path(root: Path, domain: str) -> Path:
    """Where the cache keeps the domain's train shard."""
    files = dict(domain_files(listing_at(root, data_revision(root)))[domain])
    md5 = files["train.parquet"]
    return root / ".dvc/cache/files/md5" / md5[:2] / md5[2:]


def add_remote(root: Path, remote: Path) -> None:
    """Push everything to a remote, in the local configuration: DVC reads the tracked one at each commit."""
    with Repo(str(root)) as repo, repo.config.edit("local") as config:
        config["remote"]["store"], config["core"]["remote"] = {"url": str(remote)}, "store"
    with Repo(str(root)) as repo:
        repo.push(all_commits=True)


@pytest.fixture(scope="module", autouse=True)
def own_state(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep what DVC remembers of these repositories out of the machine's shared folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DVC_SITE_CACHE_DIR", str(tmp_path_factory.mktemp("dvc")))
        yield


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository of two revisions: glyphs and news, then news changed and trec new."""
    root = tmp_path_factory.mktemp("made")
    run(root, "git", "init", "--quiet")
    Repo.init(str(root)).close()
    (root / ".gitignore").write_text("/.acclimate/\n")
    write_domain(root, "glyphs", "g")
    write_domain(root, "news", "old")
    commit(root)
    write_domain(root, "news", "new")
    write_domain(root, "trec", "t")
    commit(root)
    return root


@pytest.fixture
def root(made: Path, tmp_path: Path) -> Path:
    """A copy of the repository, with data/ and cache, to change at will."""
    run(tmp_path, "cp", "-a", str(made), "clone")
    return tmp_path / "clone"


def test_domains_of_each_revision_are_listed_and_only_the_changed_one_has_another_hash(made: Path) -> None:
    before, after = domains_at(made, "HEAD~1"), domains_at(made)
    assert list(before) == ["glyphs", "news"]
    assert list(after) == ["glyphs", "news", "trec"]
    assert before["glyphs"] == after["glyphs"]
    assert before["news"] != after["news"]


def test_a_snapshot_is_read_at_its_revision_and_not_from_the_working_folder(root: Path) -> None:
    write_domain(root, "news", "not committed")
    for revision, text in (("HEAD~1", "old"), ("HEAD", "new")):
        domain = snapshot(root, root / ".acclimate", "news", revision)
        assert (domain.path / "train.parquet").read_text() == text
        assert domain.revision == run(root, "git", "rev-parse", revision).strip()
        assert domain.content_hash == domains_at(root, revision)["news"]


def test_a_snapshot_is_made_once_and_then_needs_no_cache_for_its_files(root: Path) -> None:
    first = snapshot(root, root / ".acclimate", "news")
    object_path(root, "news").unlink()
    assert snapshot(root, root / ".acclimate", "news") == first
    assert [p.name for p in first.path.parent.iterdir()] == [first.path.name]


def test_a_full_disk_leaves_no_half_snapshot(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "link", full)
        patch.setattr(snapshots.shutil, "copyfileobj", full)
        with pytest.raises(UserError, match="No space left on device"):
            snapshot(root, root / ".acclimate", "news")
    assert list((root / ".acclimate/domains").iterdir()) == []
    assert snapshot(root, root / ".acclimate", "news").name == "news"


def test_a_file_system_without_hard_links_gets_copies(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_links(*_: object) -> None:
        raise OSError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", no_links)
    assert (snapshot(root, root / ".acclimate", "news").path / "train.parquet").read_text() == "new"


def test_files_missing_from_the_cache_are_pulled_from_the_remote(root: Path, tmp_path: Path) -> None:
    add_remote(root, tmp_path / "remote")
    empty_cache(root)
    assert (snapshot(root, root / ".acclimate", "news", "HEAD~1").path / "train.parquet").read_text() == "old"


def test_wrong_bytes_at_the_remote_are_refused(root: Path, tmp_path: Path) -> None:
    add_remote(root, tmp_path / "remote")
    path = object_path(root, "news")
    there = tmp_path / "remote/files/md5" / path.parent.name / path.name
    there.chmod(0o644)
    there.write_text("wrong")
    empty_cache(root)
    with pytest.raises(UserError, match="nor sound at its remote"):
        snapshot(root, root / ".acclimate", "news")
    assert not path.exists()


def test_without_cache_and_remote_the_user_is_told_to_build(root: Path) -> None:
    empty_cache(root)
    with pytest.raises(UserError, match="acclimate data build"):
        domains_at(root)
    with pytest.raises(UserError, match="acclimate data build"):
        snapshot(root, root / ".acclimate", "news")


def test_an_unknown_domain_is_answered_with_those_of_the_revision(made: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no domain 'trec' at revision HEAD~1; there are: glyphs, news"):
        snapshot(made, tmp_path, "trec", "HEAD~1")
    with pytest.raises(UserError, match=r"no domain '\.\./news'"):
        snapshot(made, tmp_path, "../news")


def test_reading_data_leaves_the_standard_streams_alone() -> None:
    code = """if True:
        import sys
        from pathlib import Path
        from tasks.versions.dvc_repo import dvc
        before = sys.stdout, sys.stderr
        try:
            with dvc(Path("/")): pass
        except Exception: pass
        assert "dvc" in sys.modules and (sys.stdout, sys.stderr) == before
    """
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("name", ["meta-text", "News", "it's", "a b", "-x", ".x", "x" * 65])
def test_a_folder_whose_name_is_none_of_a_domain_is_none(name) -> None:
    assert domain_files(((f"{name}/domain.yaml", "0" * 32), ("news/domain.yaml", "1" * 32))).keys() == {"news"}


def test_a_domain_that_says_it_is_another_is_refused(checkout) -> None:
    about = checkout.root / "data" / "news" / "domain.yaml"
    about.write_text(about.read_text().replace("name: news", "name: trec"))
    commit(checkout.root)
    with pytest.raises(UserError, match=r"news at .*: its domain.yaml names 'trec'; add it under one name"):
        snapshot(checkout.root, checkout.home, "news")


@pytest.mark.parametrize("digest", ["", "../../secret/", "a" * 63, f"../{'a' * 61}", f"{'A' * 64}"])
def test_a_hash_or_name_that_a_registry_made_up_is_no_path(tmp_path, digest) -> None:
    for folder in (tmp_path / "secret", tmp_path / "domains" / "news-", tmp_path / "domains" / f"news-{'a' * 16}"):
        folder.mkdir(parents=True)
        (folder / "domain.yaml").touch()
    assert kept_snapshot(tmp_path, "news", digest) is None
    assert kept_snapshot(tmp_path, "../secret", "a" * 64) is None
    assert kept_snapshot(tmp_path, "news", "a" * 64) is not None
