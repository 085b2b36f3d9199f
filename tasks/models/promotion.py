"""A person puts a version into service or takes it out, whatever the gate said; the versions keep a record of it.

A version that a person took out of service has the tag ``withdrawn``: no flow puts it back, only a person does.
"""

from dataclasses import dataclass

from domains.errors import UserError
from tasks.base.settings import Settings
from tasks.models import registry
from tasks.models.lookup import versions_of
from tasks.models.registry import CHAMPION, Registered
from tasks.models.smoke_test import smoke_test_for
from tasks.models.verdicts import BY_A_PERSON, RELEASED, WITHDRAWN, is_held, utc_now


@dataclass(frozen=True)
class Change:
    """What is in service now, and the version that was before (None: there was none).

    ``gate`` is what the gate had decided on the version, in words; empty where it was not asked.
    """

    model: Registered
    before: str | None
    gate: str = ""

    @property
    def changed(self) -> bool:
        """Whether another version is in service now."""
        return self.before != self.model.version

    @property
    def line(self) -> str:
        """Say it in one line."""
        name = f"{self.model.name} version {self.model.version}"
        if not self.changed:
            return f"{name} is in service already"
        return f"{name} is in service" + (f" in place of version {self.before}" if self.before else "")


def promote_by_hand(settings: Settings, name: str, version: str) -> Change:
    """Put a version of a model into service because a person says so, and record that on it.

    Raises:
        UserError: no such model or version; it reads another encoder's features; its smoke test fails (as
            :class:`~tasks.models.registry.PromotionError`). What was in service still is.
    """
    versions_of(settings, name)
    return _put_into_service(settings, registry.get(settings, name, version))


def rollback(settings: Settings, name: str) -> Change:
    """Put the champion before the one in service back, as :func:`promote_by_hand` does.

    Raises:
        UserError: as ``promote_by_hand``; or there is no previous champion.
    """
    versions_of(settings, name)
    return _put_into_service(settings, registry.previous(settings, name))


def release(settings: Settings, name: str) -> list[str]:
    """Leave a model to the gate again: what a person put into service may be replaced, what they took out come back.

    Returns:
        The versions that a person had put into service or taken out.

    Raises:
        UserError: no such model, or no person's choice holds.
    """
    found, at = versions_of(settings, name), utc_now()
    held = [model for model in found if WITHDRAWN in model.tags or (CHAMPION in model.aliases and is_held(model))]
    if not held:
        raise UserError(f"no person's choice of {name} holds, the gate decides; see: acclimate models show {name}")
    for model in held:
        registry.tag(settings, name, model.version, {WITHDRAWN: None, RELEASED: at})
    return [model.version for model in held]


def _put_into_service(settings: Settings, model: Registered) -> Change:
    name, champion = model.name, registry.champion(settings, model.name)
    before = None if champion is None else champion.version
    gate = model.tags.get("gate") or ": ".join(filter(None, (model.tags.get("decision"), model.tags.get("reason"))))
    if before == model.version:
        return Change(model, before, gate)
    smoke_test, at = smoke_test_for(settings, model), utc_now()
    if before:  # first: a process that dies between the two leaves nothing that a flow would put back
        registry.tag(settings, name, before, {WITHDRAWN: at})
    try:
        registry.promote(settings, name, model.version, smoke_test, expected=before)
    except BaseException:
        if before:
            registry.tag(settings, name, before, {WITHDRAWN: None})
        raise
    reason = f"in place of version {before}" if before else "nothing was in service"
    made = {"decision": BY_A_PERSON, "reason": reason, "decided": at, "replaced": before, "gate": gate}
    registry.tag(settings, name, model.version, made | {WITHDRAWN: None, RELEASED: None})
    return Change(registry.get(settings, name, model.version), before, gate)
