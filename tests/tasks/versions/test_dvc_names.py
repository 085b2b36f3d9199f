"""What DVC's files may name: no hostile listing or pointer becomes a path outside the two folders it belongs to."""

import hashlib
import json
import os
import random
from pathlib import Path

import pytest

from domains.errors import UserError
from tasks.versions.cache import is_sound, object_paths, usual_path
from tasks.versions.commit import commit
from tasks.versions.diff import data_diff
from tasks.versions.revisions import DataRevision, data_revision, parse_listing, parse_pointer
from tasks.versions.snapshots import domains_at, snapshot
from tasks.versions.uncommitted import uncommitted_domains
from tasks.versions.verify import verify

MD5 = hashlib.md5(b"x").hexdigest()

#: Values that are no md5 of a file, though each would make a path.
NO_HASHES = (
    "", "a", "..", "../../victim", "aa/dev/zero", "aa/../../../../victim", "/etc/passwd", MD5[:-1], MD5 + "0",
    MD5.upper(), MD5 + "\n", MD5[:-1] + "\0", MD5[:-1] + "٣", MD5 + ".dir", "aa\\..\\x", None, 7, True,
    [MD5], {"md5": MD5},
)  # fmt: skip

#: Values that are no path of a file in ``data/``.
NO_PATHS = (
    "", ".", "..", "/", "/x", "//x/y", "../x", "news/../../x", "news/..", "news//x", "news/", "news/./x", "./news/x",
    "a\0b", "a\nb", "a\x1b[2Jb", "a\x7fb", "a\\b", "..\\x", "C:/x", "c:x",
    "\\\\host\\share\\x", "\ud800", "news/" + "x" * 256, None, 3, ["news", "x"], {},
)  # fmt: skip

NO_LISTS = (
    b"", b"[", b"null", b"3", b'"text"', b"{}x", b"{}", b'""', b"\xff\xfe", b"\0", b'{"md5": 1}', b"[[]]", b"[1]",
    b'["a"]', b"[null]", b"[{}]", b"[" * 100_000, b'{"a":' * 100_000, b"[" + b"9" * 10_000 + b"]", b"[NaN]",
)  # fmt: skip


def listing_of(*files: tuple[object, object]) -> bytes:
    return json.dumps([{"md5": md5, "relpath": path} for path, md5 in files]).encode()


def refused(content: bytes) -> str:
    with pytest.raises(UserError) as raised:
        parse_listing(content)
    message = str(raised.value)
    assert message.isprintable()  # one line too
    assert len(message) < 400
    return message


@pytest.mark.parametrize("md5", NO_HASHES, ids=ascii)
def test_a_listing_whose_md5_is_none_is_refused(md5):
    assert "md5 and relpath" in refused(listing_of(("news/domain.yaml", MD5), ("news/train.parquet", md5)))


@pytest.mark.parametrize("path", NO_PATHS, ids=lambda path: ascii(path)[:30])
def test_a_listing_whose_path_is_none_of_a_file_in_data_is_refused(path):
    assert "do not use this revision" in refused(listing_of(("news/domain.yaml", MD5), (path, MD5)))


def test_a_path_that_comes_twice_or_is_a_folder_of_others_is_refused():
    assert "twice" in refused(listing_of(("news/x", MD5), ("news/x", MD5)))
    assert "folder of others" in refused(listing_of(("news/x", MD5), ("news-2", MD5), ("news", MD5)))
    assert "folder of others" in refused(listing_of(("a/b", MD5), ("a/b/c/d", MD5)))


@pytest.mark.parametrize("content", NO_LISTS, ids=lambda content: repr(content[:12]))
def test_what_is_no_list_of_files_is_refused(content):
    assert "md5 and relpath" in refused(content)


def test_a_listing_of_dvcs_is_read_sorted_and_names_in_any_script_are_kept():
    files = [("news/über 1.parquet", MD5), ("news/domain.yaml", MD5), ("12:30", MD5), ("ニュース/.x..y", MD5)]
    assert parse_listing(listing_of(*files)) == tuple(sorted(files))
    assert parse_listing(b"[]") == ()
    assert parse_listing(json.dumps([{"md5": MD5, "relpath": "a", "size": 3}]).encode()) == (("a", MD5),)


@pytest.mark.parametrize("md5", [f"{bad}.dir" for bad in NO_HASHES if isinstance(bad, str) and bad != MD5] + [MD5])
def test_a_data_dvc_whose_md5_is_none_is_refused(md5):
    out = {"md5": md5, "hash": "md5", "path": "data"}
    with pytest.raises(UserError, match="does not name the folder data/"):
        parse_pointer(json.dumps({"outs": [out]}), "data.dvc")


def test_a_data_dvc_nested_without_end_is_refused():
    with pytest.raises(UserError, match="does not name the folder data/"):
        parse_pointer("[" * 5_000, "data.dvc")


def random_value(rng: random.Random, depth: int = 0) -> object:
    simple = [None, True, -1, 10**30, 1.5, "", "md5", *NO_PATHS[:20], MD5]
    if depth < 3 and rng.random() < 0.4:
        inner = [random_value(rng, depth + 1) for _ in range(rng.randrange(4))]
        return inner if rng.random() < 0.5 else {str(value): value for value in inner}
    return rng.choice(simple)


def random_path(rng: random.Random) -> object:
    if rng.random() < 0.3:
        return rng.choice(NO_PATHS)
    parts = [rng.choice(["news", "trec", "x", "é", "a b", "..", ".", "", "~", "-r", "C:", "\u202e", "..."])]
    parts += [rng.choice(["domain.yaml", "x", "y", "..x", "nul", "", "..", "*"]) for _ in range(rng.randrange(3))]
    return "/".join(parts)


def random_listing(rng: random.Random) -> bytes:
    """A listing that is nearly one of DVC's, or a value or bytes that are not."""
    kind = rng.random()
    if kind < 0.15:
        return json.dumps(random_value(rng)).encode()
    usual = [(f"news/{i}", MD5) for i in range(rng.randrange(3))]
    files = [
        (random_path(rng), rng.choice(NO_HASHES) if rng.random() < 0.2 else MD5) for _ in range(rng.randrange(1, 4))
    ]
    content = bytearray(listing_of(*usual, *files))
    if kind < 0.4:  # bytes changed, dropped or doubled anywhere
        for _ in range(rng.randrange(1, 4)):
            at = rng.randrange(len(content))
            content[at : at + rng.randrange(3)] = rng.choice(
                [b"", b"\0", b"/", b"..", b"\\", b'"', bytes([rng.randrange(256)])]
            )
    return bytes(content)


def test_whatever_a_listing_says_it_is_refused_or_stays_within_the_two_folders(tmp_path):
    rng, accepted, messages = random.Random(20240), 0, set()
    root, made = tmp_path / "root", tmp_path / "made"
    for _ in range(20_000):
        content = random_listing(rng)
        try:
            files = parse_listing(content)
        except UserError as error:
            messages.add(str(error))
            continue
        accepted += 1
        for path, md5 in files:
            assert Path(os.path.normpath(made / path)) == made / path, content
            assert (made / path).is_relative_to(made), content
            assert made / path != made, content
            place = usual_path(root, md5)
            assert place.parent.parent == root / ".dvc/cache/files/md5", content
            assert Path(os.path.normpath(place)) == place, content
    assert 1_000 < accepted < 19_000  # the generator makes both
    assert all(message.isprintable() for message in messages)  # one line each


def commit_listing(checkout, content: bytes) -> DataRevision:
    """Commit a ``data.dvc`` that points to some content, which lies in the cache under its true md5."""
    name = f"{hashlib.md5(content).hexdigest()}.dir"
    place = checkout.root / ".dvc/cache/files/md5" / name[:2] / name[2:]
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(content)
    (checkout.root / "data.dvc").write_text(f"outs:\n- md5: {name}\n  hash: md5\n  path: data\n")
    checkout.git("commit", "--quiet", "--all", "--message", "hostile")
    return data_revision(checkout.root)


@pytest.mark.parametrize("md5", ["../../../../../victim", "aa/../../../../../../victim", "aa/dev/zero"])
def test_a_hostile_revision_deletes_no_file_and_reads_no_device(checkout, md5):
    victim = checkout.root.parent / "victim"
    victim.write_text("mine")
    about = next(
        path for path in (checkout.root / ".dvc/cache/files/md5").glob("*/*") if b"name: news" in path.read_bytes()
    )
    good = about.parent.name + about.name
    commit_listing(checkout, listing_of(("news/domain.yaml", good), ("news/train.parquet", md5)))
    for attempt in (
        lambda: snapshot(checkout.root, checkout.home, "news"),
        lambda: domains_at(checkout.root),
        lambda: data_diff(checkout.root, "HEAD~1"),
        lambda: commit(checkout.root, checkout.home, "x"),
    ):
        with pytest.raises(UserError):
            attempt()
    assert not verify(checkout.root).ok
    assert uncommitted_domains(checkout.root, ["news"]) == []
    assert victim.read_text() == "mine"


def test_a_hash_that_is_none_is_refused_where_it_becomes_a_path(checkout):
    at = data_revision(checkout.root)
    for name in (name for name in NO_HASHES if name != MD5 + ".dir"):
        with pytest.raises(UserError, match="not an MD5"):
            object_paths(checkout.root, at, [str(name)])


def test_an_object_that_is_a_pipe_a_device_or_a_folder_is_not_sound(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    (tmp_path / "zero").symlink_to("/dev/zero")
    empty = hashlib.md5(b"").hexdigest()
    for name in ("pipe", "folder", "zero", "absent"):
        assert not is_sound(tmp_path / name, empty)
    (tmp_path / "file").touch()
    assert is_sound(tmp_path / "file", empty)


def test_a_snapshot_has_copies_where_the_cache_has_symbolic_links(checkout):
    for path in (checkout.root / ".dvc/cache/files/md5").glob("*/*"):
        kept = checkout.root.parent / path.name
        path.rename(kept)
        path.symlink_to(kept)
    found = snapshot(checkout.root, checkout.home, "news")
    assert not any(path.is_symlink() for path in found.path.rglob("*"))
    assert found.counts == {"test": 4, "train": 6}


def test_a_file_whose_name_no_reader_would_accept_is_not_committed(checkout):
    checkout.write("zoo", train=3)
    (checkout.root / "data/zoo/a\nb").write_text("x")
    with pytest.raises(UserError, match=r"data/ names a file 'zoo/a\\nb' .*: rename it"):
        commit(checkout.root, checkout.home, "x")
