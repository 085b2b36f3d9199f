"""A domain that two encoders read: adapted to, judged beside a champion of one, predicted, served, exported."""

import io
from dataclasses import replace

import mlflow.pyfunc
import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from learners.classifier import Affine, Classifier, Columns
from tasks.adapt.adaptation import Adaptation, adaptation_key, encode_domain
from tasks.adapt.plan import Plan
from tasks.adapt.steps import adapt_and_compare, needed, recall_champion, scored_by
from tasks.base.settings import settings as own_settings
from tasks.export.mlflow_folder import export_mlflow
from tasks.features.encoders import (
    BUILT_IN,
    JOINING,
    MINILM,
    domain_encoders,
    encoder_identity,
    encoders_named,
    identity_of,
    unpack_minilm,
    weights,
)
from tasks.features.encoding import encode
from tasks.features.identities import encoders_of_identity
from tasks.features.reading import LARGE, MOST_TURNED, length_warnings, readable, reading_doubt
from tasks.features.spec import EncoderSpec
from tasks.models import registry
from tasks.models.prediction import predict_file

HOW = Adaptation()
MINILM_ITSELF = BUILT_IN["text"]["minilm"].identity


class Pairs:
    """A second encoder: how often two letters follow each other, of few letters."""

    def encode(self, texts):
        pairs = [a + b for a in "abc" for b in "abc"]
        return torch.tensor([[float(text.count(pair)) for pair in pairs] for text in texts])


@pytest.fixture
def both(letters, settings, monkeypatch):
    spec = EncoderSpec("pairs-1", 9, MINILM, lambda archive, folder: None, lambda folder: Pairs())
    monkeypatch.setitem(BUILT_IN["text"], "e5", spec)
    monkeypatch.setenv("ACCLIMATE_ENCODER_TEXT", "minilm,e5")
    monkeypatch.setenv("ACCLIMATE_ROOT", str(settings.root))
    (settings.home_path / "encoders" / "pairs-1").mkdir()
    return BUILT_IN["text"]["minilm"], spec


@pytest.fixture
def plan(target, both, settings, model, tmp_path):
    (tmp_path / "meta").mkdir()
    model.save(tmp_path / "meta")
    return Plan(target, "1", tmp_path / "meta", HOW, "key", tmp_path / "work")


def register(settings, plan, identity):
    tags = {"family": "text", "encoder": identity}
    version = registry.log_adapted(settings, plan.domain.name, plan.folder, {}, {}, tags)
    registry.promote(settings, plan.domain.name, version, lambda folder: None)
    return registry.champion(settings, plan.domain.name)


def test_features_stand_side_by_side_and_the_result_says_which_are_needed(plan, target, both, settings):
    data = encode_domain(settings, target, HOW)
    assert data.widths == (8, 9)
    assert data.train_x.shape == (target.counts["train"], 17)
    assert encoder_identity("text") == "letters-1"
    result = adapt_and_compare(plan, 0.0)
    classifier = Classifier.load(plan.folder)
    assert result.encoders == [spec.identity for spec in needed(classifier, data)]
    assert result.encoders[0] == "letters-1"
    assert result.warnings == []
    for name, score in result.scores.items():
        assert score.accuracy > 0.4, name


def test_a_domain_may_name_its_encoders(target, both):
    assert domain_encoders(target) == both
    assert domain_encoders(replace(target, meta={"encoder": "e5"})) == both[1:]
    assert domain_encoders(replace(target, meta={"encoder": ["e5", "minilm"]})) == both[::-1]


def test_what_names_the_usual_encoders_is_another_piece_of_work_as_nothing_joins_them(target, both, monkeypatch):
    monkeypatch.delenv("ACCLIMATE_ENCODER_TEXT")
    keys = [adaptation_key(target, "1", Adaptation())]
    keys.append(adaptation_key(replace(target, meta={"encoder": ["minilm", "e5"]}), "1", Adaptation()))
    monkeypatch.setenv("ACCLIMATE_ENCODER_TEXT", "minilm,e5")
    assert adaptation_key(target, "1", Adaptation()) == keys[1] != keys[0]


def test_a_domain_of_another_encoder_is_adapted_to_with_a_warning(plan, both):
    other = replace(plan, domain=replace(plan.domain, meta={"encoder": "e5"}))
    result = adapt_and_compare(other, 0.0)
    assert result.encoders == ["pairs-1"]
    assert result.warnings == ["no meta-model reads pairs-1: strategies that are not meta-trained adapt"]


def test_a_champion_of_one_encoder_is_judged_by_its_own_features(plan, target, both, settings, monkeypatch):
    monkeypatch.setenv("ACCLIMATE_ENCODER_TEXT", "minilm")
    adapt_and_compare(plan, 0.0)
    champion = register(settings, plan, "letters-1")
    then = encode_domain(settings, target, HOW)
    before, _ = recall_champion(champion, target, then)
    monkeypatch.setenv("ACCLIMATE_ENCODER_TEXT", "minilm,e5")
    now = encode_domain(settings, target, HOW)
    assert now.scored.x.shape[1] == 17
    assert scored_by(champion, target, now).x.shape[1] == 8
    after, _ = recall_champion(champion, target, now)
    np.testing.assert_allclose(after.p, before.p, atol=1e-6)


def test_it_predicts_is_served_and_is_exported_with_both(plan, target, both, settings, monkeypatch, tmp_path):
    adapt_and_compare(plan, 0.0)
    register(settings, plan, "letters-1+pairs-1")
    texts = target.column("test")[:5]
    pd.DataFrame({"text": texts}).to_csv(tmp_path / "new.csv", index=False)
    told = predict_file(settings, target.name, tmp_path / "new.csv")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", settings.tracking_uri)
    served = mlflow.pyfunc.load_model(f"models:/{target.name}@champion").predict(pd.DataFrame({"text": texts}))
    assert served["label"].tolist() == told["label"].tolist()
    export_mlflow(settings, target.name, tmp_path / "out")
    again = mlflow.pyfunc.load_model(str(tmp_path / "out")).predict(pd.DataFrame({"text": texts}))
    pd.testing.assert_frame_equal(again, served)


def test_an_encoder_that_a_model_does_not_need_is_not_run(settings, target, both, monkeypatch, letters):
    x = encode(settings, "text", ["abc"], encoders=both, reader=Classifier(()))
    assert x.shape == (1, 17)
    only = encode_domain(settings, replace(target, meta={"encoder": "minilm"}), HOW)
    first = Classifier((Columns(torch.zeros(8), torch.ones(8)), Affine(torch.ones(2, 8), torch.zeros(2))))
    monkeypatch.setattr(Pairs, "encode", lambda self, texts: pytest.fail("it was run"))
    x = encode(settings, "text", ["new text"], encoders=both, reader=first)
    assert x[:, 8:].abs().sum() == 0
    assert only.widths == ()


GERMAN = ["Die Lieferung ist wieder verspätet angekommen.", "Der Reißverschluss war schon beim Auspacken gebrochen."]
CHINESE = ["送货地址写错了怎么办", "退款什么时候到账"]
ENGLISH = ["The parcel arrived late again.", "Her creatinine and haemoglobin were within normal limits."]


def test_an_encoder_that_cannot_read_the_texts_is_left_out_and_said(both, settings):
    folder = weights(own_settings(), EncoderSpec(MINILM_ITSELF, 384, MINILM, unpack_minilm, None))
    real = EncoderSpec(MINILM_ITSELF, 384, None, None, None, folder=folder)
    assert reading_doubt(real.folder, ENGLISH) is None
    assert "of their words fall to pieces" in reading_doubt(real.folder, GERMAN)
    assert "of their word pieces are unknown to it" in reading_doubt(real.folder, CHINESE)
    found, (doubt,) = readable(settings, (real, both[1]), GERMAN)
    assert found == (both[1],)
    assert doubt.startswith(f"encoder {MINILM_ITSELF} is not used: it cannot read these texts (")
    assert readable(settings, (real, both[1]), ENGLISH) == ((real, both[1]), [])
    assert readable(settings, (real,), GERMAN) == ((real,), [])
    unseen = replace(BUILT_IN["text"]["e5"], wheel=None, folder=settings.home_path / "absent")  # not looked at
    assert readable(settings, (real, unseen), ENGLISH) == ((real, unseen), [])


def test_texts_that_are_mostly_long_are_read_in_windows_too_and_some_long_ones_are_said(settings, monkeypatch):
    folder = weights(own_settings(), BUILT_IN["text"]["minilm"])
    usual = {name: replace(spec, folder=folder, wheel=None) for name, spec in BUILT_IN["text"].items()}
    monkeypatch.setitem(BUILT_IN, "text", usual)
    encoders, long, short = tuple(usual.values()), "a rather long text " * 80, "a short text"
    found, (said,) = readable(settings, encoders, [long] * 20)
    assert found == (*encoders, JOINING["text"]["minilm-windows"])
    assert said.startswith(f"100% of the texts are longer than the 128 word pieces that {MINILM_ITSELF} reads")
    assert said.endswith("they are read in windows too")
    found, (said,) = readable(settings, encoders, [long, short, short, short])
    assert found == encoders
    assert said.endswith("their words are read to the end")
    assert readable(settings, encoders[:1], [long] * 20, named=True)[0] == encoders[:1]  # the user has named one
    assert readable(settings, encoders, [short] * 20) == (encoders, [])


def test_whoever_adds_or_checks_long_texts_hears_how_many_once_the_encoder_is_here(settings, monkeypatch):
    folder, long, short = (
        weights(own_settings(), BUILT_IN["text"]["minilm"]),
        "a rather long text " * 80,
        "a short text",
    )
    known = (replace(BUILT_IN["text"]["minilm"], folder=folder, wheel=None),)
    assert length_warnings(settings, known, [long, short]) == [
        f"50% of the texts are longer than the 128 word pieces that {MINILM_ITSELF} reads"
    ]
    assert length_warnings(settings, known, [short] * 20) == []
    assert length_warnings(settings, (BUILT_IN["text"]["minilm"],), [long]) == []  # nothing is fetched for that


def test_windows_have_the_weights_of_their_encoder_and_an_identity_of_their_own(settings):
    assert encoders_of_identity(JOINING["text"]["e5-windows"].identity) == (JOINING["text"]["e5-windows"],)
    assert encoders_named(["minilm-windows"], "text") == (JOINING["text"]["minilm-windows"],)
    (settings.home_path / "encoders" / MINILM_ITSELF).mkdir(parents=True)
    assert weights(settings, JOINING["text"]["minilm-windows"]).name == MINILM_ITSELF


def picture(side: int) -> bytes:
    """Return a grey image of so many pixels a side."""
    out = io.BytesIO()
    Image.new("L", (side, side // 2), side % 256).save(out, "png")
    return out.getvalue()


def test_images_are_read_turned_too_and_large_ones_at_more_pixels(settings):
    usual = tuple(BUILT_IN["vision"].values())
    turned, fine = (JOINING["vision"][f"efficientnet-{name}"] for name in ("turned", "fine"))
    small, large = picture(72), picture(LARGE)
    assert readable(settings, usual, [small] * 3 + [large]) == ((*usual, turned), [])
    assert readable(settings, usual, [large] * 3 + [small]) == ((*usual, turned, fine), [])
    assert readable(settings, usual, [large] * 4, images_join=False) == (usual, [])
    assert readable(settings, usual, [large] * 4, named=True) == (usual, [])
    assert readable(settings, usual, [small] * (MOST_TURNED + 1)) == (usual, [])  # which would take long
    assert encoders_of_identity(identity_of((*usual, turned))) == (*usual, turned)
