"""What the gate or a person decided on versions of models: the words for it, and how tags are read."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from domains.errors import UserError
from tasks.base.settings import Settings
from tasks.models import registry
from tasks.models.adapt_result import AWAITING, PROMOTED, REFUSED, AdaptResult
from tasks.models.registry import Registered

APPROVED = "approved by a person"
BY_A_PERSON = "promoted by a person"
TAKEN_OUT = "taken out of service by a person"
GRACE = 300  # seconds after ours that Prefect's own limit fails a run that waits, should our refusal not get through
WITHDRAWN = "withdrawn"  # tag of a version that a person took out of service: when
RELEASED = "released"  # tag of a version that a person promoted and then left to the gate again: when
BESIDE = "beside"  # tag of a version that was judged again: the champion that it was compared with


def utc_now() -> str:
    """Return the time in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def last_decisions(settings: Settings, names: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Return the decision on the newest version of each model: ``version``, ``decision``, ``reason``, ``when``.

    Models without a version are left out. ``when`` is UTC in ISO format.
    """
    found = {name: registry.newest(settings, name, 1) for name in names}
    return {name: decision_on(versions[0]) for name, versions in found.items() if versions}


def decision_on(model: Registered) -> dict[str, Any]:
    """Return what was decided on a version, why and when, in words for people."""
    tags = model.tags
    verdict = {"version": model.version, "decision": tags.get("decision", ""), "reason": tags.get("reason", "")}
    verdict["when"] = tags.get("decided") or tags.get("asked") or model.created.isoformat(timespec="seconds")
    if WITHDRAWN in tags:
        verdict |= {"decision": TAKEN_OUT, "when": tags[WITHDRAWN]}
    elif verdict["decision"] == AWAITING:
        verdict["reason"] = f"acclimate models approve {model.name} {model.version}, or refuse"
        if "approval" in tags:
            verdict["reason"] = f"{tags['approval']}; its run acts on it when a worker has room"
    return verdict


def is_held(model: Registered | None) -> bool:
    """Whether a person put a version into service and has not left it to the gate again."""
    return model is not None and model.tags.get("decision") == BY_A_PERSON and RELEASED not in model.tags


def refused_by_gate(tags: Mapping[str, str]) -> bool:
    """Whether a version stayed out of service because of its scores, and not because a person said so."""
    return tags.get("decision") == REFUSED and WITHDRAWN not in tags and "approval_run" not in tags


def was_left_unpromoted(made: Registered, champion: Registered | None) -> bool:
    """Whether a version that passed the gate never came into service, as where its process was killed in between."""
    passed = made.tags.get("decision") == PROMOTED and not made.aliases and WITHDRAWN not in made.tags
    return passed and (champion is None or int(champion.version) < int(made.version))


def served_since(model: Registered) -> str:
    """Return the version that was in service after the decision on this one: itself, or the champion beside it.

    Empty where there was none, or where that is not known.
    """
    if model.tags.get("decision") in (PROMOTED, BY_A_PERSON):
        return model.version
    if BESIDE in model.tags:
        return model.tags[BESIDE]
    try:
        return AdaptResult.read(model.folder).champion_before or ""
    except (OSError, ValueError, UserError):
        return ""


def apply_verdict(result: AdaptResult, tags: Mapping[str, str]) -> AdaptResult:
    """Return the result of an earlier run with what was decided since."""
    if BESIDE in tags:
        result = result.model_copy(update={"champion_before": tags[BESIDE] or None})
    if result.decision != PROMOTED:
        return result
    if WITHDRAWN in tags:
        reason = f"a person took version {result.model_version} out of service at {tags[WITHDRAWN]}"
        return result.model_copy(update={"decision": REFUSED, "reason": reason})
    if tags.get("decision") == REFUSED:
        return result.model_copy(update={"decision": REFUSED, "reason": tags.get("reason", "")})
    return result
