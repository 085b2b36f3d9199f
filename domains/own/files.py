"""The files of a folder, or of an archive of one: images or texts, with labels by their folders or from a table."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

from domains.domain import Family
from domains.errors import UserError
from domains.own.beside import TABLES, Beside, Said, read_beside
from domains.own.folders import Layout, hint_of_names, mark_unlabelled, read_layout
from domains.own.options import AddOptions
from domains.own.survey import Item, Items
from domains.reading.archives import is_tar
from domains.reading.dicom import DICOM_ENDINGS, patient_of
from domains.reading.folders import (
    TEXT_FILES,
    Files,
    files_of,
    left_out,
    masks_among,
    scans_without_ending,
    without_ending,
)
from domains.reading.pictures import IMAGE_ENDINGS, to_picture
from domains.reading.text_encodings import decode
from domains.words import quantity, some

FEW = 0.1  # of the files may be of the other kind without a question
PATIENT = "PatientID"  # what DICOM calls it


@dataclass(frozen=True)
class Placed:
    """What is known of every file: label, split, group and time, and from where.

    Attributes:
        item: by the name of a file, an item without its example.
        columns: what labels, groups and times are read from.
        by_table: whether labels are read from a table.
    """

    item: dict[str, Item]
    columns: dict[str, str]
    by_table: bool
    warnings: tuple[str, ...] = ()


def items_of_files(path: Path, options: AddOptions) -> Items:
    """Return the images or texts of a folder or an archive. Those that nothing gives a label are the pool.

    Raises:
        UserError: there are none, a link or a name leads out, or nothing tells what the folders and tables mean.
    """
    options.refuse("files in folders", "text_column", "start", "end", "header", "sheet")
    files = files_of(path, IMAGE_ENDINGS | TEXT_FILES)
    family, found = examples_among(files, options)
    placed = place_files(files, found, patients_among(files, found) if family == "vision" else {}, options)
    if family == "text" and not placed.by_table:  # a README, a list of addresses
        found = [name for name in found if placed.item[name].label or placed.item[name].split == "pool"]
    noun = "images" if family == "vision" else "texts"
    warnings = [*files.warnings, *placed.warnings, *empty_folders(files, found, noun)]
    tables = {name for name in files.names if PurePosixPath(name).suffix.lower() in TABLES}
    warnings += left_out(files, {*found} | tables)
    kind = "folder" if path.is_dir() else "tar archive" if is_tar(path) else "zip archive"
    whole, done = hashlib.sha256(), [False]

    def every() -> Iterator[Item]:
        for name in found:
            try:
                raw = files.read(name)
            except OSError as error:
                raise UserError(
                    f"{path}: cannot read {name} ({error.strerror or error}); replace or remove it"
                ) from error
            if not done[0]:
                whole.update(name.encode() + b"\0" + hashlib.sha256(raw).digest())
            yield placed.item[name]._replace(example=raw)
        done[0] = True

    def prepare(raw: bytes) -> tuple[Any, tuple[str, ...]]:
        if family == "text":
            return decode(raw, options.encoding)
        made = to_picture(raw)
        return made.content, made.changes

    return Items(
        family=family,
        kind=f"{kind} of {noun}",
        file=path.resolve().name,
        size=len(found),
        read=every,
        where=found.__getitem__,
        prepare=prepare,
        sha256=whole.hexdigest,
        columns={**placed.columns},
        warnings=tuple(warnings),
    )


def examples_among(files: Files, options: AddOptions) -> tuple[Family, list[str]]:
    """Return whether a folder is one of images or texts, and their names.

    Raises:
        UserError: it holds neither, or so many of both that the user has to say.
    """
    masks = masks_among(files.names)
    ending = {name: PurePosixPath(name).suffix.lower() for name in files.names if name not in masks}
    by_family: dict[Family, list[str]] = {
        "vision": [name for name in ending if ending[name] in IMAGE_ENDINGS],
        "text": [name for name in ending if ending[name] in TEXT_FILES],
    }
    images, texts = (len(by_family[family]) for family in ("vision", "text"))
    if not images and not texts:  # scans and files of texts often have no ending
        by_family["vision"] = scans_without_ending(files)
        if not by_family["vision"]:
            by_family["text"] = [name for name in without_ending(files) if "/" in name]
        images = len(by_family["vision"])
    if options.family in by_family:
        family = options.family
    elif options.family is not None:
        raise UserError(f"{files.path}: is a folder of files, and not of family {options.family}; leave out --family")
    elif are_both(*by_family.values()):
        raise UserError(
            f"{files.path}: holds {quantity(images, 'image')} and {quantity(texts, 'text')}; say --family vision or "
            "--family text"
        )
    else:
        family = "vision" if images > texts else "text"
    if by_family[family]:
        return family, by_family[family]
    if tables := [name for name in files.names if PurePosixPath(name).suffix.lower() in TABLES]:
        raise UserError(
            f"{files.path}: holds tables and no images; unpack it if it is an archive, and give one: {some(tables)}"
        )
    raise UserError(
        f"{files.path}: no examples in it; put images ({', '.join(sorted(IMAGE_ENDINGS))}) or texts (.txt) into a "
        f"folder a class{''.join(f'; {line}' for line in left_out(files, set()))}"
    )


def are_both(*piles: Sequence[str]) -> bool:
    """Whether of two piles of files the smaller may be meant too: it is no README, and not a few beside many."""
    few, many = sorted(piles, key=len)
    folders = {PurePosixPath(name).parent for name in few}
    return len(few) > FEW * len(many) and (len(folders) > 1 or 2 * len(few) > len(many))


def place_files(files: Files, found: list[str], patients: Mapping[str, str], options: AddOptions) -> Placed:
    """Return label, split, group and time of every file.

    Args:
        patients: of files that name one.

    Raises:
        UserError: neither folders nor a table tell labels, or they contradict each other.
    """
    by_patient = bool(patients) and options.group_column == PATIENT
    if by_patient:
        options = replace(options, group_column=None)
    layout, beside = read_layout(files.path, found, options), read_beside(files, found, options)
    by_table = choose_labels(files.path, layout, beside, options)
    if not by_table:
        if layout.question:
            raise UserError(beside.doubt or layout.question)
        if not layout.labels:
            raise UserError(
                beside.doubt
                or f"{files.path}: nothing tells a label of its {quantity(len(found), 'file')}; put a folder a class "
                f"into it, or a table that names the files and their labels beside them{hint_of_names(found)}"
                f"{beside_note(beside)}"
            )
    by_folder = len(layout.labels) > 1 and agrees(layout, beside) if by_table else True
    layout = mark_unlabelled(files.path, layout, options) if by_folder else layout
    items, unknown, columns = {}, [], {}
    for name in found:
        place, said = layout.places[name], beside.said.get(name, Said())
        label = place.label if by_folder and place.split != "pool" else ""
        if by_table:
            label = said.label or label
            unknown += [name] if not label and name not in beside.said else []
        group = patients.get(name, "") if by_patient else said.group or place.group
        items[name] = Item(None, label, group, said.time, said.split or place.split)
    warnings = [*layout.warnings, *beside.warnings]
    if by_table:
        warnings.insert(0, f"labels are read from {some(beside.tables)}, column {beside.used['label']}")
        columns = {key: f"{column} of {beside.tables[0]}" for key, column in beside.used.items()}
        if unknown:
            warnings.append(f"{quantity(len(unknown), 'file')} without a row, so without a label: {some(unknown)}")
    if any(item.group for item in items.values()):
        columns.setdefault("group", PATIENT if by_patient else "first folder")
    elif 1 < (count := len({*patients.values()})) < len(patients):
        warnings.append(
            f"{quantity(count, 'patient')} in {quantity(len(patients), 'image')}: one may be in train and test; "
            f"--group-column {PATIENT} keeps them apart"
        )
    return Placed(items, columns, by_table, tuple(warnings))


def patients_among(files: Files, found: Sequence[str]) -> dict[str, str]:
    """Return the patient of every DICOM file that names one. Images without an ending are such files."""
    bare = {*without_ending(files)}
    scans = [name for name in found if name in bare or PurePosixPath(name).suffix.lower() in DICOM_ENDINGS]
    return {name: patient for name in scans if (patient := patient_of(files.read(name)))}


def beside_note(beside: Beside) -> str:
    return "".join(f"; {line}" for line in beside.warnings)


def agrees(layout: Layout, beside: Beside) -> bool:
    """Whether folders and tables give the same label to every file of which both know one."""
    return all(
        layout.places[name].label.casefold() == said.label.casefold()
        for name, said in beside.said.items()
        if said.label and layout.places[name].label
    )


def choose_labels(path: Path, layout: Layout, beside: Beside, options: AddOptions) -> bool:
    """Return whether a table gives the labels.

    Raises:
        UserError: it contradicts the folders, and no option says which is right.
    """
    different = {said.label for said in beside.said.values()} - {""}
    if not different or (len(different) < 2 <= len(layout.labels)):  # the same for all: a sample of a submission, say
        return False
    if options.label_column or len(layout.labels) < 2:
        return True
    if options.folders is not None:
        return False
    if not agrees(layout, beside):
        name = next(name for name in beside.said if not agrees(layout, replace(beside, said={name: beside.said[name]})))
        label = beside.used["label"]
        raise UserError(
            f"{path}: {name} is in folder {layout.places[name].label}, and {label} {beside.said[name].label} by "
            f"{beside.tables[0]}: say --label-column {label}, or --folders classes"
        )
    return True


def empty_folders(files: Files, found: Sequence[str], noun: str) -> list[str]:
    """Return a line that names the folders without an example in them, the outermost of each."""
    full = {parent.as_posix() for name in found for parent in PurePosixPath(name).parents}
    empty = files.folders - full
    outer = sorted(name for name in empty if PurePosixPath(name).parent.as_posix() not in empty)
    if not outer:
        return []
    return [f"{quantity(len(outer), 'folder')} without {noun} that can be read, so no class: {some(outer)}"]
