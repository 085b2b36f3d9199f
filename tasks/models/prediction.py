"""Predict new examples with a domain's champion."""

from pathlib import Path

import pandas as pd

from domains.domain import Family, check_name
from domains.errors import UserError
from domains.new_examples import read_examples
from learners.classifier import Classifier
from tasks.base.settings import Settings
from tasks.features.encoding import encode, encoder_identity
from tasks.ingest.domain_list import listing
from tasks.models import registry
from tasks.models.prediction_table import answers


def predict(settings: Settings, domain: str, path: Path, column: str | None = None) -> pd.DataFrame:
    """Return the examples of a file, in order, with ``label``, ``probability``, ``set`` and ``ask``.

    ``attrs["warnings"]`` of the table says what is doubtful in the file, a line each.

    Raises:
        UserError: the domain has no champion, the file is bad, or the champion reads another encoder's features.
    """
    champion = in_service(settings, domain)
    family = family_read(champion)
    new = read_examples(family, path, column)
    model = Classifier.load(champion.folder)
    p = model.predict_proba(encode(settings, family, new.examples)).numpy()
    found = new.names.assign(**answers(model, p).set_axis(new.names.index))
    found.attrs["warnings"] = new.warnings
    return found


def in_service(settings: Settings, domain: str) -> registry.Registered:
    """Return the champion of a domain.

    Raises:
        UserError: there is no such domain, or no champion of it.
    """
    champion = registry.champion(settings, check_name(domain))
    if champion is not None:
        return champion
    if domain not in {row["domain"] for row in listing(settings)}:
        raise UserError(f"no domain {domain!r}; see `acclimate domains list`")
    raise UserError(f"domain {domain} has no champion yet; run `acclimate adapt {domain}`")


def chosen(settings: Settings, domain: str, version: str) -> registry.Registered:
    """Return a version of a domain's model; the champion, where none is named.

    Raises:
        UserError: as ``in_service``; or no such version.
    """
    return registry.get(settings, check_name(domain), version) if version else in_service(settings, domain)


def family_read(model: registry.Registered) -> Family:
    """Return the family whose features an adapted model reads.

    Raises:
        UserError: they are of another encoder than today's.
    """
    family: Family = model.tags["family"]  # type: ignore[assignment]
    if model.tags["encoder"] == encoder_identity(family):
        return family
    what = "the champion" if registry.CHAMPION in model.aliases else f"version {model.version}"
    raise UserError(
        f"{what} of {model.name} reads features of {model.tags['encoder']}, now the encoder is "
        f"{encoder_identity(family)}; run `acclimate meta-train --family {family}` and `acclimate adapt {model.name}`"
    )
