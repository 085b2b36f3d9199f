"""What is planned is what is run: the commit and the meta-model are resolved once, whatever moves meanwhile."""

import json
from contextlib import contextmanager

import pandas as pd
import pytest

import flows.adapt
from flows import cli
from flows.adapt import adapt_in_order, directly
from tasks.adapt.plan import plan_adaptation
from tasks.base.settings import Settings
from tasks.models import registry
from tasks.versions.commit import commit


@pytest.fixture
def project(checkout, letters, model, tmp_path):
    """A checkout whose domain news can be adapted to, with version 1 of a meta-model in service."""
    (checkout.home / "encoders" / "letters-1").mkdir(parents=True)
    write_news(checkout, pool=8)
    commit(checkout.root, checkout.home, "A pool", checked=False)
    (tmp_path / "meta").mkdir()
    model.save(tmp_path / "meta")
    serve_meta_model(checkout, tmp_path / "meta")
    return checkout


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


def test_a_plan_of_its_own_commit_and_version_is_the_same_plan(project):
    plan = plan_adaptation("news", "HEAD", 2, 1, "auto")
    assert plan_adaptation("news", plan.domain.revision, 2, 1, "auto", plan.meta_version) == plan
