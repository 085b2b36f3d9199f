"""Registered models by the names that people give: all versions, the one in service, and what it reads."""

from dataclasses import dataclass

from domains.decisions import DECISIONS
from domains.domain import FAMILIES, Domain, Family, check_name
from domains.errors import UserError
from tasks.base.settings import Settings, settings
from tasks.features.encoders import encoder_identity
from tasks.features.identities import encoders_of_identity
from tasks.features.spec import EncoderSpec
from tasks.features.tuned import restore_tuned
from tasks.models import registry
from tasks.models.registry import CHAMPION, META_PREFIX, Registered
from tasks.versions.snapshots import kept_snapshot


def versions_of(settings: Settings, name: str) -> list[Registered]:
    """Return all versions of a registered model, newest first.

    Raises:
        UserError: the name is neither a domain's nor a meta-model's, or nothing is registered under it.
    """
    if name not in {META_PREFIX + family for family in (*FAMILIES, DECISIONS)}:
        check_name(name)
    found = registry.versions(settings, name)
    if not found:
        raise UserError(f"no model of {name!r} yet; see `acclimate status`")
    return found


def model_in_service(settings: Settings, domain: str) -> Registered:
    """Return the champion of a domain.

    Raises:
        UserError: there is no such domain, or no champion of it.
    """
    champion = registry.champion(settings, check_name(domain))
    if champion is not None:
        return champion
    from domains import catalogue  # a fifth of a second, for this message alone

    if domain not in catalogue.catalogue() and not (settings.data_path / domain / "domain.yaml").exists():
        raise UserError(f"no domain {domain!r}; see `acclimate domains list`")
    raise UserError(f"domain {domain} has no champion yet; run `acclimate adapt {domain}`")


def version_or_champion(settings: Settings, domain: str, version: str) -> Registered:
    """Return a version of a domain's model; the champion, where none is named.

    Raises:
        UserError: as ``model_in_service``; or no such version.
    """
    return registry.get(settings, check_name(domain), version) if version else model_in_service(settings, domain)


def domain_here(settings: Settings, model: Registered) -> Domain | None:
    """Return the domain that a model was adapted to: its snapshot, else what is in ``data/``, else None."""
    folder = kept_snapshot(settings.home_path, model.name, model.tags.get("content_hash", ""))
    here = settings.data_path / check_name(model.name)
    if folder is None and (here / "domain.yaml").exists():
        folder = here
    return None if folder is None else Domain.read(folder)


@dataclass(frozen=True)
class Input:
    """What an adapted model reads: the features of raw examples of a family by encoders, side by side."""

    family: Family
    encoders: tuple[EncoderSpec, ...]


def input_of(model: Registered) -> Input:
    """Return what an adapted model reads.

    Raises:
        UserError: the features of an encoder that is not here, or has changed.
    """
    family: Family = model.tags["family"]  # type: ignore[assignment]
    identity = model.tags.get("encoder", "")
    restore_tuned(settings(), identity, model.folder)
    encoders = encoders_of_identity(identity)
    if encoders is not None:
        return Input(family, encoders)
    what = "the champion" if CHAMPION in model.aliases else f"version {model.version}"
    raise UserError(
        f"{what} of {model.name} reads features of {identity or 'no known encoder'}, now the encoder is "
        f"{encoder_identity(family)}; run `acclimate meta-train --family {family}` and `acclimate adapt {model.name}`"
    )
