"""A Hugging Face dataset as a table: by name, or a folder that ``datasets`` wrote. No code of it is ever run."""

import hashlib
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from domains.errors import UserError, line
from domains.reading.tables import BATCH, Cells, Table

NAME = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")
SAVED = ("state.json", "dataset_dict.json")  # what save_to_disk leaves


def is_dataset(path: Path) -> bool:
    """Whether a folder was written by ``save_to_disk``, or holds the Parquet files of a dataset."""
    if any((path / name).is_file() for name in SAVED):
        return True
    return any(folder.glob("*.parquet") for folder in (path, path / "data")) and next(parquets(path), None) is not None


def parquets(path: Path) -> Iterator[Path]:
    for folder in (path, path / "data"):
        yield from folder.glob("*.parquet")


def open_dataset(name: str) -> Table:
    """Open the split ``train`` of a dataset, or its only one.

    Raises:
        UserError: there is none of that name, the network is away, or it cannot be read.
    """
    import datasets

    path = Path(name)
    try:
        with datasets_quiet():
            if path.is_dir() and any((path / saved).is_file() for saved in SAVED):
                found: Any = datasets.load_from_disk(name)
            else:
                found = datasets.load_dataset(name)
    except Exception as error:  # of many kinds: of the network, the hub, the formats
        where = (
            f"{name}: cannot be read as a dataset"
            if path.is_dir()
            else f"{name}: no such file, and Hugging Face gives no dataset of that name"
        )
        raise UserError(f"{where} ({line(error)}); mind the network, or give a file") from error
    warnings: tuple[str, ...] = ()
    if isinstance(found, dict):
        split = "train" if "train" in found else next(iter(found))
        if others := sorted(set(found) - {split}):
            warnings = (f"split {split} is read, {', '.join(others)} left out; the test is divided off here",)
        found = found[split]
    return of_dataset(found, path, warnings)


def of_dataset(dataset: Any, path: Path, warnings: tuple[str, ...] = ()) -> Table:
    """Return a dataset as a table: labels by name, images as their bytes."""
    from datasets import ClassLabel, Image

    features = dataset.features
    for name, feature in features.items():
        if isinstance(feature, Image):
            dataset = dataset.cast_column(name, Image(decode=False))
    names = {name: feature.names for name, feature in features.items() if isinstance(feature, ClassLabel)}

    def named(column: str, values: list[Any]) -> list[Any]:
        if column not in names:
            return values
        return [None if i is None or i < 0 else names[column][i] for i in values]

    def read(wanted: Sequence[str]) -> Iterator[Cells]:
        for batch in dataset.select_columns(list(wanted)).iter(BATCH):
            yield from zip(*(named(name, batch[name]) for name in wanted), strict=True)

    whole = hashlib.sha256()
    for file in dataset.cache_files:
        with open(file["filename"], "rb") as stream:
            whole.update(hashlib.file_digest(stream, "sha256").digest())
    return Table(path, "dataset", tuple(dataset.column_names), len(dataset), whole.hexdigest(), read, warnings)


class datasets_quiet:
    """No progress bars of another library inside."""

    def __enter__(self) -> None:
        from datasets.utils.logging import disable_progress_bar, is_progress_bar_enabled

        self.before = is_progress_bar_enabled()
        disable_progress_bar()

    def __exit__(self, *_: object) -> None:
        from datasets.utils.logging import enable_progress_bar

        if self.before:
            enable_progress_bar()
