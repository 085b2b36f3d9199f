"""Domains at a git revision: their hashes, and snapshots to read.

Bytes come from DVC's cache, never from ``data/``.
"""

import os
import re
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

from domains.domain import Domain, is_name
from domains.errors import UserError
from tasks.base.settings import Settings
from tasks.versions.cache import listing_at, object_paths
from tasks.versions.revisions import (
    DataRevision,
    Listing,
    content_hash,
    data_revision,
    domain_files,
)


def domains_at(root: Path, revision: str = "HEAD") -> dict[str, str]:
    """Return the content hash of every domain of a revision, by name.

    Raises:
        UserError: as ``data_revision``; or the list of files is neither in the cache nor at the remote.
    """
    files = listing_at(root, data_revision(root, revision))
    return {name: content_hash(own) for name, own in domain_files(files).items()}


def snapshot(root: Path, home: Path, domain: str, revision: str = "HEAD") -> Domain:
    """Return a domain as it is at a revision, from ``home/domains/``, which is filled when needed.

    Raises:
        UserError: as ``data_revision``; the revision has no such domain; its files are neither in the cache
            nor at the remote, or are damaged there; the disk is full.
    """
    at = data_revision(root, revision)
    domains = domain_files(listing_at(root, at))
    if domain not in domains:
        is_head = at.commit == data_revision(root).commit
        here = is_head and any(path.parent.name == domain for path in root.glob("data/*/domain.yaml"))
        hint = f"; to version the one in data/: acclimate data commit -m 'Add {domain}'" if here else ""
        raise UserError(f"no domain {domain!r} at revision {revision}; there are: {', '.join(domains)}{hint}")
    return _snapshot(root, home, at, domain, domains[domain])


def snapshots(root: Path, home: Path, revision: str = "HEAD") -> list[Domain]:
    """Return every domain as it is at a revision; see ``snapshot``."""
    at = data_revision(root, revision)
    return [_snapshot(root, home, at, *domain) for domain in domain_files(listing_at(root, at)).items()]


def target_snapshot(settings: Settings, name: str, revision: str = "HEAD") -> Domain:
    """Return a target domain as it is at a revision; see ``snapshot``.

    Raises:
        UserError: as ``snapshot``; or the domain is a source.
    """
    found = snapshot(settings.root_path, settings.home_path, name, revision)
    if found.role != "target":
        raise UserError(f"domain {name} is a source: it is meta-trained on; choose a target (`acclimate domains list`)")
    return found


def _snapshot(root: Path, home: Path, at: DataRevision, domain: str, files: Listing) -> Domain:
    digest = content_hash(files)
    target = _folder(home, domain, digest)
    try:
        os.utime(target)  # it is in use: `acclimate clean` leaves it
    except FileNotFoundError:
        materialise(files, object_paths(root, at, {md5 for _, md5 in files}), target)
    except OSError:  # a home that may only be read
        pass
    found = Domain.read(target, at.commit, digest)
    if found.name != domain:  # its models would be those of another
        raise UserError(f"{domain} at {at.commit[:12]}: its domain.yaml names {found.name!r}; add it under one name")
    return found


def kept_snapshot(home: Path, domain: str, digest: str) -> Path | None:
    """Return the snapshot of a domain that a registry names; None where it is not here, or what is named is no path."""
    if not is_name(domain) or not re.fullmatch(r"[0-9a-f]{64}", digest):
        return None
    folder = _folder(home, domain, digest)
    return folder if (folder / "domain.yaml").is_file() else None


def _folder(home: Path, domain: str, digest: str) -> Path:
    return home / "domains" / f"{domain}-{digest[:16]}"


def materialise(files: Listing, kept: dict[str, Path], target: Path) -> None:
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
