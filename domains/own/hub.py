"""A Hugging Face dataset as a table, by its name or from a folder that ``datasets`` wrote. Its code is never run."""

import hashlib
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from domains.errors import UserError, first_line
from domains.reading.class_labels import names_of, with_names
from domains.reading.tables import BATCH, Cells, Table

NAME = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")
SAVED = ("state.json", "dataset_dict.json")  # what save_to_disk leaves


def is_dataset(path: Path) -> bool:
    """Whether a folder was written by ``save_to_disk``, or holds the Parquet files of a dataset."""
    if any((path / name).is_file() for name in SAVED):
        return True
    return next(parquet_files(path), None) is not None


def parquet_files(path: Path) -> Iterator[Path]:
    for folder in (path, path / "data"):
        yield from folder.glob("*.parquet")


def open_dataset(name: str) -> Table:
    """Open the split ``train`` of a dataset, or its first split where there is no ``train``.

    Raises:
        UserError: there is no dataset of that name, the network is away, or it cannot be read.
    """
    import datasets

    path = Path(name)
    try:
        with without_progress_bars():
            if path.is_dir() and any((path / saved).is_file() for saved in SAVED):
                found: Any = datasets.load_from_disk(name)
                parts = found.values() if isinstance(found, dict) else [found]
                check_inside(path, [file["filename"] for part in parts for file in part.cache_files])
            else:
                if path.is_dir():
                    named = datasets.load_dataset_builder(name).config.data_files or {}
                    check_inside(path, [str(file) for files in named.values() for file in files])
                found = datasets.load_dataset(name)
    except UserError:
        raise
    except Exception as error:  # of many kinds: of the network, the hub, the formats
        where = (
            f"{name}: cannot be read as a dataset"
            if path.is_dir()
            else f"{name}: no such file, and Hugging Face gives no dataset of that name"
        )
        raise UserError(f"{where} ({first_line(error)}); check the network, or give a file") from error
    warnings: tuple[str, ...] = ()
    if isinstance(found, dict):
        split = "train" if "train" in found else next(iter(found))
        if others := sorted(set(found) - {split}):
            warnings = (f"split {split} is read, {', '.join(others)} left out; the test is divided off here",)
        found = found[split]
    return table_of_dataset(found, path, warnings)


def check_inside(folder: Path, files: Sequence[str]) -> None:
    """Raise UserError if what a dataset's folder names as its data lies outside: its files may name any other."""
    for file in files:
        if not Path(file).resolve().is_relative_to(folder.resolve()):
            raise UserError(f"{folder}: names a file outside of it as its data ({file}); do not use it")


def table_of_dataset(dataset: Any, path: Path, warnings: tuple[str, ...] = ()) -> Table:
    """Return a dataset as a table, with labels as their names and images as their bytes."""
    from datasets import Image

    features = dataset.features
    for name, feature in features.items():
        if isinstance(feature, Image):
            dataset = dataset.cast_column(name, Image(decode=False))
    names = {name: found for name, feature in features.to_dict().items() if (found := names_of(feature))}

    def read(wanted: Sequence[str]) -> Iterator[Cells]:
        for batch in dataset.select_columns(list(wanted)).iter(BATCH):
            yield from zip(*(with_names(batch[name], names.get(name)) for name in wanted), strict=True)

    whole = hashlib.sha256()
    for file in dataset.cache_files:
        with open(file["filename"], "rb") as stream:
            whole.update(hashlib.file_digest(stream, "sha256").digest())
    return Table(path, "dataset", tuple(dataset.column_names), len(dataset), whole.hexdigest(), read, warnings)


@contextmanager
def without_progress_bars() -> Iterator[None]:
    """Let ``datasets`` draw no progress bars inside."""
    from datasets.utils.logging import disable_progress_bar, enable_progress_bar, is_progress_bar_enabled

    before = is_progress_bar_enabled()
    disable_progress_bar()
    try:
        yield
    finally:
        if before:
            enable_progress_bar()
