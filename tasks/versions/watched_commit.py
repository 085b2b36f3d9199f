"""The commit whose data is adapted to: the one that ``ACCLIMATE_WATCH`` names."""

from domains.errors import UserError
from tasks.base.progress import say
from tasks.base.settings import Settings, settings
from tasks.versions.git import git
from tasks.versions.revisions import data_revision

FETCH = 120.0  # seconds that a git remote has to answer


class Fault(str):
    """A note on what could not be done, for which the run that meets it fails once it has done the rest."""


def check_faults(notes: list[str]) -> None:
    """Raise UserError with all faults among the notes, if there are any."""
    if faults := [note for note in notes if isinstance(note, Fault)]:
        raise UserError("; ".join(faults))


def commit_to_watch(settings: Settings, notes: list[str]) -> str:
    """Return the commit whose data is adapted to; where it is a remote's branch, the remote is asked first.

    One that cannot be reached is a fault, and what is known of it is used.
    """
    root, revision = settings.root_path, settings.watch
    remotes = git(root, "remote").stdout.split()
    if (remote := revision.split("/")[0]) in remotes:
        fetched = git(root, "fetch", "--quiet", "--", remote, seconds=FETCH)
        if fetched.returncode:
            reason = " ".join(fetched.stderr.split())[:200]
            notes.append(Fault(f"git remote {remote} cannot be reached: {reason}"))
    return data_revision(root, revision).commit


def revision_to_read(revision: str, notes: list[str]) -> str:
    """Return a revision as it is; of an empty one, as schedules give, the commit that ``ACCLIMATE_WATCH`` names.

    Args:
        notes: gets what went wrong, for ``check_faults`` at the end.
    """
    commit = revision or commit_to_watch(settings(), notes)
    for note in notes:
        say(note)
    return commit
