"""The images of a folder, or of a zip archive of one, with a folder for each class."""

import hashlib
import os
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

from domains.errors import UserError
from domains.own.options import AddOptions
from domains.own.survey import Item, Items
from domains.reading.archives import ImageArchive
from domains.reading.pictures import IMAGE_ENDINGS, MOST_BYTES, to_picture
from domains.words import quantity

UNLABELLED = {"unlabelled", "unlabeled", "pool"}
HALVES = {"train", "training", "test", "testing", "val", "valid", "validation"}


def items_of_folder(path: Path, options: AddOptions) -> Items:
    """Return the images of a folder of class folders. Those in ``unlabelled/``, or in no folder, have no label.

    Raises:
        UserError: a link leads out of the folder, there are no images, or the folders are not classes.
    """
    root, names, warnings = path.resolve(), [], []
    for folder, folders, files in os.walk(root, onerror=refuse):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in [*folders, *files]:
            link = Path(folder, name)
            if link.is_symlink():
                check_inside(root, link, path)
                if link.is_dir():
                    warnings.append(f"{link.relative_to(root)} is a link to a folder: left out")
        names += [Path(folder, name).relative_to(root).as_posix() for name in files if not name.startswith(".")]

    def read(name: str) -> bytes:
        if (root / name).stat().st_size > MOST_BYTES:
            return bytes(MOST_BYTES + 1)  # refused for its size, without being read
        return (root / name).read_bytes()

    return items_of_names(path, names, read, options, "folder of images", warnings)


def items_of_zip(path: Path, options: AddOptions) -> Items:
    """Return the images of a zip archive of class folders. Nothing is unpacked to disk.

    Raises:
        UserError: as ``items_of_folder``; or it is no zip archive, unpacks to too much, or has a name that leads out.
    """
    archive = ImageArchive(path, IMAGE_ENDINGS)
    return items_of_names(path, archive.names, archive.read, options, "zip archive of images", [])


def items_of_names(
    path: Path, names: list[str], read: Callable[[str], bytes], options: AddOptions, kind: str, warnings: list[str]
) -> Items:
    """Return images by name, each with its folder as its label."""
    options.refuse("images", "text_column", "label_column", "group_column", "time_column", "encoding", "start", "end")
    if options.family not in (None, "vision"):
        raise UserError(f"{path}: is a {kind}, and not of family {options.family}; leave out --family")
    found = sorted(name for name in names if Path(name).suffix.lower() in IMAGE_ENDINGS)
    others = Counter(Path(name).suffix.lower() or "without ending" for name in set(names) - set(found))
    if others:
        warnings.append(
            f"{quantity(others.total(), 'file')} that are no images ({', '.join(sorted(others)[:5])}): left out"
        )
    if not found:
        raise UserError(
            f"{path}: no examples in it; put images ({', '.join(sorted(IMAGE_ENDINGS))}) into a folder a class"
        )
    labels = labels_by_folder(path, found)
    whole = hashlib.sha256()
    done = [False]

    def every() -> Iterator[Item]:
        for name, label in zip(found, labels, strict=True):
            try:
                raw = read(name)
            except OSError as error:
                raise UserError(f"{path}: cannot read {name} ({error.strerror or error}); mend or remove it") from error
            if not done[0]:
                whole.update(name.encode() + b"\0" + hashlib.sha256(raw).digest())
            yield Item(raw, label)
        done[0] = True

    def prepare(raw: bytes) -> tuple[bytes, tuple[str, ...]]:
        made = to_picture(raw)
        return made.content, made.changes

    return Items(
        family="vision",
        kind=kind,
        file=path.resolve().name,
        size=len(found),
        read=every,
        where=found.__getitem__,
        prepare=prepare,
        sha256=whole.hexdigest,
        warnings=tuple(warnings),
    )


def labels_by_folder(path: Path, names: list[str]) -> list[str]:
    """Return the label of every image: the first folder of its name after those that all share, or no label.

    Raises:
        UserError: the first folders are halves of a split, or a name is no text.
    """
    for name in names:
        try:
            name.encode()
        except UnicodeEncodeError:
            raise UserError(f"{path}: {name!r} is not a name in UTF-8; rename it") from None
    parts = [name.split("/") for name in names]
    while len({part[0] for part in parts}) == 1 and all(len(part) > 2 for part in parts):
        parts = [part[1:] for part in parts]
    folders = {part[0] for part in parts if len(part) > 1}
    if len(folders) > 1 and {name.lower() for name in folders} <= HALVES | UNLABELLED:
        raise UserError(
            f"{path}: its folders are {', '.join(sorted(folders))}, which are no classes; add one folder of class "
            "folders, the test is divided off here"
        )
    return ["" if len(part) == 1 or part[0].lower() in UNLABELLED else part[0] for part in parts]


def check_inside(root: Path, link: Path, path: Path) -> None:
    """Raise UserError if a link leads out of the folder, or nowhere."""
    try:
        target = link.resolve(strict=True)
    except (OSError, RuntimeError):
        raise UserError(f"{path}: {link.relative_to(root)} is a link that leads nowhere; remove it") from None
    if not target.is_relative_to(root):
        raise UserError(f"{path}: {link.relative_to(root)} is a link out of the folder; copy the file there instead")


def refuse(error: OSError) -> None:
    raise UserError(f"{error.filename}: cannot be read ({error.strerror}); change its rights") from error
