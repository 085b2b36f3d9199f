"""An adapted model in MLflow's python_function flavour: loaded by ``tasks.pyfunc``, with a signature; no pickle.

Beside the classifier lies ``reads.json``, which names the encoder. Its weights (90 MB for text) are the same for all
models: they stay where they are, and only an exported model has a copy.
"""

import base64
import io
import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import version as installed
from pathlib import Path
from typing import Any, get_args

import pandas as pd

from domains.domain import EXAMPLE_COLUMN, Family
from learners.classifier import Classifier
from learners.shift.typicality import FILE as TYPICALITY

FILE = "reads.json"
ENCODER = "encoder"  # folder of an exported model that has its encoder with it
NEEDED = ("acclimate", "mlflow", "numpy", "pandas", "safetensors", "torch", "transformers", "pillow")


@dataclass(frozen=True)
class InputSpec:
    """What an adapted model reads: raw examples of a family, through the encoder of that identity."""

    family: Family
    encoder: str

    @classmethod
    def from_tags(cls, tags: Mapping[str, Any]) -> "InputSpec | None":
        """Return what a version's tags say; None where they say nothing."""
        if "encoder" not in tags or tags.get("family") not in get_args(Family):
            return None
        return cls(tags["family"], tags["encoder"])

    @classmethod
    def read(cls, folder: Path) -> "InputSpec | None":
        """Return what ``write`` wrote; None for a model from before there was such a file."""
        if not (folder / FILE).exists():
            return None
        return cls(**json.loads((folder / FILE).read_text("utf-8")))

    def write(self, folder: Path) -> None:
        (folder / FILE).write_text(json.dumps(asdict(self)), "utf-8")


def write_mlflow_model(folder: Path, reads: InputSpec | None, into: Path) -> Path:
    """Write the model whose files are in a folder as an MLflow model, and return its path.

    Args:
        folder: what ``Classifier.save`` wrote, and what else is to be kept with it.
        reads: what it reads; None: feature vectors, and no signature.
        into: an empty folder.
    """
    import mlflow.pyfunc

    files = into / "files"
    shutil.copytree(folder, files)
    described: dict[str, Any] = {}
    if reads is not None:
        reads.write(files)
        example = input_example(reads.family)
        labels = Classifier.load(folder).labels
        described = {"signature": signature(example, labels, (folder / TYPICALITY).exists()), "input_example": example}
    mlflow.pyfunc.save_model(
        into / "model",
        loader_module="tasks.pyfunc",
        data_path=str(files),
        pip_requirements=[f"{package}=={installed(package)}" for package in NEEDED],
        **described,
    )
    return into / "model"


def input_example(family: Family) -> pd.DataFrame:
    """Return two examples as a client sends them."""
    if family == "text":
        return pd.DataFrame({EXAMPLE_COLUMN[family]: ["One text.", "And another."]})
    if family == "vision":
        return pd.DataFrame({EXAMPLE_COLUMN[family]: [_png(60), _png(190)]})
    from domains.market.features import FEATURES

    return pd.DataFrame([[value] * len(FEATURES) for value in (0.0, 0.5)], columns=[name for name, _ in FEATURES])


def signature(example: pd.DataFrame, labels: tuple[str, ...], knows_outside: bool) -> Any:
    """Return MLflow's signature: every column of the example is required, predictions come back.

    Args:
        knows_outside: whether the model tells examples of none of its classes.
    """
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, Schema

    def schema(kinds: Mapping[str, str]) -> Schema:
        return Schema([ColSpec(kind, name) for name, kind in kinds.items()])

    inputs = {str(name): "double" if example[name].dtype.kind == "f" else "string" for name in example}
    outputs = {"label": "string", "probability": "double", "set": "string", "ask": "string"}
    outputs |= {"outside": "boolean", "typical": "double"} if knows_outside else {}
    outputs |= {f"p_{label}": "float" for label in labels}
    return ModelSignature(schema(inputs), schema(outputs))


def _png(grey: int) -> str:
    from PIL import Image

    file = io.BytesIO()
    Image.new("L", (8, 8), grey).save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()
