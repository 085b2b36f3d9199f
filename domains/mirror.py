"""Read files of a mirror as labelled examples: a zip of class folders, or a table of texts and labels."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import pandas as pd
from PIL import Image

from domains.domain import Family, check_name
from domains.errors import UserError
from domains.fetch import Fetch, PinnedFile
from domains.labelled_examples import LabelledExamples, clean, to_examples
from domains.reading.archives import MOST_PIXELS, UNDECODABLE, ImageArchive
from domains.reading.whole_tables import read_table

#: The endings of the files that a family is read from, the first one there.
FORMS: dict[str, tuple[str, ...]] = {"text": (".parquet", ".csv"), "vision": (".zip",)}


@dataclass(frozen=True)
class FileReader:
    """Reads a domain of the catalogue from pinned files: ``FileReader(...)(fetch)`` returns its frame.

    Args:
        files: tables of texts, or zips of class folders.
        label: tables: the column of the labels.
        group: zips: which field of a file's name says its group, see ``read_mirror_images``.
        depth: zips: how many folders name a class, from the innermost outwards; None: all.
        without: labels that are left out; only: labels that are kept, all if none is named.
    """

    files: tuple[PinnedFile, ...]
    label: str = "label"
    group: int | None = None
    depth: int | None = None
    without: tuple[str, ...] = ()
    only: tuple[str, ...] = ()

    @property
    def family(self) -> Family:
        return "vision" if self.files[0].path.endswith(".zip") else "text"

    @property
    def stem(self) -> str:
        """The name of the first file, without its ending."""
        return PurePosixPath(self.files[0].path).stem

    def __call__(self, fetch: Fetch) -> pd.DataFrame:
        """Return the examples; see ``clean`` for what is left out.

        Raises:
            UserError: a file cannot be had, is not the pinned one, or lacks what is read.
        """
        paths = [fetch.pinned_file(file) for file in self.files]
        if self.family == "text":
            frames = [read_mirror_texts(path, self.label) for path in paths]
        else:
            frames = [read_mirror_images(path, self.group) for path in paths]
        frame = pd.concat(frames, ignore_index=True)
        if self.depth is not None:
            frame["label"] = ["/".join(PurePosixPath(label).parts[-self.depth :]) for label in frame["label"]]
        return clean(self.stem, self.family, frame, self.without, self.only)


def read_mirror(
    mirror: Path | None,
    family: Family,
    name: str,
    label: str = "label",
    group: int | str | None = None,
    without: Sequence[str] = (),
    only: Sequence[str] = (),
) -> LabelledExamples:
    """Return the examples of ``<mirror>/<family>/<name>``, a file with one of the endings of the family.

    A table has a column ``text`` and a column of labels. A zip has a folder, at any depth, for each class; nothing is
    extracted to disk. See ``to_examples`` for what is left out.

    Args:
        mirror: the setting ``ACCLIMATE_MIRROR``.
        label: the column of the labels.
        group: of images, which field of a file's name, ``_`` between fields, says the group, counted from 0; of a
            table, the column that does.
        without: labels that are left out; only: labels that are kept, all if none is named.

    Raises:
        UserError: the file is absent, unreadable, or lacks what is read.
    """
    path = find_file(mirror, family, name)
    if path.suffix == ".zip":
        assert not isinstance(group, str), "of images, a group is a field"
        frame = read_mirror_images(path, group)
    else:
        assert not isinstance(group, int), "of a table, a group is a column"
        frame = read_mirror_texts(path, label, group)
    try:
        return to_examples(name, family, frame, without, only)
    except UserError as error:
        raise UserError(f"{path}: {error}") from error


def find_file(mirror: Path | None, family: Family, name: str) -> Path:
    """Return the path of a domain's file, or raise UserError that says where to put it."""
    forms = FORMS.get(family)
    if forms is None:
        raise UserError(f"family {family}: no file of a mirror is read for it; there are: {', '.join(FORMS)}")
    wanted = " or ".join(f"{family}/{check_name(name)}{form}" for form in forms)
    if mirror is None:
        raise UserError(f"{name} is read from a mirror: put {wanted} into a folder and set ACCLIMATE_MIRROR to it")
    for form in forms:
        if (path := mirror / family / f"{name}{form}").is_file():
            return path
    raise UserError(f"no {wanted} in {mirror}; put it there, or set ACCLIMATE_MIRROR to a folder that has it")


def read_mirror_texts(path: Path, label: str, group: str | None = None) -> pd.DataFrame:
    """Return the columns ``text``, ``label`` and, of the column that is named, ``group`` of a table.

    Raises:
        UserError: the table is not readable, or lacks a column.
    """
    table, doubts = read_table(path)
    if doubts:  # guesses are for a user who sees them
        raise UserError(f"{path}: {doubts[0]}")
    columns = {"text": "text", "label": label} | ({} if group is None else {"group": group})
    for column in columns.values():
        if column not in table:
            raise UserError(f"{path}: no column {column!r}; it has {', '.join(map(str, table.columns))}")
    return pd.DataFrame({name: table[column] for name, column in columns.items()})


def read_mirror_images(path: Path, group: int | None = None) -> pd.DataFrame:
    """Return the encoded images of a zip in column ``image``, ``label`` their folder, in the order of their names.

    Raises:
        UserError: the archive is not safe or not readable, a member is not an image or lies in no folder, or a file
            name has no such field.
    """
    rows = []
    with ImageArchive(path) as archive:
        for name in archive.names:
            member = PurePosixPath(name)
            fields = member.stem.split("_")
            if str(member.parent) == ".":
                raise UserError(f"{path}: {name} lies in no folder; put the images of each class into one")
            if group is not None and group >= len(fields):
                raise UserError(f"{path}: {name} has no field {group + 1} between '_' that would say its group")
            body = archive.read(name)
            check_image(body, f"{path}: {name}")
            rows.append((body, str(member.parent), "" if group is None else fields[group]))
    if not rows:
        raise UserError(f"{path}: no images in it; put the images (PNG or JPEG) of each class into a folder")
    frame = pd.DataFrame(rows, columns=["image", "label", "group"])
    return frame.drop(columns="group") if group is None else frame


def check_image(body: bytes, where: str) -> None:
    """Raise UserError if bytes do not begin as an image of a sane size; its pixels are not decoded."""
    try:
        with Image.open(io.BytesIO(body)) as image:
            if image.width * image.height > MOST_PIXELS:
                raise ValueError(f"more than {MOST_PIXELS:,} pixels")
    except UNDECODABLE as error:
        raise UserError(f"{where} is not a readable image; replace the archive") from error
