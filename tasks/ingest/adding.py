"""Add a domain of the user's own to ``data/``: understand it, show what was understood, then write it whole."""

import json
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from domains import catalogue
from domains.domain import check_name
from domains.errors import UserError
from domains.own.new_domain import NewDomain
from domains.own.opening import open_input
from domains.own.options import AddOptions
from domains.own.writing import write_domain
from tasks.base.artifacts import table_of
from tasks.base.progress import progress
from tasks.base.settings import Settings
from tasks.features.encoders import encoders_named, family_encoders
from tasks.features.reading import SAMPLE, length_warnings
from tasks.versions.data_folder import writers_lock
from tasks.versions.revisions import data_revision

if TYPE_CHECKING:
    from rich.console import RenderableType

CLASSES = 20  # that are listed


def check_name_free(settings: Settings, name: str, replace: bool) -> None:
    """Raise UserError unless a domain of that name may be added."""
    check_name(name)
    if name in catalogue.catalogue():
        raise UserError(f"domain name {name!r}: a built-in domain has this name; choose another")
    if (settings.data_path / name).exists() and not replace:
        raise UserError(f"domain {name} already exists; choose another name, or say --replace")
    data_revision(settings.root_path)  # outside of a checkout nobody would find it again


def understand_input(settings: Settings, path: str, options: AddOptions) -> NewDomain:
    """Read a file, a folder or a dataset, and return what it is; nothing is written.

    Raises:
        UserError: nothing can be made of it.
    """
    try:
        opened = open_input(path, options)
        with progress(f"read {Path(path).name}", opened.size) as advance:
            found = opened.understand(advance)
        named = options.encoders
        encoders = encoders_named(named, found.family) if named else family_encoders(found.family)
        if named:
            found = found.with_note("encoder", list(named))
        if found.family == "text":
            texts = [cells["text"] for _, cells in islice(found.rows(), SAMPLE)]
            found = replace(found, warnings=(*found.warnings, *length_warnings(settings, encoders, texts)))
        return found if options.objective is None else found.with_note("objective", options.objective)
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror or error}); change its rights") from error


def describe_new_domain(name: str, found: NewDomain) -> "list[RenderableType]":
    """Return what a domain will be, for the terminal: family, columns, split, classes, examples, and every warning."""
    from rich.table import Table
    from rich.text import Text

    facts = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    columns = ", ".join(
        f"{role}: {column if isinstance(column, str) else ' + '.join(column)}" for role, column in found.columns.items()
    )
    counts = ", ".join(f"{found.counts.get(split, 0):,} {split}" for split in ("train", "test", "pool"))
    rows = {"domain": name, "family": found.family, "read as": f"{found.file}: {found.kind}", "columns": columns}
    rows |= {"examples": counts, "classes": str(len(found.labels)), "split": found.rule}
    told = {key: value for key, value in found.notes.items() if key != "price_doubts"}  # they are warnings too
    notes = {key: in_words(value) for key, value in told.items()}
    for key, value in (rows | notes).items():
        if value:
            facts.add_row(Text(key.replace("_", " "), "bold"), Text(value))
    shown: list[RenderableType] = [facts]
    listed = [
        {"class": label, "train": f"{of['train']:,}", "test": f"{of['test']:,}"} for label, of in found.classes.items()
    ]
    shown.append(table_of(listed[:CLASSES]))
    if len(listed) > CLASSES:
        shown.append(Text(f"and {len(listed) - CLASSES:,} classes more"))
    for example in found.examples:
        label = example["label"] or "no label"
        shown.append(Text(f"{label}: {example['example']}", overflow="ellipsis", no_wrap=True))
    return shown + [Text(f"warning: {line}", "yellow") for line in found.warnings]


def in_words(note: object) -> str:
    """Return a note of a domain for people: a text as it is, a list of texts with commas, else JSON."""
    if isinstance(note, list) and all(isinstance(each, str) for each in note):
        return ", ".join(note)
    return note if isinstance(note, str) else json.dumps(note)


def add_domain(settings: Settings, name: str, found: NewDomain, replace: bool = False) -> Path:
    """Write what was understood to ``data/<name>/``; builds at the same time take turns.

    Raises:
        UserError: the name is taken, or the folder cannot be written.
    """
    try:
        with writers_lock(settings.home_path):
            check_name_free(settings, name, replace)
            with progress(f"write {name}", sum(found.counts.values())) as advance:
                return write_domain(found, name, settings.data_path, advance)
    except OSError as error:
        raise UserError(f"cannot write {settings.home_path}: {error.strerror or error}; free some space") from error
