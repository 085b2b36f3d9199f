"""What was decided on versions of models, by the gate or a person, read from their tags."""

from collections.abc import Iterable, Mapping
from typing import Any

from tasks.base.settings import Settings
from tasks.models import registry
from tasks.models.adapt_result import AdaptResult
from tasks.models.registry import Registered

PROMOTED, REFUSED = "promoted", "refused"
AWAITING = "awaiting approval"
APPROVED = "approved by a person"
WITHDRAWN_WORD = "taken out of service by a person"


def last_decisions(settings: Settings, names: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Return the decision on the newest version of each model: ``version``, ``decision``, ``reason``, ``when``.

    Models without a version are left out. ``when`` is UTC in ISO format.
    """
    found = {name: registry.newest(settings, name, 1) for name in names}
    return {name: decision_on(versions[0]) for name, versions in found.items() if versions}


def decision_on(model: Registered) -> dict[str, Any]:
    """Return what was decided on a version, why and when, in words for people."""
    tags = model.tags
    said = {"version": model.version, "decision": tags.get("decision", ""), "reason": tags.get("reason", "")}
    said["when"] = tags.get("decided") or tags.get("asked") or model.created.isoformat(timespec="seconds")
    if "withdrawn" in tags:
        said |= {"decision": WITHDRAWN_WORD, "when": tags["withdrawn"]}
    elif said["decision"] == AWAITING:
        said["reason"] = f"acclimate models approve {model.name} {model.version}, or refuse"
    return said


def as_decided(result: AdaptResult, tags: Mapping[str, str]) -> AdaptResult:
    """Return a result that is found again with what a person decided since."""
    if result.decision != PROMOTED:
        return result
    if "withdrawn" in tags:
        reason = f"a person took version {result.model_version} out of service at {tags['withdrawn']}"
        return result.model_copy(update={"decision": REFUSED, "reason": reason})
    if tags.get("decision") == REFUSED:
        return result.model_copy(update={"decision": REFUSED, "reason": tags.get("reason", "")})
    return result
