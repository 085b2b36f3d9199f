"""Data versions, in temporary git and DVC repositories with tiny domains."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from dvc.repo import Repo

from domains.errors import UserError
from tasks import data, dvc_access
from tasks.data import data_revision, domains_at, snapshot, verify
from tasks.objects import listing
from tasks.revisions import content_hash, domain_files, parse_pointer


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
    files = dict(domain_files(listing(root, data_revision(root)))[domain])
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
        patch.setattr(data.shutil, "copyfileobj", full)
        with pytest.raises(UserError, match="No space left on device"):
            snapshot(root, root / ".acclimate", "news")
    assert list((root / ".acclimate/domains").iterdir()) == []
    assert snapshot(root, root / ".acclimate", "news").name == "news"


def test_a_file_system_without_hard_links_gets_copies(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_links(*_: object) -> None:
        raise OSError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", no_links)
    assert (snapshot(root, root / ".acclimate", "news").path / "train.parquet").read_text() == "new"


def test_data_built_in_a_fresh_clone_is_proved_and_then_readable(made: Path, tmp_path: Path) -> None:
    root = tmp_path / "fresh"
    run(tmp_path, "git", "clone", "--quiet", str(made), str(root))
    for name, text in (("glyphs", "g"), ("news", "new"), ("trec", "t")):
        write_domain(root, name, text)
    assert verify(root) == data.Verification(True, data_revision(root).data_hash, data_revision(root).data_hash, ())
    assert (snapshot(root, root / ".acclimate", "trec").path / "train.parquet").read_text() == "t"
    assert run(root, "git", "status", "--porcelain") == ""


def test_changed_new_and_missing_domains_are_named(root: Path) -> None:
    write_domain(root, "news", "tampered")
    write_domain(root, "zoo", "z")
    run(root, "rm", "-r", "data/trec")
    result = verify(root)
    assert not result.ok
    assert result.changed == ("news", "trec", "zoo")
    assert result.expected == data_revision(root).data_hash != result.actual


def test_what_changed_is_unknown_where_the_expected_listing_is_not_at_hand(root: Path) -> None:
    write_domain(root, "news", "tampered")
    empty_cache(root)
    result = verify(root)
    assert (result.ok, result.changed) == (False, None)


def test_a_domain_that_is_being_built_does_not_count(root: Path) -> None:
    (root / ".dvcignore").write_text((Path(__file__).parents[2] / ".dvcignore").read_text())
    write_domain(root, ".building-x1/zoo", "half")
    assert verify(root).ok


def test_a_data_dvc_that_is_not_committed_is_refused(root: Path) -> None:
    (root / "data.dvc").write_text((root / "data.dvc").read_text().replace("md5: ", f"md5: {'0' * 32}.dir #", 1))
    with pytest.raises(UserError, match="not as committed"):
        verify(root)


def test_an_absent_data_folder_says_to_build(root: Path) -> None:
    run(root, "rm", "-r", "data")
    with pytest.raises(UserError, match="acclimate data build"):
        verify(root)


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


def test_a_damaged_cache_object_is_found_and_mended_by_the_next_verification(root: Path) -> None:
    path = object_path(root, "news")
    path.chmod(0o644)
    path.write_text("damaged")
    path.chmod(0o444)  # as DVC leaves objects, and then trusts them
    with pytest.raises(UserError, match="neither in DVC's cache"):
        snapshot(root, root / ".acclimate", "news")
    assert verify(root).ok
    assert (snapshot(root, root / ".acclimate", "news").path / "train.parquet").read_text() == "new"


def test_an_unknown_domain_is_answered_with_those_of_the_revision(made: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no domain 'trec' at revision HEAD~1; there are: glyphs, news"):
        snapshot(made, tmp_path, "trec", "HEAD~1")
    with pytest.raises(UserError, match=r"no domain '\.\./news'"):
        snapshot(made, tmp_path, "../news")


@pytest.mark.parametrize("revision", ["nope", "", "-h", "--output=x", "HEAD:data.dvc", "a b", "HEAD\0"])
def test_a_revision_that_is_none_is_named_and_never_an_option_of_git(made: Path, revision: str) -> None:
    with pytest.raises(UserError) as raised:
        data_revision(made, revision)
    assert repr(revision) in str(raised.value)


def test_a_revision_without_data_dvc_and_a_folder_without_git_say_so(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="not a git checkout"):
        data_revision(tmp_path)
    run(tmp_path, "git", "init", "--quiet")
    run(
        tmp_path,
        "git",
        "-c",
        "user.name=t",
        "-c",
        "user.email=t@e.org",
        "commit",
        "-qm",
        "-",
        "--allow-empty",
    )
    with pytest.raises(UserError, match=r"has no data\.dvc"):
        data_revision(tmp_path)


@pytest.mark.parametrize("text", ["", "outs: []", "outs: [{path: data, md5: abc, hash: md5}]", "[", "outs: 3"])
def test_a_data_dvc_of_another_form_is_refused(text: str) -> None:
    with pytest.raises(UserError, match=r"here does not name the folder data/"):
        parse_pointer(text, "here")


def test_a_content_hash_depends_on_names_and_contents_only() -> None:
    assert content_hash((("a", "1"), ("b", "2"))) == content_hash((("b", "2"), ("a", "1")))
    assert content_hash((("a", "1"),)) != content_hash((("b", "1"),))


def test_a_dvc_lock_held_by_another_is_waited_for_and_then_reported(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import zc.lockfile

    monkeypatch.setattr(dvc_access, "LOCK_SECONDS", 0)
    held = zc.lockfile.LockFile(str(root / ".dvc/tmp/lock"))
    with pytest.raises(UserError, match="another DVC command"):
        verify(root)
    held.close()
    assert verify(root).ok


def test_reading_data_leaves_the_standard_streams_alone() -> None:
    code = """if True:
        import sys
        from pathlib import Path
        from tasks.dvc_access import dvc
        before = sys.stdout, sys.stderr
        try:
            with dvc(Path("/")): pass
        except Exception: pass
        assert "dvc" in sys.modules and (sys.stdout, sys.stderr) == before
    """
    subprocess.run([sys.executable, "-c", code], check=True)
