"""Suggest, label, merge, commit, adapt: with a class that the champion does not know."""

import json
from contextlib import nullcontext

import numpy as np
import pandas as pd
import pytest
import torch

import flows.adapt
from domains.domain import Domain
from domains.own.labelling import Relabelled
from domains.own.options import AddOptions
from flows import cli
from flows.adapt import adapt_in_order, directly
from tasks.adapt import steps
from tasks.adapt.audit import audit_domain
from tasks.adapt.gate import compare_known, gate, score
from tasks.adapt.pages import new_classes_markdown
from tasks.adapt.steps import unknown_classes
from tasks.adapt.suggestion import write_to_label
from tasks.base.settings import Settings
from tasks.ingest.labelling import label_domain
from tasks.models import promotion, registry
from tasks.models.adapt_result import AdaptResult, ClassScore

TICKETS = {"billing": "a", "login": "b", "": "c"}


@pytest.fixture
def project(checkout, letters, model, tmp_path, monkeypatch):
    """A checkout of the user's own with a meta-model in service, and a table of tickets of two classes."""
    (checkout.home / "encoders" / "letters-1").mkdir(parents=True)
    (tmp_path / "meta").mkdir()
    model.save(tmp_path / "meta")
    s = Settings(root=checkout.root)
    registry.promote(s, "meta-text", registry.log_meta_model(s, "text", tmp_path / "meta", {}, {}, {}), lambda _: None)
    monkeypatch.setattr(cli, "flows_running", lambda settings: nullcontext())
    monkeypatch.setattr(steps, "measure_curve", lambda *asked: [])  # these two take long and decide nothing
    monkeypatch.setattr(flows.adapt, "report", lambda plan, result: result)
    monkeypatch.setattr(flows.adapt, "adapt", lambda *asked, **more: adapt_in_order(directly, *asked, **more))
    rng, rows = np.random.default_rng(0), []
    for label, letter in TICKETS.items():
        for i in range(20):
            rows.append((letter * 12 + "".join(rng.choice(list("defgh"), 12)) + f" {i}", label))
    pd.DataFrame(rows, columns=["text", "label"]).to_csv(tmp_path / "tickets.csv", index=False)
    return checkout


@pytest.fixture
def run(capsys):
    """Run a command and return what it prints as JSON."""

    def run(*arguments):
        cli.main([*arguments, "--json"])
        return json.loads(capsys.readouterr().out)

    return run


def test_labels_of_suggestions_make_a_new_class_that_the_next_champion_knows(project, run, tmp_path):
    output = tmp_path / "to_label.csv"
    run("domains", "add", "tickets", str(tmp_path / "tickets.csv"))
    run("data", "commit", "-m", "Add tickets")
    first = run("adapt", "tickets", "--suggest", "4", "-o", str(output))
    assert (first["decision"], first["new_classes"]) == ("promoted", None)

    suggested = pd.read_csv(output)
    assert suggested["label"].isna().all()
    assert set(suggested["guess"]) <= {"billing", "login"}
    suggested["label"] = ["Delivery", "delivery", "delivery ", "delivery"]
    suggested.sample(frac=1, random_state=0).to_csv(output, index=False)
    assert not run("domains", "label", "tickets", str(output), "--dry-run")["written"]
    merged = run("domains", "label", "tickets", str(output))
    assert (merged["written"], merged["added"], merged["new_classes"]) == (True, {"delivery": 4}, {"delivery": 4})
    assert not run("domains", "label", "tickets", str(output))["written"]

    run("data", "commit", "-m", "Labels of tickets")
    second = run("adapt", "tickets")
    new = second["new_classes"]
    assert [each["label"] for each in new["classes"]] == ["delivery"]
    assert (new["classes"][0]["support"], new["examples"], new["champion"]) == (4, 40, 1.0)
    assert second["decision"] == "promoted", second["reason"]
    assert "knows 'delivery' (4 of 4 right), which the champion does not" in second["reason"]
    champion = registry.champion(Settings(root=project.root), "tickets")
    assert (champion.version, second["champion_before"]) == ("2", "1")
    assert Domain.read(project.root / "data" / "tickets").labels == ("billing", "login", "delivery")
    page = new_classes_markdown(AdaptResult.model_validate(second))
    assert page[0] == "## New classes"
    assert "On the 40 examples of classes that both know: accuracy 100.0 %" in page[1]

    text = Domain.read(project.root / "data" / "tickets").column("pool")[0]
    output.write_text(f"text,label\n{text},parcel\n")  # a single example of one more
    assert run("domains", "label", "tickets", str(output))["added"] == {"parcel": 1}
    run("data", "commit", "-m", "One more label")
    third = run("adapt", "tickets")
    assert third["decision"] == "promoted", third["reason"]
    assert "knows 'parcel' (no example of it is scored), which the champion does not" in third["reason"]


def test_what_an_audit_doubts_is_mended_by_a_person_and_merged(target, settings, tmp_path):
    train = pd.read_parquet(target.path / "train.parquet")
    right = target.labels[train.loc[0, "label"]]
    train.loc[0, "label"] = (train.loc[0, "label"] + 1) % len(target.labels)
    train.to_parquet(target.path / "train.parquet", index=False)
    wrong = target.labels[train.loc[0, "label"]]
    write_to_label(target, audit_domain(settings, target).rows, tmp_path / "doubtful.csv")
    doubtful = pd.read_csv(tmp_path / "doubtful.csv", dtype={"label": object})
    first = (doubtful["split"] == "train") & (doubtful["row"] == 0)
    assert doubtful.loc[first, ["given", "guess"]].to_numpy().tolist() == [[wrong, right]]
    assert not label_domain(
        settings, "target", str(tmp_path / "doubtful.csv"), AddOptions()
    ).changes  # nothing filled in
    doubtful.loc[first, "label"] = doubtful["guess"]
    doubtful.to_csv(tmp_path / "doubtful.csv", index=False)
    found = label_domain(settings, "target", str(tmp_path / "doubtful.csv"), AddOptions())
    assert found.changed == (Relabelled("train", wrong, right, 1),)
    assert Domain.read(target.path).targets("train")[0] == target.labels.index(right)


# The gate

N = 200
Y = np.arange(N) % 2


def of_known(wrong: range):
    """Scores on examples of two classes, of which some are taken for a third."""
    p = np.full((N, 3), 0.05)
    p[np.arange(N), Y] = 0.9
    p[wrong] = [0.05, 0.05, 0.9]
    return score(p, Y, "known")


def on_all(known_wrong: range, new_right: int, new: int = 20):
    """Scores on the same and on examples of the third class."""
    y, p = np.append(Y, np.full(new, 2)), np.full((N + new, 3), 0.05)
    named = y.copy()
    named[list(known_wrong)] = 2
    named[N + new_right :] = 0
    p[np.arange(len(y)), named] = 0.9
    return score(p, y, "all")


@pytest.mark.parametrize(
    ("wrong", "right", "promoted", "said"),
    [
        (range(0), 15, True, "knows 'c' (15 of 20 right), which the champion does not, and is not worse on the 200"),
        (range(3), 15, True, "and is not significantly worse on the 200 examples of classes that both know: accuracy"),
        (range(20), 20, False, "but is significantly worse on the 200 examples of classes that both know: accuracy"),
        (range(3), 0, False, "but is worse by more than 1.0 points in all; on the 200 examples of classes that both"),
        (range(0), 0, True, "knows 'c' (0 of 20 right)"),
    ],
)
def test_a_new_class_must_not_cost_the_old_ones(wrong, right, promoted, said):
    row = ClassScore(label="c", precision=None, recall=right / 20, f1=None, support=20)
    new = compare_known(of_known(wrong), of_known(range(0)), [row])
    challenger, champion = on_all(wrong, right), on_all(range(0), 0)
    decision = gate(challenger, champion, challenger, new=new)
    assert decision.promote == promoted
    assert said in decision.reason


def test_a_class_is_unknown_where_a_champion_never_gives_it_anything():
    class Data:
        fold, train_y = None, torch.tensor([0, 1, 2])

    p = np.array([[0.9, 0.1, 0, 0], [0.2, 0.8, 0, 0], [0.25, 0.25, 0.25, 0.25]])  # the last: of a label that is gone
    assert unknown_classes(p, Data) == [2]


def test_labels_that_are_taken_back_bring_back_the_model_that_was_adapted_to_them(project, run, tmp_path, capsys):
    table = tmp_path / "tickets.csv"
    right = pd.read_csv(table).dropna()
    wrong = right.assign(label=right["label"].map({"billing": "login", "login": "billing"}))
    for frame, message in ((right, "Tickets"), (wrong, "Wrong labels")):
        frame.to_csv(table, index=False)
        run("domains", "add", "tickets", str(table), *(["--replace"] if message != "Tickets" else []))
        run("data", "commit", "-m", message)
        assert run("adapt", "tickets")["decision"] == "promoted"
    assert registry.champion(Settings(root=project.root), "tickets").version == "2"
    project.git("checkout", "--quiet", "HEAD~1", "--", "data.dvc")
    project.git("commit", "--quiet", "--message", "Take the wrong labels back")
    again = run("adapt", "tickets")
    assert (again["model_version"], again["reused"], again["decision"], again["in_service"]) == (
        "1",
        True,
        "promoted",
        "1",
    )
    assert registry.champion(Settings(root=project.root), "tickets").version == "1"
    promotion.promote_by_hand(Settings(root=project.root), "tickets", "2")
    kept = run("adapt", "tickets")
    assert (kept["decision"], kept["in_service"]) == ("refused", "2")
    assert kept["reason"].startswith("a person took version 1 out of service")
    cli.main(["adapt", "tickets"])
    assert "in service: version 2" in capsys.readouterr().out
