"""Flow runs: one for each row of the ledger, and another until the row is done, whatever dies in between."""

from contextlib import nullcontext
from types import SimpleNamespace
from uuid import UUID

import pytest
from prefect.states import Cancelled, Completed, Crashed, Failed, Suspended

from domains.errors import UserError
from tasks.base.settings import Settings
from tasks.watch import ledger, submitting


def add_rows(settings, *domains):
    rows = [ledger.LedgerRow(f"row {d}", d, "h", f"key {d}", {"domain": d}, "new") for d in domains]
    return ledger.add_rows(settings, rows)


def test_a_run_is_asked_for_once_even_if_the_ledger_never_heard_of_it(settings, monkeypatch, server):
    add_rows(settings, "news")
    with monkeypatch.context() as patch:  # killed between the server's answer and the ledger
        patch.setattr(ledger, "record_run", lambda *arguments: None)
        submitting.submit_due(settings, server)
    submitted, _ = submitting.submit_due(settings, server)
    assert list(map(str, server.runs)) == list(submitted.values())
    assert submitting.submit_due(settings, server) == ({}, [])


@pytest.mark.parametrize("end", [Crashed(), Completed()], ids=["crashed", "ended-without-a-result"])
def test_what_ended_without_a_result_is_asked_for_again_at_once(settings, end, server):
    add_rows(settings, "news")
    submitting.submit_due(settings, server)
    server.end(end)
    submitting.submit_due(settings, server)
    assert len(server.runs) == 2
    assert [row.attempts for row in ledger.list_rows(settings)] == [2]


def test_a_run_that_failed_is_tried_again_later_and_not_for_ever(settings, server, aged):
    add_rows(settings, "news")
    submitting.submit_due(settings, server)
    server.end(Failed(message="UserError: no labels"))
    assert submitting.submit_due(settings, server) == ({}, [])
    server.end(aged(Failed(message="UserError: no labels"), hours=2))
    for _ in range(submitting.ATTEMPTS):
        submitting.submit_due(settings, server)
        server.end(aged(Failed(message="UserError: no labels"), hours=2))
    (row,) = ledger.list_rows(settings, "failed")
    assert (row.attempts, row.reason) == (submitting.ATTEMPTS, "5 runs of it failed: UserError: no labels")


def test_a_run_that_is_suspended_until_a_person_answers_is_not_asked_for_again(settings, server, aged):
    add_rows(settings, "news")
    submitting.submit_due(settings, server)
    server.end(aged(Suspended(), hours=20))
    assert submitting.submit_due(settings, server) == ({}, [])


def test_a_challenger_made_among_many_is_asked_about_in_a_run_of_its_own(server, monkeypatch):
    monkeypatch.setattr("prefect.client.orchestration.get_client", lambda sync_client: nullcontext(server))
    made = SimpleNamespace(domain="news", model_version="2", revision="abc", meta_version="7")
    run = submitting.ask_in_own_run({"domain": "news", "k": None, "revision": "HEAD"}, made)
    asked = {"domain": "news", "k": None, "revision": "abc", "meta_version": "7", "approval": True}
    assert server.runs == {UUID(run): ("adapt/acclimate", asked)}
    server.deployments = ()
    with pytest.raises(
        UserError, match="nobody can be asked about news: no deployment adapt/acclimate, run acclimate up"
    ):
        submitting.ask_in_own_run({}, made)


def test_a_clock_that_was_put_back_makes_no_run_wait_for_it(settings, server, aged):
    add_rows(settings, "news")
    submitting.submit_due(settings, server)
    server.end(aged(Failed(message="UserError: no labels"), hours=-24))
    assert submitting.submit_due(settings, server)[0].keys() == {"news"}


def test_a_run_that_a_person_cancelled_is_left_alone_and_one_that_the_server_lost_is_not(settings, server):
    add_rows(settings, "news", "trec")
    submitting.submit_due(settings, server)
    ids = {row.domain: UUID(row.flow_run) for row in ledger.list_rows(settings)}
    server.states[ids["news"]] = Cancelled()
    del server.states[ids["trec"]]
    submitted, _ = submitting.submit_due(settings, server)
    assert list(submitted) == ["trec"]
    assert [row.domain for row in ledger.list_rows(settings, "failed")] == ["news"]


def test_many_rows_share_as_many_runs_as_there_are_processes(tmp_path, server):
    there = Settings(root=tmp_path, processes=2)
    add_rows(there, *(f"d{i}" for i in range(7)))
    submitted, _ = submitting.submit_due(there, server)
    assert len(submitted) == 7
    assert sorted(len(parameters["requests"]) for _, parameters in server.runs.values()) == [3, 4]


def test_no_run_is_asked_for_that_has_nothing_to_do(tmp_path, server):
    there = Settings(root=tmp_path, processes=16)
    add_rows(there, *(f"d{i}" for i in range(5)))
    submitting.submit_due(there, server)
    assert [len(p["requests"]) if "requests" in p else 1 for _, p in server.runs.values()] == [1] * 5


def test_a_row_is_in_one_run_whoever_is_killed_and_whatever_came_meanwhile(settings, monkeypatch, server):
    add_rows(settings, "a", "b", "c", "d")
    with monkeypatch.context() as patch:  # killed between the server's answer and the ledger
        patch.setattr(ledger, "record_run", lambda *arguments: None)
        submitting.submit_due(settings, server)
    add_rows(settings, "e")
    submitting.submit_due(settings, server)
    asked = [r["domain"] for _, p in server.runs.values() for r in p.get("requests", [p])]
    assert sorted(asked) == ["a", "b", "c", "d", "e"]


def test_crashes_are_not_failures_and_have_a_bound_of_their_own_with_longer_and_longer_pauses(settings, server, aged):
    add_rows(settings, "news")
    submitting.submit_due(settings, server)
    for _ in range(submitting.ATTEMPTS + 1):
        server.end(aged(Crashed(message="its process is gone"), hours=2))
        submitting.submit_due(settings, server)
    (row,) = ledger.list_rows(settings, "open")
    assert (row.crashes, row.failures, row.attempts) == (6, 0, 7)
    assert ledger.display_row(row)["reason"] == "6 of 20 runs crashed"
    server.end(Crashed())
    assert submitting.submit_due(settings, server) == ({}, [])
    for _ in range(submitting.CRASHES):
        server.end(aged(Crashed(message="its process is gone"), hours=2))
        submitting.submit_due(settings, server)
    (row,) = ledger.list_rows(settings, "failed")
    assert row.reason == "20 runs of it crashed: its process is gone; it may need more memory than there is"


def test_pauses_grow_up_to_an_hour():
    minutes = [[submitting.delay(how, n).total_seconds() / 60 for n in (0, 1, 2, 9)] for how in ("failed", "crashed")]
    assert minutes == [[2, 4, 8, 60], [0, 2, 4, 60]]


def test_what_crashed_twice_runs_by_itself(tmp_path, server, aged):
    there = Settings(root=tmp_path, processes=1)
    add_rows(there, *(f"d{i}" for i in range(5)))
    for _ in range(3):
        submitting.submit_due(there, server)
        server.end(aged(Crashed(), hours=2))
    runs = [len(parameters.get("requests", [0])) for _, parameters in server.runs.values()]
    assert runs == [5, 5, 1, 1, 1, 1, 1]


def test_where_nothing_is_deployed_the_rows_wait(settings, server):
    add_rows(settings, "news")
    server.deployments = ("other",)
    submitted, notes = submitting.submit_due(settings, server)
    assert submitted == {}
    assert notes == ["no deployment adapt/acclimate: `acclimate up` registers it; 1 wait in the ledger"]
