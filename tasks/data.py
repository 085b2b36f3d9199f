"""Data versions: what ``data.dvc`` names at a git revision, read from DVC's cache, never from ``data/``."""

import hashlib
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from domains.domain import Domain
from domains.errors import UserError

LOCK_SECONDS = 30  # how long another DVC command is waited for

#: The files under ``data/`` at a revision: path relative to ``data/``, md5.
Listing = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class DataRevision:
    """A git commit and what its ``data.dvc`` names.

    Attributes:
        commit: full hash of the commit.
        data_hash: DVC's hash of ``data/`` (``….dir``), which fixes every byte of it.
    """

    commit: str
    data_hash: str


@dataclass(frozen=True)
class Verification:
    """Whether ``data/`` is what the committed ``data.dvc`` names.

    Attributes:
        ok: the two hashes are equal, and every byte is in DVC's cache.
        expected: hash that ``data.dvc`` names.
        actual: hash of what is in ``data/``.
        changed: what differs directly under ``data/`` (domains, as a rule), or None where the listing of
            the expected files is neither in the cache nor at the remote.
    """

    ok: bool
    expected: str
    actual: str
    changed: tuple[str, ...] | None


def data_revision(root: Path, revision: str = "HEAD") -> DataRevision:
    """Resolve a git revision and read its ``data.dvc``.

    Raises:
        UserError: ``root`` is no git checkout, the revision is unknown, or it has no readable ``data.dvc``.
    """
    if not revision or revision.startswith("-") or "\0" in revision:
        raise UserError(f"{revision!r} is not a git revision: give a commit, a branch or a tag")
    found = _git(root, "rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}")
    if found.returncode:
        checkout = _git(root, "rev-parse", "--git-dir")
        if checkout.returncode:
            raise UserError(
                f"{root} is not a git checkout ({checkout.stderr.strip()}): "
                "get the project with git clone, or set ACCLIMATE_ROOT to a clone"
            )
        raise UserError(f"unknown git revision {revision!r}: give a commit, branch or tag that `git log` knows")
    commit = found.stdout.strip()
    text = _git(root, "show", f"{commit}:./data.dvc")
    if text.returncode:
        raise UserError(f"revision {revision} ({commit[:12]}) has no data.dvc: choose one that does")
    return DataRevision(commit, parse_pointer(text.stdout, f"data.dvc at {revision}"))


def domains_at(root: Path, revision: str = "HEAD") -> dict[str, str]:
    """Return the content hash of every domain of a revision, by name.

    Raises:
        UserError: as ``data_revision``; or the list of files is neither in the cache nor at the remote.
    """
    listing = _listing(root, data_revision(root, revision))
    return {name: content_hash(files) for name, files in domain_files(listing).items()}


def snapshot(root: Path, home: Path, domain: str, revision: str = "HEAD") -> Domain:
    """Return a domain as it is at a revision, from ``home/domains/``, which is filled when needed.

    Raises:
        UserError: as ``data_revision``; the revision has no such domain; its files are neither in the cache
            nor at the remote, or are damaged there; the disk is full.
    """
    at = data_revision(root, revision)
    domains = domain_files(_listing(root, at))
    if domain not in domains:
        raise UserError(f"no domain {domain!r} at revision {revision}; there are: {', '.join(domains)}")
    files = domains[domain]
    digest = content_hash(files)
    target = home / "domains" / f"{domain}-{digest[:16]}"
    if not target.exists():
        _materialise(files, _objects(root, at, {md5 for _, md5 in files}), target)
    return Domain.read(target, at.commit, digest)


def verify(root: Path) -> Verification:
    """Prove that ``data/`` is what ``data.dvc`` names at HEAD, and keep its bytes in DVC's cache.

    ``data.dvc`` and ``data/`` stay as they are. Only files that changed since the last time are hashed.

    Raises:
        UserError: as ``data_revision``; ``data.dvc`` has changes that are not committed; ``data/`` is absent;
            another DVC command runs; the cache cannot be written.
    """
    committed = data_revision(root)
    pointer, data = root / "data.dvc", root / "data"
    if not pointer.exists() or parse_pointer(pointer.read_text("utf-8"), str(pointer)) != committed.data_hash:
        raise UserError(f"{pointer} is not as committed: commit it, or undo the change by git checkout data.dvc")
    if not data.is_dir():
        raise UserError(f"{data} is absent: run acclimate data build")
    with _dvc(root) as repo, _locked(repo):
        from dvc_data.hashfile.build import build
        from dvc_data.hashfile.transfer import transfer

        cache, folder = repo.cache.local, os.path.join(repo.root_dir, "data")
        staging, _, tree = build(cache, folder, repo.fs, "md5", ignore=repo.dvcignore)
        actual = tree.hash_info.value
        if actual == committed.data_hash:
            if transfer(staging, cache, {tree.hash_info}, shallow=False).failed:
                raise UserError(f"cannot copy {data} into DVC's cache {cache.path}: free some space")
            return Verification(True, actual, actual, ())
        found = tuple(("/".join(key), info.value) for key, _, info in tree)
    try:
        expected = _listing(root, committed)
    except UserError:
        return Verification(False, committed.data_hash, actual, None)
    return Verification(False, committed.data_hash, actual, changed_names(expected, found))


def parse_pointer(text: str, where: str) -> str:
    """Return the hash of ``data/`` that the text of a ``data.dvc`` names, or raise UserError."""
    try:
        (out,) = yaml.safe_load(text)["outs"]
        if out["path"] == "data" and out["hash"] == "md5" and out["md5"].endswith(".dir"):
            return str(out["md5"])
    except (yaml.YAMLError, LookupError, TypeError, ValueError, AttributeError):
        pass
    raise UserError(f"{where} does not name the folder data/ by md5: make it again by dvc add data")


def parse_listing(content: bytes) -> Listing:
    """Return what one of DVC's ``.dir`` objects lists, sorted.

    Raises:
        UserError: a path leads out of ``data/``.
    """
    listing = tuple(sorted((entry["relpath"], entry["md5"]) for entry in json.loads(content)))
    for path, _ in listing:
        if path.startswith("/") or ".." in PurePosixPath(path).parts:
            raise UserError(f"data.dvc names a file outside data/ ({path!r}): do not use this revision")
    return listing


def domain_files(listing: Listing) -> dict[str, Listing]:
    """Return the files of every domain, relative to its folder: the folders that hold a ``domain.yaml``."""
    folders = {
        name: tuple((path.removeprefix(f"{name}/"), md5) for path, md5 in files)
        for name, files in groupby(listing, lambda file: file[0].split("/")[0])
    }
    return {name: files for name, files in folders.items() if "domain.yaml" in dict(files)}


def content_hash(files: Listing) -> str:
    """Return the sha256 over the sorted paths and md5s of a domain's files."""
    return hashlib.sha256(json.dumps(sorted(files)).encode()).hexdigest()


def changed_names(a: Listing, b: Listing) -> tuple[str, ...]:
    """Return the names directly under ``data/`` below which two listings differ, sorted."""
    return tuple(sorted({path.split("/")[0] for path, _ in set(a) ^ set(b)}))


def _git(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, text=True)
    except FileNotFoundError:
        raise UserError("git is not installed: install it, data revisions are git commits") from None


def _listing(root: Path, at: DataRevision) -> Listing:
    return parse_listing(_objects(root, at, {at.data_hash})[at.data_hash].read_bytes())


def _objects(root: Path, at: DataRevision, hashes: Iterable[str]) -> dict[str, Path]:
    """Return where the cache keeps objects, each checked against its name, and pulled when absent or damaged.

    Where all are in the cache's usual place, DVC is not even imported (0.4 s).
    """
    paths = {name: root / ".dvc/cache/files/md5" / name[:2] / name[2:] for name in hashes}
    if all(_sound(path, name) for name, path in paths.items()):
        return paths
    faults: list[BaseException] = []
    with _dvc(root) as repo:
        cache = repo.cache.local
        paths = {name: Path(cache.oid_to_path(name)) for name in paths}
        wanted = [name for name, path in paths.items() if not _sound(path, name)]
        for name in wanted:  # DVC trusts a read-only object as it is, so a damaged one would never be mended
            paths[name].unlink(missing_ok=True)
        if wanted and repo.config["core"].get("remote"):
            remote = repo.cloud.get_remote_odb()
            sources = [remote.oid_to_path(name) for name in wanted]
            cache.add(sources, remote.fs, wanted, verify=True, on_error=lambda _, fault: faults.append(fault))
            wanted = [name for name in wanted if not _sound(paths[name], name)]
    if wanted:
        reason = f" ({faults[-1]})" if faults else ""
        raise UserError(
            f"data of revision {at.commit[:12]} is neither in DVC's cache nor sound at its remote{reason}: "
            "check out that revision and run acclimate data build, or give DVC a remote that has them"
        )
    return paths


def _sound(path: Path, name: str) -> bool:
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "md5").hexdigest() == name.removesuffix(".dir")
    except OSError:
        return False


def _materialise(files: Listing, objects: dict[str, Path], target: Path) -> None:
    """Make a snapshot folder, whole or not at all, by hard links where the file system has them."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=".making-") as folder:
            made = Path(folder) / target.name
            for relative, md5 in files:
                (made / relative).parent.mkdir(parents=True, exist_ok=True)
                try:
                    os.link(objects[md5], made / relative)
                except OSError:  # another file system, or one without links
                    shutil.copyfile(objects[md5], made / relative)
            try:
                made.rename(target)
            except OSError:
                if not target.exists():  # else another process made the same snapshot first
                    raise
    except OSError as error:
        raise UserError(
            f"cannot write {target}: {error.strerror or error}; free some space or change the rights"
        ) from error


@contextmanager
def _dvc(root: Path) -> Iterator[Any]:
    """Open the DVC repository; what DVC or the disk say against it becomes a UserError."""
    streams = sys.stdout, sys.stderr
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    sys.stdout, sys.stderr = streams  # the first import wraps both in colorama
    try:
        with Repo(str(root)) as repo:
            yield repo
    except DvcException as error:
        raise UserError(f"DVC cannot read the data of {root}: {error}") from error
    except OSError as error:
        raise UserError(f"DVC cannot keep the data of {root}: {error}; free some space or change the rights") from error


@contextmanager
def _locked(repo: Any) -> Iterator[None]:
    """Hold DVC's lock; wait for another holder at uneven steps, lest two that wait march together."""
    from dvc.lock import LockError

    deadline = time.monotonic() + LOCK_SECONDS
    while True:
        try:
            repo.lock.lock()
            break
        except LockError:
            if time.monotonic() > deadline:
                raise UserError(
                    f"another DVC command has held the lock of {repo.root_dir} for {LOCK_SECONDS} s: "
                    "let it end, then try again"
                ) from None
            time.sleep(random.uniform(0.1, 0.5))
    try:
        yield
    finally:
        repo.lock.unlock()
