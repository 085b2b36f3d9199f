"""Data at a revision: domains and their hashes, snapshots to read, and the proof that ``data/`` is what HEAD names.

Bytes come from DVC's cache, never from ``data/``.
"""

import os
import shutil
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from domains.domain import Domain
from domains.errors import UserError
from tasks.versions.cache import listing, objects
from tasks.versions.data_folder import keep, read_folder
from tasks.versions.dvc_repo import dvc, locked
from tasks.versions.revisions import (
    DataRevision,
    Listing,
    changed_names,
    content_hash,
    data_revision,
    domain_files,
    parse_pointer,
)

__all__ = ["Verification", "data_revision", "domains_at", "snapshot", "snapshots", "verify"]


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


def domains_at(root: Path, revision: str = "HEAD") -> dict[str, str]:
    """Return the content hash of every domain of a revision, by name.

    Raises:
        UserError: as ``data_revision``; or the list of files is neither in the cache nor at the remote.
    """
    files = listing(root, data_revision(root, revision))
    return {name: content_hash(own) for name, own in domain_files(files).items()}


def snapshot(root: Path, home: Path, domain: str, revision: str = "HEAD") -> Domain:
    """Return a domain as it is at a revision, from ``home/domains/``, which is filled when needed.

    Raises:
        UserError: as ``data_revision``; the revision has no such domain; its files are neither in the cache
            nor at the remote, or are damaged there; the disk is full.
    """
    at = data_revision(root, revision)
    domains = domain_files(listing(root, at))
    if domain not in domains:
        is_head = at.commit == data_revision(root).commit
        here = is_head and any(path.parent.name == domain for path in root.glob("data/*/domain.yaml"))
        hint = f"; to version the one in data/: acclimate data commit -m 'Add {domain}'" if here else ""
        raise UserError(f"no domain {domain!r} at revision {revision}; there are: {', '.join(domains)}{hint}")
    return _snapshot(root, home, at, domain, domains[domain])


def snapshots(root: Path, home: Path, revision: str = "HEAD") -> list[Domain]:
    """Return every domain as it is at a revision; see ``snapshot``."""
    at = data_revision(root, revision)
    return [_snapshot(root, home, at, *domain) for domain in domain_files(listing(root, at)).items()]


def _snapshot(root: Path, home: Path, at: DataRevision, domain: str, files: Listing) -> Domain:
    digest = content_hash(files)
    target = home / "domains" / f"{domain}-{digest[:16]}"
    if not target.exists():
        _materialise(files, objects(root, at, {md5 for _, md5 in files}), target)
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
    text = pointer.read_text("utf-8", "surrogateescape") if pointer.exists() else None
    if text is None or parse_pointer(text, str(pointer)) != committed.data_hash:
        raise UserError(
            f"{pointer} is not as committed: acclimate data commit versions data/ as it is, "
            "git checkout HEAD -- data.dvc undoes the change"
        )
    if not data.is_dir():
        raise UserError(f"{data} is absent: run acclimate data build")
    with dvc(root) as repo, locked(repo):
        found = read_folder(repo)
        if found.data_hash == committed.data_hash:
            keep(repo, found)
            return Verification(True, found.data_hash, found.data_hash, ())
    try:
        expected = listing(root, committed)
    except UserError:
        return Verification(False, committed.data_hash, found.data_hash, None)
    return Verification(False, committed.data_hash, found.data_hash, changed_names(expected, found.files))


def difference(found: Verification) -> str:
    """Return in a line what differs, and what to do."""
    what = ", ".join(found.changed or ()) or "unknown which domain"
    return (
        f"data/ is not what data.dvc names (differs: {what}): `acclimate data build --force` builds the built-in "
        "domains again, `dvc checkout` brings back the others; `acclimate data commit` versions your changes"
    )


def _materialise(files: Listing, kept: dict[str, Path], target: Path) -> None:
    """Make a snapshot folder, whole or not at all, by hard links where the file system has them."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=".making-") as folder:
            made = Path(folder) / target.name
            for relative, md5 in files:
                (made / relative).parent.mkdir(parents=True, exist_ok=True)
                _place(kept[md5], made / relative)
            try:
                made.rename(target)
            except OSError:
                if not target.exists():  # else another process made the same snapshot first
                    raise
    except OSError as error:
        raise UserError(
            f"cannot write {target}: {error.strerror or error}; free some space or change the rights"
        ) from error


def _place(kept: Path, target: Path) -> None:
    """Make a new file of an object of the cache, and never write into one that is there."""
    if not kept.is_symlink():  # a hard link of a symbolic one would be symbolic too
        with suppress(OSError):  # another file system, or one without links
            os.link(kept, target)
            return
    with kept.open("rb") as old, target.open("xb") as new:
        shutil.copyfileobj(old, new)
