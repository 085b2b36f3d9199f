"""Merge the labels that a person filled in into a domain in ``data/``."""

from pathlib import Path

from domains.domain import Domain, check_name
from domains.errors import UserError
from domains.own.label_file import open_labels, read_labels
from domains.own.labelling import Labelling, known_examples, merge_labels
from domains.own.options import AddOptions
from domains.own.rewriting import write_labelling
from tasks.base.progress import progress
from tasks.base.settings import Settings
from tasks.versions.data_folder import writers_lock


def label_domain(settings: Settings, name: str, path: str, options: AddOptions, write: bool = True) -> Labelling:
    """Return what a file of labels makes of ``data/<name>``, and write that unless there is nothing to write.

    Raises:
        UserError: there is no such domain, the file cannot be read, or the domain cannot be written.
    """
    folder = settings.data_path / check_name(name)
    if not folder.is_dir():
        raise UserError(f"no domain {name!r} in data/; see `acclimate domains list`")
    try:
        with writers_lock(settings.home_path):
            domain = Domain.read(folder)
            items = open_labels(path, domain, options)
            known = known_examples(domain)
            with progress(f"read {Path(path).name}", items.size) as advance:
                given = list(read_labels(items, Path(path).parent, domain, known, advance))
            found = merge_labels(given, domain, known)
            if write and found.changes:
                write_labelling(domain, found)
            return found
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror or error}); change its rights") from error
