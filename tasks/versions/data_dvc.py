"""``data.dvc`` written and committed to git, together or not at all, and nothing else with it."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import yaml

from domains.errors import UserError
from domains.whole_file import write_whole
from tasks.versions import dvc_repo
from tasks.versions.data_folder import Folder
from tasks.versions.git import git
from tasks.versions.revisions import DataRevision, data_revision, parse_pointer

POINTER, IGNORE = "data.dvc", ".gitignore"


def head_revision(root: Path) -> DataRevision | None:
    """Return the committed version, or None before the first.

    Raises:
        UserError: the committed ``data.dvc`` cannot be read.
    """
    return data_revision(root) if _committed_text(root) is not None else None


def is_as_committed(root: Path) -> bool:
    """Whether ``data.dvc`` is as HEAD has it, in the folder and in git's index.

    It is not where it was edited or deleted, or left behind by a commit that was killed.
    """
    return not _differs(root, POINTER) and not _differs(root, POINTER, cached=True)


def commit_pointer(root: Path, folder: Folder, message: str) -> str | None:
    """Write ``data.dvc``, have git ignore ``data/``, and commit these alone, whatever else is staged.

    Returns:
        The new commit, or None where HEAD names these data already; ``data.dvc`` is then made as HEAD has it.

    Raises:
        UserError: git refuses, or its lock is held for long; a file cannot be written. All is then as before.
    """
    paths = [POINTER, *_to_ignore(root)]
    with _restore_on_failure(root, paths, folder.data_hash) as before:
        write_whole(root / POINTER, pointer_text(folder, before[POINTER], _committed_text(root)))
        if IGNORE in paths:
            write_whole(root / IGNORE, "\n".join([*(before[IGNORE] or "").splitlines(), "/data/", ""]))
        if head_revision(root) is not None and not _differs(root, *paths):
            git_patiently(root, "reset", "--quiet", "--", *paths)
            return None
        git_patiently(root, "add", "--force", "--intent-to-add", "--", *paths)
        git_patiently(
            *(root, "commit", "--quiet", "--only", "--cleanup=whitespace", "--file=-", "--", *paths), said=message
        )
    return git(root, "rev-parse", "HEAD").stdout.strip()


def pointer_text(folder: Folder, *texts: str | None) -> str:
    """Return the text of a ``data.dvc`` that names a folder.

    One of the texts that does already stays as it is; of the first readable one everything else is kept
    (``desc``, ``meta``).
    """
    readable = []
    for text in texts:
        try:
            named = parse_pointer(text or "", POINTER)
        except UserError:  # absent, or with conflict marks in it
            continue
        if named == folder.data_hash:
            return str(text)
        readable.append(yaml.safe_load(str(text)))
    about = readable[0] if readable else {"outs": [{}]}
    new = {"md5": folder.data_hash, "size": folder.size, "nfiles": folder.nfiles, "hash": "md5", "path": "data"}
    about["outs"][0] = new | {key: value for key, value in about["outs"][0].items() if key not in new}
    return yaml.safe_dump(about, sort_keys=False, allow_unicode=True)


def _committed_text(root: Path) -> str | None:
    shown = git(root, "show", f"HEAD:./{POINTER}")
    return None if shown.returncode else shown.stdout


def _differs(root: Path, *paths: str, cached: bool = False) -> bool:
    """Whether files (in git's index, if ``cached``) are not as HEAD has them."""
    return bool(git(root, "diff", "--quiet", *["--cached"] * cached, "HEAD", "--", *paths).returncode)


def _to_ignore(root: Path) -> list[str]:
    """Return the file that has to name ``data/`` for git to ignore it; nothing where git does."""
    if not git(root, "check-ignore", "--quiet", "data/").returncode:
        return []
    if git(root, "status", "--porcelain", "--ignored", "--", IGNORE).stdout:
        raise UserError(
            "git does not ignore data/, and .gitignore has changes of yours: add /data/ to it and commit it"
        )
    return [IGNORE]


@contextmanager
def _restore_on_failure(root: Path, paths: list[str], data_hash: str) -> Iterator[dict[str, str | None]]:
    """Yield the texts of files; restore them when the block fails, unless git has the commit by then."""
    before = {path: _read(root / path) for path in paths}
    new = [path for path in paths if git(root, "ls-files", "--error-unmatch", "--", path).returncode]
    try:
        yield before
    except BaseException:  # an interrupt too
        now = head_revision(root)
        if now is None or now.data_hash != data_hash:
            if new:
                git(root, "rm", "--cached", "--quiet", "--force", "--ignore-unmatch", "--", *new)
            for path, text in before.items():
                if text is None:
                    (root / path).unlink(missing_ok=True)
                else:
                    write_whole(root / path, text)
        raise


def _read(path: Path) -> str | None:
    try:
        return path.read_text("utf-8")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"cannot read {path}: {error}") from error


def git_patiently(root: Path, *arguments: str, said: str | None = None) -> None:
    """Run a git command that changes something; wait for another that holds git's lock.

    Raises:
        UserError: git refuses, or its lock is held for long.
    """
    deadline = time.monotonic() + dvc_repo.LOCK_SECONDS
    while (done := git(root, *arguments, said=said)).returncode:
        if (".lock': File exists" in done.stderr or "cannot lock ref" in done.stderr) and time.monotonic() < deadline:
            dvc_repo.pause()
            continue
        reason = " ".join((done.stderr.strip() or done.stdout.strip()).split()) or f"exit code {done.returncode}"
        raise UserError(f"git {arguments[0]} failed, so nothing is committed: {reason[:400]}")
