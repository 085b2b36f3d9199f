"""The ledger: a row is opened once, however often and by however many it is asked for."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from domains.errors import UserError
from tasks.base.settings import Settings
from tasks.watch import ledger
from tasks.watch.ledger import LedgerRow


def row(name: str = "a", **values: object) -> LedgerRow:
    return LedgerRow(
        **{"name": name, "domain": "hpo", "content_hash": "h", "key": f"key {name}"}
        | {"parameters": {"k": 5}}
        | {"why": "new"}
        | values
    )


def test_a_row_is_opened_once_and_keeps_what_it_said_first(settings):
    (first,) = ledger.add_rows(settings, [row()])
    assert first.opened
    assert first.status == "open"
    assert ledger.add_rows(settings, [row(why="again"), row("b")]) == [ledger.list_rows(settings)[1]]
    assert [(r.name, r.why, r.parameters) for r in ledger.list_rows(settings)] == [
        ("a", "new", {"k": 5}),
        ("b", "new", {"k": 5}),
    ]
    assert ledger.known_names(settings, ["a", "c"]) == {"a"}


def test_an_adaptation_closes_the_rows_with_its_key_once(settings):
    ledger.add_rows(settings, [row(), row("b", key="key a"), row("c")])
    ledger.record_run(settings, {"a": 2}, "run")
    assert ledger.close_rows(settings, "key a", "3", "promoted", "better") == 2
    assert ledger.close_rows(settings, "key a", "4", "refused", "worse") == 0
    closed = next(r for r in ledger.list_rows(settings, "done") if r.name == "a")
    assert (closed.version, closed.decision, closed.reason, closed.attempts, closed.flow_run) == (
        "3",
        "promoted",
        "better",
        2,
        "run",
    )
    assert [r.name for r in ledger.list_rows(settings, "open")] == ["c"]


def test_a_row_that_was_given_up_is_closed_by_a_later_adaptation_but_not_the_other_way_round(settings):
    ledger.add_rows(settings, [row()])
    ledger.give_up(settings, "a", "five runs failed")
    assert [r.reason for r in ledger.list_rows(settings, "failed")] == ["five runs failed"]
    ledger.close_rows(settings, "key a", "1", "promoted", "better")
    ledger.give_up(settings, "a", "late")
    assert [r.reason for r in ledger.list_rows(settings, "done")] == ["better"]


def test_a_row_whose_challenger_waits_for_a_person_stays_open_and_says_so(settings):
    ledger.add_rows(settings, [row(), row("b")])
    ledger.record_run(settings, {"a": 1}, "of many")
    ledger.note_waiting(settings, "key a", "3", "awaiting approval", "passed the gate", "asks")
    ledger.note_waiting(settings, "key a", "3", "awaiting approval", "passed the gate")
    (waits,) = (r for r in ledger.list_rows(settings, "open") if r.name == "a")
    shown = ledger.display_row(waits)
    assert (shown["decision"], shown["version"], waits.flow_run, waits.attempts) == (
        "awaiting approval",
        "3",
        "asks",
        1,
    )
    ledger.close_rows(settings, "key a", "3", "refused", "nobody approved it within 24 h")
    ledger.note_waiting(settings, "key a", "3", "awaiting approval", "passed the gate", "late")
    (closed,) = ledger.list_rows(settings, "done")
    assert (closed.decision, closed.reason, closed.flow_run) == ("refused", "nobody approved it within 24 h", "asks")


def test_the_kind_of_a_domain_is_looked_for_once_in_the_life_of_its_bytes(settings):
    looked = []

    def find(name):
        looked.append(name)
        return "text", "target"

    hashes = {"hpo": "1", "trec": "2"}
    assert (
        ledger.families_and_roles(settings, hashes, find)
        == ledger.families_and_roles(settings, hashes, find)
        == dict.fromkeys(hashes, ("text", "target"))
    )
    ledger.families_and_roles(settings, hashes | {"hpo": "3"}, find)
    assert looked == ["hpo", "trec", "hpo"]


def test_processes_that_open_the_same_rows_at_once_open_each_once(tmp_path):
    code = """if True:
        from tasks.watch import ledger
        from tasks.base.settings import Settings
        rows = [ledger.LedgerRow(str(i), "d", "h", "k", {}, "new") for i in range(50)]
        print(len(ledger.add_rows(Settings(), rows)))
    """
    there = os.environ | {"ACCLIMATE_ROOT": str(tmp_path)}
    command = [sys.executable, "-c", code]
    writers = [
        subprocess.Popen(command, env=there, cwd=Path(__file__).parents[3], stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    assert sum(int(writer.communicate()[0]) for writer in writers) == 50
    assert len(ledger.list_rows(Settings(root=tmp_path))) == 50


def test_a_ledger_that_cannot_be_written_is_one_line_without_its_password(tmp_path):
    there = Settings(root=tmp_path, ledger="sqlite:////dev/null/ledger.db")
    for use in (
        lambda: ledger.add_rows(there, [row()]),
        lambda: ledger.list_rows(there),
        lambda: ledger.known_names(there, ["a"]),
    ):
        with pytest.raises(UserError, match=r"ledger at sqlite:////dev/null/ledger\.db"):
            use()
    with pytest.raises(UserError, match="ledger at what ACCLIMATE_LEDGER names cannot be used"):
        ledger.list_rows(Settings(root=tmp_path, ledger="no address"))
    assert "secret" not in Settings(ledger="postgresql://me:secret@host/db").ledger_without_password


def test_an_absent_driver_says_what_to_install():
    absent = Settings(ledger="postgresql+pg8000://me:secret@host/db")  # one that we never bring
    with pytest.raises(
        UserError, match=r"needs a driver \(No module named 'pg8000'\): pip install 'acclimate\[postgres\]'"
    ):
        ledger.list_rows(absent)
