"""Files of the project predicted in batches: each once by each champion, whole or not at all, and kept for drift."""

import os
from pathlib import Path

import pandas as pd
import pytest
import torch

from domains.errors import UserError
from learners.classifier import Affine, Classifier
from tasks.models import registry
from tasks.predict import records, steps
from tasks.predict.page import predictions_page
from tasks.predict.records import SAMPLES, Sample, last_scored, output_name
from tasks.predict.scoring import plan, score
from tasks.predict.sources import inside


def put_in_service(settings, scale=1.0):
    """A champion that tells texts of many a, b and c apart."""
    folder = settings.root / f"adapted {scale}"
    folder.mkdir()
    Classifier((Affine(scale * torch.eye(3, 8), torch.zeros(3)),), ("ants", "bees", "cats"), threshold=0.2).save(folder)
    tags = {"family": "text", "encoder": "letters-1"}
    version = registry.log_adapted(settings, "animals", folder, {}, {}, tags)
    registry.promote(settings, "animals", version, lambda folder: None)


@pytest.fixture
def champion(settings, letters, monkeypatch):
    monkeypatch.setenv("ACCLIMATE_ROOT", str(settings.root))
    put_in_service(settings)


@pytest.fixture
def inbox(settings):
    folder = settings.root / "inbox"
    folder.mkdir()
    (folder / "may.csv").write_text("id,text,outside\n1,aaaa,x\n2,bbb,y\n3,,z\n")
    (folder / "june.csv").write_text("text\nccc\naab\n")
    (folder / "notes.md").write_text("no table")
    return folder


def run(settings, source, **more):
    job = plan(settings, "animals", source, **more)
    return [score(settings, job, each) for each in job.inputs]


def test_each_table_of_a_folder_is_predicted_once_by_each_champion(settings, champion, inbox):
    june, may = run(settings, "inbox")
    assert [each.source for each in (june, may)] == ["inbox/june.csv", "inbox/may.csv"]
    assert (may.rows, may.predicted, may.labels, may.outside) == (3, 2, {"ants": 1, "bees": 1}, None)
    assert june.line() == f"june.csv: 2 predictions, 1 for a person, in {june.output}"
    written = pd.read_csv(may.output)
    assert written["label"].tolist()[:2] == ["ants", "bees"]
    assert Path(may.output).parent == settings.home_path / "predictions/animals"
    assert all(each.reused for each in run(settings, "inbox"))
    (inbox / "july.csv").write_text("text\nabc\n")
    assert [each.reused for each in run(settings, "inbox")] == [False, True, True]
    (inbox / "june.csv").write_text("text\nccc\n")  # other bytes of the same name
    assert [each.reused for each in run(settings, "inbox")] == [True, False, True]
    assert not any(each.reused for each in run(settings, "inbox", again=True))
    put_in_service(settings, 2.0)
    assert [(each.version, each.reused) for each in run(settings, "inbox")] == [("2", False)] * 3
    Path(run(settings, "inbox")[0].output).unlink()
    assert [each.reused for each in run(settings, "inbox")] == [False, True, True]


def test_a_file_that_changes_while_it_is_read_leaves_nothing(settings, champion, inbox, monkeypatch):
    job = plan(settings, "animals", "inbox/may.csv")
    contents = iter(["a" * 64, "b" * 64])
    monkeypatch.setattr(type(job.inputs[0]), "content_hash", lambda self: next(contents))
    with pytest.raises(UserError, match=r"inbox/may.csv: changed while it was read"):
        score(settings, job, job.inputs[0])
    assert not list((settings.home_path / "predictions/animals").iterdir())


def test_one_bad_file_stops_no_other_and_fails_the_run(settings, champion, inbox):
    (inbox / "april.csv").write_text("day,kind\nmay,none\n")
    (inbox / "august.csv").write_bytes(b"text\n\x00\x01\n")
    job = steps.plan_predictions.fn("animals", "inbox")
    found = [steps.predict_input.fn(job, each) for each in job.inputs]
    with pytest.raises(UserError, match=r"^2 of 4 inputs were not predicted: .*april.csv"):
        steps.report.fn(job, found)
    assert sum(isinstance(each, records.Scored) for each in found) >= 2
    assert "april" in predictions_page("animals", "1", [], ["april.csv: no text"])


def test_what_lies_outside_of_the_project_is_not_read_nor_written(settings, champion, inbox):
    (settings.root.parent / "other.csv").write_text("text\na\n")
    (inbox / "link.csv").symlink_to(settings.root.parent / "other.csv")
    for given in ("..", "../other.csv", "/etc/passwd", "", ".", ".git/config", ".acclimate/x", ".env", "a\0b"):
        with pytest.raises(UserError, match=r"in the project|not a place for your data|is not a path"):
            inside(settings, given)
    with pytest.raises(UserError, match=r"link\.csv"):
        plan(settings, "animals", "inbox")
    (inbox / "link.csv").unlink()
    for output, said in {
        "inbox": "among what is",
        "inbox/out": "among what is",
        "/tmp/out": "not a path in the",
    }.items():
        with pytest.raises(UserError, match=said):
            plan(settings, "animals", "inbox", output)
    assert plan(settings, "animals", "inbox/may.csv", "out").output == settings.root / "out"
    with pytest.raises(UserError, match="nothing: no such file or folder"):
        plan(settings, "animals", "nothing")


def test_the_name_of_the_output_holds_no_path():
    assert output_name("inbox/../ä b?.csv", "0123456789ab", "3") == "b-.csv-01234567-v3.csv"
    assert output_name("/", "0123456789ab", "3") == "input-01234567-v3.csv"


def test_a_path_that_dvc_keeps_is_read_as_it_is_at_a_revision(settings, checkout, letters, monkeypatch):
    from dvc.repo import Repo  # it takes a second, and not every process needs it

    settings = type(settings)(root=checkout.root, processes=1)
    put_in_service(settings)
    folder = checkout.root / "data" / "inbox"
    folder.mkdir()
    (folder / "may.csv").write_text("text\naaaa\n")
    (checkout.root / "june.csv").write_text("text\nbbbb\n")
    with Repo(str(checkout.root)) as repo:
        repo.add([str(checkout.root / "data"), str(checkout.root / "june.csv")])
    checkout.git("add", "--all")
    checkout.git("commit", "--quiet", "--message", "inbox")
    (folder / "may.csv").write_text("text\ncccc\n")  # not committed
    os.remove(checkout.root / "june.csv")
    (may,) = run(settings, "data/inbox", revision="HEAD")
    assert (may.source, may.labels) == ("data/inbox/may.csv", {"ants": 1})
    assert run(settings, "data/inbox/may.csv", revision="HEAD")[0].reused
    assert run(settings, "data/inbox/may.csv")[0].labels == {"cats": 1}
    assert run(settings, "june.csv", revision="HEAD")[0].labels == {"bees": 1}
    for path, revision in (("data/none", "HEAD"), ("notes.txt", "HEAD"), ("june.csv", "HEAD~1")):
        with pytest.raises(UserError, match=f"DVC keeps no {path}"):
            run(settings, path, revision=revision)


def test_what_was_predicted_last_is_kept_for_drift(settings, champion, inbox):
    run(settings, "inbox")
    examples, sources = last_scored(settings, "animals", 10)
    assert sorted(examples) == ["aaaa", "aab", "bbb", "ccc"]
    assert sources == ["inbox/may.csv", "inbox/june.csv"]
    assert len(last_scored(settings, "animals", 3)[0]) == 3
    for number in range(SAMPLES + 2):
        (inbox / f"more{number}.csv").write_text(f"text\n{'a' * (5 + number)}\n")
    run(settings, "inbox")
    assert len(last_scored(settings, "animals", 99)[0]) == SAMPLES
    assert last_scored(settings, "nothing", 99) == ([], [])


def test_a_sample_has_no_place_that_it_prefers():
    counts = torch.zeros(40)
    for seed in range(400):
        sample = Sample(10, seed)
        for start in range(0, 40, 8):
            sample.add(range(start, start + 8))
        counts[sample.kept] += 1
    assert counts.sum() == 4000
    assert (counts - 100).abs().max() < 40  # standard deviation 8.7
