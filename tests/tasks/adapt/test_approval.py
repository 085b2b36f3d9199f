"""A challenger waits for a person: yes promotes, no and silence refuse, and an answer outlives the run that asked."""

import signal
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from uuid import uuid4

import pytest
from prefect.exceptions import FlowPauseTimeout, Pause

from domains.errors import UserError
from tasks.adapt import approval
from tasks.adapt.approval import Verdict
from tasks.models import registry
from tasks.models.adapt_result import AdaptResult, Score
from tasks.models.registry import Registered
from tasks.models.verdicts import GRACE, apply_verdict, decision_on, last_decisions

SCORES = {"acclimate": Score(accuracy=0.8, ci95=0.01, log_loss=0.5, ece=0.02)}
RESULT = AdaptResult(
    domain="hpo",
    family="text",
    revision="abc",
    content_hash="c",
    strategy="maml",
    k=5,
    draws=3,
    pool=0,
    test=9,
    scores=SCORES,
    seconds={},
    model_version="2",
    decision="promoted",
    reason="better by 3 points",
)


@pytest.fixture
def tags(monkeypatch):
    """The tags of version 2 of hpo, in a registry of one version."""
    tags, aliases = {"decision": "promoted", "reason": "better by 3 points"}, []

    def version(*_):
        at = datetime(2026, 1, 2, tzinfo=UTC)
        return Registered("hpo", "2", "", tuple(aliases), {}, {}, dict(tags), "run", at, "")

    def tag(settings, name, number, changes):
        assert (name, number) == ("hpo", "2")
        for key, value in changes.items():
            if value is None:
                tags.pop(key, None)
            else:
                tags[key] = str(value)

    monkeypatch.setattr(registry, "get", version)
    monkeypatch.setattr(registry, "tag", tag)
    monkeypatch.setattr(registry, "versions", lambda settings, name: [version()] if name == "hpo" else [])
    monkeypatch.setattr(registry, "newest", lambda settings, name, count: [version()] if name == "hpo" else [])
    return SimpleNamespace(tags=tags, aliases=aliases)


@pytest.fixture
def answered(monkeypatch, tags):
    """Have the paused run answered: ``answered(verdict)``, or by a function that is called while it waits."""
    monkeypatch.setattr(approval, "FlowRunContext", SimpleNamespace(get=lambda: SimpleNamespace(flow_run=RUN)))

    def answered(verdict):
        def pause(form, timeout, poll_interval, key):
            assert tags.tags["decision"] == "awaiting approval"
            assert tags.tags["approval_run"] == str(RUN.id)
            assert form.model_fields["approve"].default is True
            return verdict() if callable(verdict) else verdict

        monkeypatch.setattr(approval, "pause_flow_run", pause)

    return answered


RUN = SimpleNamespace(id=uuid4(), deployment_id=None, parent_task_run_id=None, run_count=0)


def test_a_yes_in_the_ui_leaves_the_challenger_promoted_and_is_recorded(tags, answered):
    answered(Verdict(approve=True))
    assert approval.wait_for_approval(RESULT, True) == RESULT
    assert tags.tags["decision"] == "promoted"
    assert tags.tags["approval"].startswith("approved by a person, 20")


def test_a_no_refuses_with_the_reason_it_came_with(tags, answered):
    answered(Verdict(approve=False, reason="labels look wrong"))
    found = approval.wait_for_approval(RESULT, True)
    assert (found.decision, found.reason) == ("refused", "a person refused it: labels look wrong")
    assert (tags.tags["decision"], tags.tags["reason"]) == (found.decision, found.reason)
    again = apply_verdict(RESULT, tags.tags)  # the same work found again stays refused
    assert (again.decision, again.reason) == (found.decision, found.reason)


def test_silence_refuses(tags, answered):
    def nothing():
        raise FlowPauseTimeout

    answered(nothing)
    found = approval.wait_for_approval(RESULT, True)
    assert (found.decision, found.reason) == ("refused", "nobody approved it within 24 h")


def test_when_time_is_up_the_run_answers_itself_with_no(tags, answered, monkeypatch):
    asked, answers = [], []
    monkeypatch.setenv("ACCLIMATE_APPROVAL_HOURS", "0.0003")
    monkeypatch.setattr(approval, "resume", lambda run, answer: (answers.append((run, answer)), asked.append(1)))

    def wait():
        while not asked:
            pass
        return Verdict(approve=False)

    answered(wait)
    assert approval.wait_for_approval(RESULT, True).reason == "nobody approved it within 0.0003 h"
    assert answers == [(RUN.id, {"approve": False})]


def test_an_answer_by_command_holds_even_if_the_pause_ended_before_it_came_through(tags, answered):
    def late():
        tags.tags["approval"] = "approved by a person, today"
        raise FlowPauseTimeout

    answered(late)
    assert approval.wait_for_approval(RESULT, True) == RESULT


@pytest.mark.parametrize("wanted", [None, False])
def test_nobody_is_asked_unless_the_setting_or_the_run_says_so(wanted, tags, monkeypatch, answered):
    answered(Verdict(approve=False))
    assert approval.wait_for_approval(RESULT, wanted) == RESULT
    monkeypatch.setenv("ACCLIMATE_APPROVAL", "ask")
    assert approval.wait_for_approval(RESULT, wanted).decision == ("refused" if wanted is None else "promoted")


def test_nobody_is_asked_again_about_what_is_settled(tags, answered):
    answered(Verdict(approve=False))
    refused = RESULT.model_copy(update={"decision": "refused"})
    assert approval.wait_for_approval(refused, True) == refused
    tags.tags["approval"] = "approved by a person, today"  # the run that asked was killed before it promoted
    assert approval.wait_for_approval(RESULT, True) == RESULT
    tags.tags["approval"] = "refused by a person, today: too soon"
    said = approval.wait_for_approval(RESULT, True)
    assert (said.decision, said.reason) == ("refused", "a person refused it: too soon")
    del tags.tags["approval"]
    tags.aliases.append("champion")
    assert approval.wait_for_approval(RESULT, True) == RESULT


# In a run of a deployment


@pytest.fixture
def deployed(monkeypatch, tags):
    """A run of a deployment: ``deployed(verdict)`` resumes it with an answer, which is None until there is one."""
    run = SimpleNamespace(id=uuid4(), deployment_id=uuid4(), parent_task_run_id=None, run_count=0)
    said = SimpleNamespace(run=run, notes=[], wanted=[], asked=[])
    monkeypatch.setattr(approval, "FlowRunContext", SimpleNamespace(get=lambda: SimpleNamespace(flow_run=said.run)))
    monkeypatch.setattr(approval, "pause_flow_run", lambda *_, **__: pytest.fail("it keeps its process"))
    monkeypatch.setattr(approval.events, "approval_wanted", lambda result: said.wanted.append(result.model_version))

    def wait(verdict=None):
        def suspend(form, timeout, key):
            said.asked.append((timeout, key))
            if verdict is None:
                raise Pause
            return verdict

        monkeypatch.setattr(approval, "suspend_flow_run", suspend)
        return approval.wait_for_approval(RESULT, True, lambda waiting, run: said.notes.append((waiting, run)))

    said.wait = wait
    return said


def test_a_run_that_a_worker_started_is_suspended_and_asks_once(tags, deployed):
    with pytest.raises(Pause):
        deployed.wait()
    assert (tags.tags["decision"], tags.tags["approval_run"]) == ("awaiting approval", str(deployed.run.id))
    ((waiting, run),) = deployed.notes
    assert (waiting.decision, waiting.reason) == ("awaiting approval", "passed the gate: better by 3 points")
    assert run == str(deployed.run.id)
    assert deployed.wait(Verdict(approve=True)) == RESULT
    assert (len(deployed.notes), deployed.wanted) == (1, ["2"])
    (timeout, key), again = deployed.asked
    assert 24 * 3600 - 5 <= timeout - GRACE <= 24 * 3600
    assert key == again[1] == "approval-hpo-2"


@pytest.mark.parametrize("late", [False, True])
def test_a_no_to_a_suspended_run_is_a_persons_or_that_of_the_clock(tags, deployed, late):
    with pytest.raises(Pause):
        deployed.wait()
    if late:
        tags.tags["asked"] = "2026-01-03T00:00:00+00:00"
    found = deployed.wait(Verdict(approve=False))
    assert found.decision == "refused"
    assert found.reason == ("nobody approved it within 24 h" if late else "a person refused it")


def test_a_late_yes_that_was_given_in_time_is_a_yes(tags, deployed):
    with pytest.raises(Pause):
        deployed.wait()
    tags.tags["asked"] = "2026-01-03T00:00:00+00:00"
    assert deployed.wait(Verdict(approve=True)) == RESULT


def test_a_run_after_one_that_asked_goes_by_the_same_clock(tags, deployed):
    with pytest.raises(Pause):
        deployed.wait()
    asked = tags.tags["asked"] = (datetime.now(UTC) - timedelta(hours=23)).isoformat()
    deployed.run = SimpleNamespace(**vars(deployed.run) | {"id": uuid4()})  # as the first crashed
    with pytest.raises(Pause):
        deployed.wait()
    assert tags.tags["asked"] == asked
    assert 3500 < deployed.asked[-1][0] - GRACE <= 3600
    tags.tags["asked"] = "2026-01-03T00:00:00+00:00"
    deployed.run = SimpleNamespace(**vars(deployed.run) | {"id": uuid4()})
    assert deployed.wait().reason == "nobody approved it within 24 h"


def test_a_run_of_many_hands_the_question_to_another_run_and_goes_on(tags, deployed):
    notes = []
    found = approval.wait_for_approval(RESULT, True, lambda *note: notes.append(note), lambda result: "another")
    assert found.decision == "awaiting approval"
    assert notes == [(found, "another")]
    assert tags.tags["decision"] == "promoted"  # until that run has begun


def test_a_pause_stops_the_clock_of_the_flows_limit():
    signal.setitimer(signal.ITIMER_REAL, 600)
    try:
        with approval._no_limit():
            assert signal.getitimer(signal.ITIMER_REAL)[0] == 0
        assert 590 < signal.getitimer(signal.ITIMER_REAL)[0] <= 600
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def test_a_wrong_setting_is_told(monkeypatch):
    monkeypatch.setenv("ACCLIMATE_APPROVAL", "perhaps")
    with pytest.raises(UserError, match=r"ACCLIMATE_APPROVAL=perhaps: input should be 'none' or 'ask'"):
        approval.settings()


# By command


def test_what_does_not_wait_cannot_be_answered(tags, settings):
    for name, version, said in (
        ("hpo", "", "no version of hpo waits for approval; to put one into service: acclimate models promote hpo"),
        ("hpo", "2", "version 2 of hpo does not wait for approval"),
        ("nope", "", "no model of 'nope' yet"),
        ("../data", "", "domain name '../data'"),
    ):
        with pytest.raises(UserError, match=said):
            approval.answer_request(settings, name, version, True)


def test_an_answer_without_a_server_says_what_to_do(tags, settings, monkeypatch):
    tags.tags |= {"decision": "awaiting approval", "approval_run": str(RUN.id)}
    monkeypatch.setattr(approval, "running_ui", lambda settings: None)
    with pytest.raises(UserError, match=r"is gone .use acclimate models promote hpo 2, .* no Prefect server runs"):
        approval.answer_request(settings, "hpo", "", True)


def test_an_answer_is_recorded_before_the_run_is_resumed_and_waits_until_it_acted(tags, settings, monkeypatch):
    tags.tags |= {"decision": "awaiting approval", "approval_run": str(RUN.id)}
    given = []

    @contextmanager
    def server(settings):
        yield

    def resume(run, answer):
        given.append((run, answer, tags.tags["approval"].split(",")[0]))
        tags.tags["decision"] = "promoted"
        tags.aliases.append("champion")

    monkeypatch.setattr(approval, "running_ui", lambda settings: "http://127.0.0.1:1")
    monkeypatch.setattr(approval, "prefect_server", server)
    monkeypatch.setattr(approval, "resume", resume)
    monkeypatch.setattr(approval, "is_deployed", lambda run: False)
    assert approval.answer_request(settings, "hpo", "", True).aliases == ("champion",)
    assert given == [(RUN.id, {"approve": True, "reason": ""}, "approved by a person")]


# What is said of it


def test_the_last_decision_of_each_model_is_told_with_reason_and_time(tags, settings):
    said = {"version": "2", "decision": "promoted", "reason": "better by 3 points", "when": "2026-01-02T00:00:00+00:00"}
    assert last_decisions(settings, ["hpo", "nope"]) == {"hpo": said}
    tags.tags |= {"decision": "awaiting approval", "asked": "2026-01-03"}
    said = last_decisions(settings, ["hpo"])["hpo"]
    assert (said["reason"], said["when"]) == ("acclimate models approve hpo 2, or refuse", "2026-01-03")
    tags.tags |= {"decision": "promoted", "withdrawn": "2026-01-04"}
    assert decision_on(registry.get(settings, "hpo", "2"))["decision"] == "taken out of service by a person"
    found = apply_verdict(RESULT, tags.tags)
    assert (found.decision, found.reason) == ("refused", "a person took version 2 out of service at 2026-01-04")
