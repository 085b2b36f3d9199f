"""stub"""

from dataclasses import dataclass
import numpy as np


@dataclass(frozen=True)
class Answers:
    p: np.ndarray
    typical: np.ndarray | None = None
