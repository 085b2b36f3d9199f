"""A run is known to live while its process does, and what dead ones left behind is cleared."""

from datetime import UTC, datetime
from types import SimpleNamespace
from uuid import uuid4

from prefect.client.schemas.objects import State
from prefect.states import Pending, Running

from tasks.watch import reconciling, run_locks


def run_of(state: State, **values):
    return SimpleNamespace(id=uuid4(), name="adapt", state=state, **values)


def test_the_process_of_a_run_is_known_to_live_while_it_does(settings, monkeypatch):
    monkeypatch.setattr(run_locks, "settings", lambda: settings)
    run = run_of(Running())
    assert run_locks.is_alive(settings, run.id) is None
    run_locks.mark(None, run, None)
    assert run_locks.is_alive(settings, run.id) is True
    run_locks.forget(settings, run_locks.ended_runs(settings))
    assert run_locks.is_alive(settings, run.id) is True
    run_locks._held.pop(str(run.id)).close()  # as the kernel does when a process ends
    assert run_locks.is_alive(settings, run.id) is False
    assert reconciling.is_dead(settings, run, None)
    run_locks.forget(settings, run_locks.ended_runs(settings))
    assert run_locks.is_alive(settings, run.id) is None
    assert not reconciling.is_dead(settings, run, None)


def test_every_flow_that_marks_its_runs_is_looked_after():
    from importlib import import_module
    from pkgutil import iter_modules

    from prefect import Flow

    import flows

    modules = [import_module(f"flows.{found.name}") for found in iter_modules(flows.__path__)]
    every = {value for module in modules for value in vars(module).values() if isinstance(value, Flow)}
    marked = {flow.name for flow in every if run_locks.mark in (flow.on_running_hooks or [])}
    assert marked == set(reconciling.FLOWS)


def test_a_run_that_dies_while_others_are_cleared_keeps_its_file_for_the_next_time(settings, monkeypatch):
    monkeypatch.setattr(run_locks, "settings", lambda: settings)
    run = run_of(Running())
    run_locks.mark(None, run, None)
    ended = run_locks.ended_runs(settings)
    run_locks._held.pop(str(run.id)).close()
    reconciling.clear_files(settings, ended)
    assert run_locks.is_alive(settings, run.id) is False


def test_a_run_that_never_began_is_dead_when_its_worker_is_or_after_a_while(settings, aged):
    young, old = run_of(Pending()), run_of(aged(Pending(), hours=1))
    now = datetime.now(UTC).timestamp()
    assert not reconciling.is_dead(settings, young, None)
    assert not reconciling.is_dead(settings, young, now - 100)
    assert reconciling.is_dead(settings, young, now + 100)
    assert reconciling.is_dead(settings, old, None)
