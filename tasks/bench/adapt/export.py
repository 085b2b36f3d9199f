"""The supports and tests of the benchmark of adaptation as files, for methods that run elsewhere."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from domains.errors import UserError
from domains.labelled_examples import LabelledExamples
from tasks.bench.adapt.draws import DrawProblem, draw_support_rows


def export_draws(
    folder: Path, domains: Sequence[tuple[LabelledExamples, Sequence[DrawProblem]]], draws: int, seed: int
) -> list[Path]:
    """Write ``<domain>-k<K>.parquet`` for every problem and return the paths.

    Columns: ``part`` (``support`` or ``test``), ``draw`` (of a support; -1 for the test, which all draws share),
    ``text`` or ``image`` (the bytes of its file), ``label``. The rows are those that ``acclimate bench adapt`` itself
    adapts from and scores on.

    Raises:
        UserError: the folder cannot be written to.
    """
    paths = []
    for domain, problems in domains:
        for task in problems:
            supports = [draw_support_rows(task, seed, number) for number in range(draws)]
            rows = np.concatenate([*supports, task.test])
            number = np.concatenate([np.repeat(np.arange(draws), len(supports[0])), np.full(len(task.test), -1)])
            table = pd.DataFrame(
                {
                    "part": np.where(number < 0, "test", "support"),
                    "draw": number,
                    "text" if domain.family == "text" else "image": [domain.examples[i] for i in rows],
                    "label": [domain.labels[domain.y[i]] for i in rows],
                }
            )
            try:
                folder.mkdir(parents=True, exist_ok=True)
                paths.append(folder / f"{domain.name}-k{task.k}.parquet")
                table.to_parquet(paths[-1], index=False)
            except OSError as error:
                raise UserError(f"cannot write to {folder}: {error.strerror or error}; choose another") from error
    return paths
