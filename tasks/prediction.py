"""Predict new examples with a domain's champion."""

from pathlib import Path

import numpy as np
import pandas as pd

from domains.domain import Family, check_name
from domains.errors import UserError
from domains.files import read_examples
from learners.classifier import Classifier
from tasks import registry
from tasks.encoding import encode, encoder_identity
from tasks.listing import listing
from tasks.settings import Settings


def predict(settings: Settings, domain: str, path: Path, column: str | None = None) -> pd.DataFrame:
    """Return the examples of a file with ``label`` and ``probability``, in order.

    Raises:
        UserError: the domain has no champion, the file is bad, or the champion reads another encoder's features.
    """
    champion = registry.champion(settings, check_name(domain))
    if champion is None:
        if domain not in {row["domain"] for row in listing(settings)}:
            raise UserError(f"no domain {domain!r}; see `acclimate domains list`")
        raise UserError(f"domain {domain} has no champion yet; run `acclimate adapt {domain}`")
    family: Family = champion.tags["family"]  # type: ignore[assignment]
    if champion.tags["encoder"] != encoder_identity(family):
        raise UserError(
            f"the champion of {domain} reads features of {champion.tags['encoder']}, now the encoder is "
            f"{encoder_identity(family)}; run `acclimate meta-train --family {family}` and `acclimate adapt {domain}`"
        )
    new = read_examples(family, path, column)
    model = Classifier.load(champion.folder)
    p = model.predict_proba(encode(settings, family, new.examples)).numpy()
    best = p.argmax(1)
    return new.names.assign(label=[model.labels[i] for i in best], probability=np.round(p[np.arange(len(p)), best], 4))
