"""One input predicted by the champion: a file that appears whole, a record, and a part of the examples."""

import hashlib
import json
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path

import pandas as pd

from domains.errors import UserError
from domains.reading.tables import TableOptions
from domains.whole_file import whole_file
from tasks.base.settings import Settings
from tasks.models.lookup import input_of, model_in_service
from tasks.models.prediction import predict_batches
from tasks.models.prediction_table import ASK
from tasks.models.registry import Registered
from tasks.models.verdicts import utc_now
from tasks.predict.records import (
    MOST,
    Sample,
    Scored,
    folder_of,
    output_name,
    read_record,
    write_record,
    write_sample,
)
from tasks.predict.sources import Input, find_inputs, inside


@dataclass(frozen=True)
class Job:
    """What is to be predicted, by which version, and where it is written.

    Attributes:
        columns, table: how the inputs are read, as ``acclimate predict`` does.
        again: also what was predicted before.
    """

    domain: str
    champion: Registered
    inputs: list[Input]
    output: Path
    columns: tuple[str, ...] = ()
    table: TableOptions = field(default_factory=TableOptions)
    again: bool = False

    def key(self, content_hash: str) -> str:
        """Return the name of the work: the same bytes, champion, options and output give the same one."""
        how = json.dumps([self.columns, asdict(self.table), str(self.output)], sort_keys=True)
        parts = (self.domain, self.champion.version, content_hash, how)
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def plan(
    settings: Settings,
    domain: str,
    source: str,
    output: str = "",
    again: bool = False,
    revision: str = "",
    columns: tuple[str, ...] = (),
    table: TableOptions | None = None,
) -> Job:
    """Return what is to be predicted.

    Args:
        output: a folder in the project; empty: one in the home.

    Raises:
        UserError: as ``find_inputs``; the domain has no champion; the output is no folder of the project.
    """
    champion = model_in_service(settings, domain)
    inputs = find_inputs(settings, input_of(champion).family, source, revision)
    folder = inside(settings, output) if output else folder_of(settings, domain)
    if folder.is_relative_to(inside(settings, source)):
        raise UserError(f"{output}: predictions would lie among what is predicted; choose another folder")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        folder_of(settings, domain).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{folder}: no folder can be made there ({error.strerror or error}); choose another") from error
    return Job(domain, champion, inputs, folder, columns, table or TableOptions(), again)


def score(settings: Settings, job: Job, given: Input) -> Scored:
    """Predict an input; what this champion predicted of the same bytes is found.

    Raises:
        UserError: it cannot be read, or changed while it was.
    """
    content = given.content_hash()
    key, family = job.key(content), input_of(job.champion).family
    done = None if job.again else read_record(settings, job.domain, key)
    if done is not None:
        return done.model_copy(update={"reused": True})
    sample = Sample(MOST.get(family, 0), settings.seed)
    predicted = predict_batches(
        settings, job.domain, given.path, job.columns, job.table, job.champion, lambda batch: sample.add(batch.examples)
    )
    counts = Counts(predicted.outside)
    output = job.output / output_name(given.name, content, job.champion.version)
    with whole_file(output) as stream:
        for frame in predicted.frames:
            frame.to_csv(stream, index=False, header=counts.rows == 0)
            counts.add(frame)
        if given.content_hash() != content:
            raise UserError(f"{given.name}: changed while it was read; predict it again once it is whole")
    scored = Scored(
        key=key,
        domain=job.domain,
        source=given.name,
        content_hash=content,
        version=job.champion.version,
        output=str(output),
        rows=counts.rows,
        predicted=counts.predicted,
        labels=dict(counts.labels.most_common()),
        ask=counts.ask,
        outside=counts.outside,
        warnings=predicted.warnings,
        at=utc_now(),
    )
    if sample.kept:
        write_sample(settings, job.domain, key, family, sample.kept)
    write_record(settings, scored)
    return scored


class Counts:
    """What came of the rows of an input."""

    def __init__(self, knows_outside: bool) -> None:
        self.rows = self.predicted = self.ask = 0
        self.outside: int | None = 0 if knows_outside else None
        self.labels = Counter[str]()

    def add(self, frame: pd.DataFrame) -> None:
        """Count the rows of a frame of ``predict_batches``."""
        labels, ask = of_prediction(frame, "label"), of_prediction(frame, "ask")
        self.rows += len(frame)
        self.predicted += int(labels.notna().sum())
        self.labels.update(str(label) for label in labels.dropna())
        self.ask += int((ask == ASK).sum())
        if self.outside is not None:
            self.outside += int(of_prediction(frame, "outside").eq(True).sum())


def of_prediction(frame: pd.DataFrame, name: str) -> pd.Series:
    """Return a column of prediction, which has another name where the input has one of its name."""
    return frame[f"predicted_{name}" if f"predicted_{name}" in frame else name]
