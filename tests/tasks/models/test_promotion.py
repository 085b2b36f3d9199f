"""What a person puts into service: it has to work, it is recorded, and no flow takes it back."""

from types import SimpleNamespace

import pytest
import torch

from domains.errors import UserError
from learners import make
from learners.choice.prior import Prior
from learners.classifier import FILE, Affine, Classifier
from learners.meta_model import MetaModel
from tasks.base.settings import Settings
from tasks.features.encoders import encoder_identity
from tasks.meta_train import steps
from tasks.models import promotion, registry
from tasks.models.model_list import list_models, table_cells


@pytest.fixture(scope="module")
def settings(tmp_path_factory):
    return Settings(root=tmp_path_factory.mktemp("root"))


@pytest.fixture(scope="module")
def log(settings, tmp_path_factory):
    """Register one more version of a domain's model."""

    def log(name, decision="promoted", encoder=None, width=384):
        folder = tmp_path_factory.mktemp("adapted")
        Classifier((Affine(torch.eye(2, width), torch.zeros(2)),), ("well", "sick")).save(folder)
        made = registry.log_adapted(settings, name, folder, {"k": 5}, {"accuracy": 0.7, "ci95": 0.01}, {})
        tags = {"family": "text", "encoder": encoder or encoder_identity("text"), "decision": decision, "reason": "r"}
        registry.tag(settings, name, made, tags)  # afterwards: a signature for MLflow takes a second to make
        return made

    return log


@pytest.fixture(scope="module")
def log_meta(settings, tmp_path_factory):
    """Register one more meta-model of the text family, of these learners."""

    def log(*learners):
        folder = tmp_path_factory.mktemp("meta")
        made = {name: make(name, 384) for name in learners}
        MetaModel("text", encoder_identity("text"), 384, None, made, Prior()).save(folder)
        return registry.log_meta_model(settings, "text", folder, {}, {}, {})

    return log


def in_service(settings, name):
    champion = registry.champion(settings, name)
    return champion and champion.version


def test_a_promotion_by_a_person_is_recorded_with_when_and_what_it_replaced(settings, log):
    first, second = log("notes"), log("notes", "refused")
    change = promotion.promote_by_hand(settings, "notes", first)
    assert change.line == "notes version 1 is in service"
    change = promotion.promote_by_hand(settings, "notes", second)
    assert change.line == "notes version 2 is in service in place of version 1"
    assert change.gate == "refused: r"
    tags = registry.champion(settings, "notes").tags
    assert (tags["decision"], tags["replaced"], tags["gate"]) == ("promoted by a person", "1", "refused: r")
    assert tags["decided"].startswith("20")
    again = promotion.promote_by_hand(settings, "notes", second)
    assert (again.changed, again.line) == (False, "notes version 2 is in service already")


def test_a_rollback_marks_what_it_takes_out_so_that_no_flow_puts_it_back(settings, log):
    first, second = log("rolled"), log("rolled")
    promotion.promote_by_hand(settings, "rolled", first)
    promotion.promote_by_hand(settings, "rolled", second)
    assert promotion.rollback(settings, "rolled").line == "rolled version 1 is in service in place of version 2"
    assert promotion.WITHDRAWN in registry.get(settings, "rolled", second).tags
    assert promotion.WITHDRAWN not in registry.champion(settings, "rolled").tags
    promotion.rollback(settings, "rolled")  # undoes the first
    assert in_service(settings, "rolled") == second
    assert promotion.WITHDRAWN not in registry.champion(settings, "rolled").tags
    assert registry.champion(settings, "rolled").tags["gate"] == "promoted: r"


def test_a_damaged_model_is_not_put_into_service_and_the_champion_is_not_marked(settings, log):
    good, bad, absent, nonsense = (log("damaged") for _ in range(4))
    promotion.promote_by_hand(settings, "damaged", good)
    (registry.get(settings, "damaged", bad).folder / FILE).write_bytes(b"no weights")
    (registry.get(settings, "damaged", absent).folder / FILE).unlink()
    Classifier((Affine(torch.full((2, 384), torch.nan), torch.zeros(2)),), ("a", "b")).save(
        registry.get(settings, "damaged", nonsense).folder
    )
    for version in (bad, absent, nonsense):
        with pytest.raises(UserError, match=f"damaged version {version} fails its smoke test"):
            promotion.promote_by_hand(settings, "damaged", version)
    champion = registry.champion(settings, "damaged")
    assert champion.version == good
    assert promotion.WITHDRAWN not in champion.tags


def test_bad_names_and_versions_are_told_with_what_to_do(settings, log):
    promotion.promote_by_hand(settings, "only", log("only"))
    for name, said in {
        "nope": "no model of 'nope' yet; see `acclimate status`",
        "../data": "domain name '../data'",
        "meta-audio": "domain name 'meta-audio'",
        "meta-' or '1'='1": "domain name",
        "meta-text": "no model of 'meta-text' yet",
    }.items():
        for act in (
            lambda name: promotion.promote_by_hand(settings, name, "1"),
            lambda n: promotion.rollback(settings, n),
        ):
            with pytest.raises(UserError, match=said):
                act(name)
    for version in ("7", "0", "-1", "latest", "1.0", ""):
        with pytest.raises(UserError, match=f"only has no version {version}; see: acclimate models show only"):
            promotion.promote_by_hand(settings, "only", version)
    with pytest.raises(UserError, match="only has no previous champion; choose one: acclimate models show only"):
        promotion.rollback(settings, "only")


def test_a_model_of_another_encoder_would_predict_nonsense_and_is_refused(settings, log):
    log("older", encoder="letters-0")
    with pytest.raises(UserError, match="version 1 of older reads features of letters-0, now the encoder is minilm"):
        promotion.promote_by_hand(settings, "older", "1")
    assert in_service(settings, "older") is None


def test_a_meta_model_that_a_person_took_out_is_not_put_back_by_meta_training(settings, log_meta, monkeypatch):
    monkeypatch.setattr(steps, "settings", lambda: settings)
    first, second = log_meta("protonet"), log_meta("protonet")
    for version in (first, second):
        promotion.promote_by_hand(settings, "meta-text", version)
    promotion.rollback(settings, "meta-text")
    plan = SimpleNamespace(family="text", folder=settings.home_path / "checkpoints")
    assert steps.put_into_service.fn(plan, second) == second
    assert in_service(settings, "meta-text") == first


def test_a_meta_model_has_a_smoke_test_of_its_own(settings, log_meta):
    good, empty = log_meta("protonet"), log_meta()
    promotion.promote_by_hand(settings, "meta-text", good)
    with pytest.raises(UserError, match=rf"meta-text version {empty} fails its smoke test .it has no learners"):
        promotion.promote_by_hand(settings, "meta-text", empty)
    assert in_service(settings, "meta-text") == good


def test_models_are_listed_in_a_row_each_meta_models_last(settings, log, log_meta):
    log("aaa", "refused")
    log_meta("protonet")
    rows = list_models(settings)
    assert (rows[0]["model"], rows[-1]["model"]) == ("aaa", "meta-text")
    first = {"model": "aaa", "champion": None, "newest": "1", "age": None, "accuracy": None, "ci95": None}
    assert rows[0] == first | {"decision": "refused"}
    assert table_cells(rows[0])["champion"] == "none"
    promotion.promote_by_hand(settings, "aaa", "1")
    row = list_models(settings)[0]
    assert (row["champion"], row["accuracy"], row["decision"]) == ("1", 0.7, "promoted by a person")
    assert 0 <= row["age"] < 600
    assert table_cells(row)["accuracy %"] == "70.0 ± 1.0"
