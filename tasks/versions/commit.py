"""Commit ``data/``: its bytes into DVC's cache, ``data.dvc`` into git, and no other change of the user's."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from filelock import Timeout

from domains.catalogue import quick_start
from domains.domain import Domain
from domains.errors import UserError
from domains.words import some
from tasks.base.progress import progress
from tasks.versions.cache import listing_at
from tasks.versions.data_dvc import POINTER, commit_pointer, head_revision, is_as_committed
from tasks.versions.data_folder import keep_in_cache, read_folder, writers_lock
from tasks.versions.diff import DataDiff, compare_listings
from tasks.versions.dvc_repo import dvc, dvc_lock
from tasks.versions.git import check_user, git
from tasks.versions.new_project import CODE, shipped_text
from tasks.versions.revisions import (
    DataRevision,
    Listing,
    changed_names,
    check_checkout,
    domain_files,
    parse_pointer,
)

BUILD_MINUTES = 30  # how long a command that writes data/ is waited for

#: What git is in the middle of, by the file that says so in its folder.
UNDER_WAY = {
    "MERGE_HEAD": "merge",
    "CHERRY_PICK_HEAD": "cherry-pick",
    "REVERT_HEAD": "revert",
    "rebase-merge": "rebase",
    "rebase-apply": "rebase",
}


@dataclass(frozen=True)
class CommitResult:
    """What a commit of ``data/`` did.

    Attributes:
        commit: the new commit, or None where nothing had changed.
        diff: the domains that changed; None where the former list of files is not at hand.
        notes: what the user should know besides.
    """

    commit: str | None
    diff: DataDiff | None
    notes: tuple[str, ...] = ()


def commit(
    root: Path,
    home: Path,
    message: str,
    say: Callable[[str], None] = lambda line: None,
    checked: bool = True,
    drop: bool = False,
) -> CommitResult:
    """Version ``data/`` as it is; what is staged or changed elsewhere stays as it is.

    It may be killed at any point and run again: until git has the commit, HEAD names the former data. Two at once take
    turns.

    Args:
        root: the checkout.
        home: where the lock of those who write ``data/`` is.
        message: of the commit.
        say: hears what this waits for.
        checked: whether to check domains that are new or have changed first (``domains/checks``).
        drop: whether domains that HEAD has and ``data/`` lacks may go.

    Raises:
        UserError: no message, no checkout, no DVC, no ``data/``, no git user, git is in the middle of a merge;
            a domain is faulty, or would be dropped; another command holds a lock; the disk is full; git refuses the
            commit. ``data.dvc`` is then as it was.
    """
    if not message.strip():
        raise UserError('the message is empty: say what changed, -m "Add reports"')
    notes = check_ready(root)
    if checked:
        import domains.checks  # noqa: F401  two seconds, in which no other writer has to wait; a diff never needs it
    with _write_turn(home, say):
        at = head_revision(root)
        with dvc(root) as repo:
            with dvc_lock(repo), progress("read data/", _count_files(root / "data")) as advance:
                folder = read_folder(repo, advance)
            if at is not None and folder.data_hash == at.data_hash and is_as_committed(root):
                return CommitResult(None, DataDiff(at.commit, at.commit, (), ()))
            if not folder.files:
                raise UserError(f"{root / 'data'} is empty: acclimate data build or acclimate domains add fills it")
            former = _former_listing(root, at)
            if not drop:
                notes += check_kept(former, folder.files, former is None and as_shipped(root, at))
            check_changed(root / "data", former or (), folder.files, checked)  # a minute, perhaps: without DVC's lock
            with dvc_lock(repo):
                if read_folder(repo).data_hash != folder.data_hash:
                    raise UserError("data/ changed while it was checked: try again when nobody writes it")
                keep_in_cache(repo, folder)
            places = {md5: Path(repo.cache.local.oid_to_path(md5)) for _, md5 in (*(former or ()), *folder.files)}
        made = commit_pointer(root, folder, message)  # DVC's lock is free again: hooks of git may need it
    before = "" if at is None else at.commit
    if made is None:
        return CommitResult(None, DataDiff(before, before, (), ()), notes)
    diff = (
        None if former is None else DataDiff(before, made, *compare_listings(former, folder.files, places.__getitem__))
    )
    return CommitResult(made, diff, notes)


def check_ready(root: Path) -> tuple[str, ...]:
    """Raise UserError where no commit could be made; return what the user should know."""
    check_checkout(root)
    if not (root / ".dvc").is_dir():
        raise UserError(f"{root} has no .dvc folder: run dvc init (with --subdir below the top of the checkout)")
    if not (root / "data").is_dir():
        raise UserError(f"{root / 'data'} is absent: acclimate data build or acclimate domains add makes it")
    for name, what in UNDER_WAY.items():
        if (root / git(root, "rev-parse", "--git-path", name).stdout.strip()).exists():
            raise UserError(f"a git {what} is under way: finish it, or git {what} --abort, then commit the data")
    check_user(root)
    if git(root, "ls-files", "--", "data").stdout:
        raise UserError("git itself tracks files of data/: git rm -r --cached data, commit that, then commit the data")
    if git(root, "symbolic-ref", "--quiet", "HEAD").returncode:
        return ("HEAD is on no branch: git switch -c NAME keeps the commit",)
    return ()


def check_changed(data: Path, before: Listing, after: Listing, checked: bool) -> None:
    """Raise UserError where a new or changed domain is not fit to be versioned."""
    names = changed_names(before, after)
    for name in sorted(name for name in names if (data / name / "domain.yaml").exists()):
        domain = Domain.read(data / name)
        if not checked:
            continue
        from domains.checks import count_rows_to_check, run_checks

        with progress(f"check {name}", count_rows_to_check(domain)) as advance:
            errors = [finding for finding in run_checks(domain, advance) if finding.is_error]
        if errors:
            raise UserError(
                f"domain {name} is not fit to be versioned: {errors[0]}: {errors[0].kind.what}; all {len(errors)} with "
                f"remedies: acclimate domains check {name}; --no-check commits it as it is"
            )


def check_kept(before: Listing | None, after: Listing, shipped: bool) -> tuple[str, ...]:
    """Raise UserError where domains of HEAD are not in ``data/``: after a clone, say, before they were built.

    Where HEAD is as ``acclimate init`` made it, its domains are those of the quick start. If none of them was built,
    the project goes on without them.

    Args:
        before: the files that HEAD names; None where their list is not at hand.
        shipped: whether HEAD is so; asked where the list is not at hand.

    Returns:
        A line that says that they are left out; nothing where none is.
    """
    remedy = "acclimate data build (or dvc pull) brings them back, --drop commits without them"
    there = domain_files(after).keys()
    if before is None and not shipped:
        raise UserError(f"the list of domains at HEAD is not in DVC's cache: {remedy}")
    domains = set(quick_start()) if before is None else domain_files(before).keys()
    if before is None and not domains & there:
        return ("the domains of the quick start were never built here, and are left out: acclimate data build",)
    if gone := sorted(domains - there):
        raise UserError(f"data/ lacks domains that HEAD has ({some(gone)}): {remedy}")
    return ()


def as_shipped(root: Path, at: DataRevision | None) -> bool:
    """Whether HEAD's ``data.dvc`` is that of the installation, in a project that is not its code."""
    if at is None or root.resolve() == CODE:
        return False
    return at.data_hash == parse_pointer(shipped_text(POINTER), POINTER)


@contextmanager
def _write_turn(home: Path, say: Callable[[str], None]) -> Iterator[None]:
    """Hold the lock of those who write ``data/``, so that no domain is read while it is swapped."""
    try:
        lock = writers_lock(home)
        try:
            lock.acquire(timeout=2)
        except Timeout:
            say("another acclimate command is writing data/; waiting for it")
            lock.acquire(timeout=60 * BUILD_MINUTES)
    except Timeout:
        raise UserError(
            f"another acclimate command has been writing data/ for {BUILD_MINUTES} minutes: let it end, then try again"
        ) from None
    except OSError as error:
        raise UserError(f"cannot write {home}: {error.strerror or error}; free some space") from error
    try:
        yield
    finally:
        lock.release()


def _former_listing(root: Path, at: DataRevision | None) -> Listing | None:
    """Return the files that HEAD names; None where their list is not at hand."""
    if at is None:
        return ()
    try:
        return listing_at(root, at)
    except UserError:
        return None


def _count_files(data: Path) -> int:
    return sum(1 for path in data.rglob("*") if path.is_file())
