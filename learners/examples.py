"""Examples as a classifier reads them: feature vectors, and of texts their character n-grams too."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.sparse import csr_matrix
from torch import Tensor


@dataclass(frozen=True)
class Examples:
    """n examples in both views.

    Attributes:
        x: [n, D] feature vectors.
        ngrams: [n, V] counts of hashed character n-grams (``learners/encoders/ngrams.py``).
    """

    x: Tensor
    ngrams: csr_matrix

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, rows: Any) -> "Examples":
        """Return the examples of a slice, a list or a tensor of rows."""
        at = rows.numpy() if isinstance(rows, Tensor) else rows
        return Examples(self.x[rows], self.ngrams[at])


def join_views(x: Tensor, ngrams: csr_matrix | None) -> Tensor | Examples:
    """Return examples in every view that there is: features [n, D] alone, or with counts of n-grams [n, V]."""
    return x if ngrams is None else Examples(x, ngrams)


def select_rows(ngrams: csr_matrix | None, rows: Tensor | Sequence[int]) -> csr_matrix | None:
    """Return rows of a sparse matrix, of which there may be none: indices or a mask."""
    return None if ngrams is None else ngrams[np.asarray(rows)]
