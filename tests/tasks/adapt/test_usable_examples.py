"""Bad examples of a target: each kind is one line that names rows or labels, and what was done about it."""

import json
from contextlib import nullcontext
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from domains.catalogue import find_source
from domains.domain import Domain
from domains.errors import UserError
from flows import cli
from tasks.adapt import pages as adapt_pages
from tasks.adapt import plan as adapt_plan
from tasks.adapt.adaptation import Adaptation, encode_domain
from tasks.adapt.plan import Plan
from tasks.adapt.steps import adapt_and_compare
from tasks.adapt.suggestion import suggestions
from tasks.adapt.trials import run_trial
from tasks.adapt.usable_examples import distance_warning, find_usable
from tasks.base import artifacts
from tasks.base.settings import settings as own_settings
from tasks.features.encoders import BUILT_IN, weights
from tasks.features.encoding import encode_here

HOW = Adaptation(k=4, draws=2, pool=20)


def rewrite(domain, split, change):
    """Change a shard as a user's own tool would, and return the domain."""
    path = domain.path / f"{split}.parquet"
    change(pd.read_parquet(path)).to_parquet(path, index=False)
    return Domain.read(domain.path, "revision", "another hash")


def at(row, column, value):
    def change(frame):
        frame[column] = frame[column].astype(object)
        frame.loc[row, column] = value
        return frame

    return change


def test_of_good_examples_nothing_is_said(target, settings):
    data = encode_domain(settings, target, replace(HOW, pool=1000))
    assert data.warnings == ()
    assert data.pool_rows == tuple(range(target.counts["pool"]))


def test_a_class_without_labels_is_named_and_never_predicted(target, settings, model):
    y = target.targets("train")
    bare = rewrite(target, "train", lambda frame: frame[np.asarray(y) != 2].reset_index(drop=True))
    data = encode_domain(settings, bare, replace(HOW, pool=1000))
    assert data.warnings == ("no labelled example of 'target 2': never predicted; label at least one of each",)


def test_labels_of_one_class_are_an_error_that_names_the_others(target, settings):
    y = np.asarray(target.targets("train"))
    alone = rewrite(target, "train", lambda frame: frame[y == 1].reset_index(drop=True))
    with pytest.raises(
        UserError,
        match="found 1, and all 12 labelled examples are 'target 1'; label examples of 'target 0', 'target 2', 'targ",
    ):
        encode_domain(settings, alone, HOW)
    with pytest.raises(UserError, match="labels of at least two classes are needed, found 0; label examples of"):
        encode_domain(settings, rewrite(target, "train", lambda frame: frame[:0]), HOW)


@pytest.mark.parametrize("split", ["train", "test"])
def test_equal_texts_with_different_labels_are_reported_with_their_rows(split, target, settings):
    y = target.targets(split)
    other = next(row for row, label in enumerate(y) if label != y[3])
    text = target.column(split)[3]
    found = rewrite(target, split, at(other, "text", text))
    data = encode_domain(settings, found, replace(HOW, pool=1000))
    rows, fate = sorted([3, other]), "left out" if split == "train" else "they stay in the test"
    names = ", ".join(repr(target.labels[y[row]]) for row in rows)
    assert data.warnings == (
        f"{split} has equal examples with different labels in rows {rows[0]} and {rows[1]} ({names}): {fate}",
    )
    assert len(data.train_y) == target.counts["train"] - 2 * (split == "train")
    assert len(data.test_y) == target.counts["test"]


def test_equal_texts_with_the_same_label_are_no_contradiction(target, settings):
    same = rewrite(target, "train", lambda frame: pd.concat([frame, frame[:2]], ignore_index=True))
    assert find_usable(same).warnings == ()


@pytest.mark.parametrize("split", ["train", "pool", "test"])
def test_empty_texts_are_reported_with_their_rows_and_leave_train_and_pool(split, target, settings, model):
    bad = rewrite(rewrite(target, split, at(2, "text", " \n")), split, at(5, "text", ""))
    data = encode_domain(settings, bad, replace(HOW, pool=1000))
    fate = "they stay in the test" if split == "test" else "left out"
    assert data.warnings == (f"{split} has empty examples in rows 2, 5: {fate}; fill them in",)
    sizes = {"train": len(data.train_x), "pool": len(data.pool_x), "test": len(data.test_x)}
    assert sizes == {name: bad.counts[name] - 2 * (split == name != "test") for name in sizes}
    assert {2, 5}.isdisjoint(data.pool_rows) == (split == "pool")


def test_a_missing_text_is_left_out_too_and_of_the_test_an_error(target, settings):
    bad = rewrite(target, "pool", at(4, "text", None))
    assert 4 not in encode_domain(settings, bad, replace(HOW, pool=1000)).pool_rows
    with pytest.raises(UserError, match=r"row 1 of test.parquet has no text; fill it in or remove it"):
        encode_domain(settings, rewrite(target, "test", at(1, "text", None)), HOW)


def test_suggested_rows_are_those_of_the_shard_where_empty_ones_are_left_out(target, settings, model):
    bad = rewrite(target, "pool", at(0, "text", ""))
    data = encode_domain(settings, bad, HOW)
    found = suggestions(bad, data, run_trial(model, data, HOW, 0).classifier, HOW, 6)
    pool = bad.column("pool")
    assert found["text"].tolist() == [pool[row] for row in found["row"]]


def test_of_a_large_pool_a_sample_is_used_and_that_is_said(target, settings, letters):
    many = [f"{'abcdefgh'[i % 8] * 20} {i}" for i in range(100_000)]
    large = rewrite(target, "pool", lambda frame: pd.DataFrame({"text": many}))
    data = encode_domain(settings, large, replace(HOW, pool=2000))
    assert data.warnings[0] == "pool of 100,000 examples: 2,000 of them are used, drawn with seed 0"
    assert len(data.pool_x) == 2000
    assert data.pool_rows == encode_domain(settings, large, replace(HOW, pool=2000)).pool_rows
    assert sum(letters.calls.values()) < 3000


def test_of_many_labelled_examples_fifty_a_class_are_used_and_that_is_said(target, settings, letters):
    labels = len(target.labels)
    many = [f"{'abcdefgh'[i % labels] * 20} {i}" for i in range(300 * labels)]
    y = [i % labels for i in range(len(many))]
    large = rewrite(target, "train", lambda frame: pd.DataFrame({"text": many, "label": y}))
    data = encode_domain(settings, large, replace(HOW, pool=1000))
    said = f"train of {len(many):,} examples: {50 * labels:,} of them are used, drawn with seed 0"
    assert data.warnings[0] == said
    assert torch.bincount(data.train_y).tolist() == [50] * labels
    more = encode_domain(settings, large, replace(HOW, k=20, pool=1000))
    assert torch.bincount(more.train_y).tolist() == [100] * labels


GERMAN = [
    "Die Tabletten haben mir gegen die Kopfschmerzen sehr geholfen.",
    "Nach zwei Wochen wurde mir jeden Morgen schwindelig.",
    "Ich kann endlich wieder durchschlafen, bin aber tagsüber müde.",
    "Mein Arzt hat die Dosis verdoppelt, seitdem geht es mir besser.",
    "Die Creme brennt auf der Haut und hilft überhaupt nicht.",
    "Seit ich das Mittel nehme, habe ich zehn Kilo zugenommen.",
    "Der Ausschlag war nach drei Tagen verschwunden.",
    "Ich würde dieses Medikament niemandem empfehlen.",
    "Am Anfang war mir übel, das hat sich nach einer Woche gelegt.",
    "Die Schmerzen im Knie sind deutlich weniger geworden.",
    "Ohne diese Tropfen käme ich nicht durch den Frühling.",
    "Mir ist davon ständig der Mund trocken.",
    "Die Angst ist weg, aber auch die Freude.",
    "Es wirkt schnell und hält den ganzen Tag an.",
]
CHINESE = [
    "这个药对我的头痛很有帮助。",
    "吃了两个星期以后每天早上都头晕。",
    "我终于可以整夜睡觉了，但是白天很累。",
    "医生把剂量加倍，之后我感觉好多了。",
    "药膏涂在皮肤上很烧，一点用也没有。",
    "自从服用这种药以来，我胖了十公斤。",
    "三天后皮疹就消失了。",
    "我不会向任何人推荐这种药。",
    "开始的时候恶心，一个星期后就好了。",
    "膝盖的疼痛明显减轻了。",
    "没有这些滴剂我过不了春天。",
    "吃了它我总是口干。",
    "焦虑没有了，但是快乐也没有了。",
    "见效快，而且能维持一整天。",
]
LETTERS = ["".join(word) for word in np.random.default_rng(0).choice(list("abcdefghijklmnopqrstuvwxyz   "), (14, 60))]


@pytest.fixture(scope="module")
def reviews(fetch):
    """Features of drug reviews by the real encoder, and what makes more of them."""
    s, spec = own_settings(), BUILT_IN["text"]["minilm"]
    folder = weights(s, spec)
    texts = find_source("drugreviews").read(fetch)["text"].tolist()[:80]
    return encode_here([(spec, folder)], texts), lambda more: encode_here([(spec, folder)], more)


@pytest.mark.parametrize("pool", [GERMAN, CHINESE, LETTERS], ids=["german", "chinese", "letters"])
def test_a_pool_of_another_language_is_far_from_everything_labelled(pool, reviews):
    x, read = reviews
    (line,) = distance_warning("text", read(pool), x[:60])
    assert line.startswith("pool is far from everything labelled (likeness ")
    assert "another language or topic" in line


def test_a_pool_of_the_same_reviews_is_not_far(reviews):
    x, _ = reviews
    assert distance_warning("text", x[60:], x[:60]) == distance_warning("text", x[60:75], x[:8]) == []
    assert distance_warning("text", None, x) == []


def test_images_of_another_kind_are_far_and_of_the_same_kind_are_not():
    ours, others = torch.zeros(20, 1400), torch.zeros(20, 1400)
    ours[:, :640], others[:, 640:1280] = 1 + torch.rand(20, 640), 1 + torch.rand(20, 640)
    ours[:, 1280:] = others[:, 1280:] = 100.0  # inner layers, which are alike in all images
    assert distance_warning("vision", ours, ours.flip(0), 1280) == []
    (line,) = distance_warning("vision", others, ours, 1280)
    assert "another kind of image" in line


def test_a_pool_of_another_family_is_an_error(target, settings):
    other = rewrite(target, "pool", lambda frame: pd.DataFrame({"image": [{"bytes": b"1", "path": None}]}))
    with pytest.raises(UserError, match=r"pool.parquet has no column text, but image; all shards of a text domain"):
        encode_domain(settings, other, HOW)


def test_warnings_reach_the_result_the_terminal_and_an_artifact(target, settings, model, monkeypatch, capsys, tmp_path):
    import flows.adapt

    bad = rewrite(target, "pool", at(2, "text", ""))
    (tmp_path / "meta").mkdir()
    model.save(tmp_path / "meta")
    plan = Plan(bad, "1", tmp_path / "meta", replace(HOW, pool=1000), "key", tmp_path / "work")
    monkeypatch.setenv("ACCLIMATE_ROOT", str(settings.root))
    result = adapt_and_compare(plan, 0.0)
    line = "pool has empty examples in row 2: left out; fill them in"
    assert result.warnings == [line]
    pages = {}
    monkeypatch.setattr(adapt_pages, "markdown_artifact", lambda key, page, about: pages.update({key: page}))
    p = np.full((bad.counts["test"], 4), 0.25)
    adapt_pages.show_adaptation(bad, result, bad.column("test"), p, p.argmax(1), np.asarray(bad.targets("test")))
    assert f"⚠ {artifacts.escape(line)}" in pages["adapt-target"]
    monkeypatch.setattr(adapt_plan, "plan_adaptation", lambda *asked: plan)
    monkeypatch.setattr(flows.adapt, "adapt", lambda *asked, **more: result)
    monkeypatch.setattr(cli, "flows_running", lambda settings: nullcontext())
    cli.main(["adapt", "target", "--json"])
    said = capsys.readouterr()
    assert json.loads(said.out)["warnings"] == [line]
    assert said.err == f"warning: target: {line}\n"
