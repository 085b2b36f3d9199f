"""What is predicted: files and folders of the project, as they lie there or as DVC keeps them at a git revision."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from domains.domain import Family
from domains.errors import UserError
from domains.own.hub import is_dataset
from domains.reading.archives import is_tar
from domains.reading.arrays import NPZ
from domains.reading.folders import TEXT_FILES, files_of_folder, scans_without_ending
from domains.reading.pictures import IMAGE_ENDINGS
from domains.reading.tables import ENDINGS
from tasks.base.settings import Settings
from tasks.versions.tracked import tracked_path

TABLES = {*ENDINGS, ".gz", ".zip"} - TEXT_FILES  # and archives; a .txt in a folder holds a text


@dataclass(frozen=True)
class Input:
    """A file, or a folder of images or texts, that is predicted as a whole.

    Attributes:
        name: relative to the project.
    """

    name: str
    path: Path

    def content_hash(self) -> str:
        """Return a sha256 over the names and bytes of its files.

        Raises:
            UserError: a file cannot be read.
        """
        whole = hashlib.sha256()
        files = [self.path]
        if self.path.is_dir():
            files = [self.path / name for name in files_of_folder(self.path).names]
        for file in files:
            try:
                with file.open("rb") as stream:
                    digest = hashlib.file_digest(stream, "sha256").hexdigest()
            except OSError as error:
                raise UserError(f"{file}: cannot be read ({error.strerror or error}); change its rights") from error
            place = file.relative_to(self.path).as_posix() if self.path.is_dir() else ""
            whole.update(f"{place}\0{digest}\n".encode())
        return whole.hexdigest()


def find_inputs(settings: Settings, family: Family, source: str, revision: str = "") -> list[Input]:
    """Return what is to be predicted of a file or folder of the project, in the order of its names.

    A folder of images, of texts or of a dataset is one input; of any other, each table in it is one.

    Args:
        source: a path in the project, relative to it or whole.
        revision: of which DVC's copy is read; empty: what lies there.

    Raises:
        UserError: it lies outside, or in a folder that is no data; it is not there.
    """
    path = inside(settings, source)
    name = path.relative_to(settings.root_path).as_posix()
    if revision:
        path = tracked_path(settings.root_path, settings.home_path, name, revision)
    elif not path.exists():
        raise UserError(f"{source}: no such file or folder in {settings.root_path}")
    if not path.is_dir() or is_dataset(path):
        return [Input(name, path)]
    files = files_of_folder(path)
    names = files.names
    endings = TABLES | {NPZ} if family == "vision" else TABLES
    tables = [each for each in names if ending_of(each) in endings or is_tar(Path(each))]
    images = family == "vision" and any(ending_of(each) in IMAGE_ENDINGS for each in names)
    texts = family == "text" and not tables and any(ending_of(each) in TEXT_FILES for each in names)
    scans = family == "vision" and not tables and scans_without_ending(files)
    if images or texts or scans:
        return [Input(name, path)]
    return [Input(f"{name}/{each}", path / each) for each in tables]


def ending_of(name: str) -> str:
    return Path(name).suffix.lower()


def inside(settings: Settings, given: str) -> Path:
    """Return a path in the project, links followed.

    What asks for it may be an event or a form: other files of the machine, and the folders of git, DVC and our own
    state, are none of its business.

    Raises:
        UserError: it lies outside of the project or in one of these folders.
    """
    root = settings.root_path
    try:
        path = (root / given).resolve()
    except (OSError, ValueError, RuntimeError) as error:
        raise UserError(f"{given!a:.80} is not a path ({error})") from error
    if not given or path == root or not path.is_relative_to(root):
        raise UserError(f"{given!a:.80} is not a path in the project {root}: move it there, or name a folder of it")
    private = [root / ".git", root / ".dvc", settings.home_path.resolve()]
    if path.name == ".env" or any(path.is_relative_to(folder) for folder in private):
        raise UserError(f"{given!a:.80} is not a place for your data: choose another path in {root}")
    return path
