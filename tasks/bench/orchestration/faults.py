"""Kills at random moments of an adaptation: what is lost (nothing), and how long until it is made good."""

import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress

import numpy as np
import psutil

from domains.errors import UserError
from learners.classifier import Classifier
from tasks.base.progress import progress
from tasks.base.settings import Settings
from tasks.bench.options import BenchOptions, Row
from tasks.bench.orchestration.rig import Rig, make_rig, run_up
from tasks.models import registry
from tasks.watch import ledger

KILLS = ("flow", "worker", "server", "warm")  # warm: the process that flow runs are forked off
TRIALS = 20  # of each kind
SPREAD = 12.0  # seconds after the commit in which a kill comes
RECOVERED = 180.0


def bench_faults(settings: Settings, options: BenchOptions, say: Callable[[str], None]) -> list[Row]:
    """Commit a change, kill -9 one process at a random moment, and wait until the change is adapted to.

    Meanwhile and afterwards the champion must load; in the end there is one more version than before, and the ledger is
    settled. Nobody helps.

    Returns:
        Rows by what was killed: ``recovered`` (share of trials within three minutes), ``seconds`` (longest).

    Raises:
        UserError: a champion did not load, or a change was adapted to twice.
    """
    trials, rng = options.draws or TRIALS, np.random.default_rng(settings.seed)
    rows: list[Row] = []
    with make_rig(settings) as made, run_up(made), progress("bench faults", trials * len(KILLS)) as advance:
        made.wait(lambda: registry.champion(made.settings, "first"))
        made.wait(lambda: not made.count_open_rows())
        for kind in KILLS:
            took = []
            for number in range(trials):
                took.append(time_recovery(made, kind, float(rng.uniform(0, SPREAD)), len(rows) * 1000 + number))
                say(f"{kind} killed: recovered after {took[-1]:.0f} s")
                advance(1)
            base = {"suite": "faults", "domain": "20news", "setting": f"kill -9 {kind}", "method": "acclimate"}
            within = sum(seconds <= RECOVERED for seconds in took) / trials
            for metric, value in (("recovered", within), ("seconds", round(max(took), 1))):
                rows.append(base | {"metric": metric, "value": value, "ci95": None, "n": trials})
    return rows


def time_recovery(made: Rig, kind: str, after: float, seed: int) -> float:
    """Return the seconds from the kill to the end of the adaptation."""
    before = {model.version for model in registry.versions(made.settings, "first")}
    closed = len(ledger.list_rows(made.settings, "done"))
    made.write_target("first", 10_000 + seed)
    made.commit(f"Change {seed}", checked=False)
    time.sleep(after)
    kill(made, kind)
    started = time.perf_counter()

    def is_settled() -> bool:
        check_champion(made)
        return len(ledger.list_rows(made.settings, "done")) > closed

    made.wait(is_settled, every=1)
    new = {model.version for model in registry.versions(made.settings, "first")} - before
    if len(new) != 1:
        raise UserError(f"after kill -9 of the {kind}, {len(new)} versions came of one change")
    return time.perf_counter() - started


def kill(made: Rig, kind: str) -> None:
    """Kill the server, the worker, the process that forks, or the flow runs that the worker has at this moment."""
    with suppress(psutil.NoSuchProcess, FileNotFoundError, ProcessLookupError):
        pid = made.process_id("worker" if kind == "flow" else kind)
        for one in psutil.Process(pid).children() if kind == "flow" else [psutil.Process(pid)]:
            os.kill(one.pid, signal.SIGKILL)


def check_champion(made: Rig) -> None:
    model = registry.champion(made.settings, "first")
    if model is None:
        raise UserError("the champion is gone")
    Classifier.load(model.folder)
