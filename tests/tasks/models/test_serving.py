"""MLflow serves an adapted model: raw examples in, the answers of ``acclimate predict`` out, bad requests refused."""

import base64
import io
import json
import pickle
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
import torch
from mlflow.exceptions import MlflowException
from mlflow.pyfunc import scoring_server
from PIL import Image
from starlette.testclient import TestClient

from domains.errors import UserError
from domains.market.features import FEATURES
from learners.classifier import Affine, Classifier
from tasks.base.settings import Settings
from tasks.base.settings import settings as own_settings
from tasks.export.mlflow_folder import export_mlflow
from tasks.features import encoding
from tasks.features.encoders import BUILT_IN, EFFICIENTNET, encoder_identity, weights
from tasks.features.spec import EncoderSpec
from tasks.models import registry
from tasks.models.mlflow_flavour import input_example
from tasks.models.prediction import predict_file

TEXTS = ["Short stature.", "abnormal heart rhythm " * 90, "Ελληνικά, 中文 and emoji 🫀", 'a, "b"\nand c', "NULL"]
ONE = torch.Generator().manual_seed(1)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """An installation of its own, with the real text encoder."""
    folder, spec = weights(own_settings(), BUILT_IN["text"]["minilm"]), BUILT_IN["text"]["minilm"]
    made = Settings(root=tmp_path_factory.mktemp("root"), processes=1)
    (made.home_path / "encoders").mkdir(parents=True)
    (made.home_path / "encoders" / spec.identity).symlink_to(folder, target_is_directory=True)
    return made


@pytest.fixture
def settings(whole, monkeypatch):
    """The same, which the environment names as a server's would."""
    monkeypatch.setenv("ACCLIMATE_HOME", str(whole.home_path))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", whole.tracking_uri)
    return whole


def in_service(settings, name, family, dim, labels=("well", "sick", "either|or")):
    if registry.champion(settings, name):
        return
    folder = settings.root / f"adapted {name}"
    folder.mkdir()
    weight = torch.randn(len(labels), dim, generator=ONE) * 4
    Classifier((Affine(weight, torch.zeros(len(labels))),), labels, threshold=0.2).save(folder)
    tags = {"family": family, "encoder": encoder_identity(family)}
    registry.promote(settings, name, registry.log_adapted(settings, name, folder, {}, {}, tags), lambda folder: None)


@pytest.fixture
def text(settings):
    """A champion that reads the real text encoder's features."""
    in_service(settings, "letters", "text", BUILT_IN["text"]["minilm"].dim)


class Brightness:
    """An encoder of images that one can check by eye."""

    def encode(self, images):
        return torch.tensor([[float(np.asarray(Image.open(io.BytesIO(image))).mean()) / 255] * 4 for image in images])


@pytest.fixture
def vision(settings, monkeypatch):
    spec = EncoderSpec("brightness-1", 4, EFFICIENTNET, lambda archive, folder: None, lambda _: Brightness())
    monkeypatch.setitem(BUILT_IN["vision"], "efficientnet", spec)
    (settings.home_path / "encoders" / spec.identity).mkdir(exist_ok=True)
    encoding._encoder.cache_clear()
    in_service(settings, "pictures", "vision", spec.dim)
    yield
    encoding._encoder.cache_clear()


def ask(client, body, kind="application/json"):
    """Return the status of a request to MLflow's model server and the JSON that came back."""
    answer = client.post("/invocations", content=body, headers={"Content-Type": kind})
    return answer.status_code, answer.json()


def test_mlflow_serves_what_predict_predicts_and_refuses_bad_requests(settings, text, tmp_path):
    (tmp_path / "new.jsonl").write_text("\n".join(json.dumps({"text": each}) for each in TEXTS), "utf-8")
    expected = predict_file(settings, "letters", tmp_path / "new.jsonl")
    client = TestClient(scoring_server.init(mlflow.pyfunc.load_model("models:/letters@champion")))
    status, found = ask(client, json.dumps({"dataframe_records": [{"text": each} for each in TEXTS]}))
    assert status == 200, found
    answered = pd.DataFrame(found["predictions"])
    for name in ("label", "set", "ask"):
        assert answered[name].tolist() == expected[name].tolist()
    assert np.allclose(answered["probability"], expected["probability"], atol=1e-5)
    assert np.allclose(answered.filter(regex="^p_").sum(axis=1), 1, atol=1e-5)
    assert ask(client, json.dumps({"inputs": {"text": TEXTS}})) == (200, found)
    table = pd.DataFrame({"text": TEXTS[:4]}).to_csv(index=False)  # in a table, NULL is no text
    assert ask(client, table, "text/csv") == (200, {"predictions": found["predictions"][:4]})
    for body, line in {
        '{"dataframe_records": [{"text": "fine"}, {"text": " "}]}': "row 2 has an empty text; remove it or fill it",
        '{"dataframe_records": [{"txt": "fine"}]}': "Model is missing inputs ['text']",
        '{"dataframe_records": [{"text": 5}]}': "text",
        '{"dataframe_records": []}': "text",
        "nonsense": "Ensure that input is a valid JSON",
    }.items():
        status, said = ask(client, body)
        assert status == 400, said
        assert line in said["message"]


def picture(grey):
    file = io.BytesIO()
    Image.new("L", (5, 5), grey).save(file, "PNG")
    return file.getvalue()


def test_images_are_sent_as_base64(settings, vision, tmp_path):
    (tmp_path / "new").mkdir()
    for grey in (0, 90, 200):
        (tmp_path / "new" / f"{grey:03}.png").write_bytes(picture(grey))
    expected = predict_file(settings, "pictures", tmp_path / "new")
    model = mlflow.pyfunc.load_model("models:/pictures@champion")
    sent = [base64.b64encode(picture(grey)).decode() for grey in (0, 90, 200)]
    found = model.predict(pd.DataFrame({"image": sent}))
    pd.testing.assert_frame_equal(found.iloc[:, :4], expected[["label", "probability", "set", "ask"]])
    lines = {"%%%": "row 2 is not base64", base64.b64encode(b"GIF89a").decode(): "row 2: not a readable image"}
    for bad, line in lines.items():
        with pytest.raises(MlflowException, match=line) as refused:
            model.predict(pd.DataFrame({"image": [sent[0], bad]}))
        assert refused.value.get_http_status_code() == 400


def test_of_markets_features_are_sent_by_name(settings):
    in_service(settings, "stocks", "market", len(FEATURES))
    model = mlflow.pyfunc.load_model("models:/stocks@champion")
    example = input_example("market")
    classifier = Classifier.load(registry.champion(settings, "stocks").folder)
    expected = classifier.predict_proba(torch.tensor(example.to_numpy(), dtype=torch.float32))
    shuffled = model.predict(example[example.columns[::-1]])
    assert np.allclose(shuffled.filter(regex="^p_"), expected, atol=1e-6)
    with pytest.raises(MlflowException, match="row 2 has a feature that is not a finite number"):
        model.predict(example.replace(0.5, np.inf))
    with pytest.raises(MlflowException, match="vol_5"):
        model.predict(example.drop(columns="vol_5"))


@pytest.mark.parametrize("family", ["text", "vision"])
def test_an_exported_model_is_served_without_registry_or_home(family, settings, request, monkeypatch, tmp_path):
    request.getfixturevalue(family)
    name = {"text": "letters", "vision": "pictures"}[family]
    example = input_example(family)
    expected = mlflow.pyfunc.load_model(f"models:/{name}@champion").predict(example)
    assert export_mlflow(settings, name, tmp_path / "out").version == "1"
    for loader in ("load", "loads", "Unpickler"):
        monkeypatch.setattr(pickle, loader, None)
    monkeypatch.setattr(torch, "load", None)
    monkeypatch.setenv("ACCLIMATE_HOME", str(tmp_path / "nowhere"))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'other.db'}")
    model = mlflow.pyfunc.load_model(str(tmp_path / "out"))
    pd.testing.assert_frame_equal(model.predict(example), expected)
    assert model.metadata.signature.inputs.input_names() == list(example)
    assert model.metadata.signature.outputs.input_names() == list(expected)
    pd.testing.assert_frame_equal(model.metadata.load_input_example(str(tmp_path / "out")), example)
    assert {file.suffix for file in (tmp_path / "out").rglob("*")} <= {"", ".json", ".safetensors", ".yaml", ".txt"}
    with pytest.raises(UserError, match="out exists and is not empty; choose a new folder"):
        export_mlflow(settings, name, tmp_path / "out")


def test_the_weights_of_the_encoder_are_not_in_every_version(settings, text):
    files = [path for path in (settings.home_path / "mlartifacts").rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 100_000


def test_without_its_encoder_a_model_says_what_to_do(settings, text, monkeypatch, tmp_path):
    monkeypatch.setenv("ACCLIMATE_HOME", str(tmp_path / "nowhere"))
    with pytest.raises(
        UserError, match=r"no encoder .*nowhere/encoders/minilm.*: set ACCLIMATE_HOME to the folder with"
    ):
        mlflow.pyfunc.load_model("models:/letters@champion")
    assert not Path(tmp_path / "nowhere").exists()


def test_a_model_of_another_encoder_is_not_served(settings, vision, monkeypatch):
    monkeypatch.setitem(BUILT_IN["vision"], "efficientnet", EncoderSpec("other-2", 4, EFFICIENTNET, None, None))
    with pytest.raises(UserError, match="reads features of brightness-1, and the encoder here is other-2; adapt again"):
        mlflow.pyfunc.load_model("models:/pictures@champion")
