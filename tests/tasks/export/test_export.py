"""An exported model predicts the same in libraries that know nothing of this project."""

import json
import subprocess
import sys
import textwrap

import pytest
import torch

from domains.errors import UserError
from learners.classifier import Affine, Classifier, Columns
from learners.encoders.bert import MeanBert
from tasks.base.settings import Settings
from tasks.base.settings import settings as own_settings
from tasks.export import onnx_graph
from tasks.export.model_card import ONNX, SENTENCE_TRANSFORMERS, TRANSFORMERS
from tasks.export.sentence_transformers import export_sentence_transformers
from tasks.features.encoders import BUILT_IN, encoder_identity, weights
from tasks.models import registry

TEXTS = [
    "Short stature.",
    "abnormal heart rhythm " * 90,
    "",
    "Ελληνικά, 中文 and emoji 🫀",
    "Seizures that begin in infancy",
]
LABELS = ("skeletal", "heart, “cardiac”", "nervous")
ONE = torch.Generator().manual_seed(1)


def normal(*size):
    return torch.randn(*size, generator=ONE)


HEADS = {
    "cosine": (Affine(normal(60, 384) * 5, normal(60)), "normalise", Affine(normal(3, 60), normal(3))),
    "network": (
        *(Columns(normal(384) / 20, normal(384).abs() + 0.5), Affine(normal(20, 384), normal(20))),
        *("relu", "normalise", Affine(normal(3, 20), torch.zeros(3))),
    ),
    "linear": (Affine(normal(3, 384) * 3, normal(3)),),
}


@pytest.fixture(scope="module")
def settings(tmp_path_factory):
    """An installation of its own whose text encoder is the real one."""
    made = Settings(root=tmp_path_factory.mktemp("root"), processes=1)
    (made.home_path / "encoders").mkdir(parents=True)
    spec = BUILT_IN["text"]["minilm"]
    (made.home_path / "encoders" / spec.identity).symlink_to(weights(own_settings(), spec), target_is_directory=True)
    return made


def registered(settings, folder, name, layers, family="text", encoder=None):
    """Put a classifier into service and return it."""
    folder.mkdir()
    model = Classifier(layers, LABELS, temperature=0.6)
    model.save(folder)
    tags = {"family": family, "encoder": encoder or encoder_identity(family)}
    version = registry.log_adapted(settings, name, folder, {"strategy": "made-up", "k": 5}, {"accuracy": 0.7}, tags)
    registry.promote(settings, name, version, lambda folder: None)
    return model


def read_exactly():
    """Return the vectors of TEXTS in 32 bits, as other libraries read them."""
    return MeanBert(weights(own_settings(), BUILT_IN["text"]["minilm"]), exact=True).encode(TEXTS)


@pytest.fixture(scope="module")
def exported(settings, tmp_path_factory):
    """Folders that were exported, and the probabilities that each should give."""
    made = {}
    for name, layers in HEADS.items():
        folder = tmp_path_factory.mktemp(name)
        model = registered(settings, folder / "adapted", name, layers)
        assert export_sentence_transformers(settings, name, folder / "model").version == "1"
        made[folder / "model"] = model.predict_proba(read_exactly())
    return made


def runs_as_written(code, folders, tmp_path):
    """Run a program of the README for each folder, in one process elsewhere; returns probabilities and labels."""
    outs = [str(tmp_path / f"{i}.pt") for i in range(len(folders))]
    given = (
        f"import torch\ntexts = {TEXTS!r}\nfor folder, out in {list(zip(map(str, folders), outs, strict=True))!r}:\n"
    )
    body = textwrap.indent(f"{code}\ntorch.save((probabilities, labels), out)", "    ")
    subprocess.run([sys.executable, "-c", given + body], cwd=tmp_path, check=True)
    return [torch.load(out, weights_only=True) for out in outs]


def gives_what_is_expected(code, exported, tmp_path):
    assert all(code in (folder / "README.md").read_text("utf-8") for folder in exported)
    found = runs_as_written(code, exported, tmp_path)
    for (p, labels), expected in zip(found, exported.values(), strict=True):
        assert torch.allclose(p.cpu(), expected, atol=1e-5)
        assert labels == [LABELS[i] for i in expected.argmax(1)]


def test_transformers_and_safetensors_alone_give_the_same_predictions(exported, tmp_path):
    gives_what_is_expected(TRANSFORMERS, exported, tmp_path)


def test_sentence_transformers_gives_the_same_predictions(exported, tmp_path):
    pytest.importorskip("sentence_transformers")
    gives_what_is_expected(SENTENCE_TRANSFORMERS, exported, tmp_path)


def test_onnx_runtime_gives_the_same_predictions(settings, tmp_path):
    for package in ("onnx", "onnxscript", "onnxruntime"):
        pytest.importorskip(package)
    model = registered(settings, tmp_path / "adapted", "graph", HEADS["network"])
    export_sentence_transformers(settings, "graph", tmp_path / "model", onnx=True)
    expected = model.predict_proba(read_exactly())
    gives_what_is_expected(ONNX, {tmp_path / "model": expected}, tmp_path)


def test_without_the_packages_that_onnx_needs_the_user_is_told_which(settings, tmp_path, monkeypatch):
    monkeypatch.setattr(onnx_graph, "find_spec", lambda name: None)
    with pytest.raises(UserError, match="pip install onnx onnxscript"):
        export_sentence_transformers(settings, "graph", tmp_path / "model", onnx=True)


def test_a_folder_holds_data_only_and_neighbouring_maps_as_one(exported):
    after = {"cosine": ["Dense", "Normalize", "Dense"], "network": ["Dense", "Normalize", "Dense"], "linear": ["Dense"]}
    for folder, own in zip(exported, after.values(), strict=True):
        assert {path.suffix for path in folder.rglob("*") if path.is_file()} == {".json", ".safetensors", ".txt", ".md"}
        kinds = [module["type"].rsplit(".", 1)[1] for module in json.loads((folder / "modules.json").read_text())]
        assert kinds == ["Transformer", "Pooling", "Normalize", *own]


def test_a_version_that_is_not_in_service_can_be_exported(settings, tmp_path):
    for i, name in enumerate(("linear", "cosine")):
        registered(settings, tmp_path / name, "twice", HEADS[name])
        assert export_sentence_transformers(settings, "twice", tmp_path / f"champion-{i}").version == str(i + 1)
    assert export_sentence_transformers(settings, "twice", tmp_path / "first", "1").version == "1"
    assert not (tmp_path / "first" / "4_Normalize").exists()
    with pytest.raises(UserError, match="twice has no version 9; see: acclimate models show twice"):
        export_sentence_transformers(settings, "twice", tmp_path / "ninth", "9")


def test_a_strategy_that_the_format_lacks_is_refused_by_name_and_nothing_is_written(settings, tmp_path):
    registered(settings, tmp_path / "adapted", "attends", (*HEADS["linear"], "softmax", "log"))
    with pytest.raises(UserError, match=r"strategy made-up, .*'softmax'.*`acclimate adapt attends --method logistic`"):
        export_sentence_transformers(settings, "attends", tmp_path / "model")
    assert [path.name for path in tmp_path.iterdir()] == ["adapted"]


def test_models_of_other_families_and_of_earlier_encoders_are_refused(settings, tmp_path):
    registered(settings, tmp_path / "seen", "seen", HEADS["linear"], family="vision")
    with pytest.raises(UserError, match="seen is of family vision: only models of text"):
        export_sentence_transformers(settings, "seen", tmp_path / "model")
    registered(settings, tmp_path / "old", "old", HEADS["linear"], encoder="minilm-before")
    with pytest.raises(UserError, match="the champion of old reads features of minilm-before, now the encoder is"):
        export_sentence_transformers(settings, "old", tmp_path / "model")


def test_a_folder_in_use_or_without_a_parent_is_refused(settings, tmp_path):
    registered(settings, tmp_path / "adapted", "fine", HEADS["linear"])
    with pytest.raises(UserError, match="adapted exists and is not empty; choose a new folder"):
        export_sentence_transformers(settings, "fine", tmp_path / "adapted")
    with pytest.raises(UserError, match="no such folder"):
        export_sentence_transformers(settings, "fine", tmp_path / "no" / "model")
    (tmp_path / "empty").mkdir()
    export_sentence_transformers(settings, "fine", tmp_path / "empty")
    assert (tmp_path / "empty" / "modules.json").exists()
