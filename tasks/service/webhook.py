"""The user's webhook: automations that call it when a run fails, a champion changes or approval is wanted."""

from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

from domains.errors import UserError
from tasks.service.deployments import put_automation

CHANGED, WANTED = "acclimate.champion.changed", "acclimate.approval.wanted"  # tasks/adapt/events.py emits them
BLOCK = "acclimate-webhook"

#: Automations by name: the events that trigger each, of which resources, and what it sends as ``text``.
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


def ensure_webhook(url: str) -> None:
    """Have Prefect call a webhook when a run fails, a champion changes, or approval is wanted.

    It gets a JSON POST of ``text`` (a sentence, as chat services show it), ``event``, ``resource`` and ``payload``.
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
            put_automation(client, AutomationCore(name=name, trigger=trigger, actions=[action]))


def forget_webhook() -> None:
    """Delete the automations of a webhook that is no longer set, and its address; where there are none it does nothing.

    Needs a server (``prefect_server``).
    """
    from prefect.client.orchestration import get_client
    from prefect.exceptions import ObjectNotFound

    with get_client(sync_client=True) as client:
        for name in AUTOMATIONS:
            for old in client.read_automations_by_name(name):
                client.delete_automation(old.id)
        with suppress(ObjectNotFound):  # last: an automation without its block would only fail
            client.delete_block_document(client.read_block_document_by_name(BLOCK, "webhook").id)


def check_url(url: str) -> None:
    """Raise UserError unless an address begins with http:// or https:// and names a host."""
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
