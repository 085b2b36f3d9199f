"""Which domains in ``data/`` are not as HEAD has them: a quick look without DVC, a hint and no proof."""

import os
from collections.abc import Iterable
from pathlib import Path

from domains.errors import UserError
from tasks.versions.cache import is_sound, usual_path
from tasks.versions.revisions import data_revision, domain_files, parse_listing

BUDGET = 64 * 2**20  # bytes that are hashed at most, a fifth of a second


def uncommitted_domains(root: Path, names: Iterable[str], revision: str = "HEAD") -> list[str]:
    """Return those of the domains whose files in ``data/`` differ from a revision's.

    A file of another size has changed; one of the same size that is older than its object in the cache has not; newer
    ones are hashed while the budget lasts, and then taken for unchanged. Nothing is known, and so nothing returned, of
    domains that are not in ``data/``, and of all where the revision's list of files is not in the cache or unreadable.
    """
    try:
        at = data_revision(root, revision)
        place = usual_path(root, at.data_hash)
        if not is_sound(place, at.data_hash):
            return []
        committed = domain_files(parse_listing(place.read_bytes()))
    except UserError:
        return []
    found, budget = [], BUDGET
    for name in names:
        folder, files = root / "data" / name, dict(committed.get(name, ()))
        if not files or not folder.is_dir():
            continue
        here = {str(path.relative_to(folder)): path for path in folder.rglob("*") if path.is_file()}
        pairs = [(path, files.get(relative, "")) for relative, path in here.items()]
        if here.keys() != files.keys() or any(_other_size(root, *pair) for pair in pairs):
            found.append(name)
            continue
        newer = [(path, md5) for path, md5 in pairs if _newer(root, path, md5)]
        budget -= sum(path.stat().st_size for path, _ in newer)
        if budget >= 0 and not all(is_sound(path, md5) for path, md5 in newer):
            found.append(name)
    return found


def _other_size(root: Path, path: Path, md5: str) -> bool:
    kept = usual_path(root, md5)
    return kept.exists() and kept.stat().st_size != path.stat().st_size


def _newer(root: Path, path: Path, md5: str) -> bool:
    """Whether a file was written, moved or replaced after its object was; true where there is no object."""
    now, kept = path.stat(), usual_path(root, md5)
    if not kept.exists():
        return True
    then = kept.stat()
    return not os.path.samestat(now, then) and max(now.st_mtime_ns, now.st_ctime_ns) > then.st_mtime_ns
