"""Predict new examples with a domain's champion."""

from pathlib import Path

import pandas as pd

from domains.new_examples import read_examples
from learners.classifier import Classifier
from learners.shift.typicality import Typicality
from tasks.base.settings import Settings
from tasks.features.encoding import encode, view_for
from tasks.models.lookup import input_of, model_in_service
from tasks.models.prediction_table import prediction_table


def predict_file(settings: Settings, domain: str, path: Path, column: str | None = None) -> pd.DataFrame:
    """Return the examples of a file, in order, with ``label``, ``probability``, ``set`` and ``ask``; ``outside`` and
    ``typical`` where the champion knows them.

    ``attrs["warnings"]`` of the table holds a line for each doubtful thing in the file.

    Raises:
        UserError: the domain has no champion, the file is bad, or the champion reads another encoder's features.
    """
    champion = model_in_service(settings, domain)
    reads = input_of(champion)
    new = read_examples(reads.family, path, column)
    model = Classifier.load(champion.folder).in_use()
    x = encode(settings, reads.family, new.examples, encoders=reads.encoders, reader=model)
    p = model.predict_proba(view_for(model, x, new.examples))
    typicality = Typicality.load(champion.folder)
    typical = None if typicality is None else typicality(x, p).numpy()
    found = new.names.assign(**prediction_table(model, p.numpy(), typical).set_axis(new.names.index))
    found.attrs["warnings"] = new.warnings
    return found
