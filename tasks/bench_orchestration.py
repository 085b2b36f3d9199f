"""How fast a commit comes into service, a tick over what did not change, and many changed domains at once."""

import time
from collections.abc import Callable

from tasks import ledger, watching
from tasks.bench import Asked, Row
from tasks.bench_rig import Rig, rig, up
from tasks.progress import progress
from tasks.settings import Settings

MANY = 200
REPEATS = 3


def orchestration(settings: Settings, asked: Asked, say: Callable[[str], None]) -> list[Row]:
    """Measure in a project of its own with a real server and worker, on this machine as busy as it is.

    Returns:
        Rows in seconds: ``commit to decided`` (from the start of ``acclimate data commit`` to the end of the gate and
        the promotion; the worker is warm, one small text domain), ``tick, none of 200 changed``, ``200 changed``.
    """
    rows: list[Row] = []

    def row(metric: str, values: list[float]) -> None:
        value = round(sorted(values)[len(values) // 2], 2)
        row = {"suite": "orchestration", "domain": "20news", "setting": f"{settings.processes} processes"}
        rows.append(row | {"method": "acclimate", "metric": metric, "value": value, "ci95": None, "n": len(values)})
        say(f"{metric}: {value} s")

    with rig(settings) as made, up(made), progress("bench orchestration", 3) as advance:
        row("commit to decided", [one(made, i) for i in range(asked.draws or REPEATS)])
        advance(1)
        row(f"{MANY} changed", [many(made)])
        advance(1)
        row(f"tick, none of {MANY} changed", [tick(made) for _ in range(REPEATS)])
        advance(1)
    return rows


def one(made: Rig, number: int) -> float:
    """Return the seconds from a commit of one changed domain to the end of its adaptation."""
    made.wait(lambda: not made.unsettled())
    made.write("first", 1000 + number)
    started, before = time.perf_counter(), len(ledger.rows(made.settings, "done"))
    made.commit(f"Change {number}")
    made.wait(lambda: len(ledger.rows(made.settings, "done")) > before)
    return time.perf_counter() - started


def many(made: Rig) -> float:
    """Return the seconds from a commit of many new domains to the end of the last adaptation."""
    for i in range(MANY):
        made.write(f"many-{i:03}", i)
    started, before = time.perf_counter(), len(ledger.rows(made.settings, "done"))
    made.commit("Many")
    made.wait(lambda: len(ledger.rows(made.settings, "done")) >= before + MANY, 3600, 1)
    return time.perf_counter() - started


def tick(made: Rig) -> float:
    """Return the seconds of a look at the data that finds no change."""
    started = time.perf_counter()
    commit = watching.commit_to_watch(made.settings, [])
    opened, _ = watching.notice(made.settings, commit)
    assert not opened
    return time.perf_counter() - started
