"""An encoder tuned to a domain: within its budget, held out, kept with the model, and found again."""

import json
import shutil
import time
from dataclasses import replace

import mlflow.pyfunc
import pandas as pd
import pytest
import torch
from torch.nn import functional as F

from domains.errors import UserError
from learners.choice.prior import Prior
from learners.classifier import Classifier
from learners.meta_model import MetaModel
from tasks.adapt import tuning
from tasks.adapt.adaptation import Adaptation
from tasks.adapt.plan import Plan, encode_plan
from tasks.adapt.steps import adapt_and_compare, judge, needed, promote, register
from tasks.adapt.suggestion import advise
from tasks.adapt.tuning import folder_of, join_tuned, tune_encoder
from tasks.base.settings import read_duration
from tasks.export.mlflow_folder import export_mlflow
from tasks.export.sentence_transformers import export_sentence_transformers
from tasks.features.encoders import BUILT_IN, MINILM, BertLoader
from tasks.features.encoding import _encoder, encode
from tasks.features.identities import encoders_of_identity
from tasks.features.spec import EncoderSpec
from tasks.features.tuned import restore_tuned, tuned_at, tuned_of
from tasks.models import registry
from tasks.models.lineage import lineage
from tasks.models.prediction import predict_file
from tests.tasks.features.test_plug_ins import kept_bert

HOW = Adaptation(budget=600)


@pytest.fixture
def spec(settings, monkeypatch):
    """A real BERT of one layer in place of MiniLM."""
    shutil.copytree(kept_bert(16), settings.home_path / "encoders" / "small-1")
    found = EncoderSpec("small-1", 16, MINILM, lambda archive, folder: None, BertLoader(), tunable=True)
    monkeypatch.setitem(BUILT_IN["text"], "minilm", found)
    monkeypatch.setenv("ACCLIMATE_ENCODER_TEXT", "minilm")
    monkeypatch.setenv("ACCLIMATE_ROOT", str(settings.root))
    monkeypatch.setenv("ACCLIMATE_PROCESSES", "1")
    monkeypatch.setattr(tuning, "MOST_EPOCHS", {"text": 3})
    _encoder.cache_clear()
    yield found
    _encoder.cache_clear()


@pytest.fixture
def plan(made, spec, settings, tmp_path):
    target = made("target", classes=3, per_class=40, role="target")
    (tmp_path / "meta").mkdir()
    MetaModel("text", "small-1", 16, None, {}, Prior()).save(tmp_path / "meta")
    return Plan(target, "1", tmp_path / "meta", HOW, "key", tmp_path / "work" / "key")


@pytest.mark.parametrize("meta", [{}, {"split": {"by": "class"}}], ids=["fixed test", "cross-fitted"])
def test_what_a_tuned_encoder_says_of_labelled_examples_is_of_networks_that_did_not_see_them(plan, settings, meta):
    plan = replace(plan, domain=replace(plan.domain, meta=meta))
    assert tune_encoder(plan) > 0
    plain = encode_plan(plan)
    data = join_tuned(plan, plain)
    assert (data.fold is None) == (meta == {})
    assert data.widths == (16, 3)
    assert data.encoders[1].opinions
    held_out = data.labelled.x[:, 16:]
    torch.testing.assert_close(held_out.exp().sum(1), torch.ones(len(held_out)))
    examples = [*plan.domain.column("train", data.train_rows), *plan.domain.column("test")]
    seen = encode(settings, "text", examples, encoders=data.encoders[1:])
    y = data.labelled.y
    assert F.nll_loss(seen, y) < F.nll_loss(held_out, y)
    assert data.without_opinions.train_x.shape == plain.train_x.shape


def test_the_model_that_reads_it_has_it_in_its_folder_and_predicts_where_it_never_was(plan, settings, tmp_path):
    tune_encoder(plan)
    result = adapt_and_compare(plan, 0.0)
    assert result.encoders[-1].startswith("tuned-")
    assert result.encoders == [
        spec.identity for spec in needed(Classifier.load(plan.folder), join_tuned(plan, encode_plan(plan)))
    ]
    decision, result = judge(plan, result)
    result = register(plan, result, decision)
    assert not folder_of(plan).exists()
    promote(plan, result.model_copy(update={"decision": "promoted"}))
    champion = registry.champion(settings, "target")
    assert champion.tags["encoder"] == f"small-1+{result.encoders[-1]}"
    assert "--budget 600s" in lineage(settings, champion)["commands"][-1]
    shutil.rmtree(settings.home_path / "encoders" / result.encoders[-1])  # as on another machine
    assert encoders_of_identity(champion.tags["encoder"]) is None
    advice = advise(settings, plan, result, 4)
    assert advice.rows["probability"].between(1 / 3, 1).all()
    shutil.rmtree(settings.home_path / "encoders" / result.encoders[-1])
    new = tmp_path / "new.csv"
    new.write_text("text\nabcd abcd\n")
    told = predict_file(settings, "target", new)
    assert len(told) == 1
    export_mlflow(settings, "target", tmp_path / "out")
    export_sentence_transformers(settings, "target", tmp_path / "sentences")
    shutil.rmtree(settings.home_path / "encoders")  # what is exported needs nothing else
    _encoder.cache_clear()
    served = mlflow.pyfunc.load_model(str(tmp_path / "out")).predict(pd.DataFrame({"text": ["abcd abcd"]}))
    assert served["probability"].tolist() == pytest.approx(told["probability"].astype(float).tolist(), abs=1e-4)
    from sentence_transformers import SentenceTransformer  # seconds, which collecting tests need not take

    exported = SentenceTransformer(str(tmp_path / "sentences"), device="cpu").encode(["abcd abcd"])
    (there,) = (tmp_path / "out").rglob(result.encoders[-1])
    (said,) = tuned_at(there).load(there).encode(["abcd abcd"])
    assert exported.shape == (1, 3)
    assert exported[0].argsort().tolist() == said.argsort().tolist()


def test_tuning_that_was_stopped_goes_on_after_what_was_done(plan):
    tune_encoder(plan)
    said = (folder_of(plan) / "done.json").read_text()
    first = {path: path.stat().st_mtime_ns for path in folder_of(plan).rglob("epoch-*")}
    assert len(first) == 4 * 3
    (folder_of(plan) / "done.json").unlink()
    (folder_of(plan) / "fold-1" / "done").unlink()
    tune_encoder(plan)
    assert (folder_of(plan) / "done.json").read_text() == said
    changed = {path.parent.name for path, at in first.items() if path.stat().st_mtime_ns != at}
    assert changed == {"fold-1"}


def test_a_budget_that_is_over_ends_tuning_after_an_epoch(plan, monkeypatch):
    monkeypatch.setattr(time, "time", lambda: 0.0)
    tune_encoder(replace(plan, how=replace(HOW, seed=2)))
    job_files = {path.name for path in (folder_of(plan) / "whole").glob("epoch-*")}
    assert len(job_files) == 3
    shutil.rmtree(folder_of(plan))
    ticks = iter(range(0, 10**6, 700))
    monkeypatch.setattr(time, "time", lambda: float(next(ticks)))
    tune_encoder(plan)
    assert [path.name for path in (folder_of(plan) / "whole").glob("epoch-*")] == ["epoch-1.safetensors"]
    assert json.loads((folder_of(plan) / "done.json").read_text())["epochs"] == "1"


@pytest.mark.parametrize(
    ("how", "line"),
    [
        (Adaptation(budget=1), "36 labelled examples need --budget 1m"),
        (Adaptation(), None),
        (Adaptation(k=5, budget=600), None),
        (Adaptation(method="logistic", budget=600), None),
    ],
)
def test_no_encoder_is_tuned_where_that_is_not_asked_for_or_takes_too_long(plan, how, line, monkeypatch):
    monkeypatch.setattr(tuning, "_seconds_of_example", lambda *given: 0.01)
    plan = replace(plan, how=how)
    tune_encoder(plan)
    data = join_tuned(plan, encode_plan(plan))
    assert [spec.identity for spec in data.encoders] == ["small-1"]
    assert [warning for warning in data.warnings if "tuned" in warning] == (
        [] if line is None else [f"no encoder is tuned: {line}"]
    )


def test_few_labels_and_foreign_encoders_are_said(plan, spec, monkeypatch):
    monkeypatch.setattr(tuning, "FEWEST", 100)
    tune_encoder(plan)
    assert join_tuned(plan, encode_plan(plan)).warnings[-1] == (
        "no encoder is tuned: 36 labelled examples of 3 labels are too few"
    )
    shutil.rmtree(folder_of(plan))
    monkeypatch.setitem(BUILT_IN["text"], "minilm", replace(spec, tunable=False))
    other = replace(plan, how=replace(HOW, seed=3))
    tune_encoder(other)
    assert "no encoder is tuned: of small-1 it is not known how" in join_tuned(other, encode_plan(other)).warnings


def test_a_name_that_leads_elsewhere_is_no_tuned_encoder(settings, tmp_path):
    assert tuned_of(settings, "../tuned-0123456789abcdef") is None
    restore_tuned(settings, "small-1+tuned-../../x", tmp_path)
    assert not (settings.home_path / "encoders" / "tuned-..").exists()


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("10m", 600), ("1h", 3600), ("45", 45), ("0", 0), ("1d", 86400)]
)
def test_a_time_is_read_as_people_write_it(text, seconds):
    assert read_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "ten", "-5m", "1w", "1.5h"])
def test_what_is_no_time_is_said(text):
    with pytest.raises(UserError, match=r"is not a duration; write it as 90s, 10m or 1h"):
        read_duration(text)
