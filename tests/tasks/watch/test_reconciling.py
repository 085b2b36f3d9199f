"""A run is known to live while its process does, and what dead ones left behind is cleared."""

import socket
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from uuid import uuid4

import pytest
from prefect.client.schemas.objects import State, StateType
from prefect.states import Cancelling, Paused, Pending, Running, Suspended

from tasks.base.settings import Settings
from tasks.models.verdicts import GRACE
from tasks.watch import reconciling, run_locks
from tasks.watch.reconciling import Worker

OURS = Worker("acclimate here 1234")


def run_of(state: State, taken_by: str | None = None, pool: str = "acclimate", hours: float = 1, **values):
    """A flow run that has been in a state for so long."""
    state = state.model_copy(update={"timestamp": datetime.now(UTC) - timedelta(hours=hours)})
    labels = {} if taken_by is None else {"prefect.worker.name": taken_by}
    return SimpleNamespace(id=uuid4(), name="adapt", state=state, pool=pool, labels=labels, **values)


class Server:
    """As much of a Prefect client as clearing uses."""

    def __init__(self, *runs, pool_type="process"):
        self.runs, self.pool_type, self.answers = {run.id: run for run in runs}, pool_type, {}

    def resume_flow_run(self, run, answer):
        self.answers[run] = answer

    def read_work_pool(self, name):
        return SimpleNamespace(type=self.pool_type)

    def read_flow_runs(self, flow_run_filter, work_pool_filter=None, limit=200, offset=0):
        types, names = flow_run_filter.state.type, flow_run_filter.state.name
        found = [run for run in self.runs.values() if types is None or run.state.type in types.any_]
        found = [run for run in found if names is None or run.state.name in names.any_]
        if flow_run_filter.id is not None:
            found = [run for run in found if run.id in flow_run_filter.id.any_]
        if work_pool_filter is not None:
            found = [run for run in found if run.pool in work_pool_filter.name.any_]
        return found[offset : offset + limit]

    def set_flow_run_state(self, run, state, force):
        self.runs[run].state = state

    def clear(self, settings, worker=OURS):
        """Clear, and return the runs that are dead."""
        before = {run.id: run.state for run in self.runs.values()}
        ended = run_locks.ended_runs(settings)
        reconciling.clear_dead_runs(settings, self, ended, worker)
        return {run.id for run in self.runs.values() if run.state is not before[run.id]}


@pytest.fixture
def began_here(settings, monkeypatch):
    """Have runs begin in this home, and their processes end unless they are kept."""
    monkeypatch.setattr(run_locks, "settings", lambda: settings)

    def begin(*runs, ends=True):
        for run in runs:
            run_locks.mark(None, run, None)
            if ends:
                run_locks._held.pop(str(run.id)).close()  # as the kernel does when a process ends

    yield begin
    for file in run_locks._held.values():
        file.close()
    run_locks._held.clear()


def test_the_process_of_a_run_is_known_to_live_while_it_does(settings, began_here):
    run = run_of(Running())
    assert run_locks.is_alive(settings, run.id) is None
    began_here(run, ends=False)
    assert run_locks.is_alive(settings, run.id) is True
    run_locks.forget(settings, run_locks.ended_runs(settings))
    assert run_locks.is_alive(settings, run.id) is True
    run_locks._held.pop(str(run.id)).close()
    assert run_locks.is_alive(settings, run.id) is False
    assert Server(run).clear(settings) == {run.id}
    assert (run.state.name, run.state.message) == ("Crashed", "its process is gone")
    run_locks.forget(settings, run_locks.ended_runs(settings))
    assert run_locks.is_alive(settings, run.id) is None


def test_what_began_and_lost_its_process_is_cleared_and_what_waits_without_one_is_not(settings, began_here):
    running, paused, cancelling = run_of(Running()), run_of(Paused()), run_of(Cancelling())
    suspended, begins_anew, lives = run_of(Suspended()), run_of(Running(), hours=0), run_of(Running())
    began_here(running, paused, cancelling, suspended, begins_anew)
    began_here(lives, ends=False)
    server = Server(running, paused, cancelling, suspended, begins_anew, lives)
    assert server.clear(settings) == {running.id, paused.id, cancelling.id}
    assert cancelling.state.type == StateType.CANCELLED


def test_runs_of_other_machines_workers_and_projects_are_left_alone(settings, began_here):
    elsewhere = run_of(Running(), taken_by="acclimate there 1234")
    theirs = run_of(Pending(), taken_by="acclimate there 1234")
    other_project = run_of(Pending(), pool="default")
    of_another_machine = run_of(Running())
    began_here(of_another_machine)  # in a home that both machines share
    (settings.home_path / "runs" / str(of_another_machine.id)).write_text("there")
    assert Server(elsewhere, theirs, other_project, of_another_machine).clear(settings) == set()


def test_a_run_that_never_began_is_dead_when_its_worker_is_or_after_a_while(settings):
    young, old = run_of(Pending(), OURS.name, hours=0.03), run_of(Pending(), OURS.name)
    unlabelled = run_of(Pending())  # its worker died as it took it
    now = datetime.now(UTC).timestamp()
    assert Server(young, old, unlabelled).clear(settings) == {old.id, unlabelled.id}
    assert Server(young).clear(settings, Worker(OURS.name, now - 200)) == set()
    assert Server(young).clear(settings, Worker(OURS.name, now)) == {young.id}


def test_an_image_may_take_as_long_to_be_pulled_as_the_setting_says(tmp_path):
    def run():
        return run_of(Pending(), OURS.name, hours=0.5)

    pulls = run()
    assert Server(pulls, pool_type="kubernetes").clear(Settings(root=tmp_path)) == set()
    assert Server(pulls, pool_type="docker").clear(Settings(root=tmp_path, pending_limit="10m")) == {pulls.id}
    assert len(Server(run()).clear(Settings(root=tmp_path, pending_limit="2h"))) == 0


def test_a_run_that_waits_for_a_person_is_answered_no_when_its_time_is_up(settings):
    def waits(hours: float, **values):
        run = run_of(Suspended(), **values)
        run.state.state_details.pause_timeout = datetime.now(UTC) + timedelta(seconds=GRACE, hours=hours)
        return run

    late, early, theirs = waits(-0.001), waits(0.1), waits(-1, pool="default")
    server = Server(late, early, theirs)
    assert reconciling.refuse_late(server) == ["adapt: nobody approved in time"]
    assert server.answers == {late.id: {"approve": False}}


def test_a_run_that_dies_while_others_are_cleared_keeps_its_file_for_the_next_time(settings, began_here):
    run = run_of(Running())
    began_here(run, ends=False)
    ended = run_locks.ended_runs(settings)
    run_locks._held.pop(str(run.id)).close()
    reconciling.clear_files(settings, ended)
    assert run_locks.is_alive(settings, run.id) is False
    assert (settings.home_path / "runs" / str(run.id)).read_text() == socket.gethostname()
