"""A federation on this machine by its two commands, in FLARE's processes: a server and two sites."""

import json
import os
import shlex
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
import yaml
from safetensors.numpy import load_file

from tasks.base.settings import Settings
from tasks.federate import engine
from tasks.federate.plan import CHECKPOINT, LOG, OUTCOME, RESULT, check_result, read_delivered
from tasks.models import registry
from tasks.service.server import prefect_server

pytest.importorskip("nvflare", reason="NVIDIA FLARE is an extra: pip install -e '.[federate]'")

pytestmark = pytest.mark.timeout(900)

ROOT = Path(__file__).parents[2]
SITES = ("north", "south")
WORDS = "heart rate pain fever cough drug dose night sleep skin burn bank card loan fee train bus rain wind goal"


def make_project(root: Path, names: list[str]) -> None:
    """A git and DVC checkout with source domains of ten classes."""
    from dvc.repo import Repo

    for name in names:
        rng, folder = np.random.default_rng(sum(map(ord, name))), root / "data" / name
        folder.mkdir(parents=True)
        own = [rng.choice(WORDS.split(), 5, replace=False) for _ in range(10)]
        rows = [(f"{' '.join(rng.choice(own[c], 5))} {name}{c}x{i}", c) for c in range(10) for i in range(16)]
        about = {"name": name, "family": "text", "role": "source", "labels": [f"{name} {c}" for c in range(10)]}
        (folder / "domain.yaml").write_text(yaml.safe_dump(about | {"counts": {"train": len(rows)}}))
        table = pa.table({"text": [text for text, _ in rows], "label": [label for _, label in rows]})
        pq.write_table(table, folder / "train.parquet")
    git = ["git", "-c", "user.name=t", "-c", "user.email=t@example.org"]
    (root / ".gitignore").write_text("/data/\n/.acclimate/\n")
    subprocess.run([*git, "init", "-q", "-b", "main"], cwd=root, check=True)
    repo = Repo.init(str(root))
    repo.add(str(root / "data"))
    repo.close()
    subprocess.run([*git, "add", "--all"], cwd=root, check=True)
    subprocess.run([*git, "commit", "-qm", "data"], cwd=root, check=True)
    (root / ".acclimate").mkdir()
    for cache in ("downloads", "encoders"):
        (ROOT / ".acclimate" / cache).mkdir(parents=True, exist_ok=True)
        (root / ".acclimate" / cache).symlink_to(ROOT / ".acclimate" / cache)


def start(root: Path, prefect: str, *words: str) -> subprocess.Popen[str]:
    kept = {name: v for name, v in os.environ.items() if not name.startswith(("PREFECT_", "ACCLIMATE_"))}
    paths = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    kept |= {"ACCLIMATE_ROOT": str(root), "ACCLIMATE_ENCODER_TEXT": "minilm", "ACCLIMATE_PROCESSES": "1"}
    kept |= {"PYTHONPATH": paths, "PREFECT_PROFILES_PATH": "/none/profiles.toml", "PREFECT_API_URL": prefect}
    command = [sys.executable, "-c", "from flows.cli import main; main()", "federate", *words]
    return subprocess.Popen(command, cwd=root, env=kept, text=True, stdout=subprocess.PIPE)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


def wait_for_line(kit: Path, text: str, times: int = 1) -> None:
    """Wait until a kit's log has so many lines with a text; a test that waits in vain ends at its time limit."""
    while not ((kit / LOG).exists() and (kit / LOG).read_text().count(text) >= times):
        time.sleep(0.2)


def kill(process: subprocess.Popen[str], kit: Path) -> None:
    """Kill a command and the engine that it started, as a machine that loses its power."""
    for pid in (process.pid, json.loads((kit / "process").read_text())["pid"]):
        os.kill(pid, signal.SIGKILL)
    process.wait()


@pytest.mark.parametrize("encryption", ["none", "CKKS"])
def test_sites_come_by_token_and_learn_together_though_one_and_the_server_are_killed(tmp_path, monkeypatch, encryption):
    """Nothing is killed where they encrypt: what is kept then is tested in one process."""
    if encryption == "CKKS":
        pytest.importorskip("tenseal", reason="TenSEAL is in an extra: pip install -e '.[federate]'")
    monkeypatch.setenv("DVC_SITE_CACHE_DIR", str(tmp_path / "dvc"))
    roots = {name: tmp_path / name for name in ("server", *SITES)}
    for i, (name, root) in enumerate(roots.items()):
        root.mkdir()
        make_project(root, [f"{name}-{j}" for j in range(1 + i % 2)])
    words = {"server": ["serve", "--sites", ",".join(SITES), "--name", "fed", "--port", str(free_port())]}
    rounds, least = {"none": ("6", "1"), "CKKS": ("2", "2")}[encryption]
    words["server"] += ["--rounds", rounds, "--steps", "1", "--segment", "3", "--patience", "8", "--least", least]
    words["server"] += ["--learner", "protonet"]
    options = {"none": {"north": ["--filter", "percentile:percentile=20,gamma=0.01"]}, "CKKS": {}}[encryption]
    if encryption == "CKKS":
        key = tmp_path / "sites.key"
        assert start(roots["north"], "", "key", str(key)).wait() == 0
        options = {name: ["--key", str(key)] for name in SITES}
        words["server"] += ["--encrypted"]
    running: dict[str, subprocess.Popen[str]] = {}
    home = Settings(home=tmp_path / "prefect", port=free_port(), _env_file=None)
    with prefect_server(home) as prefect:

        def run(name: str) -> None:
            running[name] = start(roots[name], prefect.api, *words[name])

        try:
            run("server")
            for line in (running["server"].stdout.readline() for _ in SITES):
                command, token = shlex.split(line)[2:], line.split()[-1]
                words[token.partition(".")[0]] = [*command, "--json"]
            for name in SITES:
                words[name] += options.get(name, [])
                run(name)
            kits = {name: roots[name] / ".acclimate" / "kits" / token.split(".")[2][:16] / name for name in SITES}
            folder = roots["server"] / ".acclimate" / "federations" / "fed"
            if encryption == "none":
                wait_for_line(kits["south"], "sent for round")
                kill(running["south"], kits["south"])
                run("south")
                wait_for_line(kits["north"], "sent for round", 4)
                kill(running["server"], folder / "federation" / "prod_00" / "localhost")
                run("server")
            said = {name: json.loads(running[name].communicate()[0]) for name in SITES}
            assert running["server"].communicate()[0] == ""
            assert running["server"].returncode == 0
        finally:
            for process in running.values():
                process.kill()
            for record in (*tmp_path.rglob("prod_00/*/process"), *tmp_path.rglob("kits/*/*/process")):
                engine.end(record.parent)
    for name, answer in said.items():
        assert (answer["model_version"], answer["decision"]) == ("1", "promoted")
        site = Settings(root=roots[name], _env_file=None)
        tags = registry.get(site, "meta-text", "1").tags
        lineage = {
            "federation": "fed",
            "sites": "north,south",
            "rounds": rounds,
            "noise": "0.0",
            "encryption": encryption,
        }
        assert {key: tags[f"federation.{key}"] for key in lineage} == lineage
    assert read_delivered(folder) == set(SITES)
    results = [check_result(load_file(kits[name] / RESULT), "text") for name in SITES]
    assert results[0].prior == results[1].prior
    assert {"maml", "reference"}.isdisjoint(results[0].prior.regressions)
    weights = [found.weights["protonet"] for found in results]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    sent = (kits["north"] / LOG).read_text()
    both = "".join((kits[name] / LOG).read_text() for name in SITES)
    assert "sent for prior" in both  # by one alone, where the other is slow to come back to the server that was killed
    assert "not used" not in (folder / LOG).read_text()
    if encryption == "CKKS":
        assert "never features, texts or labels; sealed with " in sent
        kept = load_file(folder / CHECKPOINT) | load_file(folder / OUTCOME)
        assert all(value.dtype == np.uint8 or value.size == 1 for value in kept.values())
        return
    assert "never features, texts or labels; changes of weights pass percentile" in sent
    applied = [path for path in kits["north"].rglob("log.txt") if "cutoff" in path.read_text("utf-8", "replace")]
    assert applied
