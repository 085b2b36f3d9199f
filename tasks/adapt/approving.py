"""A person's answer to a flow run that asks for approval, from the command line."""

import time
from uuid import UUID

from domains.errors import UserError
from tasks.base.settings import Settings
from tasks.models import registry
from tasks.models.model_list import versions_of
from tasks.models.promotion import now
from tasks.models.registry import Registered
from tasks.models.verdicts import APPROVED, AWAITING
from tasks.service.server import prefect_server, running_ui

PATIENCE = 60  # seconds that a run gets to act on the answer
EVERY = 0.5


def answer(settings: Settings, name: str, version: str, approve: bool, reason: str = "") -> Registered:
    """Approve of or refuse the version that waits, and return it as it is once its run has acted on that.

    Args:
        version: which; empty: the newest that waits.

    Raises:
        UserError: no such model or version; none waits; the run that asked has ended.
    """
    waiting = find_waiting(settings, name, version)
    if running_ui(settings) is None:
        raise UserError(f"{_gone(waiting)}: no Prefect server runs")
    from tasks.adapt.approval import resume

    word = APPROVED if approve else "refused by a person"
    with prefect_server(settings):
        # First the record: a run that is cut off now finds the answer when it is started again.
        said = ": ".join(filter(None, (f"{word}, {now()}", reason)))
        registry.tag(settings, name, waiting.version, {"approval": said})
        refused = resume(UUID(waiting.tags["approval_run"]), {"approve": approve, "reason": reason})
    deadline = time.monotonic() + PATIENCE
    while refused is None and time.monotonic() < deadline:
        found = registry.get(settings, name, waiting.version)
        if found.tags["decision"] != AWAITING and (not approve or registry.CHAMPION in found.aliases):
            return found
        time.sleep(EVERY)
    raise UserError(f"{_gone(waiting)}: {refused or f'it has not acted for {PATIENCE} s'}")


def find_waiting(settings: Settings, name: str, version: str = "") -> Registered:
    """Return the version of a model that waits for approval.

    Raises:
        UserError: no such model or version, or it does not wait.
    """
    found = versions_of(settings, name)
    if version:
        found = [registry.get(settings, name, version)]
    waiting = [model for model in found if model.tags.get("decision") == AWAITING]
    if waiting:
        return waiting[0]
    which = f"version {version} of {name} does not wait" if version else f"no version of {name} waits"
    raise UserError(f"{which} for approval; to put one into service: acclimate models promote {name} VERSION")


def _gone(model: Registered) -> str:
    return (
        f"the run that asked about {model.name} version {model.version} is gone (use acclimate models promote "
        f"{model.name} {model.version}, or adapt again to be asked again)"
    )
