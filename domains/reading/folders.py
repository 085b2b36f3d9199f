"""The files of a folder, or of a zip or tar archive of one, without what systems and programs leave there."""

import os
import re
from collections.abc import Callable, Iterable, Set
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from domains.errors import UserError
from domains.reading.archives import ImageArchive, is_tar
from domains.reading.dicom import DICOM, is_dicom
from domains.reading.packed import tables_in_zip
from domains.reading.pictures import ABSENT, IMAGE_ENDINGS, MOST_BYTES
from domains.reading.tables import TEXT_ENDINGS
from domains.words import SHOWN, quantity, some

TEXT_FILES = {".txt", ".text", ".md"}  # of files that hold a text each

#: What systems write beside the files of people, in lower case; so is every name that begins with a dot.
LEFT_BY_SYSTEMS = {"__macosx", "thumbs.db", "ehthumbs.db", "desktop.ini", "@eadir", "$recycle.bin", "dicomdir"}


#: How images are called that mark the pixels of another: ``7_mask.png`` beside ``7.png``.
MASK = re.compile(r"(.+?)[ _.-]+(?:masks?|seg|segmentation)(?:[ _-]?\d+)?", re.IGNORECASE)


@dataclass(frozen=True)
class Files:
    """Files by their names, with ``/`` between folders.

    Attributes:
        names: of all files, sorted; every one can be written as UTF-8.
        folders: every folder, empty or not.
        by_systems: names of files and folders that are no part of the data.
        read: returns the bytes of a file. A file of more than ``MOST_BYTES`` gives that many and one.
    """

    path: Path
    names: tuple[str, ...]
    folders: frozenset[str]
    by_systems: tuple[str, ...]
    read: Callable[[str], bytes]
    warnings: tuple[str, ...] = ()


def files_of(path: Path, endings: Set[str]) -> Files:
    """Return the files of a folder, or of a zip or tar archive.

    Args:
        endings: of an archive, the endings of the files that may be read.

    Raises:
        UserError: a link leads out of the folder or a name out of the archive, it unpacks to too much, or a name is
            no text.
    """
    return files_of_folder(path) if path.is_dir() else files_of_archive(path, endings)


def files_of_folder(path: Path) -> Files:
    """Walk a folder; links inside of it are followed where they lead to files."""
    root, names, folders, by_systems, warnings = path.resolve(), [], [], [], []
    for folder, inner, files in os.walk(root, onerror=refuse):
        place = Path(folder).relative_to(root)
        by_systems += [(place / name).as_posix() for name in (*inner, *files) if is_by_system(name)]
        inner[:] = sorted(name for name in inner if not is_by_system(name))
        for name in [*inner, *files]:
            link = Path(folder, name)
            if link.is_symlink():
                check_inside(root, link, path)
                if link.is_dir():
                    warnings.append(f"{link.relative_to(root)} is a link to a folder: left out")
        folders += [(place / name).as_posix() for name in inner if not Path(folder, name).is_symlink()]
        names += [(place / name).as_posix() for name in files if not is_by_system(name)]

    def read(name: str) -> bytes:
        if (root / name).stat().st_size > MOST_BYTES:
            return bytes(MOST_BYTES + 1)
        return (root / name).read_bytes()

    check_names(path, names)
    return Files(path, tuple(sorted(names)), frozenset(folders), tuple(by_systems), read, tuple(warnings))


def files_of_archive(path: Path, endings: Set[str]) -> Files:
    """List an archive; some programs write ``\\`` between the folders."""
    archive = ImageArchive(path, endings)
    members, folders, by_systems = {}, set(), []
    for entry in archive.entries:
        where = PurePosixPath(entry.replace("\\", "/"))
        parts = where.parts
        at = next((i for i, part in enumerate(parts) if is_by_system(part)), None)
        if at is not None:
            by_systems.append("/".join(parts[: at + 1]))
            continue
        is_folder = entry.endswith(("/", "\\"))
        folders |= {parent.as_posix() for parent in (*where.parents, *((where,) if is_folder else ()))}
        if not is_folder:
            members[where.as_posix()] = entry
    check_names(path, members)
    left = tuple(dict.fromkeys(by_systems))
    links = archive.links
    warnings = (f"{quantity(len(links), 'link')} in the archive left out: {some(links)}",) if links else ()
    names, inner = tuple(sorted(members)), frozenset(folders - {"."})
    return Files(path, names, inner, left, lambda name: archive.read(members[name]), warnings)


def is_by_system(name: str) -> bool:
    return name.startswith(".") or name.lower() in LEFT_BY_SYSTEMS


def holds_files(path: Path) -> bool:
    """Whether a file is an archive of images or texts in folders: a tar, or a zip that is no packed table.

    Raises:
        UserError: a zip is damaged.
    """
    if path.suffix.lower() != ".zip":
        return is_tar(path)
    tables = tables_in_zip(path, TEXT_ENDINGS)
    texts = [name for name in tables if name.lower().endswith(".txt")]
    return len(tables) == len(texts) != 1 or bool(tables_in_zip(path, tuple(IMAGE_ENDINGS)))


def without_ending(files: Files) -> list[str]:
    """Return the names of the files that have no ending; numbers are none."""
    return [name for name in files.names if not PurePosixPath(name).suffix.strip(".0123456789")]


def scans_without_ending(files: Files) -> list[str]:
    """Return the names of the DICOM files without an ending, as scanners write them; the first such file tells."""
    bare = without_ending(files) if DICOM else []
    return bare if bare and is_dicom(files.read(bare[0])) else []


def masks_among(names: Iterable[str]) -> set[str]:
    """Return the images that by their names are masks of others in the same folder."""
    images = [path for name in names if (path := PurePosixPath(name)).suffix.lower() in IMAGE_ENDINGS]
    stems = {path.with_suffix("") for path in images}
    return {
        path.as_posix() for path in images if (found := MASK.fullmatch(path.stem)) and path.with_name(found[1]) in stems
    }


def left_out(files: Files, used: Set[str], shown: int = SHOWN) -> list[str]:
    """Return a line for each reason for which files are not used, with the first of them."""
    lines = [f"{quantity(len(files.by_systems), 'file')} of systems left out: {some(files.by_systems, shown)}"]
    lines = lines if files.by_systems else []
    others = [name for name in files.names if name not in used]
    rest = set(others)
    for package, (what, endings) in ABSENT.items():
        if found := [name for name in others if PurePosixPath(name).suffix.lower() in endings]:
            rest -= set(found)
            lines.append(
                f"{quantity(len(found), what)} left out, which need a package to be read "
                f"(pip install {package}): {some(found, shown)}"
            )
    if masks := sorted(masks_among(files.names) - used):
        lines.append(f"{quantity(len(masks), 'mask')} of other images left out: {some(masks, shown)}")
    if rest := rest - set(masks):
        lines.append(f"{quantity(len(rest), 'other file')} left out: {some(sorted(rest), shown)}")
    return lines


def check_names(path: Path, names: Iterable[str]) -> None:
    """Raise UserError if a name cannot be written as UTF-8."""
    for name in names:
        try:
            name.encode()
        except UnicodeEncodeError:
            raise UserError(f"{path}: {name!r} is not a name in UTF-8; rename it") from None


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
