"""Ticks: each change is asked for once, and asked for again until it is done, whatever dies in between."""

import hashlib
import os
import shutil
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from uuid import UUID, uuid4

import pytest
from prefect.client.schemas.objects import State
from prefect.exceptions import ObjectNotFound
from prefect.states import Cancelled, Completed, Crashed, Failed, Running

from domains.errors import UserError
from tasks.adapt.adaptation import Adaptation, adaptation_key
from tasks.base.settings import Settings
from tasks.models import registry
from tasks.models.registry import Registered
from tasks.versions.git import git
from tasks.versions.snapshots import domains_at
from tasks.watch import ledger, reconciling, submitting
from tasks.watch import noticing as watching
from tasks.watch import run_locks as alive


class Server:
    """As much of a Prefect client as a tick uses: one run for one idempotency key."""

    def __init__(self, *deployments):
        self.deployments = deployments or (submitting.ADAPT, submitting.ADAPT_MANY)
        self.runs, self.by_key, self.states = {}, {}, {}

    def read_deployment_by_name(self, name):
        if name not in self.deployments:
            raise ObjectNotFound(Exception(name))
        return SimpleNamespace(id=name)

    def create_flow_run_from_deployment(self, deployment, parameters, tags, idempotency_key):
        run = self.by_key.setdefault(idempotency_key, uuid4())
        self.runs.setdefault(run, (deployment, parameters))
        self.states.setdefault(run, Running())
        return SimpleNamespace(id=run)

    def read_flow_run(self, run):
        if run not in self.states:
            raise ObjectNotFound(Exception(run))
        return SimpleNamespace(state=self.states[run])

    def end(self, state: State):
        """End every run in this state."""
        self.states = dict.fromkeys(self.states, state)


@pytest.fixture
def there(checkout, monkeypatch):
    """A checkout with one target, news, a meta-model of texts in service, and no champion."""
    models = {"meta-text": version_of("meta-text", "7")}
    monkeypatch.setattr(registry, "champion", lambda settings, name: models.get(name))
    monkeypatch.setattr(registry, "find_by_key", lambda settings, key: models.get(key))
    checkout.write("news", train=6, test=4)
    return SimpleNamespace(checkout=checkout, settings=Settings(root=checkout.root), models=models)


def version_of(name: str, number: str, params=(), tags=(), aliases=("champion",)) -> Registered:
    now = datetime.now(UTC)
    return Registered(name, number, "", aliases, dict(params), {}, dict(tags), "", now, "")


def commit_of(there) -> str:
    return there.checkout.git("rev-parse", "HEAD")


def noticed(there):
    return watching.notice(there.settings, commit_of(there))


def test_a_target_is_opened_once_and_a_source_never(there):
    opened, notes = noticed(there)
    assert [row.domain for row in opened] == ["news"]
    assert notes == []
    assert opened[0].parameters == {
        "domain": "news",
        "k": 10,
        "revision": commit_of(there),
        "draws": 10,
        "method": "auto",
    }
    assert opened[0].why == "no champion yet"
    assert noticed(there) == ([], [])


def test_only_what_changed_is_opened_and_takes_the_place_of_what_waits(there):
    noticed(there)
    there.checkout.write("news", train=8, test=4)
    commit(there)
    (new,), _ = noticed(there)
    first, second = ledger.rows(there.settings)
    assert (first.status, second.name) == ("overtaken", new.name)
    assert "took its place" in first.reason


def test_what_was_overtaken_is_opened_again_when_it_is_wanted_again_as_another_run(there):
    (first,), _ = noticed(there)
    ledger.asked(there.settings, {first.name: 1}, str(uuid4()))
    there.checkout.write("news", train=8, test=4)
    commit(there)
    noticed(there)
    there.checkout.write("news", train=6, test=4)
    commit(there)
    (again,), _ = noticed(there)
    assert (again.name, again.status, again.attempts, again.flow_run) == (first.name, "open", 1, "")
    assert sorted(row.status for row in ledger.rows(there.settings)) == ["open", "overtaken"]


def commit(there):
    from tasks.versions.commit import commit as commit_data

    commit_data(there.checkout.root, there.settings.home_path, "more", checked=False)


def test_few_draws_are_made_where_many_have_to_be_adapted_to_not_where_many_were_already(there, monkeypatch):
    for name in ("a", "b", "c"):
        there.checkout.write(name, train=6, test=4)
    commit(there)
    opened, _ = noticed(there)
    assert {row.parameters["draws"] for row in opened} == {watching.FEW_DRAWS}
    there.models["meta-text"] = version_of("meta-text", "8")
    done = version_of("x", "1", tags={"decision": "promoted"})
    news = adaptation_key(watching.target(there.settings, "news", commit_of(there)), "8", Adaptation())
    monkeypatch.setattr(registry, "find_by_key", lambda settings, key: None if key == news else done)
    opened, _ = noticed(there)
    assert {row.domain: (row.status, row.parameters["draws"]) for row in opened} == {
        "news": ("open", 10),
        **dict.fromkeys("abc", ("done", 10)),
    }


def test_a_domain_is_adapted_to_as_a_person_chose_for_its_champion(there):
    tags = {"content_hash": domains_at(there.checkout.root)["news"], "meta_version": "6", "method": "linear"}
    there.models["news"] = version_of("news", "1", {"k": "5", "draws": "3"}, tags)
    (row,), _ = noticed(there)
    assert {name: row.parameters[name] for name in ("k", "method")} == {"k": 5, "method": "linear"}
    assert row.parameters["draws"] == 10  # the champion's own may have been few as many changed at once
    assert row.why == "meta-model 7 took the place of 6"


@pytest.mark.parametrize(
    ("decision", "aliases", "status"),
    [
        ("promoted", ("champion",), "done"),
        ("refused", (), "done"),
        ("promoted", (), "open"),
        ("promoted", ("previous",), "done"),
    ],
    ids=["in-service", "refused", "killed-before-it-came-into-service", "rolled-back"],
)
def test_what_was_done_by_hand_needs_no_run_unless_it_was_left_half_way(there, monkeypatch, decision, aliases, status):
    made = version_of("news", "1", tags={"decision": decision}, aliases=aliases)
    monkeypatch.setattr(registry, "find_by_key", lambda settings, key: made)
    (row,), _ = noticed(there)
    assert row.status == status


def test_without_a_meta_model_a_line_says_what_to_do(there):
    del there.models["meta-text"]
    assert noticed(there) == ([], ["no meta-model of family text yet: acclimate meta-train --family text"])


def test_an_unknown_domain_or_revision_is_refused(there):
    with pytest.raises(UserError, match=r"no domain '\.\./x'"):
        watching.notice(there.settings, commit_of(there), ["../x"])
    with pytest.raises(UserError, match="unknown git revision"):
        watching.commit_to_watch(Settings(root=there.checkout.root, watch="gone"), [])


def test_a_remote_that_cannot_be_reached_is_a_note_and_what_is_known_of_it_is_used(there):
    there.checkout.git("remote", "add", "origin", str(there.checkout.root / "nowhere"))
    there.checkout.git("update-ref", "refs/remotes/origin/main", "HEAD")
    notes = []
    watched = Settings(root=there.checkout.root, watch="origin/main")
    assert watching.commit_to_watch(watched, notes) == commit_of(there)
    assert "git remote origin cannot be reached" in notes[0]


def test_a_remote_that_does_not_answer_does_not_keep_the_tick(there):
    os.mkfifo(there.checkout.root / "never")
    there.checkout.git("config", "alias.wait", "!cat never")  # a process of git's own, as ssh is
    done = git(there.checkout.root, "wait", seconds=0.2)
    assert (done.returncode, done.stderr) == (1, "no answer within 0.2 s")


def test_what_a_schedule_reads_is_the_revision_that_is_watched(there, monkeypatch):
    there.checkout.git("branch", "older")
    there.checkout.write("news", train=8, test=4)
    commit(there)
    monkeypatch.setenv("ACCLIMATE_WATCH", "older")
    assert watching.revision_to_read("HEAD") == "HEAD"
    assert watching.revision_to_read("") == there.checkout.git("rev-parse", "older") != commit_of(there)


def test_a_domain_whose_bytes_are_damaged_is_a_note_until_they_are_whole_and_the_others_go_on(there):
    data = there.checkout.root / "data"
    md5 = hashlib.md5((data / "trec/domain.yaml").read_bytes(), usedforsecurity=False).hexdigest()
    shutil.rmtree(data)
    kept = there.checkout.root / ".dvc/cache/files/md5" / md5[:2] / md5[2:]
    whole = kept.read_bytes()
    kept.chmod(0o644)
    kept.write_bytes(b"role: [")
    opened, (note,) = noticed(there)
    assert [row.domain for row in opened] == ["news"]
    assert note.startswith("trec: ")
    kept.write_bytes(whole)
    assert noticed(there) == ([], [])


def opened(settings, *domains):
    rows = [ledger.Row(f"row {d}", d, "h", f"key {d}", {"domain": d}, "new") for d in domains]
    return ledger.add(settings, rows)


def test_a_run_is_asked_for_once_even_if_the_ledger_never_heard_of_it(settings, monkeypatch):
    server = Server()
    opened(settings, "news")
    with monkeypatch.context() as patch:  # killed between the server's answer and the ledger
        patch.setattr(ledger, "asked", lambda *arguments: None)
        submitting.submit_due(settings, server)
    asked, _ = submitting.submit_due(settings, server)
    assert list(map(str, server.runs)) == list(asked.values())
    assert submitting.submit_due(settings, server) == ({}, [])


@pytest.mark.parametrize("end", [Crashed(), Completed()], ids=["crashed", "ended-without-a-result"])
def test_what_ended_without_a_result_is_asked_for_again_at_once(settings, end):
    server = Server()
    opened(settings, "news")
    submitting.submit_due(settings, server)
    server.end(end)
    submitting.submit_due(settings, server)
    assert len(server.runs) == 2
    assert [row.attempts for row in ledger.rows(settings)] == [2]


def test_a_run_that_failed_is_tried_again_later_and_not_for_ever(settings):
    server = Server()
    opened(settings, "news")
    submitting.submit_due(settings, server)
    server.end(Failed(message="UserError: no labels"))
    assert submitting.submit_due(settings, server) == ({}, [])
    server.end(replaced(Failed(message="UserError: no labels"), hours=2))
    for _ in range(submitting.ATTEMPTS):
        submitting.submit_due(settings, server)
        server.end(replaced(Failed(message="UserError: no labels"), hours=2))
    (row,) = ledger.rows(settings, "failed")
    assert (row.attempts, row.reason) == (submitting.ATTEMPTS, "5 runs of it failed: UserError: no labels")


def test_a_clock_that_was_put_back_makes_no_run_wait_for_it(settings):
    server = Server()
    opened(settings, "news")
    submitting.submit_due(settings, server)
    server.end(replaced(Failed(message="UserError: no labels"), hours=-24))
    assert submitting.submit_due(settings, server)[0].keys() == {"news"}


def replaced(state: State, hours: float) -> State:
    return state.model_copy(update={"timestamp": datetime.now(UTC) - timedelta(hours=hours)})


def test_a_run_that_a_person_cancelled_is_left_alone_and_one_that_the_server_lost_is_not(settings):
    server = Server()
    opened(settings, "news", "trec")
    submitting.submit_due(settings, server)
    ids = {row.domain: UUID(row.flow_run) for row in ledger.rows(settings)}
    server.states[ids["news"]] = Cancelled()
    del server.states[ids["trec"]]
    asked, _ = submitting.submit_due(settings, server)
    assert list(asked) == ["trec"]
    assert [row.domain for row in ledger.rows(settings, "failed")] == ["news"]


def test_many_rows_share_as_many_runs_as_there_are_processes(tmp_path):
    there, server = Settings(root=tmp_path, processes=2), Server()
    opened(there, *(f"d{i}" for i in range(7)))
    asked, _ = submitting.submit_due(there, server)
    assert len(asked) == 7
    assert sorted(len(parameters["requests"]) for _, parameters in server.runs.values()) == [3, 4]


def test_where_nothing_is_deployed_the_rows_wait(settings):
    opened(settings, "news")
    asked, notes = submitting.submit_due(settings, Server("other"))
    assert asked == {}
    assert notes == ["no deployment adapt/acclimate: `acclimate up` registers it; 1 wait in the ledger"]


def test_drift_and_watch_open_one_row_between_them_whichever_comes_first(there, monkeypatch):
    from tasks.drift.steps import open_adaptation

    server = Server()
    monkeypatch.setattr("prefect.client.orchestration.get_client", lambda sync_client: nullcontext(server))
    said = open_adaptation(there.settings, "news", commit_of(there), "p < 0.001")
    assert said.startswith("adapt asked for as run ")
    assert [row.why for row in ledger.rows(there.settings)] == ["drift: p < 0.001"]
    assert noticed(there) == ([], [])
    again = open_adaptation(there.settings, "news", commit_of(there), "p < 0.001")
    assert again == "its new data are in the ledger already; see acclimate status"
    assert len(server.runs) == 1


def run_of(state: State, **values):
    return SimpleNamespace(id=uuid4(), name="adapt", state=state, **values)


def test_the_process_of_a_run_is_known_to_live_while_it_does(settings, monkeypatch):
    monkeypatch.setattr(alive, "settings", lambda: settings)
    run = run_of(Running())
    assert alive.lives(settings, run.id) is None
    alive.mark(None, run, None)
    assert alive.lives(settings, run.id) is True
    alive.forget(settings, alive.ended(settings))
    assert alive.lives(settings, run.id) is True
    alive._held.pop(str(run.id)).close()  # as the kernel does when a process ends
    assert alive.lives(settings, run.id) is False
    assert reconciling.is_dead(settings, run, None)
    alive.forget(settings, alive.ended(settings))
    assert alive.lives(settings, run.id) is None
    assert not reconciling.is_dead(settings, run, None)


def test_every_flow_that_marks_its_runs_is_looked_after():
    from importlib import import_module
    from pkgutil import iter_modules

    from prefect import Flow

    import flows

    modules = [import_module(f"flows.{found.name}") for found in iter_modules(flows.__path__)]
    every = {value for module in modules for value in vars(module).values() if isinstance(value, Flow)}
    marked = {flow.name for flow in every if alive.mark in (flow.on_running_hooks or [])}
    assert marked == set(reconciling.FLOWS)


def test_a_run_that_dies_while_others_are_cleared_keeps_its_file_for_the_next_time(settings, monkeypatch):
    monkeypatch.setattr(alive, "settings", lambda: settings)
    run = run_of(Running())
    alive.mark(None, run, None)
    ended = alive.ended(settings)
    alive._held.pop(str(run.id)).close()
    reconciling.clear_files(settings, ended)
    assert alive.lives(settings, run.id) is False


def test_a_run_that_never_began_is_dead_when_its_worker_is_or_after_a_while(settings):
    from prefect.states import Pending

    young, old = run_of(Pending()), run_of(replaced(Pending(), hours=1))
    now = datetime.now(UTC).timestamp()
    assert not reconciling.is_dead(settings, young, None)
    assert not reconciling.is_dead(settings, young, now - 100)
    assert reconciling.is_dead(settings, young, now + 100)
    assert reconciling.is_dead(settings, old, None)
