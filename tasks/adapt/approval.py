"""A person's approval between the gate and promotion: the flow run pauses until someone answers, or time is up."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any
from uuid import UUID

from prefect.context import FlowRunContext
from prefect.exceptions import FlowPauseTimeout
from prefect.flow_runs import pause_flow_run
from prefect.input import RunInput
from pydantic import Field

from domains.errors import UserError
from tasks.adapt import events
from tasks.base.artifacts import escape, markdown_artifact
from tasks.base.progress import say
from tasks.base.settings import Settings, settings
from tasks.models import registry
from tasks.models.adapt_result import AdaptResult
from tasks.models.lookup import versions_of
from tasks.models.registry import Registered
from tasks.models.verdicts import APPROVED, AWAITING, REFUSED, WITHDRAWN, utc_now
from tasks.service.server import prefect_server, running_ui

POLL = 2  # seconds between two looks at whether someone answered
PATIENCE = 60  # seconds that a run gets to act on an answer by command
EVERY = 0.5
GRACE = 300  # seconds after ours that Prefect's own limit fails the run, should our refusal not get through


class Verdict(RunInput):
    """What the form of the Resume button asks."""

    approve: bool = Field(True, description="Put the new model into service")
    reason: str = Field("", description="Why, for the record")


def wait_for_approval(result: AdaptResult, approval: bool | None) -> AdaptResult:
    """Pause the flow run until a person approves of a challenger that passed the gate; call it from the flow itself.

    Nobody is asked where the gate refused, where the version is or was in service, or where a person approved
    already. No answer within ``ACCLIMATE_APPROVAL_HOURS`` refuses.

    Args:
        approval: whether to ask; None: as ``ACCLIMATE_APPROVAL`` says.
    """
    s, name, version = settings(), result.domain, result.model_version
    asks = s.approval == "ask" if approval is None else approval
    if not asks or result.decision != "promoted":
        return result
    challenger = registry.get(s, name, version)
    if WITHDRAWN in challenger.tags or registry.CHAMPION in challenger.aliases:
        return result
    verdict, answer_tag = None, challenger.tags.get("approval", "")
    if not answer_tag:  # else the run was killed before it could act on the answer
        verdict = _pause(s, result)
        answer_tag = registry.get(s, name, version).tags.get("approval", "")  # by the command line
    if answer_tag.startswith(APPROVED) or (verdict is not None and verdict.approve and not answer_tag):
        registry.tag(s, name, version, {"decision": "promoted", "approval": answer_tag or f"{APPROVED}, {utc_now()}"})
        return result
    reason = f"nobody approved it within {s.approval_hours:g} h"
    if answer_tag or verdict is not None:
        given = verdict.reason if verdict else answer_tag.partition(": ")[2]
        reason = ": ".join(filter(None, ("a person refused it", given)))
    registry.tag(s, name, version, {"decision": REFUSED, "reason": reason, "decided": utc_now()})
    return result.model_copy(update={"decision": REFUSED, "reason": reason})


def _pause(s: Settings, result: AdaptResult) -> Verdict | None:
    """Return what a person says in the UI or by command; None where time was up first."""
    context = FlowRunContext.get()
    if context is None or context.flow_run is None:
        raise RuntimeError("a person can only be asked within a flow run")
    run, name, version = context.flow_run.id, result.domain, result.model_version
    tags = {"decision": AWAITING, "approval": None, "approval_run": run, "asked": utc_now()}
    registry.tag(s, name, version, tags)
    approve, refuse = f"acclimate models approve {name} {version}", f"acclimate models refuse {name} {version}"
    score = f"{100 * result.scores['acclimate'].accuracy:.1f} %"
    about = f"{name} version {version}, accuracy {score}, waits for approval: {result.reason}"
    text = f"# {escape(name)} version {version}\n\n{escape(about)}\n\nTo answer: Resume above, or\n\n"
    markdown_artifact(f"approval-{name}", f"{text}    {approve}\n    {refuse} --reason WHY\n", about)
    events.approval_wanted(result)
    say(f"{about}\n  yes: {approve}\n  no:  {refuse} --reason WHY\nor the button Resume of the run in the Prefect UI")
    seconds = round(3600 * s.approval_hours)
    with _refuse_after(seconds, run) as time_is_up, suppress(FlowPauseTimeout):
        form = Verdict.with_initial_data(description=about)
        key = f"approval-{name}-{version}"
        verdict = pause_flow_run(form, timeout=seconds + GRACE, poll_interval=POLL, key=key)
        return None if time_is_up.is_set() else verdict
    return None


@contextmanager
def _refuse_after(seconds: float, run: UUID) -> Iterator[threading.Event]:
    """Answer no when time is up, and set the event: of a pause that Prefect itself ends, it makes a failed run."""
    is_up = threading.Event()

    def refuse() -> None:
        is_up.set()
        resume(run, {"approve": False})

    timer = threading.Timer(seconds, refuse)
    timer.daemon = True
    timer.start()
    try:
        yield is_up
    finally:
        timer.cancel()


def resume(run: UUID, answer: dict[str, Any]) -> str | None:
    """Give a paused run its answer; return why the server did not take it, or None."""
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as client:
        given = client.resume_flow_run(run, answer)
    return None if given.status.value == "ACCEPT" else str(getattr(given.details, "reason", given.status.value))


def answer_request(settings: Settings, name: str, version: str, approve: bool, reason: str = "") -> Registered:
    """Approve of or refuse the version that waits, and return it as it is once its run has acted on that.

    Args:
        version: which; empty: the newest that waits.

    Raises:
        UserError: no such model or version; none waits; the run that asked has ended.
    """
    waiting = find_waiting(settings, name, version)
    if running_ui(settings) is None:
        raise UserError(f"{_no_answer_taken(waiting)}: no Prefect server runs")
    word = APPROVED if approve else "refused by a person"
    with prefect_server(settings):
        # The record comes first: a run that is cut off now finds the answer when it starts again.
        answer_tag = ": ".join(filter(None, (f"{word}, {utc_now()}", reason)))
        registry.tag(settings, name, waiting.version, {"approval": answer_tag})
        refused = resume(UUID(waiting.tags["approval_run"]), {"approve": approve, "reason": reason})
    deadline = time.monotonic() + PATIENCE
    while refused is None and time.monotonic() < deadline:
        found = registry.get(settings, name, waiting.version)
        if found.tags["decision"] != AWAITING and (not approve or registry.CHAMPION in found.aliases):
            return found
        time.sleep(EVERY)
    raise UserError(f"{_no_answer_taken(waiting)}: {refused or f'it has not acted for {PATIENCE} s'}")


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


def _no_answer_taken(model: Registered) -> str:
    return (
        f"the run that asked about {model.name} version {model.version} is gone (use acclimate models promote "
        f"{model.name} {model.version}, or adapt again to be asked again)"
    )
