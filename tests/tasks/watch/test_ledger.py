"""The ledger: a row is opened once, however often and by however many it is asked for."""

import os
import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from domains.errors import UserError
from tasks.base.settings import Settings
from tasks.watch import ledger, ledger_database
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
    assert ledger.rows_named(settings, ["a", "c"]) == {"a": first}


def test_an_adaptation_closes_the_rows_with_its_key_once(settings):
    ledger.add_rows(settings, [row(), row("b", key="key a"), row("c")])
    ledger.claim(settings, [(r, "") for r in ledger.list_rows(settings) if r.name == "a"], "batch")
    ledger.record_run(settings, "batch", "run")
    assert ledger.close_rows(settings, "key a", "3", "promoted", "better", "3") == 2
    assert ledger.close_rows(settings, "key a", "4", "refused", "worse") == 0
    closed = next(r for r in ledger.list_rows(settings, "done") if r.name == "a")
    assert (closed.version, closed.decision, closed.reason, closed.attempts, closed.flow_run) == (
        "3",
        "promoted",
        "better",
        1,
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
    ledger.claim(settings, [(each, "") for each in ledger.add_rows(settings, [row(), row("b")])], "of many")
    ledger.note_waiting(settings, "key a", "3", "awaiting approval", "passed the gate", "asks")
    ledger.record_run(settings, "of many", "many")  # later, by one that was killed and started again
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


def test_what_waited_for_a_person_and_is_asked_for_again_waits_no_more(settings):
    ledger.add_rows(settings, [row()])
    ledger.note_waiting(settings, "key a", "3", "awaiting approval", "passed the gate", "asks")
    ledger.add_rows(settings, [], overtaken={"a": "newer data"})
    (old,) = ledger.list_rows(settings, "overtaken")
    (again,) = ledger.add_rows(settings, [ledger.ask_again(old, "its data are again what they were", old.parameters)])
    assert (again.status, again.decision, again.flow_run) == ("open", "", "")


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
        from tasks.watch import ledger, ledger_database
        from tasks.base.settings import Settings
        rows = [ledger.LedgerRow(str(i), "d", "h", "k", {}, "new") for i in range(50)]
        print(len(ledger.add_rows(Settings(), rows)))
    """
    there = os.environ | {"ACCLIMATE_ROOT": str(tmp_path)}
    command = [sys.executable, "-c", code]
    writers = [
        subprocess.Popen(command, env=there, cwd=Path(__file__).parents[3], stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    assert sum(int(writer.communicate()[0]) for writer in writers) == 50
    assert len(ledger.list_rows(Settings(root=tmp_path))) == 50


def test_a_ledger_that_cannot_be_written_is_one_line_without_its_password(tmp_path):
    there = Settings(root=tmp_path, ledger="sqlite:////dev/null/ledger.db")
    for use in (
        lambda: ledger.add_rows(there, [row()]),
        lambda: ledger.list_rows(there),
        lambda: ledger.rows_named(there, ["a"]),
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


def test_rows_are_asked_for_in_order_and_what_is_asked_for_again_comes_last(settings):
    ledger.add_rows(settings, [row("a"), row("b", content_hash="i"), row("c", domain="trec")])
    assert {name: r.name for name, r in ledger.newest_rows(settings).items()} == {"hpo": "b", "trec": "c"}
    ledger.close_rows(settings, "key a", "1", "promoted", "better", "1")
    a = ledger.rows_named(settings, ["a"])["a"]
    (again,) = ledger.add_rows(settings, [ledger.ask_again(a, "back", a.parameters, "1")], overtaken={"b": "back"})
    assert (again.status, again.serves, again.version, again.decision) == ("open", "1", "1", "promoted")
    assert ledger.newest_rows(settings, "hpo") == {"hpo": again}
    assert ledger.rows_named(settings, ["b"])["b"].status == "overtaken"
    assert ledger.add_rows(settings, [ledger.ask_again(a, "late", a.parameters)]) == []  # another was first


def test_a_look_that_began_before_the_one_that_was_written_down_changes_nothing(settings):
    early, late = ledger.begin_look(settings), ledger.begin_look(settings)
    ledger.add_rows(settings, [row("new")], look=ledger.Look(late, "c2", "here"))
    assert (
        ledger.add_rows(settings, [row("old")], overtaken={"new": "old"}, look=ledger.Look(early, "c1", "here")) is None
    )
    assert [(r.name, r.status) for r in ledger.list_rows(settings)] == [("new", "open")]
    assert (ledger.last_look(settings).number, ledger.last_look(settings).revision) == (late, "c2")


def test_of_two_that_claim_a_row_one_gets_it(settings):
    ledger.add_rows(settings, [row()])
    seen = ledger.list_rows(settings)
    (claimed,) = ledger.claim(settings, [(seen[0], "crashed")], "one")
    assert (claimed.attempts, claimed.crashes, claimed.batch) == (1, 1, "one")
    assert ledger.claim(settings, [(seen[0], "")], "two") == []


#: The tables as 0.10.0 made them.
OLD = """
CREATE TABLE adaptations (
    name VARCHAR(64) NOT NULL, domain VARCHAR(128) NOT NULL, content_hash VARCHAR(64) NOT NULL,
    "key" VARCHAR(64) NOT NULL, parameters JSON NOT NULL, why TEXT NOT NULL, status VARCHAR(16) NOT NULL,
    attempts INTEGER NOT NULL, flow_run VARCHAR(64) NOT NULL, version VARCHAR(16) NOT NULL,
    decision VARCHAR(64) NOT NULL, reason TEXT NOT NULL, opened VARCHAR(40) NOT NULL, changed VARCHAR(40) NOT NULL,
    PRIMARY KEY (name)
);
CREATE INDEX ix_adaptations_domain ON adaptations (domain);
CREATE TABLE kinds (
    domain VARCHAR(128) NOT NULL, content_hash VARCHAR(64) NOT NULL, family VARCHAR(16) NOT NULL,
    role VARCHAR(16) NOT NULL, PRIMARY KEY (domain, content_hash)
);
INSERT INTO adaptations VALUES
    ('b', 'hpo', 'h2', 'k2', '{"k": 5}', 'w', 'open', 2, 'run', '', '', '', '2026-02', '2026-02'),
    ('a', 'hpo', 'h1', 'k1', '{}', 'w', 'done', 1, 'r', '4', 'promoted', 'ok', '2026-01', '2026-03');
INSERT INTO kinds VALUES ('hpo', 'h1', 'text', 'target');
"""


def old_ledger(folder):
    (folder / ".acclimate").mkdir()
    with closing(sqlite3.connect(folder / ".acclimate/ledger.db")) as database:
        database.executescript(OLD)


def test_a_ledger_of_0_10_0_is_read_on_with_what_its_promotions_left_in_service(settings, tmp_path):
    old_ledger(tmp_path)
    a, b = ledger.list_rows(settings)
    assert (a.name, a.serves, a.version, a.reason) == ("a", "4", "4", "ok")
    assert (b.name, b.serves, b.attempts, b.failures, b.crashes, b.parameters) == ("b", "", 2, 0, 0, {"k": 5})
    assert ledger.newest_rows(settings) == {"hpo": b}
    assert ledger.begin_look(settings) == 1
    assert ledger.families_and_roles(settings, {"hpo": "h1"}, pytest.fail) == {"hpo": ("text", "target")}


def test_those_that_bring_a_ledger_up_to_date_at_once_do_it_once(settings, tmp_path):
    old_ledger(tmp_path)
    connect = ledger_database._connect.__wrapped__  # a connection of its own each, as processes have
    with ThreadPoolExecutor(4) as pool:
        engines = list(pool.map(lambda _: connect(settings.ledger_uri, "here"), range(4)))
    with engines[0].begin() as connection:
        assert connection.exec_driver_sql("SELECT version FROM ledger_version").all() == [(ledger_database.NEWEST,)]
        assert connection.exec_driver_sql("SELECT count(*) FROM looks").scalar() == 1


def test_a_ledger_of_a_later_version_is_refused_in_one_line(settings, tmp_path):
    ledger.list_rows(settings)
    ledger_database._connect.cache_clear()
    with closing(sqlite3.connect(tmp_path / ".acclimate/ledger.db")) as database:
        database.execute("UPDATE ledger_version SET version = 99")
        database.commit()
    with pytest.raises(
        UserError, match=r"is of a newer version of Acclimate \(form 99, this one knows 2\): update this"
    ):
        ledger.list_rows(settings)
