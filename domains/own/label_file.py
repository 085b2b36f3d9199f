"""A file of labels that a person filled in: anything that ``domains add`` reads.

In a table for a domain of images the example may be the name of a file, which is looked for beside the table, and then
among the names that the domain's images have.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import replace
from pathlib import Path, PurePosixPath

from domains.domain import EXAMPLE_COLUMN, Domain
from domains.errors import UserError
from domains.own.labelling import Given, Known
from domains.own.opening import open_input
from domains.own.options import AddOptions
from domains.own.survey import Items, attempt, prepare_all
from domains.reading.pictures import MOST_BYTES, to_picture
from domains.reading.tables import ENDINGS, open_table
from domains.same_example import content_key

LABEL, GUESS = "label", "guess"  # columns of what `adapt --suggest` writes: to be filled in, and what the model says
FILE = "file"  # the column of names in what `predict` says of images


def open_labels(path: str, domain: Domain, options: AddOptions) -> Items:
    """Open a file of labels for a domain.

    Raises:
        UserError: the domain is a market, the file is not there or cannot be read, or it holds no such examples.
    """
    if domain.family == "market":
        raise UserError(f"domain {domain.name}: market states follow from prices; nobody labels them")
    if Path(path).is_file() and Path(path).suffix.lower() in ENDINGS:
        options = columns_of_suggestions(Path(path), domain, options)
    items = open_input(path, options).items
    if items is None:
        raise UserError(f"{path}: looks like prices; say --text-column and --label-column")
    if items.family != domain.family and domain.family == "text":
        raise UserError(f"{path}: holds images, and the examples of domain {domain.name} are texts; give texts")
    return items


def columns_of_suggestions(path: Path, domain: Domain, options: AddOptions) -> AddOptions:
    """Return options that name the columns of what ``adapt --suggest`` writes, where the table has them.

    Raises:
        UserError: the labels are a model's: of what ``predict`` wrote, say.
    """
    columns = open_table(path, options.table).columns
    names = (EXAMPLE_COLUMN[domain.family], *((FILE,) if domain.family == "vision" else ()))
    example = next(((name,) for name in names if name in columns), domain.example_columns)
    if not options.label_column and {LABEL, "probability"} <= set(columns) and GUESS not in columns:
        raise UserError(
            f"{path}: column {LABEL} stands beside column probability, so it is what a model says; say --label-column "
            f"with the column that a person filled in, --label-column {LABEL} if it is that one"
        )
    return replace(
        options,
        text_column=options.text_column or (example if set(example) <= set(columns) else ()),
        label_column=options.label_column or ((LABEL,) if LABEL in columns else ()),
    )


def read_labels(
    items: Items, folder: Path, domain: Domain, known: Known, advance: Callable[[int], None] = lambda n: None
) -> Iterator[Given]:
    """Yield the rows of a file of labels.

    Args:
        folder: that of the file: names of images are looked for in it, and never outside of it.
    """
    named = items.family != domain.family
    for i, (item, (found, _)) in enumerate(prepare_all(items)):
        advance(1)
        if named:
            keys = keys_of_file(folder, item.example.strip(), known.names)
        else:
            keys = tuple(content_key(each) for each in (item.example, found) if isinstance(each, (str, bytes)) and each)
        yield Given(items.where(i) + (f" ({item.example.strip()})" if named else ""), keys, item.label)


def keys_of_file(folder: Path, name: str, names: Mapping[str, Collection[int]]) -> tuple[int, ...]:
    """Return the keys that the image of a file name may have: its content's, or that of the only image of the name."""
    name = name.replace("\\", "/")
    try:
        path = (folder / name).resolve()
        inside = path.is_relative_to(folder.resolve()) and path.is_file() and path.stat().st_size <= MOST_BYTES
        raw = path.read_bytes() if inside else b""
    except (OSError, ValueError):  # a name that no file can have, too
        raw = b""
    if raw:
        picture, _ = attempt(lambda raw: (to_picture(raw).content, ()), raw)
        return tuple(content_key(each) for each in (raw, picture) if isinstance(each, bytes))
    found = names.get(PurePosixPath(name).name, ())
    return tuple(found) if len(found) == 1 else ()
