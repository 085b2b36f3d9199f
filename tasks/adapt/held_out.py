"""What a model says of examples it was not fitted to: kept with it, so that a later one can be compared fairly.

The model in service is fitted to every label, and so to examples that a challenger is scored on. Of these it is asked
what it said of them while they were held out; of all others it is asked anew.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

FILE = "held_out.safetensors"


@dataclass(frozen=True)
class HeldOut:
    """A model's probabilities of its scored examples, none of which it, or a copy for them alone, was fitted to.

    Attributes:
        ours, floor: [m, N] probabilities by the portfolio and by the gate's floor, before the pool's frequencies.
        weights: [m] of the scored examples, see ``tasks/adapt/class_frequencies.py``; ones where there are none.
        keys: [m] of ``domains.same_example.content_keys``; empty where examples have none.
        fitted: [t] keys of the other examples that the model was fitted to.
    """

    ours: np.ndarray
    floor: np.ndarray
    weights: np.ndarray
    keys: np.ndarray
    fitted: np.ndarray

    def write(self, folder: Path) -> None:
        """Write one safetensors file into a model's folder."""
        save_file({name: np.ascontiguousarray(value) for name, value in vars(self).items()}, folder / FILE)

    @classmethod
    def read(cls, folder: Path) -> "HeldOut | None":
        """Read what ``write`` wrote; None for a model of before 0.11, or a damaged file."""
        try:
            return cls(**load_file(folder / FILE))
        except (OSError, SafetensorError, TypeError):
            return None

    def recall(self, keys: np.ndarray, p: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return fair probabilities of examples [n, N], and of which there are any [n].

        Args:
            keys: [n] of the examples; p: [n, N] what the model says of them now, as frequent as its labels.
        """
        order = np.argsort(self.keys, kind="stable")
        place = np.searchsorted(self.keys[order], keys).clip(0, max(0, len(order) - 1))
        known = self.keys[order][place] == keys if len(order) else np.zeros(len(keys), bool)
        found = p.copy()
        found[known] = self.ours[order][place[known]]
        return found, known | ~np.isin(keys, self.fitted)
