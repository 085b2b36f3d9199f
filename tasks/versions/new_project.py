"""Make a folder a project: write what a clone of the repository has beside the code, and commit exactly that."""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path

from domains.errors import UserError
from tasks.versions.data_dvc import IGNORE, POINTER, git_patiently
from tasks.versions.git import check_user, git

CODE = Path(__file__).resolve().parents[2]
SHARE = "share/acclimate"  # where an installation has the files, see pyproject.toml
DEPLOYMENTS = "prefect.yaml"
DVC = (".dvc/config", ".dvc/.gitignore", ".dvcignore")  # a folder may have its own
IGNORED = ("/data/", "/.acclimate/", "/.dvc/cache/", "/.dvc/tmp/", "/.dvc/config.local")


def init(folder: Path) -> tuple[str, ...]:
    """Make a folder a project, in the git repository that it lies in, or in a new one.

    No file is overwritten; a ``.gitignore`` that is committed as it is gets more lines.

    Returns:
        The files that were written and committed, relative to the folder.

    Raises:
        UserError: the folder is a project or has other things in the way, git knows no user, or git refuses the
            commit. Then nothing is written, or what was written is removed again.
    """
    check_folder_is_free(folder)
    known = _inside_repository(folder)
    check_user(_nearest_folder(folder))
    texts = _missing_texts(folder)
    if known:
        check_ignore_file(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not known:
            git_patiently(folder, "init", "--quiet")
        with _restore_on_failure(folder, texts):
            for name, text in texts.items():
                (folder / name).parent.mkdir(exist_ok=True)
                (folder / name).write_text(text, "utf-8")
            git_patiently(folder, "add", "--force", "--intent-to-add", "--", *texts)
            git_patiently(folder, "commit", "--quiet", "--only", "--message", "Start a project", "--", *texts)
    except OSError as error:
        raise UserError(f"cannot write {folder}: {error.strerror}; change the rights or choose another") from error
    return tuple(texts)


def check_folder_is_free(folder: Path) -> None:
    """Raise UserError where a folder is a project already, or has files that a project would use in another way."""
    if (folder / POINTER).exists():
        raise UserError(f"{folder.resolve()} has a {POINTER}: it is a project already, go on with acclimate demo")
    if (folder / "data").is_dir() and any((folder / "data").iterdir()):
        raise UserError(f"{folder.resolve()} has a data/ that no {POINTER} names: move it away, or choose a new folder")
    deployments = folder / DEPLOYMENTS
    if deployments.exists() and deployments.read_bytes() != shipped_text(DEPLOYMENTS).encode():
        raise UserError(f"{folder.resolve()} has a {DEPLOYMENTS} of its own: choose a new folder")


def check_ignore_file(folder: Path) -> None:
    """Raise UserError where lines would be added to a ``.gitignore`` with changes that are not committed."""
    if not _missing_lines(folder) or not (folder / IGNORE).exists():
        return
    if git(folder, "status", "--porcelain", "--ignored", "--", IGNORE).stdout:
        raise UserError(f"{IGNORE} has changes of yours: commit it first, lines are added to it")


def shipped_text(name: str) -> str:
    """Return the text of a file that every project has.

    It lies beside the code in a checkout, and among the installed files elsewhere.

    Raises:
        UserError: the installation lacks it.
    """
    for path in _places(name):
        if path.is_file():
            return path.read_text("utf-8")
    raise UserError(f"this installation lacks {SHARE}/{name}: install acclimate again")


def _places(name: str) -> Iterator[Path]:
    if (CODE / "pyproject.toml").is_file():  # a checkout; an editable installation has old copies besides
        yield CODE / name
    try:
        installed = files("acclimate") or ()
    except PackageNotFoundError:
        installed = ()
    yield from (Path(str(file.locate())) for file in installed if file.as_posix().endswith(f"{SHARE}/{name}"))
    yield CODE / SHARE / name  # of pip install --target


def _missing_texts(folder: Path) -> dict[str, str]:
    """Return the texts to be written, by path; ``data.dvc`` last, as it is what makes a project."""
    texts = {name: shipped_text(name) for name in (*DVC, DEPLOYMENTS) if not (folder / name).exists()}
    if lacking := _missing_lines(folder):
        texts[IGNORE] = "\n".join([*_lines(folder / IGNORE), *lacking, ""])
    return texts | {POINTER: shipped_text(POINTER)}


def _missing_lines(folder: Path) -> list[str]:
    """Return the lines that ``.gitignore`` lacks."""
    lines = _lines(folder / IGNORE)
    return [line for line in IGNORED if line not in lines]


def _lines(path: Path) -> list[str]:
    return path.read_text("utf-8").splitlines() if path.exists() else []


def _inside_repository(folder: Path) -> bool:
    """Whether a folder lies in a git repository."""
    found = git(_nearest_folder(folder), "rev-parse", "--show-toplevel")
    if found.returncode and "not a git repository" not in found.stderr:
        raise UserError(f"git cannot use {folder.resolve()}: {' '.join(found.stderr.split())}")
    return not found.returncode


def _nearest_folder(folder: Path) -> Path:
    """Return the folder, or the nearest above it that exists."""
    path = folder.resolve()
    found = next(each for each in (path, *path.parents) if each.exists())
    if not found.is_dir():
        raise UserError(f"{found} is not a folder: choose another")
    return found


@contextmanager
def _restore_on_failure(folder: Path, names: dict[str, str]) -> Iterator[None]:
    """Restore files when the block fails, unless git has the commit by then."""
    before = {name: (folder / name).read_bytes() for name in names if (folder / name).exists()}
    try:
        yield
    except BaseException:  # an interrupt too
        if git(folder, "cat-file", "-e", f"HEAD:./{POINTER}").returncode:
            new = [name for name in names if name not in before]
            git(folder, "rm", "--cached", "--quiet", "--force", "--ignore-unmatch", "--", *new)
            for name in new:
                (folder / name).unlink(missing_ok=True)
            for name, content in before.items():
                (folder / name).write_bytes(content)
        raise
