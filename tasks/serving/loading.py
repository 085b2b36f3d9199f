"""A version of a model as MLflow's model server, loaded and tried before it answers anybody."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import mlflow.pyfunc
import numpy as np
import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.pyfunc import PyFuncModel, scoring_server

from domains.errors import UserError
from tasks.models.mlflow_flavour import InputSpec, input_example
from tasks.models.registry import Registered

MOST = 1000  # examples of a request: what is asked for goes on to be computed after its client gave up
Seen = Callable[[pd.DataFrame], None]


@dataclass(frozen=True)
class LoadedVersion:
    """A version of a model, and the ASGI application by which MLflow serves it."""

    name: str
    version: str
    app: Any
    seconds: float


class WatchedModel:
    """A model as MLflow's server asks it, whose answers are seen by somebody else too."""

    def __init__(self, model: PyFuncModel, seen: Seen) -> None:
        self._model, self._seen = model, seen
        self.metadata = model.metadata

    def predict(self, data: Any, params: dict[str, Any] | None = None) -> Any:
        """Return what the model answers.

        Raises:
            MlflowException: there are more than MOST examples; the server answers 400.
        """
        if hasattr(data, "__len__") and len(data) > MOST:
            raise MlflowException.invalid_parameter_value(
                f"{len(data):,} examples are more than the {MOST:,} of a request; send some at a time"
            )
        answers: Any = self._model.predict(data, params)
        self._seen(answers)
        return answers


def load_version(model: Registered, seen: Seen = lambda answers: None) -> LoadedVersion:
    """Load a version and have it predict two examples; nothing is unpickled.

    Args:
        seen: is called with the answers to every later request.

    Raises:
        UserError: it cannot be loaded, or what it predicts are no probabilities.
    """
    started = time.perf_counter()
    where = f"{model.name} version {model.version}"
    try:
        reads = InputSpec.read(model.folder)
        if reads is None:
            raise UserError(f"it takes feature vectors, not examples; run `acclimate adapt {model.name}` for a new one")
        loaded = mlflow.pyfunc.load_model(str(model.folder.parents[1]))
        check_answers(pd.DataFrame(loaded.predict(input_example(reads.family))))
    except Exception as error:  # whatever is wrong with this one, another may serve
        raise UserError(f"{where} fails its smoke test ({' '.join(str(error).split())})") from error
    app = scoring_server.init(WatchedModel(loaded, seen))  # type: ignore[arg-type]
    return LoadedVersion(model.name, model.version, app, time.perf_counter() - started)


def check_answers(answers: pd.DataFrame) -> None:
    """Raise ValueError unless the probabilities of all labels are probabilities."""
    p = answers.filter(regex="^p_").to_numpy(float)
    if not len(p) or not np.isfinite(p).all() or not np.allclose(p.sum(1), 1, atol=1e-3):
        raise ValueError("its predictions are not probabilities")
