"""How MLflow loads an adapted model and asks it: from raw examples to predictions, and nothing is unpickled.

Registered models name this module, ``tasks.pyfunc``: it stays where it is.
"""

import base64
import binascii
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from domains.domain import EXAMPLE_COLUMN, Family
from domains.errors import UserError
from domains.reading.pictures import read_image
from learners.classifier import Classifier
from learners.examples import Examples
from learners.shift.typicality import Typicality
from tasks.base.settings import settings
from tasks.features.encoders import encoder_identity, weights_here
from tasks.features.encoding import encode_here, view_for
from tasks.features.identities import encoders_of_identity
from tasks.features.plug_ins import plug_in_at
from tasks.features.spec import EncoderSpec
from tasks.features.tuned import tuned_at
from tasks.models.mlflow_flavour import ENCODER, InputSpec
from tasks.models.prediction_table import prediction_table


@dataclass(frozen=True)
class AdaptedModel:
    """An adapted model as MLflow serves it.

    Attributes:
        family: whose raw examples it takes; None: it takes feature vectors, as its encoder is not known.
        encoders: each with the folder of its weights; () where features are what it takes.
        typicality: what tells examples of none of its classes; None: not known.
    """

    classifier: Classifier
    family: Family | None = None
    encoders: tuple[tuple[EncoderSpec, Path], ...] = ()
    typicality: Typicality | None = None

    def predict(self, model_input: Any, params: dict[str, Any] | None = None) -> pd.DataFrame:
        """Classify raw examples: a column ``text`` or ``image`` (base64), or the features of a market by their names.

        Returns:
            n rows: ``label``, ``probability``, ``set`` and ``ask`` as from ``acclimate predict``, and ``p_<label>`` for
            each label; ``outside`` and ``typical`` where the model knows them.

        Raises:
            MlflowException: an example cannot be read; the server answers 400 with its line.
        """
        from mlflow.exceptions import MlflowException

        try:
            x = self._features(model_input)
        except UserError as error:
            raise MlflowException.invalid_parameter_value(str(error)) from error
        p = self.classifier.predict_proba(x)
        typical = None
        if self.typicality is not None:
            typical = self.typicality(x.x if isinstance(x, Examples) else x, p).numpy()
        every = pd.DataFrame(p.numpy(), columns=[f"p_{label}" for label in self.classifier.labels])
        return prediction_table(self.classifier, p.numpy(), typical).join(every)

    def _features(self, model_input: Any) -> Tensor | Examples:
        if self.family is None or self.family == "market":
            return feature_matrix(model_input)
        values = column_values(model_input, EXAMPLE_COLUMN[self.family])
        if self.family == "text":
            texts = [text_value(value, row) for row, value in enumerate(values, 1)]
            return view_for(self.classifier, encode_here(self.encoders, texts), texts)
        return encode_here(self.encoders, [decode_image(value, row) for row, value in enumerate(values, 1)])


def feature_matrix(given: Any) -> Tensor:
    """Return feature vectors [n, D] of a frame or an array.

    Raises:
        UserError: they are no matrix of finite numbers.
    """
    try:
        x = np.asarray(given, dtype=np.float32)
    except (TypeError, ValueError) as error:
        raise UserError(f"features are numbers ({error}); send a matrix [n, D]") from error
    if x.ndim != 2 or not len(x):
        raise UserError(f"expected feature vectors as a matrix [n, D], got shape {list(x.shape)}")
    if not np.isfinite(x).all():
        raise UserError(f"row {int(np.isfinite(x).all(1).argmin()) + 1} has a feature that is not a finite number")
    return torch.from_numpy(np.ascontiguousarray(x))


def column_values(given: Any, name: str) -> list[Any]:
    """Return the examples of a frame's column, or of a list.

    Raises:
        UserError: the column is absent, or there are no examples.
    """
    if isinstance(given, pd.DataFrame):
        if name not in given:
            raise UserError(f"expected a column {name}, got {', '.join(map(str, given.columns))}")
        given = given[name]
    values = np.asarray(given, dtype=object).ravel().tolist()
    if not values:
        raise UserError(f"no examples: send at least one {name}")
    return values


def text_value(value: Any, row: int) -> str:
    """Return a text that says something, or raise UserError."""
    if not isinstance(value, str):
        raise UserError(f"row {row} is not a text")
    if not value.strip():
        raise UserError(f"row {row} has an empty text; remove it or fill it in")
    return value


def decode_image(value: Any, row: int) -> bytes:
    """Return the bytes of an image given as base64, or raise UserError."""
    try:
        raw = value if isinstance(value, bytes) else base64.b64decode(value, validate=True)
    except (binascii.Error, TypeError, ValueError) as error:
        raise UserError(f"row {row} is not base64; send the bytes of an image file so encoded") from error
    return read_image(raw, f"row {row}")


def _load_pyfunc(data_path: str) -> AdaptedModel:
    """Return the model in a folder, its encoder loaded; MLflow calls this by its name.

    Raises:
        UserError: the encoder it was adapted with is not here, or is another one now.
    """
    folder = Path(data_path)
    classifier, reads = Classifier.load(folder).in_use(), InputSpec.read(folder)
    if reads is None:
        return AdaptedModel(classifier)
    if reads.family == "market" and reads.encoder == encoder_identity("market"):
        return AdaptedModel(classifier, "market")
    places = tuple(_encoder_in(folder / ENCODER, identity, reads) for identity in reads.encoder.split("+"))
    encode_here(places, [])  # so that the first request need not wait for it
    return AdaptedModel(classifier, reads.family, places, Typicality.load(folder))


def _encoder_in(own: Path, identity: str, reads: InputSpec) -> tuple[EncoderSpec, Path]:
    """Return an encoder, and where its weights are: with the model or, where it has none, in the home."""
    found_here = plug_in_at(own / identity), tuned_at(own / identity), tuned_at(own.parent / identity)
    brought = next((spec for spec in found_here if spec is not None), None)
    if brought is not None and brought.folder is not None:
        return brought, brought.folder
    found = encoders_of_identity(identity)
    if not found:
        raise UserError(
            f"this model reads features of {reads.encoder}, and the encoder here is {encoder_identity(reads.family)}; "
            "adapt again, or serve it with the version of acclimate that made it"
        )
    (spec,) = found
    if not own.is_dir():
        return spec, weights_here(settings(), spec)
    return spec, own / identity if (own / identity).is_dir() else own  # 0.10 put the only one there itself
