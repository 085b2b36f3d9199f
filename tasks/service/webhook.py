"""What the outside is told: events of champions, and Prefect automations that send them to a webhook."""

from typing import Any
from urllib.parse import urlsplit

from domains.errors import UserError
from tasks.base.progress import in_run
from tasks.models.adapt_result import AdaptResult
from tasks.service.deployments import put_automation

CHANGED, REFUSED, WANTED = "acclimate.champion.changed", "acclimate.challenger.refused", "acclimate.approval.wanted"
BLOCK = "acclimate-webhook"

#: Automations by name: the events that start each, of which resources, and what it sends as ``text``.
AUTOMATIONS: dict[str, tuple[tuple[str, ...], str, str]] = {
    "acclimate: run failed": (
        ("prefect.flow-run.Failed", "prefect.flow-run.Crashed", "prefect.flow-run.TimedOut"),
        "prefect.flow-run.*",
        '"run " ~ event.resource["prefect.resource.name"] ~ ": " ~ event.resource["prefect.state-name"]',
    ),
    "acclimate: champion changed": (
        (CHANGED,),
        "acclimate.domain.*",
        'event.payload.domain ~ " version " ~ event.payload.version ~ " is in service: " ~ event.payload.reason',
    ),
    "acclimate: approval wanted": (
        (WANTED,),
        "acclimate.domain.*",
        'event.payload.domain ~ " version " ~ event.payload.version ~ " waits for approval: " ~ event.payload.reason',
    ),
}


def champion_changed(result: AdaptResult) -> None:
    """Tell that a challenger is in service now."""
    _emit(CHANGED, result)


def challenger_refused(result: AdaptResult) -> None:
    """Tell that a challenger was refused, by the gate or a person."""
    _emit(REFUSED, result)


def approval_wanted(result: AdaptResult) -> None:
    """Tell that a challenger waits for a person."""
    _emit(WANTED, result)


def ensure_webhook(url: str) -> None:
    """Have Prefect call a webhook when a run fails, a champion changes, or approval is wanted.

    It is a JSON POST of ``text`` (a sentence, as chat services show it), ``event``, ``resource`` and ``payload``.
    Repeating it changes nothing; another address replaces the one before. Needs a server (``prefect_server``).

    Raises:
        UserError: the address is not one of http or https. It may hold a secret, so it is not repeated.
    """
    check_url(url)
    from prefect.blocks.webhook import Webhook
    from prefect.client.orchestration import get_client
    from prefect.events.actions import CallWebhook
    from prefect.events.schemas.automations import AutomationCore, EventTrigger, Posture
    from pydantic import SecretStr

    headers: Any = {"Content-Type": "application/json"}
    block = Webhook(url=SecretStr(url), headers=headers).save(BLOCK, overwrite=True)
    with get_client(sync_client=True) as client:
        for name, (events, resource, text) in AUTOMATIONS.items():
            trigger = EventTrigger(
                expect=set(events),
                match={"prefect.resource.id": resource},
                posture=Posture.Reactive,
                threshold=1,
            )
            action = CallWebhook(block_document_id=block, payload=_payload(text))  # type: ignore[arg-type]
            wanted = AutomationCore(name=name, trigger=trigger, actions=[action])
            put_automation(client, wanted)


def check_url(url: str) -> None:
    """Raise UserError if an address is not one that a webhook can have."""
    try:
        parts = urlsplit(url)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        good = False
    if not good or any(c.isspace() or not c.isprintable() for c in url):
        raise UserError("ACCLIMATE_WEBHOOK is not an address that begins with http:// or https://; change or unset it")


def _payload(text: str) -> str:
    """Return the template of a JSON body; ``tojson`` quotes whatever is in the event."""
    return (
        f'{{"text": {{{{ ({text}) | tojson }}}}, "event": {{{{ event.event | tojson }}}}, '
        '"resource": {{ event.resource.id | tojson }}, "payload": {{ event.payload | tojson }}}'
    )


def _emit(event: str, result: AdaptResult) -> None:
    if not in_run():
        return
    from prefect.events import emit_event

    payload = {
        "domain": result.domain,
        "version": result.model_version,
        "before": result.champion_before,
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
