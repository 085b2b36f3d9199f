"""How MLflow loads an adapted model: safetensors and JSON into a Classifier, nothing unpickled."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from learners.classifier import Classifier
from tasks.answers import answers


@dataclass(frozen=True)
class AdaptedModel:
    """An adapted model as MLflow serves it."""

    classifier: Classifier

    def predict(self, model_input: Any, params: dict[str, Any] | None = None) -> pd.DataFrame:
        """Classify feature vectors [n, D], an array or a frame.

        Returns:
            n rows: ``label``, ``probability``, ``set`` and ``ask`` as from ``acclimate predict``, and ``p_<label>`` for
            each label.

        Raises:
            ValueError: the input is not a matrix of numbers.
        """
        x = np.asarray(model_input, dtype=np.float32)
        if x.ndim != 2:
            raise ValueError(f"expected feature vectors as a matrix [n, D], got shape {list(x.shape)}")
        p = self.classifier.predict_proba(torch.from_numpy(np.ascontiguousarray(x))).numpy()
        every = pd.DataFrame(p, columns=[f"p_{label}" for label in self.classifier.labels])
        return answers(self.classifier, p).join(every)


def _load_pyfunc(data_path: str) -> AdaptedModel:
    """Return the model in a folder; MLflow calls this by its name."""
    return AdaptedModel(Classifier.load(Path(data_path)))
