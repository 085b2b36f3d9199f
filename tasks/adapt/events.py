"""Events of champions, for automations of the user's; outside of a Prefect run there are none."""

from tasks.base.progress import in_run
from tasks.models.adapt_result import AdaptResult
from tasks.service.webhook import CHANGED, WANTED

REFUSED = "acclimate.challenger.refused"


def champion_changed(result: AdaptResult) -> None:
    """Emit that a challenger is in service now."""
    _emit(CHANGED, result)


def challenger_refused(result: AdaptResult) -> None:
    """Emit that a challenger was refused, by the gate or a person."""
    _emit(REFUSED, result)


def approval_wanted(result: AdaptResult) -> None:
    """Emit that a challenger waits for a person."""
    _emit(WANTED, result)


def _emit(event: str, result: AdaptResult) -> None:
    if not in_run():
        return
    from prefect.events import emit_event

    payload = {
        "domain": result.domain,
        "version": result.model_version,
        "before": result.champion_before,
        "k": result.k,
        "labels": result.labels,
        "accuracy": round(result.scores["acclimate"].accuracy, 4),
        "revision": result.revision,
        "reason": result.reason,
    }
    resource = {
        "prefect.resource.id": f"acclimate.domain.{result.domain}",
        "prefect.resource.name": result.domain,
        "acclimate.family": result.family,
    }
    emit_event(event, resource=resource, payload=payload)
