"""What crashes runs that went silent: runs of our own work pool, after three signs of life that did not come."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from prefect.server.events.schemas.automations import EventTrigger
from prefect.server.events.schemas.events import ReceivedEvent
from prefect.settings.models.root import Settings as PrefectSettings

from tasks.base.settings import Settings
from tasks.service import deployments, forks
from tasks.service.environment import subprocess_environment

OURS, OTHER = uuid4(), uuid4()


def event(name: str, deployment: object, *related: dict[str, str]) -> ReceivedEvent:
    """An event of a flow run, as its engine or the server emits it."""
    of = {"prefect.resource.id": f"prefect.deployment.{deployment}", "prefect.resource.role": "deployment"}
    now = datetime.now(UTC)
    return ReceivedEvent(
        occurred=now,
        received=now,
        event=f"prefect.flow-run.{name}",
        resource={"prefect.resource.id": f"prefect.flow-run.{uuid4()}"},
        related=[of, {"prefect.resource.id": "prefect.tag.acclimate", "prefect.resource.role": "tag"}, *related],
        id=uuid4(),
    )


@pytest.fixture(scope="module")
def trigger() -> EventTrigger:
    """The trigger as the server reads it."""
    made = deployments.silence_trigger([uuid4(), OURS])
    return EventTrigger.model_validate(made.model_dump(mode="json"))


def test_a_run_is_silent_after_three_signs_of_life_that_did_not_come(trigger: EventTrigger) -> None:
    assert timedelta(seconds=3 * forks.BEAT) < trigger.within <= timedelta(seconds=4 * forks.BEAT)
    assert trigger.starts_after("prefect.flow-run.heartbeat")
    assert trigger.expects("prefect.flow-run.heartbeat")
    assert trigger.expects("prefect.flow-run.Suspended")
    assert trigger.for_each == {"prefect.resource.id"}


@pytest.mark.parametrize("name", ["heartbeat", "Completed"])
def test_runs_of_another_pool_are_left_alone(trigger: EventTrigger, name: str) -> None:
    pool = {"prefect.resource.id": f"prefect.work-pool.{uuid4()}", "prefect.resource.role": "work-pool"}
    assert trigger.covers(event(name, OURS, pool))
    assert not trigger.covers(event(name, OTHER, pool))
    by_hand = event(name, OURS)
    assert not trigger.covers(by_hand.model_copy(update={"related": by_hand.related[1:]}))


def test_workers_and_runs_say_that_they_live_as_often_as_the_automation_expects(
    tmp_path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREFECT_RUNNER_HEARTBEAT_FREQUENCY", "180")  # as it was called before
    monkeypatch.setenv("PREFECT_FLOWS_HEARTBEAT_FREQUENCY", "600")
    assert subprocess_environment(Settings(root=tmp_path))["PREFECT_FLOWS_HEARTBEAT_FREQUENCY"] == "30"
    asked = []
    monkeypatch.setenv("ACCLIMATE_HOME", str(tmp_path))
    monkeypatch.setattr(forks, "run_in_fork", lambda *_: asked.append(PrefectSettings().flows.heartbeat_frequency) or 0)
    with pytest.raises(SystemExit):
        forks.main()  # `acclimate-run`, of a worker that somebody else started
    assert asked == [forks.BEAT]
