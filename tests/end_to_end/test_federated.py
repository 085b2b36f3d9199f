"""A federation on this machine, in FLARE's processes: a server and two sites, of which one dies in a round."""

import json
import os
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

from tasks.federate.kits import make_kits
from tasks.federate.plan import LOG, RESULT, check_result, read_delivered

pytest.importorskip("nvflare", reason="NVIDIA FLARE is an extra: pip install -e '.[federate]'")

pytestmark = pytest.mark.timeout(900)

ROOT = Path(__file__).parents[2]
SITES = ("north", "south")
WORDS = "heart rate pain fever cough drug dose night sleep skin burn bank card loan fee train bus rain wind goal"

SERVE = """
if __name__ == "__main__":
    from pathlib import Path
    from tasks.federate.steps import plan_server, serve
    address = "localhost", {port}
    how = dict(rounds=6, steps=1, segment=3, patience=20, least=1)
    serve.fn(plan_server.fn("fed", "text", {sites}, ["protonet"], address, how), address)
"""
JOIN = """
if __name__ == "__main__":
    from tasks.federate.steps import encode_at_site, judge_result, plan_site, register_result, take_part
    plan = plan_site.fn({kit!r}, "text", (), "HEAD")
    encode_at_site.fn(plan)
    take_part.fn(plan)
    version = register_result.fn(plan)
    print(version, judge_result.fn(plan, version).word)
"""


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


def start(root: Path, code: str) -> subprocess.Popen[str]:
    (root / "run.py").write_text(code)
    kept = {name: v for name, v in os.environ.items() if not name.startswith(("PREFECT_", "ACCLIMATE_"))}
    paths = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    kept |= {"ACCLIMATE_ROOT": str(root), "ACCLIMATE_ENCODER_TEXT": "minilm", "ACCLIMATE_PROCESSES": "1"}
    kept |= {"PYTHONPATH": paths, "PREFECT_PROFILES_PATH": "/none/profiles.toml"}
    command = [sys.executable, str(root / "run.py")]
    return subprocess.Popen(command, cwd=root, env=kept, text=True, stdout=subprocess.PIPE)


def wait_for_line(log: Path, text: str) -> None:
    """Wait until a log has a line; a test that waits in vain ends at its time limit."""
    while not (log.exists() and text in log.read_text()):
        time.sleep(0.2)


@pytest.mark.parametrize("dies", ["south", "server"])
def test_two_sites_learn_together_though_one_or_the_server_is_killed_in_a_round(dies, tmp_path, monkeypatch):
    monkeypatch.setenv("DVC_SITE_CACHE_DIR", str(tmp_path / "dvc"))
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    roots = {name: tmp_path / name for name in ("server", *SITES)}
    for i, (name, root) in enumerate(roots.items()):
        root.mkdir()
        make_project(root, [f"{name}-{j}" for j in range(1 + i % 2)])
    folder = roots["server"] / ".acclimate" / "federations" / "fed"
    kits = make_kits(folder, "localhost", port, SITES)
    code = {name: JOIN.format(kit=str(kits / name)) for name in SITES}
    code["server"] = SERVE.format(port=port, sites=list(SITES))
    running = {name: start(roots[name], code[name]) for name in roots}
    try:
        wait_for_line(kits / "south" / LOG, "sent for round")
        engine = json.loads((kits / {"server": "localhost"}.get(dies, dies) / "process").read_text())["pid"]
        for pid in (running[dies].pid, engine):
            os.kill(pid, signal.SIGKILL)
        running[dies].wait()
        running[dies] = start(roots[dies], code[dies])
        said = {name: running[name].communicate()[0].split() for name in SITES}
        assert running["server"].wait() == 0
    finally:
        for process in running.values():
            process.kill()
    assert said == {name: ["1", "promoted"] for name in SITES}
    assert read_delivered(folder) == set(SITES)
    results = [check_result(load_file(kits / name / RESULT), "text") for name in SITES]
    assert results[0].prior == results[1].prior
    assert {"maml", "reference"}.isdisjoint(results[0].prior.regressions)
    weights = [found.weights["protonet"] for found in results]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    sent = (kits / "north" / LOG).read_text()
    assert "sent for prior" in sent
    assert "never features, texts or labels" in sent
