"""Bytes between DVC's cache and a remote: in this process where the remote is a folder, else in one that may hang."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from domains.errors import UnreachableError
from tasks.base.limited import do_job, run_limited
from tasks.base.settings import read_duration, settings
from tasks.versions.data_folder import dvc_callback
from tasks.versions.dvc_repo import collect_complaints, dvc

Advance = Callable[[int], None]


class Copied(NamedTuple):
    """How many objects were copied, and why the others were not; empty where all are there."""

    objects: int
    fault: str


def pull(repo: Any, names: Sequence[str]) -> Copied:
    """Copy objects from the default remote into the cache, as far as it has them."""
    return _do(repo, {"do": "pull", "remote": repo.config["core"]["remote"], "names": list(names)})


def push(repo: Any, remote: str, data_hash: str, advance: Advance) -> Copied:
    """Copy what a remote lacks of a version of ``data/``; ``advance`` hears of files."""
    return _do(repo, {"do": "push", "remote": remote, "names": [data_hash]}, advance)


def _do(repo: Any, job: dict[str, Any], advance: Advance = lambda n: None) -> Copied:
    if repo.cloud.get_remote(job["remote"]).fs.protocol == "local":
        return _copy(repo, job, advance)
    limit = read_duration(settings().transfer_limit)
    try:
        return Copied(*run_limited(__name__, job | {"root": repo.root_dir}, limit, advance))
    except UnreachableError as error:
        return Copied(0, f"{error}; ACCLIMATE_TRANSFER_LIMIT={settings().transfer_limit}")
    except RuntimeError as error:
        return Copied(0, str(error))


def _copy(repo: Any, job: dict[str, Any], advance: Advance) -> Copied:
    try:
        return _pull(repo, job) if job["do"] == "pull" else _push(repo, job, advance)
    except Exception as error:  # whatever a cloud's own library raises
        return Copied(0, str(error) or type(error).__name__)


def _pull(repo: Any, job: dict[str, Any]) -> Copied:
    faults: list[BaseException] = []
    cache, remote = repo.cache.local, repo.cloud.get_remote_odb(job["remote"])
    sources = [remote.oid_to_path(name) for name in job["names"]]
    cache.add(sources, remote.fs, job["names"], verify=True, on_error=lambda _, fault: faults.append(fault))
    return Copied(len(sources) - len(faults), str(faults[-1]) if faults else "")


def _push(repo: Any, job: dict[str, Any], advance: Advance) -> Copied:
    from dvc_data.hashfile.hash_info import HashInfo
    from dvc_data.hashfile.transfer import transfer

    cache, remote = repo.cache.local, repo.cloud.get_remote_odb(job["remote"])
    wanted = {HashInfo("md5", name) for name in job["names"]}
    with collect_complaints() as reasons:
        done = transfer(cache, remote, wanted, shallow=False, cache_odb=cache, callback=dvc_callback(advance))
    fault = (reasons[0] if reasons else f"{len(done.failed)} files") if done.failed else ""
    return Copied(len(done.transferred), fault)


def work(job: dict[str, Any], advance: Advance) -> Copied:
    """Do what ``pull`` or ``push`` asks of the process that may hang."""
    with dvc(Path(job["root"])) as repo:
        return _copy(repo, job, advance)


if __name__ == "__main__":
    do_job(work)
