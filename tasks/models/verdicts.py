"""What the gate or a person decided on versions of models: the words for it, and how tags are read."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from tasks.base.settings import Settings
from tasks.models import registry
from tasks.models.adapt_result import AdaptResult
from tasks.models.registry import Registered

PROMOTED, REFUSED = "promoted", "refused"
AWAITING = "awaiting approval"
APPROVED = "approved by a person"
BY_A_PERSON = "promoted by a person"
TAKEN_OUT = "taken out of service by a person"
GRACE = 300  # seconds after ours that Prefect's own limit fails a run that waits, should our refusal not get through
WITHDRAWN = "withdrawn"  # tag of a version that a person took out of service: when


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


def apply_verdict(result: AdaptResult, tags: Mapping[str, str]) -> AdaptResult:
    """Return the result of an earlier run with what a person has decided since."""
    if result.decision != PROMOTED:
        return result
    if WITHDRAWN in tags:
        reason = f"a person took version {result.model_version} out of service at {tags[WITHDRAWN]}"
        return result.model_copy(update={"decision": REFUSED, "reason": reason})
    if tags.get("decision") == REFUSED:
        return result.model_copy(update={"decision": REFUSED, "reason": tags.get("reason", "")})
    return result
