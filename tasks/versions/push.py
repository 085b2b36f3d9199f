"""Copy versions of ``data/`` to DVC's default remote; where there is none, a folder of our own becomes it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from domains.errors import UserError
from tasks.base.progress import progress
from tasks.versions import remote
from tasks.versions.cache import listing_at
from tasks.versions.dvc_repo import dvc, dvc_lock
from tasks.versions.revisions import data_revision

OWN = "local"  # name of the remote that is made where there is none


@dataclass(frozen=True)
class PushResult:
    """What was pushed where.

    Attributes:
        remote: name of the remote.
        url: where it is.
        objects: how many it lacked.
        made: whether this push made it, a folder of ours.
    """

    remote: str
    url: str
    objects: int
    made: bool


def push(root: Path, home: Path, revision: str = "HEAD") -> PushResult:
    """Copy what the remote lacks of a revision.

    Raises:
        UserError: as ``data_revision``; no remote is the default; the remote cannot be reached or written; the cache
            lacks files. What arrived stays, so that a second push goes on from there.
    """
    at = data_revision(root, revision)
    with dvc(root) as repo:
        name, made = _default_remote(repo, home)
        url = repo.config["remote"][name]["url"]
        files = listing_at(root, at)
        cache = repo.cache.local
        for path, md5 in files:
            if not cache.exists(md5):
                raise UserError(
                    f"cannot push {revision}: data/{path} is not in DVC's cache; acclimate data verify puts it there"
                )
        with progress(f"push to {name}", len(files)) as advance:
            done = remote.push(repo, name, at.data_hash, advance)
        if done.fault:
            raise UserError(f"push to the DVC remote {name} ({url}) failed: {' '.join(done.fault.split())}")
    return PushResult(name, str(url), done.objects, made)


def _default_remote(repo: Any, home: Path) -> tuple[str, bool]:
    """Return the default remote, and whether it was made now; DVC is to check its bytes when it pulls them.

    The configuration goes to ``.dvc/config.local``, which is not under version control.
    """
    name, made = repo.config["core"].get("remote"), False
    if not name:
        if others := sorted(repo.config["remote"]):
            raise UserError(f"no DVC remote is the default: dvc remote default {others[0]}")
        name, made = OWN, True
    if made or not repo.config["remote"][name].get("verify"):
        with dvc_lock(repo), repo.config.edit("local") as config:
            if made:
                config["core"]["remote"] = name
                config["remote"][name] = {"url": str(home / "remote")}
            config["remote"].setdefault(name, {})["verify"] = True
    return name, made
