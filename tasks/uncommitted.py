"""Which domains in ``data/`` are not as HEAD has them: a quick look without DVC, for a hint and not for a proof."""

import os
from collections.abc import Iterable
from pathlib import Path

from domains.errors import UserError
from tasks.objects import md5 as md5_of
from tasks.objects import sound, usual_path
from tasks.revisions import data_revision, domain_files, parse_listing

BUDGET = 64 * 2**20  # bytes that are hashed at most, a fifth of a second


def uncommitted(root: Path, names: Iterable[str]) -> list[str]:
    """Return those of the domains whose files in ``data/`` differ from HEAD's.

    A file is taken as unchanged when it has its object's size and is older than the object; a newer one is hashed
    while the budget lasts. Domains that are not in ``data/`` at all, and all domains where the list of HEAD's files
    is not in the cache, are left out: nothing is known of them.
    """
    try:
        at = data_revision(root)
    except UserError:
        return []
    place = usual_path(root, at.data_hash)
    if not sound(place, at.data_hash):
        return []
    committed, left, found = domain_files(parse_listing(place.read_bytes())), BUDGET, []
    for name in names:
        folder = root / "data" / name
        if name not in committed or not folder.is_dir():
            continue
        files = dict(committed[name])
        here = {str(path.relative_to(folder)): path for path in sorted(folder.rglob("*")) if path.is_file()}
        if here.keys() != files.keys():
            found.append(name)
            continue
        for relative, path in here.items():
            doubt = _doubt(path, usual_path(root, files[relative]))
            left -= doubt
            if doubt and (left < 0 or md5_of(path) != files[relative]):
                found.append(name)
                break
    return found


def _doubt(path: Path, kept: Path) -> int:
    """Return how many bytes must be hashed to know whether a file is its object: 0 where times and sizes tell."""
    now = path.stat()
    try:
        then = kept.stat()
    except OSError:
        return now.st_size + 1
    if os.path.samestat(now, then):
        return 0
    older = max(now.st_mtime_ns, now.st_ctime_ns) <= then.st_mtime_ns
    return 0 if now.st_size == then.st_size and older else now.st_size + 1
