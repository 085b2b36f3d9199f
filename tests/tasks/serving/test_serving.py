"""`acclimate serve`: predictions over HTTP by the champion, and by the next one without a request lost."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request

import pytest
import torch
from starlette.testclient import TestClient

from domains.errors import UserError
from domains.market.features import FEATURES
from learners.classifier import Affine, Classifier
from tasks.features.encoders import encoder_identity
from tasks.models import registry
from tasks.models.mlflow_flavour import input_example
from tasks.serving import app as http
from tasks.serving.app import Application
from tasks.serving.loading import load_version
from tasks.serving.measures import Measures
from tasks.serving.server import Follower, listening

EXAMPLES = json.dumps({"dataframe_records": input_example("market").to_dict("records")})


def adapted(settings, favourite, weights=0.0):
    """Register a model of a market that always names one of its labels, and return its version."""
    folder = settings.root / f"model {favourite}"
    folder.mkdir()
    bias = torch.tensor([5.0 if label == favourite else 0.0 for label in ("calm", "rising")])
    Classifier((Affine(torch.full((2, len(FEATURES)), weights), bias),), ("calm", "rising")).save(folder)
    tags = {"family": "market", "encoder": encoder_identity("market")}
    return registry.log_adapted(settings, "stocks", folder, {}, {}, tags)


def put_in_service(settings, version):
    registry.promote(settings, "stocks", version, lambda folder: None)


@pytest.fixture
def application(settings):
    put_in_service(settings, adapted(settings, "calm"))
    measures = Measures()
    return Application(load_version(registry.champion(settings, "stocks"), measures.count_answers), measures)


def labels_of(answer):
    return [row["label"] for row in answer["predictions"]]


def test_a_bad_request_is_answered_by_one_line_of_json(application, monkeypatch):
    client, kind = TestClient(application), {"Content-Type": "application/json"}
    assert labels_of(client.post("/invocations", content=EXAMPLES, headers=kind).json()) == ["calm", "calm"]
    assert [client.get(path).status_code for path in ("/health", "/ping", "/version", "/nowhere")] == [200] * 3 + [404]
    assert client.get("/health").headers["model-version"] == "stocks/1"
    assert client.get("/invocations").status_code == 405
    assert client.post("/invocations", content=EXAMPLES).status_code == 415
    bad = [b"", b"nonsense", b"[]", b"5", b"null", b"\xff", b"[" * 100_000, b'{"dataframe_records": [null]}']
    bad += [b'{"dataframe_split": {"columns": 5}}', b'{"inputs": [["a"]]}', b'{"dataframe_records": [{"vol_5": 1}]}']
    for body in bad:
        for content_type in ("application/json", "text/csv", "application/vnd.apache.parquet", "text/html", ";"):
            found = client.post("/invocations", content=body, headers={"Content-Type": content_type})
            assert 400 <= found.status_code < 500, (body[:40], content_type, found.text)
            assert found.json()["message"]
            assert "\n" not in found.text
    many = json.dumps({"dataframe_records": input_example("market").to_dict("records") * 501})
    said = client.post("/invocations", content=many, headers=kind)
    assert (said.status_code, said.json()["message"]) == (
        400,
        "1,002 examples are more than the 1,000 of a request; send some at a time",
    )
    monkeypatch.setattr(http, "LARGEST", 100)
    assert (
        client.post("/invocations", content=EXAMPLES, headers=kind).json()["message"].startswith("the request is lar")
    )
    parts = client.post("/invocations", content=iter([b"x" * 60, b"x" * 60]), headers=kind)  # of no known length
    assert parts.status_code == 413
    measured = client.get("/metrics").text
    assert "acclimate_examples_total 2.0" in measured
    assert 'acclimate_requests_total{status="413"} 2.0' in measured
    assert 'acclimate_model_info{model="stocks",version="1"} 1.0' in measured


def test_a_version_that_fails_its_smoke_test_leaves_the_one_before_it_serving(settings, application):
    said = []
    follower = Follower(settings, application, said.append)
    follower.look()
    put_in_service(settings, adapted(settings, "broken", float("nan")))
    follower.look()
    follower.look()
    assert said == [
        "stocks version 2 fails its smoke test (its predictions are not probabilities); version 1 goes on serving"
    ]
    put_in_service(settings, adapted(settings, "rising"))
    follower.look()
    assert said[1:] == ["serving stocks version 3 in place of 1"]
    client = TestClient(application)
    found = client.post("/invocations", content=EXAMPLES, headers={"Content-Type": "application/json"})
    assert labels_of(found.json()) == ["rising", "rising"]
    assert found.headers["model-version"] == "stocks/3"
    assert 'acclimate_reloads_total{outcome="failed"} 1.0' in client.get("/metrics").text


def test_a_registry_that_is_away_changes_nothing(settings, application, monkeypatch):
    said = []
    monkeypatch.setattr(registry, "champion", lambda settings, name: 1 / 0)
    Follower(settings, application, said.append).look()
    assert said == ["cannot see which version is in service (division by zero); version 1 goes on serving"]


def test_a_port_that_is_in_use_is_told():
    with listening("127.0.0.1", 0) as held:
        port = held.getsockname()[1]
        with pytest.raises(UserError, match=rf"port {port} \(.*\); choose another"), listening("127.0.0.1", port):
            pass


def test_a_served_champion_gives_way_to_the_next_and_loses_no_request(settings):
    put_in_service(settings, adapted(settings, "calm"))
    second = adapted(settings, "rising")
    environment = os.environ | {"ACCLIMATE_ROOT": str(settings.root), "ACCLIMATE_HOME": str(settings.home_path)}
    own = "from flows.cli import main; main(['serve', 'stocks', '--port', '0'])"
    server = subprocess.Popen([sys.executable, "-c", own], env=environment, stderr=subprocess.PIPE, text=True)
    try:
        url = re.search(r"http://127\.0\.0\.1:\d+", server.stderr.readline())[0]
        opener, seen, stop = urllib.request.build_opener(urllib.request.ProxyHandler({})), [], threading.Event()

        def ask():
            sent = urllib.request.Request(f"{url}/invocations", EXAMPLES.encode(), {"Content-Type": "application/json"})
            with opener.open(sent, timeout=60) as answer:
                return answer.status, labels_of(json.load(answer))[0]

        def keep_asking():
            while not stop.is_set():
                try:
                    seen.append(ask())
                except urllib.error.URLError as error:
                    seen.append(error)

        asking = threading.Thread(target=keep_asking)
        asking.start()
        put_in_service(settings, second)
        deadline = time.monotonic() + 60
        while (200, "rising") not in seen[-1:] and time.monotonic() < deadline:
            time.sleep(0.05)
        stop.set()
        asking.join()
        assert seen == sorted(seen)  # none failed, and first all of one, then all of the other
        assert {label for _, label in seen} == {"calm", "rising"}
        assert server.stderr.readline() == "serving stocks version 2 in place of 1\n"
        assert opener.open(f"{url}/health").status == 200
    finally:
        server.send_signal(signal.SIGINT)
        _, rest = server.communicate(timeout=60)
    assert (server.returncode, rest) == (0, "stopped\n")
