"""The benchmark of adaptation: nothing is on two sides, draws can be drawn again, and rows say what was measured."""

import io
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from domains.episode import Shape
from domains.errors import UserError
from domains.labelled_examples import LabelledExamples
from learners.bodies import TransformerBody
from learners.classifier import Affine, Classifier
from learners.encoders import efficientnet
from learners.meta_train import Training
from learners.transductive import alpha_tim, pt_map
from tasks.base.side_by_side import run_side_by_side
from tasks.bench.adapt import domains, measure, methods, suite
from tasks.bench.adapt.domains import SOURCES, TARGETS, Corpus, sources
from tasks.bench.adapt.draws import POOLS, draw_pool_rows, draw_support_rows, problem_at, split
from tasks.bench.adapt.export import export_draws
from tasks.bench.adapt.methods import METHODS, TUNED, select_methods
from tasks.bench.adapt.rows import DrawScore, mean_rows, regret_rows, result_rows
from tasks.bench.adapt.suite import bench_adapt
from tasks.bench.options import BenchOptions
from tasks.bench.results_page import bench_tables
from tasks.bench.suites import run_suite
from tasks.meta_train.recipes import RECIPES, Recipe

ROW = ("suite", "domain", "setting", "method", "metric", "value", "ci95", "n", "seconds")
FEW = {"draws": 2, "shots": (1, 2), "tune_draws": 1}


def labels(sizes=(40, 30, 12), seed=0):
    return np.random.default_rng(seed).permutation(np.repeat(np.arange(len(sizes)), sizes))


# Splits and draws


def test_the_test_holds_out_a_share_of_every_class_and_2000_examples_at_most():
    parts = split(labels((400, 200, 10)))
    assert np.bincount(labels((400, 200, 10))[parts.test]).tolist() == [120, 60, 3]
    assert not set(parts.train) & set(parts.test)
    assert len(parts.train) + len(parts.test) == 610
    large = split(labels((6000, 4000)))
    assert len(large.test) == 2000


def test_no_group_is_on_both_sides_and_no_class_gives_more_than_its_share():
    y = labels((60, 60, 60))
    groups = [str(i) for i in np.random.default_rng(1).integers(0, 50, len(y))]
    parts = split(y, groups)
    assert not {groups[i] for i in parts.train} & {groups[i] for i in parts.test}
    assert (np.bincount(y[parts.test]) <= 18).all()
    assert (np.bincount(y[parts.test]) > 10).all()


def test_a_class_takes_part_if_it_has_one_example_more_than_k():
    y = labels((40, 30, 14, 3))  # trained on: 28, 21, 10, 2
    parts = split(y)
    few, many = problem_at("d", y, parts, 9), problem_at("d", y, parts, 10)
    assert (few.classes.tolist(), many.classes.tolist()) == ([0, 1, 2], [0, 1])
    assert set(y[many.test]) == set(y[many.train]) == {0, 1}
    assert set(many.y) == {-1, 0, 1}
    with pytest.raises(UserError, match="d: fewer than 2 classes have the 31 training examples that K = 30 needs"):
        problem_at("d", y, parts, 30)


@pytest.mark.parametrize("kind", POOLS)
def test_a_draw_is_the_same_every_time_and_shares_nothing_with_the_test(kind):
    y = labels()
    task = problem_at("d", y, split(y), 5)
    support = draw_support_rows(task, seed=0, number=3)
    pool = draw_pool_rows(task, support, kind, 0, 3)
    assert np.bincount(task.y[support]).tolist() == [5, 5, 5]
    assert not (set(support) | set(pool)) & set(task.test)
    assert not set(support) & set(pool)
    assert np.array_equal(support, draw_support_rows(task, 0, 3))
    assert np.array_equal(pool, draw_pool_rows(task, support, kind, 0, 3))
    assert not np.array_equal(support, draw_support_rows(task, 0, 4))
    assert (len(pool) == 0) == (kind == "none")
    assert set(draw_support_rows(problem_at("d", y, split(y), 1), 0, 3)) < set(support)  # more labels are added labels


def test_a_balanced_pool_has_equal_classes_and_an_imbalanced_one_has_not():
    y = labels((2000, 2000, 2000, 2000))
    task = problem_at("d", y, split(y), 1)
    support = draw_support_rows(task, 0, 0)
    assert np.bincount(task.y[draw_pool_rows(task, support, "balanced", 0, 0)]).tolist() == [500] * 4
    counts = [np.bincount(task.y[draw_pool_rows(task, support, "imbalanced", 0, i)], minlength=4) for i in range(200)]
    assert np.std([c / c.sum() for c in counts]) == pytest.approx(0.19, abs=0.03)  # of Dirichlet(1): sqrt(3/80)
    assert max(c.sum() for c in counts) <= 2000


def test_a_natural_pool_is_as_frequent_as_the_domain():
    y = labels((4000, 800, 200))
    task = problem_at("d", y, split(y), 1)
    pool = draw_pool_rows(task, draw_support_rows(task, 0, 0), "natural", 0, 0)
    assert len(pool) == len(set(pool)) == 2000
    assert np.bincount(task.y[pool]) / 2000 == pytest.approx(np.array([0.8, 0.16, 0.04]), abs=0.02)


# Domains


def test_no_source_is_medical_unless_asked_and_never_one_that_overlaps_with_the_target():
    ohsumed, abstracts = TARGETS["text"][0], TARGETS["text"][2]
    assert not any(corpus.medical for target in TARGETS["text"] for corpus in sources("text", target))
    for target, other in ((ohsumed, abstracts), (abstracts, ohsumed)):
        names = {corpus.name for corpus in sources("text", target, "all")}
        assert not names & {target.name, other.name}
        assert {"hpo", "chemprot"} <= names
    whole = {corpus.name: corpus for corpus in sources("text", ohsumed, "all")}
    assert not whole["mag"].without
    with pytest.raises(UserError, match="sources = 'some': they are non-medical or all"):
        sources("text", ohsumed, "some")


@pytest.mark.parametrize("family", TARGETS)
def test_no_domain_is_source_and_target_and_none_is_named_twice(family):
    names = [corpus.name for corpus in (*SOURCES[family], *TARGETS[family])]
    assert len(set(names)) == len(names)


def test_what_is_unknown_is_told_with_what_there_is(settings):
    settings = settings.model_copy(update={"mirror": None})
    for options, told in (
        (BenchOptions(family="market"), "no benchmark of adaptation for family 'market'; there are: text, vision"),
        (BenchOptions(methods=("svm",)), "no method 'svm' in this benchmark; there are: logistic"),
        (BenchOptions(pools=("large",)), "no pool 'large'; there are: balanced, imbalanced, none, natural"),
        (BenchOptions(domains=("trec",)), "no target 'trec' in this benchmark; there are: ohsumed23"),
        (BenchOptions(family="vision", methods=("lora",)), "method 'lora' is not for family vision"),
        (BenchOptions(), "ohsumed23 is read from a mirror: .* set ACCLIMATE_MIRROR"),
    ):
        with pytest.raises(UserError, match=told):
            run_suite(settings, "adapt", options, lambda line: None)
    assert "lora" not in select_methods("vision", ())
    assert "logistic on layers" not in select_methods("text", ())
    assert {*select_methods("text", ()), *select_methods("vision", ())} == set(METHODS)


# A small run


def words(name: str, classes: int, per_class: int) -> pd.DataFrame:
    """Texts of eight letters in the proportions of their class."""
    rng, found = np.random.default_rng(sum(map(ord, name))), []
    for c, share in enumerate(rng.dirichlet(np.full(8, 0.3), classes)):
        for i in range(per_class):
            found.append((f"{''.join(rng.choice(list('abcdefgh'), 24, p=share))} {i}", f"{name} {'ABCDEFGHIJKL'[c]}"))
    return pd.DataFrame(found, columns=["text", "label"])


@pytest.fixture
def small(settings, letters, monkeypatch, tmp_path):
    """Two targets and two sources of letters, a recipe of two steps, and a random encoder to fine-tune."""
    folder = tmp_path / "mirror" / "text"
    folder.mkdir(parents=True)
    for name, classes in {"ills": 3, "pills": 4, "news": 12, "mail": 12}.items():
        words(name, classes, 20).to_parquet(folder / f"{name}.parquet")
    medical = tuple(Corpus(name, medical=True) for name in ("ills", "pills"))
    monkeypatch.setitem(domains.TARGETS, "text", medical)
    monkeypatch.setitem(domains.SOURCES, "text", (Corpus("news"), Corpus("mail", without=("mail A",))))
    shape = Shape(ways=(3, 3), shots=(1, 2), queries=3, pool=(0, 6))
    how = Training(shape, steps=2, batch=2, every=1, episodes=4)
    recipe = Recipe(12, 12, {"protonet": how, "reference": how}, prior_episodes=8)
    monkeypatch.setitem(RECIPES, "text", recipe)
    options = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8}
    options |= {"vocab_size": 32, "max_position_embeddings": 24}

    def body(family, weights, method, pixels):
        with torch.random.fork_rng():
            torch.manual_seed(0)
            return TransformerBody("bert", options, adapters="lora" if method == "lora" else None)

    def raw(family, weights, examples, pixels):
        ids = torch.tensor([[1 + ord(letter) - ord("a") for letter in text[:24]] for text in examples])
        return torch.stack([ids, torch.ones_like(ids)], 1)

    monkeypatch.setattr(alpha_tim, "STEPS", 5)
    monkeypatch.setattr(pt_map, "EPOCHS", 2)
    monkeypatch.setattr(measure, "encoder_body", body)
    monkeypatch.setattr(measure, "body_inputs", raw)
    return settings.model_copy(update={"mirror": tmp_path / "mirror"})


def test_every_method_is_measured_on_every_pool_and_rows_can_be_read_by_programs(small):
    said = []
    found = bench_adapt(small, BenchOptions(**FEW | {"draws": 2}), said.append)
    assert json.loads(json.dumps(found)) == found
    assert {tuple(row) for row in found} == {ROW}
    assert len(said) == 4  # two domains at two K
    measured = {(r["domain"], r["setting"], r["method"]): r for r in found if r["metric"] == "accuracy"}
    for domain in ("ills", "pills", "mean of 2 medical targets"):
        for setting in (f"K={k} pool={kind}" for k in (1, 2) for kind in POOLS):
            for method in select_methods("text", ()):
                row = measured[domain, setting, method]
                assert row["n"] == (1 if method in TUNED else 2)
                assert (row["ci95"] is None) == (method in TUNED)
                assert 0 <= row["value"] <= 1
    assert {row["metric"] for row in found} == {
        *("accuracy", "log_loss", "ece", "ece_by_chance"),
        *("gain over logistic", "gain of acclimate", "regret of acclimate"),
    }
    shown = {(row["domain"], row["method"]) for row in found if row["metric"] == "accuracy"}
    assert sum(table.row_count for table in bench_tables(found)) == len(shown)  # one draw has no interval, and is shown
    for method in ("logistic", "knn", "finetune"):  # the pool makes no difference
        assert len({measured["ills", f"K=2 pool={kind}", method]["value"] for kind in POOLS}) == 1
    assert measured["ills", "K=2 pool=none", "logistic"]["value"] > 0.5  # letters tell classes apart


def test_the_portfolio_reads_the_words_of_texts():
    rng = np.random.default_rng(0)
    about = (("heart", "artery", "pulse"), ("skin", "rash", "itch"), ("bone", "joint", "spine"))
    y = np.repeat(np.arange(3), 40)
    texts = tuple(f"{' '.join(rng.choice(about[c], 2))} of patient {i}" for i, c in enumerate(y))
    domain = LabelledExamples("ills", "text", texts, y, ("a", "b", "c"))
    noise = rng.normal(size=(len(y), 6)).astype(np.float32)
    ours, plain = "acclimate without meta-training", "logistic"
    task = problem_at("ills", y, split(y), 10)
    job = measure.AdaptJob(domain, task, noise, None, (plain, ours), ("natural",), 2, 1, 0, None, Path())
    scores = measure.measure_adaptation(job)
    assert np.mean([draw.accuracy for draw in scores["natural", ours]]) > 0.9
    assert np.mean([draw.accuracy for draw in scores["natural", plain]]) < 0.6


def test_only_a_natural_pool_says_how_frequent_the_test_is():
    classifier = Classifier((Affine(torch.eye(2), torch.zeros(2)),), shift=torch.tensor([2.0, -2.0]))
    x, y = torch.tensor([[0.0, 1.0], [3.0, 0.0]]), np.array([0, 0])
    case = methods.AdaptCase(x, torch.from_numpy(y), None, None, 2, 0)
    found = {kind: measure.score_adapter(lambda case: classifier, case, x, y, False, kind).accuracy for kind in POOLS}
    assert found == {"balanced": 0.5, "imbalanced": 0.5, "none": 0.5, "natural": 1.0}


def test_a_second_run_trains_nothing_and_gives_the_same_rows(small, monkeypatch):
    few = {"methods": ("logistic", "acclimate", "reference without update"), "pools": ("balanced",)}
    options = BenchOptions(**FEW, **few)
    first = bench_adapt(small, options)
    monkeypatch.setattr(suite.models, "train_in_folder", None)
    again = bench_adapt(small, options)
    assert [r | {"seconds": 0} for r in again] == [r | {"seconds": 0} for r in first]
    (folder,) = (small.home_path / "bench" / "adapt").iterdir()
    assert (folder / "meta_model" / "meta_model.json").exists()
    assert not list(folder.glob("*.checkpoint"))
    assert json.loads((folder / "meta_model" / "meta_model.json").read_text())["about"]["sources"].keys() == {
        "news",
        "mail",
    }


def test_methods_that_learn_nothing_before_need_no_source(small, tmp_path):
    for name in ("news", "mail"):
        (tmp_path / "mirror" / "text" / f"{name}.parquet").unlink()
    found = bench_adapt(
        small, BenchOptions(**FEW, methods=("knn", "acclimate without meta-training"), domains=("ills",))
    )
    assert {row["method"] for row in found} == {"knn", "acclimate without meta-training"}
    with pytest.raises(UserError, match=r"no text/mail.parquet or text/mail.csv in .*ACCLIMATE_MIRROR"):
        bench_adapt(small, BenchOptions(**FEW, methods=("acclimate",)))


def test_other_sources_are_another_meta_model_for_each_target(small, monkeypatch):
    monkeypatch.setitem(domains.MEDICAL_SOURCES, "text", ())
    bench_adapt(small, BenchOptions(draws=1, shots=(1,), methods=("acclimate",), sources="all", pools=("none",)))
    assert len(list((small.home_path / "bench" / "adapt").iterdir())) == 2


def test_exported_draws_are_those_that_are_measured(small, tmp_path):
    said = []
    assert bench_adapt(small, BenchOptions(**FEW, export=tmp_path / "draws"), said.append) == []
    assert said == [f"4 files of 2 draws written to {tmp_path / 'draws'}; nothing was measured"]
    table = pd.read_parquet(tmp_path / "draws" / "ills-k2.parquet")
    supports = table[table["part"] == "support"]
    assert supports.groupby(["draw", "label"]).size().tolist() == [2] * 6
    test = table[table["part"] == "test"]
    assert not set(test["text"]) & set(supports["text"])
    assert len(test) == 18
    from tasks.bench.adapt.domains import all_examples

    domain = all_examples(small, "text", domains.TARGETS["text"][0]).sample(300)
    task = problem_at("ills", domain.y, split(domain.y), 2)
    drawn = [domain.examples[i] for i in draw_support_rows(task, small.seed, 1)]
    assert supports[supports["draw"] == 1]["text"].tolist() == drawn


def test_exported_images_are_the_bytes_of_their_files(tmp_path):
    pictures = tuple(f"picture {i}".encode() for i in range(20))
    domain = LabelledExamples("cells", "vision", pictures, np.arange(20) % 2, ("round", "flat"))
    task = problem_at("cells", domain.y, split(domain.y), 2)
    (path,) = export_draws(tmp_path, [(domain, [task])], draws=1, seed=0)
    table = pd.read_parquet(path)
    assert set(table["image"]) <= set(pictures)
    rows = [pictures.index(image) for image in table["image"]]
    assert [domain.labels[domain.y[row]] for row in rows] == table["label"].tolist()


# Rows


def scores(*accuracies):
    return [DrawScore(a, 1.0, 0.1, 0.02, 0.5) for a in accuracies]


def test_a_gain_is_paired_by_draw_and_its_interval_is_over_draws():
    of = {
        ("none", "logistic"): scores(0.4, 0.6),
        ("none", "acclimate"): scores(0.5, 0.7),
        ("none", "finetune"): scores(0.3),
    }
    found = mean_rows({("a", 5): of, ("b", 5): of}, ["a", "b"])
    by = {(r["method"], r["metric"]): r for r in found}
    assert by["acclimate", "gain over logistic"]["value"] == pytest.approx(0.1)
    assert by["acclimate", "gain over logistic"]["ci95"] == pytest.approx(0, abs=1e-9)  # both move together
    assert by["acclimate", "accuracy"]["ci95"] == pytest.approx(12.706 * 0.1 * 2**0.5 / 2**0.5, rel=1e-3)
    assert by["finetune", "gain of acclimate"]["value"] == pytest.approx(0.2)  # on the one draw that both have
    assert by["finetune", "gain of acclimate"]["n"] == 1
    assert ("acclimate", "gain of acclimate") not in by


def test_the_mean_is_over_medical_targets_alone():
    of = {("none", "logistic"): scores(0.4, 0.6)}
    every = {(name, 1): of for name in ("a", "b", "digits")}
    assert [r["domain"] for r in result_rows(every, ["a", "b"])][-1] == "mean of 2 medical targets"
    assert not mean_rows(every, ["a"])


def double(job, advance):
    advance(1)
    return 2 * job


def test_jobs_side_by_side_come_back_in_order_and_tell_their_steps():
    steps, done = [], []
    found = run_side_by_side(double, [1, 2, 3], 1, steps.append, lambda job, result: done.append((job, result)))
    assert found == [2, 4, 6]
    assert sum(steps) == 3
    assert done == [(1, 2), (2, 4), (3, 6)]


def test_images_are_fine_tuned_from_the_network_that_their_features_come_from(tmp_path):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        save_file(efficientnet.EfficientNetModel().state_dict(), tmp_path / "model.safetensors")
    pixels = np.random.default_rng(0).integers(0, 255, (2, 64, 64, 3), np.uint8)
    images = []
    for each in pixels:
        out = io.BytesIO()
        Image.fromarray(each).save(out, "PNG")
        images.append(out.getvalue())
    frozen = efficientnet.EfficientNetLite(tmp_path).encode(images)[:, :1280]
    body = methods.encoder_body("vision", tmp_path, "finetune").train()
    with torch.no_grad():
        tuned = body(methods.body_inputs("vision", tmp_path, images))
    assert torch.allclose(frozen, tuned, atol=1e-5)


def test_regret_is_what_the_best_single_strategy_of_each_domain_is_ahead_of_ours():
    def draws(*accuracies):
        return [DrawScore(a, 1.0, 0.1, 0.1, 0.0) for a in accuracies]

    scores = {
        ("a", 1): {
            ("none", "acclimate"): draws(0.5, 0.6),
            ("none", "knn"): draws(0.7, 0.6),
            ("none", "logistic"): draws(0.4, 0.4),
            ("none", "finetune"): draws(0.9),
        },
        ("b", 1): {
            ("none", "acclimate"): draws(0.8, 0.8),
            ("none", "knn"): draws(0.1, 0.1),
            ("none", "logistic"): draws(0.7, 0.7),
        },
    }
    found = regret_rows(scores, ("knn", "logistic"))
    assert [(row["domain"], row["method"], row["value"]) for row in found] == [
        ("a", "knn", 0.1),
        ("b", "logistic", -0.1),
        ("mean of 2 domains", "acclimate", 0.0),
    ]
    assert {row["metric"] for row in found} == {"regret of acclimate"}
    assert regret_rows({("a", 1): {("none", "knn"): draws(0.7)}}, ("knn",)) == []
