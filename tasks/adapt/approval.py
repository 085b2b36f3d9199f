"""A person's word between the gate and promotion: the flow run pauses until someone says yes or no, or time is up."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any
from uuid import UUID

from prefect.context import FlowRunContext
from prefect.exceptions import FlowPauseTimeout
from prefect.flow_runs import pause_flow_run
from prefect.input import RunInput
from pydantic import Field

from tasks.adapt import events
from tasks.base.artifacts import escape, markdown_artifact
from tasks.base.progress import say
from tasks.base.settings import Settings, settings
from tasks.models import registry
from tasks.models.adapt_result import AdaptResult
from tasks.models.promotion import WITHDRAWN, now
from tasks.models.verdicts import APPROVED, AWAITING, REFUSED

POLL = 2  # seconds between two looks at whether someone answered
GRACE = 300  # seconds after ours that Prefect's own limit fails the run, should our refusal not get through


class Verdict(RunInput):
    """What the form of the Resume button asks."""

    approve: bool = Field(True, description="Put the new model into service")
    reason: str = Field("", description="Why, for the record")


def ask(result: AdaptResult, approval: bool | None) -> AdaptResult:
    """Pause the flow run until a person approves of a challenger that passed the gate; call it from the flow itself.

    Nobody is asked where the gate refused, where the version is or was in service, or where a person approved
    already. No answer within ``ACCLIMATE_APPROVAL_HOURS`` refuses.

    Args:
        approval: whether to ask; None: as ``ACCLIMATE_APPROVAL`` says.
    """
    s, name, version = settings(), result.domain, result.model_version
    wanted = s.approval == "ask" if approval is None else approval
    if not wanted or result.decision != "promoted":
        return result
    challenger = registry.get(s, name, version)
    if WITHDRAWN in challenger.tags or registry.CHAMPION in challenger.aliases:
        return result
    verdict, said = None, challenger.tags.get("approval", "")
    if not said:  # else the run was killed before it could act on the answer
        verdict = _wait(s, result)
        said = registry.get(s, name, version).tags.get("approval", "")  # by the command line
    if said.startswith(APPROVED) or (verdict is not None and verdict.approve and not said):
        registry.tag(s, name, version, {"decision": "promoted", "approval": said or f"{APPROVED}, {now()}"})
        return result
    reason = f"nobody approved it within {s.approval_hours:g} h"
    if said or verdict is not None:
        given = verdict.reason if verdict else said.partition(": ")[2]
        reason = ": ".join(filter(None, ("a person refused it", given)))
    registry.tag(s, name, version, {"decision": REFUSED, "reason": reason, "decided": now()})
    return result.model_copy(update={"decision": REFUSED, "reason": reason})


def _wait(s: Settings, result: AdaptResult) -> Verdict | None:
    """Return what a person says in the UI or by command; None where time was up first."""
    context = FlowRunContext.get()
    if context is None or context.flow_run is None:
        raise RuntimeError("a person can only be asked within a flow run")
    run, name, version = context.flow_run.id, result.domain, result.model_version
    asked = {"decision": AWAITING, "approval": None, "approval_run": run, "asked": now()}
    registry.tag(s, name, version, asked)
    approve, refuse = f"acclimate models approve {name} {version}", f"acclimate models refuse {name} {version}"
    score = f"{100 * result.scores['acclimate'].accuracy:.1f} %"
    about = f"{name} version {version}, accuracy {score}, waits for approval: {result.reason}"
    text = f"# {escape(name)} version {version}\n\n{escape(about)}\n\nTo answer: Resume above, or\n\n"
    markdown_artifact(f"adapt-{name}-approval", f"{text}    {approve}\n    {refuse} --reason WHY\n", about)
    events.approval_wanted(result)
    say(f"{about}\n  yes: {approve}\n  no:  {refuse} --reason WHY\nor the button Resume of the run in the Prefect UI")
    seconds = round(3600 * s.approval_hours)
    with _refused_after(seconds, run) as time_is_up, suppress(FlowPauseTimeout):
        form = Verdict.with_initial_data(description=about)
        key = f"approval-{name}-{version}"
        verdict = pause_flow_run(form, timeout=seconds + GRACE, poll_interval=POLL, key=key)
        return None if time_is_up.is_set() else verdict
    return None


@contextmanager
def _refused_after(seconds: float, run: UUID) -> Iterator[threading.Event]:
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
