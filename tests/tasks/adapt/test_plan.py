"""What is planned is what is run: the commit and the meta-model are resolved once, whatever moves meanwhile."""

import json
from contextlib import contextmanager
from types import SimpleNamespace
from uuid import uuid4

import pandas as pd
import pytest
from prefect.exceptions import Pause

import flows.adapt
from domains.domain import FAMILIES
from domains.market.features import FEATURES
from flows import cli
from flows.adapt import adapt_in_order, directly
from tasks.adapt import approval, steps
from tasks.adapt.adaptation import work_key
from tasks.adapt.approval import Verdict
from tasks.adapt.plan import NO_META, NO_META_WARNING, plan_adaptation, without_meta_training
from tasks.base.settings import Settings
from tasks.models import registry
from tasks.versions.commit import commit
from tasks.watch import ledger
from tasks.watch.noticing import reason_to_adapt, targets_at


@pytest.fixture
def unserved(checkout, letters, model, tmp_path):
    """A checkout whose domain news can be adapted to, and a meta-model that is not in service."""
    (checkout.home / "encoders" / "letters-1").mkdir(parents=True)
    write_news(checkout, pool=8)
    commit(checkout.root, checkout.home, "A pool", checked=False)
    (tmp_path / "meta").mkdir()
    model.save(tmp_path / "meta")
    return checkout


@pytest.fixture
def project(unserved, tmp_path):
    """The checkout with version 1 of the meta-model in service."""
    serve_meta_model(unserved, tmp_path / "meta")
    return unserved


def write_news(checkout, pool):
    """Write the domain news of two classes that letters tell apart, with so many unlabelled examples."""
    folder = checkout.write("news", train=12, test=6, pool=pool)
    for split in ("train", "test", "pool"):
        frame = pd.read_parquet(folder / f"{split}.parquet")
        frame["text"] = [f"{'ab'[i % 2] * (i + 3)} {split} {i}" for i in range(len(frame))]
        frame.to_parquet(folder / f"{split}.parquet", index=False)


def serve_meta_model(checkout, folder):
    s = Settings(root=checkout.root)
    registry.promote(s, "meta-text", registry.log_meta_model(s, "text", folder, {}, {}, {}), lambda folder: None)


def test_an_adaptation_is_of_the_commit_and_meta_model_that_were_planned(project, tmp_path, monkeypatch, capsys):
    planned = project.git("rev-parse", "HEAD")
    before = plan_adaptation("news", "HEAD", 2, 1, "auto")

    @contextmanager
    def everything_moves(settings):
        write_news(project, pool=4)
        commit(project.root, project.home, "A smaller pool", checked=False)
        serve_meta_model(project, tmp_path / "meta")
        yield

    monkeypatch.setattr(cli, "flows_running", everything_moves)
    monkeypatch.setattr(flows.adapt, "adapt", lambda *asked, **more: adapt_in_order(directly, *asked, **more))
    output = tmp_path / "to_label.csv"
    cli.main(["adapt", "news", "--k", "2", "--draws", "1", "--suggest", "8", "-o", str(output), "--json"])
    result = json.loads(capsys.readouterr().out)
    assert project.git("rev-parse", "HEAD") != planned
    assert registry.champion(Settings(root=project.root), "meta-text").version == "2"
    assert (result["revision"], result["meta_version"], result["pool"]) == (planned, "1", 8)
    assert result["key"] == before.key
    assert sorted(pd.read_csv(output)["row"]) == list(range(8))  # of the pool that was planned


def test_without_a_meta_model_strategies_that_are_not_meta_trained_adapt_until_there_is_one(
    unserved, tmp_path, monkeypatch
):
    s = Settings(root=unserved.root)
    monkeypatch.setattr(flows.adapt, "report", lambda plan, result: result)
    monkeypatch.setattr(steps, "measure_curve", lambda *asked: [])
    plan = plan_adaptation("news", "HEAD", None, 10, "auto")
    assert plan == plan_adaptation("news", "HEAD", None, 10, "auto", plan.meta_version)
    result = adapt_in_order(directly, "news", None, "HEAD", 10, "auto")
    assert (result.decision, result.meta_version, result.key) == ("promoted", NO_META, plan.key)
    assert NO_META_WARNING.format("text") in result.warnings
    serve_meta_model(unserved, tmp_path / "meta")
    (target,), _ = targets_at(s, plan.domain.revision, ["news"])
    assert reason_to_adapt(target, registry.champion(s, "news")) == "meta-model 1 took the place of none"
    assert plan_adaptation("news", "HEAD", None, 10, "auto").key != plan.key


@pytest.mark.parametrize("family", FAMILIES)
def test_what_adapts_without_a_meta_model_fits_the_features_of_the_family(family):
    model = without_meta_training(SimpleNamespace(family=family, labels=("a", "b", "c"), meta={}))
    assert (dict(model.learners), model.in_time) == ({}, family == "market")
    assert model.dim == {"text": 384, "market": len(FEATURES)}.get(family, model.dim) > 0
    assert "logistic" in model.strategies


def test_a_run_that_was_suspended_puts_what_it_asked_about_into_service_whatever_moved(project, tmp_path, monkeypatch):
    s, run = Settings(root=project.root), SimpleNamespace(id=uuid4(), deployment_id=uuid4(), parent_task_run_id=None)
    monkeypatch.setattr(approval, "FlowRunContext", SimpleNamespace(get=lambda: SimpleNamespace(flow_run=run)))
    monkeypatch.setattr(approval, "markdown_artifact", lambda *_: None)
    monkeypatch.setattr(flows.adapt, "report", lambda plan, result: result)
    monkeypatch.setattr(steps, "measure_curve", lambda *asked: [])
    answers = [Pause(), Verdict(approve=True)]

    def suspend(form, timeout, key):
        if isinstance(answer := answers.pop(0), Pause):
            raise answer
        return answer

    monkeypatch.setattr(approval, "suspend_flow_run", suspend)
    plan = plan_adaptation("news", "HEAD", None, 10, "auto")
    key, asked = work_key(plan.domain, "1", plan.how), {"revision": plan.domain.revision}
    ledger.add_rows(s, [ledger.LedgerRow("row", "news", plan.domain.content_hash, key, asked, "new")])
    run.run_count = 0
    with pytest.raises(Pause):
        adapt_in_order(directly, "news", None, "HEAD", 10, "auto", approval=True)
    assert [(row.decision, row.flow_run) for row in ledger.list_rows(s, "open")] == [("awaiting approval", str(run.id))]
    assert registry.champion(s, "news") is None

    run.run_count = 1
    write_news(project, pool=4)
    commit(project.root, project.home, "A smaller pool", checked=False)
    serve_meta_model(project, tmp_path / "meta")
    monkeypatch.setattr(flows.adapt, "adapt_and_compare", lambda *_: pytest.fail("adapted again"))
    result = adapt_in_order(directly, "news", None, "HEAD", 10, "auto", approval=True)
    assert (result.decision, result.revision, result.reused) == ("promoted", plan.domain.revision, False)
    assert registry.champion(s, "news").version == result.model_version == "1"
    assert [row.decision for row in ledger.list_rows(s, "done")] == ["promoted"]


def test_a_plan_of_its_own_commit_and_version_is_the_same_plan(project):
    plan = plan_adaptation("news", "HEAD", 2, 1, "auto")
    assert plan_adaptation("news", plan.domain.revision, 2, 1, "auto", plan.meta_version) == plan
