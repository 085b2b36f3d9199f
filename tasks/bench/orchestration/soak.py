"""A year unattended, at the speed of this machine: thousands of commits and ticks, and what is left of them.

Ledger, registry, repository and ticks are those of the product. Adapting is replaced by registering a small model, and
the Prefect server by what a tick needs of it: the runs that are asked for are done before the next tick.
"""

import shutil
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import UUID, uuid4

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
import yaml
from prefect.states import Completed, Running, State

from domains.errors import UserError
from domains.market.features import FEATURES
from learners.choice.prior import Prior
from learners.classifier import Affine, Classifier
from learners.meta_model import MetaModel
from tasks.adapt.plan import Plan, plan_adaptation
from tasks.adapt.steps import find_finished
from tasks.base.progress import progress
from tasks.base.settings import Settings
from tasks.bench.options import BenchOptions, Row
from tasks.features.encoders import encoder_identity
from tasks.models import registry
from tasks.models.adapt_result import AdaptResult, Score
from tasks.service.environment import set_environment
from tasks.versions.commit import commit
from tasks.versions.snapshots import domains_at
from tasks.watch import noticing
from tasks.watch.steps import bring_back, promote, settle

COMMITS, TICKS, DOMAINS = 2000, 10, 50  # ticks: after each commit
REVERTED = 0.2  # of the commits, to data that a domain had before
LABELS = ("calm", "rising")
LAST = 100  # ticks whose median is that at the end
SAID = 200  # commits between two lines about the state
MEGABYTE = 2**20


class Server:
    """As much of a Prefect client as a tick uses: it has every deployment, and one run for one idempotency key."""

    def __init__(self) -> None:
        self.waiting: dict[UUID, list[dict[str, Any]]] = {}
        self._by_key: dict[str, UUID] = {}
        self._states: dict[UUID, State] = {}

    def read_deployment_by_name(self, name: str) -> SimpleNamespace:
        return SimpleNamespace(id=name)

    def create_flow_run_from_deployment(
        self, deployment: str, parameters: dict[str, Any], tags: list[str], idempotency_key: str
    ) -> SimpleNamespace:
        run = self._by_key.setdefault(idempotency_key, uuid4())
        if run not in self._states:
            self._states[run] = Running()
            self.waiting[run] = parameters.get("requests", [parameters])
        return SimpleNamespace(id=run)

    def read_flow_run(self, run: UUID) -> SimpleNamespace:
        return SimpleNamespace(state=self._states[run])

    def work(self) -> None:
        """Do what was asked for."""
        for run, requests in self.waiting.items():
            for request in requests:
                adapt(request)
            self._states[run] = Completed()
        self.waiting.clear()


def bench_soak(settings: Settings, options: BenchOptions, say: Callable[[str], None]) -> list[Row]:
    """Commit to 50 domains, one at a time, some commits taking data back; after each come ten ticks.

    Returns:
        Rows: ``state MB`` that came to the home, ``tick at the end`` in seconds, ``adapted twice`` and ``not as asked
        for``, domains whose champion was adapted to other data than the last commit has.
    """
    commits, rng = options.draws or COMMITS, np.random.default_rng(settings.seed)
    with make_project() as made, progress("bench soak", commits) as advance:
        server, now, seconds = Server(), dict.fromkeys(names(), 0), []
        for name in names():
            write_domain(made, name, 0)
        before = 0
        for number in range(commits):
            if number:
                name = str(rng.choice(names()))
                now[name] = int(rng.integers(number)) if rng.random() < REVERTED else number
                write_domain(made, name, now[name])
            commit(made.root_path, made.home_path, f"Change {number}", checked=False)
            for _ in range(TICKS):
                started = time.perf_counter()
                noticing.tick(made, client=server)
                seconds.append(time.perf_counter() - started)
                server.work()
            before = before or size_of(made.home_path)
            advance(1)
            if (number + 1) % SAID == 0 or number + 1 == commits:
                grown = round((size_of(made.home_path) - before) / MEGABYTE, 2)
                tick = round(float(np.median(seconds[-LAST:])), 3)
                say(f"{number + 1:,} commits: {grown} MB, {tick} s a tick")
        found = count_faults(made) | {"state MB": grown, "tick at the end": tick}
    base = {"suite": "soak", "domain": "markets", "setting": f"{commits} commits, {commits * TICKS} ticks"}
    return [
        base | {"method": "acclimate", "metric": metric, "value": value, "ci95": None, "n": commits}
        for metric, value in found.items()
    ]


def names() -> list[str]:
    """Return the names of the domains."""
    return [f"market-{i:02}" for i in range(DOMAINS)]


@contextmanager
def make_project() -> Iterator[Settings]:
    """Make a project with a meta-model of markets in a temporary folder, and delete it afterwards."""
    from dvc.repo import Repo  # it takes a second

    folder = Path(tempfile.mkdtemp(prefix="acclimate-soak-"))
    for command in (
        ["init", "--quiet"],
        ["config", "user.name", "bench"],
        ["config", "user.email", "bench@example.org"],
    ):
        subprocess.run(["git", *command], cwd=folder, check=True)
    (folder / ".gitignore").write_text("/data/\n/.acclimate/\n")
    Repo.init(str(folder)).close()
    made = Settings(root=folder, processes=2)
    try:
        with set_environment(
            {"ACCLIMATE_ROOT": str(folder), "ACCLIMATE_HOME": ".acclimate", "ACCLIMATE_PROCESSES": "2"}
        ):
            (folder / "meta").mkdir()
            MetaModel("market", encoder_identity("market"), len(FEATURES), None, {}, Prior()).save(folder / "meta")
            version = registry.log_meta_model(made, "market", folder / "meta", {}, {}, {})
            registry.promote(made, registry.meta_name("market"), version, lambda where: None)
            yield made
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def write_domain(made: Settings, name: str, number: int) -> None:
    """Write a small market; the same number gives the same bytes."""
    rng, folder = np.random.default_rng([number, int(name[-2:])]), made.data_path / name
    folder.mkdir(parents=True, exist_ok=True)
    counts = {"train": 12, "test": 8}
    for split, count in counts.items():
        x = rng.normal(size=(count, len(FEATURES))).astype(np.float32)
        table = {"date": ["2020-01-02"] * count, "asset": [f"A{i}" for i in range(count)], "x": list(x)}
        pq.write_table(pa.table(table | {"label": [i % 2 for i in range(count)]}), folder / f"{split}.parquet")
    about = {"name": name, "family": "market", "role": "target", "labels": list(LABELS), "counts": counts}
    (folder / "domain.yaml").write_text(yaml.safe_dump(about))


def adapt(request: dict[str, Any]) -> None:
    """Do what the flow ``adapt`` does of a request, but for the adapting."""
    given = (request[name] for name in ("domain", "revision", "k", "draws", "method"))
    plan = plan_adaptation(*given)
    bring_back(plan)
    result = find_finished(plan) or register(plan)
    settle(plan, promote(plan, result))


def register(plan: Plan) -> AdaptResult:
    """Register a small model, better than whatever serves."""
    champion = registry.champion(Settings(root=plan.domain.path.parents[2]), plan.domain.name)
    before = None if champion is None else champion.version
    shutil.rmtree(plan.folder, ignore_errors=True)
    plan.folder.mkdir(parents=True)
    Classifier((Affine(torch.zeros(len(LABELS), len(FEATURES)), torch.zeros(len(LABELS))),), LABELS).save(plan.folder)
    of = {"domain": plan.domain.name, "family": "market", "revision": plan.domain.revision, "test": 8, "pool": 0}
    of |= {"content_hash": plan.domain.content_hash, "strategy": "none", "k": None, "draws": 1, "labels": 12}
    score = Score(accuracy=1, ci95=None, log_loss=0, ece=0)
    result = AdaptResult(
        **of,  # type: ignore[arg-type]
        scores={"acclimate": score},
        seconds={},
        decision="promoted",
        key=plan.key,
        champion_before=before,
    )
    result.write(plan.folder)
    made = Settings(root=plan.domain.path.parents[2])
    tags = {"key": plan.key, "content_hash": plan.domain.content_hash, "decision": "promoted"}
    tags |= {"meta_version": plan.meta_version, "method": plan.how.method, "revision": plan.domain.revision}
    version = registry.log_adapted(made, plan.domain.name, plan.folder, {"k": "all"}, {"accuracy": 1}, tags)
    reads = {"family": "market", "encoder": encoder_identity("market")}
    registry.tag(made, plan.domain.name, version, reads)  # not when it is logged: a signature takes long
    shutil.rmtree(plan.folder)
    return result.model_copy(update={"model_version": version})


def count_faults(made: Settings) -> dict[str, float]:
    """Return how many adaptations were done twice, and how many champions are not of the last commit's data."""
    asked, twice, wrong = domains_at(made.root_path), 0, 0
    for name, digest in asked.items():
        every = Counter(model.tags["content_hash"] for model in registry.versions(made, name))
        twice += sum(count - 1 for count in every.values())
        champion = registry.champion(made, name)
        wrong += champion is None or champion.tags["content_hash"] != digest
    if wrong:
        raise UserError(f"{wrong} of {len(asked)} champions are not what the last commit asks for")
    return {"adapted twice": twice, "not as asked for": wrong}


def size_of(folder: Path) -> int:
    """Return the bytes of a folder's files; what has several names counts once."""
    files = {(s.st_dev, s.st_ino): s.st_size for s in (p.lstat() for p in folder.rglob("*") if p.is_file())}
    return sum(files.values())
