"""Predict new examples with a domain's champion, a batch at a time: no file is whole in memory."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from domains.new_examples import Batch, Reading, read_examples
from domains.reading.tables import TableOptions
from learners.classifier import Classifier
from learners.shift.typicality import Typicality
from tasks.base.settings import Settings
from tasks.features.encoding import encode, view_for
from tasks.models.lookup import Input, domain_here, input_of, model_in_service
from tasks.models.prediction_table import COLUMNS, TYPICAL, prediction_table
from tasks.models.registry import Registered


@dataclass(frozen=True)
class Predictions:
    """Frames of all rows of an input, in order: their columns, and ``label``, ``probability``, ``set`` and ``ask``,
    ``outside`` and ``typical`` where the champion knows them.

    A column of prediction that is called as one of the input is called ``predicted_...``. Where a row has no example
    (an empty text), the columns of prediction are empty. ``warnings`` are complete once the frames have been read.
    ``outside``: whether the champion knows what lies outside.
    """

    frames: Iterator[pd.DataFrame]
    warnings: list[str]
    outside: bool = False


def predict_batches(
    settings: Settings,
    domain: str,
    path: Path,
    columns: tuple[str, ...] = (),
    table: TableOptions | None = None,
    version: Registered | None = None,
    seen: Callable[[Batch], None] = lambda batch: None,
) -> Predictions:
    """Predict the examples of a file or folder.

    Args:
        columns: of the text; () for those of the domain.
        table: what the user says about a table.
        version: of the model; the champion unless given.
        seen: is called with each batch that has been predicted.

    Raises:
        UserError: the domain has no champion, the file is bad (also while the frames are read), or the champion reads
            another encoder's features.
    """
    champion = version or model_in_service(settings, domain)
    reads, about = input_of(champion), domain_here(settings, champion)
    how = Reading(columns) if about is None else Reading.of_domain(about, columns)
    new = read_examples(reads.family, path, replace(how, table=table or TableOptions()))
    model = Classifier.load(champion.folder).in_use()
    typicality = Typicality.load(champion.folder)
    added = COLUMNS if typicality is None else (*COLUMNS, *TYPICAL)

    def frames() -> Iterator[pd.DataFrame]:
        for batch in new.batches():
            clash = [name for name in added if name in batch.rows.columns]
            line = f"the file has columns {', '.join(clash)}: those of the predictions are called predicted_..."
            if clash and line not in new.doubts:
                new.doubts.append(line)
            frame = predict_batch(settings, reads, model, typicality, batch)
            seen(batch)
            yield frame

    return Predictions(frames(), new.doubts, typicality is not None)


def predict_batch(
    settings: Settings, reads: Input, model: Classifier, typicality: Typicality | None, batch: Batch
) -> pd.DataFrame:
    """Return the rows of a batch with their predictions."""
    x = encode(settings, reads.family, batch.examples, encoders=reads.encoders, reader=model)
    p = model.predict_proba(view_for(model, x, batch.examples))
    typical = None if typicality is None else typicality(x, p).numpy()
    found = prediction_table(model, p.numpy(), typical)
    if not batch.there.all():
        found = found.astype(object).set_axis(batch.rows.index[batch.there]).reindex(batch.rows.index)
        found = found.where(found.notna(), None)
    return batch.rows.join(found.rename(columns={name: f"predicted_{name}" for name in found if name in batch.rows}))


def predict_file(
    settings: Settings, domain: str, path: Path, columns: tuple[str, ...] = (), table: TableOptions | None = None
) -> pd.DataFrame:
    """Return the predictions of a file as one frame, whose ``attrs["warnings"]`` are a line for each doubt.

    Raises:
        UserError: as ``predict_batches``.
    """
    predicted = predict_batches(settings, domain, path, columns, table)
    found = pd.concat(predicted.frames, ignore_index=True)
    found.attrs["warnings"] = tuple(predicted.warnings)
    return found
