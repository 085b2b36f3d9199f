"""A domain: examples of one family, from one distribution, with one label set."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, get_args

import yaml

from domains.errors import UserError
from domains.objective import ACCURACY, Objective, check_objective

Family = Literal["text", "vision", "market"]
FAMILIES: tuple[Family, ...] = get_args(Family)
Role = Literal["target", "source"]
ROLES: tuple[Role, ...] = get_args(Role)
Split = Literal["train", "pool", "test"]

SAFE = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the same in C, where libyaml is: many labels take long otherwise

#: What an example is, by family: the column that an encoder reads.
EXAMPLE_COLUMN: dict[Family, str] = {"text": "text", "vision": "image", "market": "x"}


def is_name(name: str) -> bool:
    """Whether a name may be that of a domain: it is safe as that of a folder, of a model, and in a query."""
    return re.fullmatch(r"[a-z0-9][a-z0-9_-]{0,63}", name) is not None and not name.startswith("meta-")


def check_name(name: str) -> str:
    """Return a domain name that is safe as a folder name, or raise UserError."""
    if not is_name(name):
        raise UserError(f"domain name {name!r}: use 1 to 64 lower-case letters, digits, '-' or '_', not first 'meta-'")
    return name


@dataclass(frozen=True)
class Domain:
    """One domain at one revision, read from a folder of ``domain.yaml`` and parquet shards.

    Attributes:
        name: folder name under ``data/``.
        family: what an example is: ``text``, ``vision`` or ``market``.
        role: ``source`` (meta-trained on) or ``target`` (adapted to).
        labels: label names; a label in a shard is an index into them.
        path: the folder that holds the shards.
        revision: git commit the data was read at.
        content_hash: hash over every byte of the folder.
        meta: the rest of ``domain.yaml`` (source, licence, citation, split rule, counts).
    """

    name: str
    family: Family
    role: str
    labels: tuple[str, ...]
    path: Path
    revision: str = ""
    content_hash: str = ""
    meta: dict[str, Any] = field(default_factory=dict, compare=False, hash=False)

    @classmethod
    def read(cls, path: Path, revision: str = "", content_hash: str = "") -> "Domain":
        """Read ``domain.yaml`` of a domain folder.

        Raises:
            UserError: the folder is not a domain.
        """
        try:
            meta = yaml.load((path / "domain.yaml").read_text("utf-8"), Loader=SAFE)
            name, family, role = check_name(meta.pop("name")), meta.pop("family"), meta.pop("role")
            labels = tuple(str(label) for label in meta.pop("labels"))
        except (OSError, yaml.YAMLError, KeyError, AttributeError, TypeError, ValueError) as error:
            why = " ".join(f"{type(error).__name__}: {error}".split())  # what YAML says has several lines
            raise UserError(
                f"{path}: not a domain folder ({why}); its domain.yaml needs name: 'text', family, role, labels: [a, b]"
            ) from error
        if family not in FAMILIES:
            raise UserError(f"{path / 'domain.yaml'}: family {family!r} is not one of {', '.join(FAMILIES)}")
        return cls(name, family, role, labels, path, revision, content_hash, meta)

    @property
    def objective(self) -> Objective:
        """What models of the domain are to be best in: accuracy, unless ``domain.yaml`` says something else.

        Raises:
            UserError: there is no such objective.
        """
        return check_objective(str(self.meta.get("objective") or ACCURACY))

    @property
    def example_columns(self) -> tuple[str, ...]:
        """The columns of the table that its texts or images came from; () where they came from none."""
        columns = self.meta.get("columns")
        found: Any = columns.get("text", columns.get("image", ())) if isinstance(columns, dict) else ()
        return (found,) if isinstance(found, str) else tuple(map(str, found))

    @property
    def has_header(self) -> bool:
        """Whether that table had names of columns in its first row."""
        return self.meta.get("header", True) is not False

    def has(self, split: Split) -> bool:
        """Whether the domain has that shard."""
        return (self.path / f"{split}.parquet").exists()

    def split(self, split: Split) -> Any:
        """Return one shard as a ``datasets.Dataset``, images decoded on access.

        Columns: the example column of the family, ``label`` (absent from ``pool``), and for markets
        ``date`` and ``asset``.
        """
        import pyarrow.parquet as pq
        from datasets import Dataset

        if not self.has(split):
            raise UserError(f"domain {self.name}: has no {split} split")
        return Dataset(pq.read_table(self.path / f"{split}.parquet", memory_map=True))

    def column(self, split: Split, rows: Sequence[int] | None = None) -> list[Any]:
        """Return the raw examples of a shard, or of some of its rows: str, encoded image bytes, or lists of float."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        table = pq.read_table(self.path / f"{split}.parquet", columns=[EXAMPLE_COLUMN[self.family]])
        values = (table if rows is None else table.take(pa.array(rows, pa.int64())))[0].to_pylist()
        return [v["bytes"] for v in values] if self.family == "vision" else values

    def targets(self, split: Split) -> list[int]:
        """Return the label indices of a labelled shard."""
        import pyarrow.parquet as pq

        return pq.read_table(self.path / f"{split}.parquet", columns=["label"])[0].to_pylist()

    @cached_property
    def counts(self) -> dict[str, int]:
        """Number of examples by shard."""
        import pyarrow.parquet as pq

        return {p.stem: pq.read_metadata(p).num_rows for p in sorted(self.path.glob("*.parquet"))}
