"""A person's approval between the gate and promotion: the flow run waits until someone answers, or time is up.

A run of a deployment is suspended: its process ends, its place is free, and an answer starts it anew from the top,
where it finds the challenger that it asked about. A run by hand, which nothing could start again, keeps its process.
"""

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from prefect.client.schemas.objects import FlowRun
from prefect.context import FlowRunContext
from prefect.exceptions import FlowPauseTimeout
from prefect.flow_runs import pause_flow_run, suspend_flow_run
from prefect.input import RunInput
from pydantic import Field

from domains.errors import UserError
from tasks.adapt import events
from tasks.base.artifacts import escape, markdown_artifact
from tasks.base.progress import say
from tasks.base.settings import Settings, settings
from tasks.models import registry
from tasks.models.adapt_result import AWAITING, PROMOTED, REFUSED, AdaptResult
from tasks.models.lookup import versions_of
from tasks.models.registry import Registered
from tasks.models.verdicts import APPROVED, GRACE, WITHDRAWN, utc_now
from tasks.service.server import prefect_server, running_ui

POLL = 2  # seconds between two looks at whether someone answered
PATIENCE = 60  # seconds that a run gets to act on an answer by command
EVERY = 0.5

#: Hears of a challenger that begins to wait, and of the run that asks about it where that is another one.
Note = Callable[[AdaptResult, str], object]


class Verdict(RunInput):
    """What the form of the Resume button asks."""

    approve: bool = Field(True, description="Put the new model into service")
    reason: str = Field("", description="Why, for the record")


def wait_for_approval(
    result: AdaptResult,
    approval: bool | None,
    note: Note = lambda waiting, run: None,
    hand_over: Callable[[AdaptResult], str] | None = None,
) -> AdaptResult:
    """Have the flow run wait until a person approves of a challenger that passed the gate; call it from the flow.

    Nobody is asked where the gate refused, where the version is or was in service, or where a person approved
    already. No answer within ``ACCLIMATE_APPROVAL_HOURS`` refuses.

    Args:
        approval: whether to ask; None: as ``ACCLIMATE_APPROVAL`` says.
        hand_over: starts a run that asks in place of this one, and returns its id: the result then still waits.

    Raises:
        prefect.exceptions.Pause: the run is suspended, and its process has to end.
    """
    s, name, version = settings(), result.domain, result.model_version
    asks = s.approval == "ask" if approval is None else approval
    if not asks or result.decision != PROMOTED:
        return result
    challenger = registry.get(s, name, version)
    if WITHDRAWN in challenger.tags or registry.CHAMPION in challenger.aliases:
        return result
    run = this_run()
    verdict, answer_tag = None, challenger.tags.get("approval", "")
    resumed = run is not None and is_asked_by(challenger, run)
    if not answer_tag and (resumed or not is_late(s, challenger)):  # else a run was killed before it could act on it
        waiting = result.model_copy(update={"decision": AWAITING, "reason": f"passed the gate: {result.reason}"})
        if hand_over is not None:
            note(waiting, hand_over(result))
            return waiting
        if run is None:
            raise RuntimeError("a person can only be asked within a flow run")
        if not resumed:
            challenger = _announce(s, result, challenger, run)
            note(waiting, str(run.id))
        verdict = _hear(s, result, challenger, run)
        answer_tag = registry.get(s, name, version).tags.get("approval", "")  # by the command line
    if answer_tag.startswith(APPROVED) or (verdict is not None and verdict.approve and not answer_tag):
        registry.tag(s, name, version, {"decision": PROMOTED, "approval": answer_tag or f"{APPROVED}, {utc_now()}"})
        return result
    reason = f"nobody approved it within {s.approval_hours:g} h"
    if answer_tag or (verdict is not None and (verdict.reason or not is_late(s, challenger))):
        given = verdict.reason if verdict else answer_tag.partition(": ")[2]
        reason = ": ".join(filter(None, ("a person refused it", given)))
    registry.tag(s, name, version, {"decision": REFUSED, "reason": reason, "decided": utc_now()})
    return result.model_copy(update={"decision": REFUSED, "reason": reason})


def this_run() -> FlowRun | None:
    """Return the flow run that this is in."""
    context = FlowRunContext.get()
    return None if context is None else context.flow_run


def is_asked_by(challenger: Registered, run: FlowRun) -> bool:
    """Whether a run had asked about a version, and goes on from there."""
    return challenger.tags.get("approval_run") == str(run.id) and challenger.tags.get("decision") == AWAITING


def asked_about(domain: str) -> Registered | None:
    """Return the version of a domain that this run had asked about before it was suspended."""
    run = this_run()
    if run is None or not run.run_count:  # it begins
        return None
    found = registry.find_by_tag(settings(), "approval_run", str(run.id))
    return found if found is not None and found.name == domain else None


def as_asked(domain: str, revision: str, meta_version: str) -> tuple[str, str]:
    """Return revision and meta-model to adapt by: those of the version that this run had asked about, if it had."""
    asked = asked_about(domain)
    return (revision, meta_version) if asked is None else (asked.tags["revision"], asked.tags["meta_version"])


def is_late(s: Settings, challenger: Registered) -> bool:
    """Whether a person was asked about a version, and time is up."""
    asked = challenger.tags.get("asked") if challenger.tags.get("decision") == AWAITING else None
    return asked is not None and _deadline(s, asked) <= datetime.now(UTC)


def _deadline(s: Settings, asked: str) -> datetime:
    since = datetime.fromisoformat(asked)
    return (since if since.tzinfo else since.replace(tzinfo=UTC)) + timedelta(hours=s.approval_hours)


def _announce(s: Settings, result: AdaptResult, challenger: Registered, run: FlowRun) -> Registered:
    """Say that a version waits, wherever a person may look, and return it; the clock runs since it was first asked."""
    name, version = result.domain, result.model_version
    waits = challenger.tags.get("decision") == AWAITING
    asked = challenger.tags.get("asked") if waits else None
    tags = {"decision": AWAITING, "approval": None, "approval_run": run.id, "asked": asked or utc_now()}
    registry.tag(s, name, version, tags)
    approve, refuse = _commands(result)
    text = f"# {escape(name)} version {version}\n\n{escape(_about(result))}\n\nTo answer: Resume above, or\n\n"
    markdown_artifact(f"approval-{name}", f"{text}    {approve}\n    {refuse}\n", _about(result))
    events.approval_wanted(result)
    say(f"{_about(result)}\n  yes: {approve}\n  no:  {refuse}\nor the button Resume of the run in the Prefect UI")
    return registry.get(s, name, version)


def _about(result: AdaptResult) -> str:
    score = f"{100 * result.scores['acclimate'].accuracy:.1f} %"
    return f"{result.domain} version {result.model_version}, accuracy {score}, waits for approval: {result.reason}"


def _commands(result: AdaptResult) -> tuple[str, str]:
    """Return the commands that say yes and no."""
    approve, refuse = (
        f"acclimate models {word} {result.domain} {result.model_version}" for word in ("approve", "refuse")
    )
    return approve, f"{refuse} --reason WHY"


def _hear(s: Settings, result: AdaptResult, challenger: Registered, run: FlowRun) -> Verdict | None:
    """Return what a person says in the UI or by command; None where time was up first."""
    left = (_deadline(s, challenger.tags["asked"]) - datetime.now(UTC)).total_seconds()
    seconds = max(round(left), 0)
    form = Verdict.with_initial_data(description=_about(result))
    key = f"approval-{result.domain}-{result.model_version}"
    if run.deployment_id is not None and run.parent_task_run_id is None:
        return suspend_flow_run(form, timeout=seconds + GRACE, key=key)  # tasks/watch/reconciling.py says no in time
    with _refuse_after(max(left, 0), run.id) as time_is_up, _no_limit(), suppress(FlowPauseTimeout):
        verdict = pause_flow_run(form, timeout=seconds + GRACE, poll_interval=POLL, key=key)
        return None if time_is_up.is_set() else verdict
    return None


@contextmanager
def _no_limit() -> Iterator[None]:
    """Stop the clock of the flow's time limit, which Prefect keeps by an alarm of the main thread."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    left, _ = signal.setitimer(signal.ITIMER_REAL, 0)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, left)


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


def is_deployed(run: UUID) -> bool:
    """Whether a flow run is one of a deployment, which a worker starts again."""
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as client:
        return client.read_flow_run(run).deployment_id is not None


def answer_request(settings: Settings, name: str, version: str, approve: bool, reason: str = "") -> Registered:
    """Approve of or refuse the version that waits, and return it as it is once its run has acted on that.

    A run that was suspended starts again where a worker has room; after a minute it is no longer waited for.

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
        will_act = refused is None and is_deployed(UUID(waiting.tags["approval_run"]))
    deadline = time.monotonic() + PATIENCE
    while refused is None and time.monotonic() < deadline:
        found = registry.get(settings, name, waiting.version)
        if found.tags["decision"] != AWAITING and (not approve or registry.CHAMPION in found.aliases):
            return found
        time.sleep(EVERY)
    if will_act:
        return registry.get(settings, name, waiting.version)
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
