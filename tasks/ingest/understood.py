"""What was understood of a domain to add, as tables for the terminal."""

import json
from typing import TYPE_CHECKING

from domains.own.new_domain import NewDomain
from tasks.base.artifacts import table_of

if TYPE_CHECKING:
    from rich.console import RenderableType

CLASSES = 20  # that are listed


def understood(name: str, found: NewDomain) -> "list[RenderableType]":
    """Return what a domain will be: family, columns, split, classes, examples, and every warning."""
    from rich.table import Table
    from rich.text import Text

    facts = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    columns = ", ".join(f"{role}: {column}" for role, column in found.columns.items())
    counts = ", ".join(f"{found.counts.get(split, 0):,} {split}" for split in ("train", "test", "pool"))
    rows = {"domain": name, "family": found.family, "read as": f"{found.file}: {found.kind}", "columns": columns}
    rows |= {"examples": counts, "classes": str(len(found.labels)), "split": found.rule}
    notes = {key: value if isinstance(value, str) else json.dumps(value) for key, value in found.notes.items()}
    for key, value in (rows | notes).items():
        if value:
            facts.add_row(Text(key, "bold"), Text(value))
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
