"""Add a domain of the user's own to ``data/``: understand it, then write it whole."""

from pathlib import Path

from domains import catalogue
from domains.domain import check_name
from domains.errors import UserError
from domains.own.new_domain import NewDomain
from domains.own.opening import open_input
from domains.own.options import AddOptions
from domains.own.writing import write
from tasks.base.progress import progress
from tasks.base.settings import Settings
from tasks.versions.data_folder import writers_lock
from tasks.versions.snapshots import data_revision


def check_free(settings: Settings, name: str, replace: bool) -> None:
    """Raise UserError unless a domain of that name may be added."""
    check_name(name)
    if name in catalogue.catalogue():
        raise UserError(f"domain name {name!r}: a built-in domain is called so; choose another")
    if (settings.data_path / name).exists() and not replace:
        raise UserError(f"domain {name} is there already; choose another name, or say --replace")
    data_revision(settings.root_path)  # outside of a checkout nobody would find it again


def understand(path: str, options: AddOptions) -> NewDomain:
    """Read a file, a folder or a dataset, and return what it is; nothing is written.

    Raises:
        UserError: nothing can be made of it.
    """
    try:
        opened = open_input(path, options)
        with progress(f"read {Path(path).name}", opened.size) as advance:
            return opened.understand(advance)
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror or error}); change its rights") from error


def add(settings: Settings, name: str, found: NewDomain, replace: bool = False) -> Path:
    """Write what was understood to ``data/<name>/``; builds at the same time take turns.

    Raises:
        UserError: the name is taken, or the folder cannot be written.
    """
    try:
        with writers_lock(settings.home_path):
            check_free(settings, name, replace)
            with progress(f"write {name}", sum(found.counts.values())) as advance:
                return write(found, name, settings.data_path, advance)
    except OSError as error:
        raise UserError(f"cannot write {settings.home_path}: {error.strerror or error}; free some space") from error
