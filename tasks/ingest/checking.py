"""Check a domain in ``data/``, with a bar that shows how far it is."""

from domains.checks import Finding, Kind, count_rows_to_check, run_checks
from domains.domain import Domain, check_name
from domains.errors import UserError
from tasks.base.progress import progress
from tasks.base.settings import Settings
from tasks.features.encoders import domain_encoders
from tasks.features.reading import SAMPLE, length_warnings

LONG = Kind(
    "long-texts",
    "warning",
    "texts that are longer than what the encoder reads",
    "nothing, if their beginnings tell; where most are twice as long, windows are read too (docs/encoders.md)",
)


def domain_in_data(settings: Settings, name: str) -> Domain:
    """Return the domain ``data/<name>`` as it is now, committed or not.

    Raises:
        UserError: there is no such domain, or its domain.yaml cannot be read or names another domain.
    """
    path = settings.data_path / check_name(name)
    if not path.is_dir():
        raise UserError(f"no domain {name!r} in data/; see `acclimate domains list`, build with `acclimate data build`")
    domain = Domain.read(path)
    if domain.name != name:
        raise UserError(f"{path / 'domain.yaml'}: its name is {domain.name!r}; make it that of the folder, {name!r}")
    return domain


def check_domain(settings: Settings, name: str) -> list[Finding]:
    """Return what is wrong with ``data/<name>``.

    Raises:
        UserError: as ``domain_in_data``.
    """
    domain = domain_in_data(settings, name)
    with progress(f"check {name}", count_rows_to_check(domain)) as advance:
        found = run_checks(domain, advance)
    if domain.family == "text" and domain.has("train") and not any(finding.is_error for finding in found):
        texts = domain.column("train")
        sample = texts[:: max(1, len(texts) // SAMPLE)]
        lines = length_warnings(settings, domain_encoders(domain), sample)
        found += [Finding(LONG, f"{name}/train.parquet", line) for line in lines]
    return found
