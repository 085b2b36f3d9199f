"""Groups of pool examples that no class covers, and what a new class for each may be called."""

from dataclasses import dataclass

import numpy as np
import torch

from domains.domain import Domain
from learners.shift.groups import find_groups, telling_words
from learners.shift.typicality import side_by_side
from tasks.adapt.adaptation import Encoded
from tasks.adapt.outside import columns_read, fit_typicality
from tasks.adapt.suggestion import readable_examples

UNTYPICAL = 0.1  # p-value below which a pool example may be of no class; a group of them has to be close besides
SHOWN = 3  # examples of a group, nearest to its centre


@dataclass(frozen=True)
class UnknownGroup:
    """Pool examples that are alike and of no class.

    Attributes:
        name: words that tell it, of texts; empty where there are none.
        rows: in pool.parquet, those nearest to the centre first.
        examples: the first few of them, as a person reads them.
    """

    name: str
    rows: tuple[int, ...]
    examples: tuple[str, ...]


def find_unknown(domain: Domain, data: Encoded, p: np.ndarray, pool_p: np.ndarray | None) -> list[UnknownGroup]:
    """Return the groups of pool examples that no class covers, the largest first.

    Args:
        p: [m, N] held-out probabilities of the scored examples; pool_p: [U, N] of the pool, by the same models.
    """
    columns = columns_read(data)
    typicality = fit_typicality(data, p, torch.arange(len(data.labelled.y)), columns)
    if typicality is None or data.pool_x is None or pool_p is None:
        return []
    far = (typicality(data.pool_x, torch.from_numpy(pool_p)) < UNTYPICAL).nonzero()[:, 0]
    x, labelled = (side_by_side(each, columns) for each in (data.pool_x[far], data.labelled.x))
    texts = readable_examples(domain, data.pool_rows)
    groups = []
    for places in find_groups(x, labelled, data.labelled.y):
        members = far[places].tolist()
        name = ""
        if domain.family == "text":
            inside = set(members)
            rest = [text for i, text in enumerate(texts) if i not in inside] + domain.column("train", data.train_rows)
            name = ", ".join(telling_words([texts[i] for i in members], rest))
        rows = tuple(data.pool_rows[i] for i in members)
        groups.append(UnknownGroup(name, rows, tuple(texts[i] for i in members[:SHOWN])))
    return groups
