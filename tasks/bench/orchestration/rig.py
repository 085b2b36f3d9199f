"""A project of its own for benchmarks of the orchestration: a clone, small text domains, `acclimate up`, and kills."""

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from domains.domain import Domain
from domains.errors import UserError
from tasks.base.settings import Settings
from tasks.watch import ledger

SOURCES = ("bbc", "trec")  # what the meta-model is trained on, a few steps: its worth is measured elsewhere
FROM = "20news"  # whose texts the small domains have
CLASSES, TRAIN, TEST, POOL = 3, 15, 10, 30  # train and test: examples a class
HOLD_SECONDS = 600


@dataclass(frozen=True)
class Rig:
    """A clone of the project in a folder of its own, and what a benchmark does in it."""

    path: Path
    port: int
    environment: dict[str, str]
    texts: dict[str, list[str]]

    @cached_property
    def settings(self) -> Settings:
        return Settings(root=self.path, port=self.port)

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-P", "-m", "flows.cli", *arguments]
        log = (self.path / "bench.log").open("a")
        return subprocess.Popen(command, cwd=self.path, env=self.environment, stdout=log, stderr=log, text=True)

    def run(self, *arguments: str) -> float:
        """Run a command of ours and return its seconds; it must succeed."""
        started = time.perf_counter()
        if self.start(*arguments).wait():
            log = (self.path / "bench.log").read_text("utf-8", "replace")
            said = log.rpartition("error: ")[-1]  # as the log is deleted with the project
            raise UserError(f"acclimate {' '.join(arguments)} failed in the benchmark: {' '.join(said.split())}")
        return time.perf_counter() - started

    def write_target(self, name: str, seed: int) -> None:
        """Write a target of a few classes; another seed gives other examples."""
        rng = np.random.default_rng(seed)
        labels = sorted(rng.choice(sorted(self.texts), CLASSES, replace=False).tolist())
        per_class = TRAIN + TEST + POOL // CLASSES
        picks = [rng.choice(len(self.texts[label]), per_class, replace=False) for label in labels]
        ends = {"train": (0, TRAIN), "test": (TRAIN, TRAIN + TEST), "pool": (TRAIN + TEST, per_class)}
        folder = self.path / "data" / name
        folder.mkdir(parents=True, exist_ok=True)
        for split, (first, last) in ends.items():
            rows = [(self.texts[label][i], y) for y, label in enumerate(labels) for i in picks[y][first:last]]
            table = {"text": [text for text, _ in rows]} | ({} if split == "pool" else {"label": [y for _, y in rows]})
            pq.write_table(pa.table(table), folder / f"{split}.parquet")
        counts = {split: CLASSES * (last - first) for split, (first, last) in ends.items()}
        about: dict[str, Any] = {"name": name, "family": "text", "role": "target", "labels": labels, "counts": counts}
        (folder / "domain.yaml").write_text(yaml.safe_dump(about))

    def copy_domains(self, data: Path, names: Sequence[str]) -> None:
        """Copy domains of the quick start; they must have been built."""
        check_built(data, names)
        for name in names:
            shutil.copytree(data / name, self.path / "data" / name)

    def commit(self, message: str, checked: bool = True) -> float:
        return self.run("data", "commit", "-m", message, *(() if checked else ("--no-check",)))

    def process_id(self, name: str) -> int:
        """Return the id of the recorded server or worker."""
        return int(json.loads((self.path / f".acclimate/prefect/{name}.json").read_text())["pid"])

    def wait(self, found: Callable[[], Any], seconds: float = HOLD_SECONDS, every: float = 0.1) -> Any:
        """Return the first true value.

        Raises:
            UserError: there is none for so long.
        """
        deadline = time.monotonic() + seconds
        while not (value := found()):
            if time.monotonic() > deadline:
                raise UserError(
                    f"nothing came of it for {seconds:.0f} s: see {self.path}/.acclimate/prefect/worker.log"
                )
            time.sleep(every)
        return value

    def count_open_rows(self) -> int:
        return len(ledger.list_rows(self.settings, "open"))


def check_built(data: Path, names: Sequence[str]) -> None:
    """Raise UserError where a domain of the quick start is absent."""
    for name in names:
        if not (data / name / "domain.yaml").exists():
            raise UserError(f"data/{name} is absent: run acclimate data build")


@contextmanager
def make_rig(settings: Settings) -> Iterator[Rig]:
    """Make a project in a temporary folder, with a text meta-model, and delete it afterwards.

    Raises:
        UserError: the quick start's text domains are not in ``data/``.
    """
    data = settings.data_path
    check_built(data, (FROM, *SOURCES))
    source = Domain.read(data / FROM)
    texts: dict[str, list[str]] = {label: [] for label in source.labels}
    for text, y in zip(source.column("train"), source.targets("train"), strict=True):
        texts[source.labels[y]].append(text)
    folder = Path(tempfile.mkdtemp(prefix="acclimate-bench-"))
    path = folder / "project"
    subprocess.run(["git", "clone", "--quiet", str(settings.root_path), str(path)], check=True)
    for key, value in (("user.name", "bench"), ("user.email", "bench@example.org")):
        subprocess.run(["git", "config", key, value], cwd=path, check=True)
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    kept = {name: v for name, v in os.environ.items() if not name.startswith(("PREFECT_", "ACCLIMATE_"))}
    mirror = settings.mirror or settings.home_path / "downloads"
    environment = kept | {"ACCLIMATE_PORT": str(port), "PYTHONPATH": str(path), "ACCLIMATE_MIRROR": str(mirror)}
    made = Rig(path, port, environment, texts)
    try:
        made.copy_domains(data, SOURCES)
        made.write_target("first", 0)
        made.run("data", "commit", "--drop", "-m", "Start")
        made.run("meta-train", "--family", "text", "--steps", "5")
        yield made
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def run_up(made: Rig) -> Iterator[subprocess.Popen[str]]:
    """Run `acclimate up` in the project until the block ends."""
    running = made.start("up")
    try:
        made.wait(lambda: "Prefect UI" in (made.path / "bench.log").read_text() or running.poll() is not None, 180)
        yield running
    finally:
        running.terminate()
        with suppress(subprocess.TimeoutExpired):
            running.wait(60)
