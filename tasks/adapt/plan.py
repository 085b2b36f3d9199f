"""What an adaptation is to do: a domain at a commit, a meta-model and how to adapt; and its examples as features."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from domains.domain import Domain, Family
from domains.errors import UserError, check_known
from domains.market.features import FEATURES
from domains.objective import check_objective
from learners.choice.portfolio import Prior
from learners.meta_model import MetaModel
from tasks.adapt.adaptation import AUTO, Adaptation, Encoded, adaptation_key, encode_domain, model_for
from tasks.base.settings import Settings, read_duration, settings
from tasks.features.encoders import domain_encoders, encoder_identity
from tasks.models import registry
from tasks.models.registry import Registered
from tasks.versions.snapshots import target_snapshot

NO_META = "none"  # in place of a version: strategies that are not meta-trained adapt
NO_META_WARNING = "no meta-model of family {}: strategies that are not meta-trained adapt; acclimate demo trains one"


@dataclass(frozen=True)
class Plan:
    """One adaptation to do: what, from what, and the folder its files are made in.

    Attributes:
        domain: as it is at the commit ``domain.revision``.
        meta_version, meta_folder, meta_key: the meta-model that is adapted; `NO_META` without a folder: none.
        key: names the work; the same domain bytes, meta-model and settings give the same one.
    """

    domain: Domain
    meta_version: str
    meta_folder: Path | None
    how: Adaptation
    key: str
    folder: Path
    meta_key: str = ""

    def load_meta_model(self) -> MetaModel:
        """Return the meta-model, one without learners where there is none."""
        return without_meta_training(self.domain) if self.meta_folder is None else MetaModel.load(self.meta_folder)


def plan_adaptation(
    domain: str,
    revision: str,
    k: int | None,
    draws: int,
    method: str,
    meta_version: str = "",
    objective: str = "",
    budget: str = "",
) -> Plan:
    """Resolve the revision, the domain's bytes and the meta-model, each once: the plan names what it found.

    Args:
        revision: git revision whose ``data.dvc`` is read.
        k: at most so many labels a class; None: all labels.
        meta_version: version or key of the meta-model, or `NO_META`; empty: the one in service, if there is one.
        objective: what the model is to be best in; empty: what the domain says.
        budget: how long tuning an encoder may take, as 10m; empty: what the setting says.

    Raises:
        UserError: an argument names nothing there is, or the meta-model is of another version.
    """
    if (k is not None and k < 1) or draws < 1:
        raise UserError(f"k = {k}, draws = {draws}: both must be at least 1")
    s = settings()
    found = target_snapshot(s, domain, revision)
    meta = find_meta_model(s, found.family, meta_version)
    try:
        model = MetaModel.load(meta.folder) if meta else without_meta_training(found)
        strategies = [AUTO, *model.strategies]
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"the meta-model of family {found.family} was made by another version ({error}); "
            f"run `acclimate meta-train --family {found.family}`"
        ) from error
    check_known([method], strategies, "method")
    goal, seconds = check_objective(objective or found.objective), read_duration(budget or s.budget)
    how = Adaptation(k=k, draws=draws, method=method, seed=s.seed, objective=goal, budget=seconds)
    used, folder, meta_key = (meta.version, meta.folder, meta.tags.get("key", "")) if meta else (NO_META, None, "")
    key = adaptation_key(found, used, how)
    return Plan(found, used, folder, how, key, s.home_path / "work" / key, meta_key)


def find_meta_model(s: Settings, family: Family, wanted: str = "") -> Registered | None:
    """Return a family's meta-model; None where there is none to adapt from.

    Args:
        wanted: a version or a key (which is the same everywhere), or `NO_META`; empty: the one in service, if any is.

    Raises:
        UserError: it names none.
    """
    name = registry.meta_name(family)
    if wanted == NO_META:
        return None
    if not wanted:
        return registry.champion(s, name)
    for meta in registry.versions(s, name):
        if wanted in (meta.version, meta.tags.get("key")):
            return meta
    raise UserError(f"{name} has no version or key {wanted!r}; see: acclimate models show {name}")


def meta_model_in_service(s: Settings, family: Family) -> Registered:
    """Return a family's meta-model in service, or raise UserError if there is none."""
    meta = find_meta_model(s, family)
    if meta is None:
        raise UserError(
            f"no meta-model of family {family} yet; run `acclimate demo`, or `acclimate meta-train --family {family}`"
        )
    return meta


def without_meta_training(domain: Domain) -> MetaModel:
    """Return a meta-model for a domain's features that has no learners and has seen no source domain."""
    if encoders := domain_encoders(domain):
        return model_for(MetaModel(domain.family, "", 0, None, {}, Prior()), encoders)
    identity, ways = encoder_identity(domain.family), len(domain.labels)
    return MetaModel(domain.family, identity, len(FEATURES), ways, {}, Prior())


_newest: dict[tuple[Domain, Adaptation], Encoded] = {}  # one domain's alone: four steps read it


def encode_plan(plan: Plan, advance: Callable[[int], None] = lambda n: None) -> Encoded:
    """Return the domain's examples as features; what an earlier step of this process encoded is at hand."""
    key = plan.domain, plan.how
    data = _newest.get(key)
    if data is None:
        data = encode_domain(settings(), plan.domain, plan.how, advance)
        _newest.clear()
        _newest[key] = data
    return data
