"""Accuracy by the number of labels: draws are what they are said to be, and rows and page say what was measured."""

import json
from io import StringIO

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from domains.errors import UserError
from tasks.base.settings import Settings
from tasks.bench.labels.domains import is_known_to, read_domain
from tasks.bench.labels.draws import draw_even, draw_pool, halve, labelled_rows
from tasks.bench.labels.measure import LabelsScore, cells_of, pools_measured
from tasks.bench.labels.names import ABOVE_FLOOR, METHODS
from tasks.bench.labels.picture import plot_label_curves
from tasks.bench.labels.rows import MEAN, MEAN_OF_SOURCES, result_rows
from tasks.bench.labels.suite import bench_labels
from tasks.bench.options import ALL, BenchOptions, parse_shots
from tasks.bench.parts import PARTS, Result
from tasks.bench.results_page import bench_tables, write_page
from tasks.models import registry

Y = np.random.default_rng(0).permutation(np.repeat([0, 1, 2], [80, 30, 4]))

# Draws


def test_two_halves_share_nothing_and_a_group_is_whole_in_one():
    first, second = halve(101, None, 3)
    assert sorted([*first, *second]) == list(range(101))
    assert (len(first), len(second)) == (50, 51)
    assert not np.array_equal(first, halve(101, None, 4)[0])
    groups = [str(i // 7) for i in range(101)]
    first, second = halve(101, groups, 3)
    assert sorted([*first, *second]) == list(range(101))
    assert not {groups[i] for i in first} & {groups[i] for i in second}
    assert 40 <= len(first) <= 60


def test_even_labels_are_k_a_class_and_among_those_of_the_next_k():
    few, more = (labelled_rows(Y, k, "even", 0) for k in (3, 10))
    assert np.bincount(Y[few]).tolist() == [3, 3, 3]
    assert np.bincount(Y[more]).tolist() == [10, 10, 4]
    assert set(few) < set(more)
    assert labelled_rows(Y, 79, "even", 0) is not None
    assert labelled_rows(Y, 80, "even", 0) is None  # would be all


def test_natural_labels_are_as_frequent_as_the_domain_with_one_of_each_class():
    few, more = (labelled_rows(Y, k, "natural", 0) for k in (1, 20))
    assert np.bincount(Y[few]).tolist() == [1, 1, 1]
    assert len(more) == 60
    assert np.bincount(Y[more])[0] > 30
    assert set(few) < set(more)
    assert labelled_rows(Y, 38, "natural", 0) is None
    assert labelled_rows(Y, ALL, "natural", 0).tolist() == list(range(len(Y)))


def test_pools_are_of_what_has_no_label_and_as_frequent_as_they_say():
    y = np.repeat([0, 1, 2, 3], [3000, 400, 300, 20])
    rows = np.arange(len(y))[5:]
    natural, even = (draw_pool(y, rows, kind, 0) for kind in ("natural", "even"))
    assert len(natural) == len(set(natural)) == 2000
    assert np.bincount(y[natural])[0] / 2000 == pytest.approx(0.81, abs=0.03)
    assert np.bincount(y[even]).tolist() == [230, 230, 230, 20]  # the lower quartile of the sizes of classes
    assert set(natural) | set(even) <= set(rows)
    assert np.array_equal(natural, draw_pool(y, rows, "natural", 0))
    assert len(draw_pool(y, rows, "none", 0)) == 0
    assert len(draw_even(y, rows[:0], 10, np.random.default_rng(0))) == 0
    assert len(draw_even(y, rows, 40, np.random.default_rng(0))) == 40


def test_a_pool_that_is_smaller_than_the_labels_is_not_measured():
    assert pools_measured(("even", "natural", "none"), 50, 50) == ["even", "natural", "none"]
    assert pools_measured(("even", "natural", "none"), 51, 50) == ["none"]
    assert [*cells_of((5, ALL))] == [(5, "even"), (5, "natural"), (ALL, "natural")]


def test_all_labels_may_be_asked_for():
    assert parse_shots("5, all", or_all=True) == (5, ALL)
    with pytest.raises(UserError, match="positive numbers with commas between them, such as 1,5,10"):
        parse_shots("5,all")


# Domains


def test_what_shares_examples_with_a_source_of_the_meta_model_is_known_to_it():
    assert is_known_to("trec", {"trec"})
    assert is_known_to("trec50", {"trec"})  # the same questions, labelled finer
    assert is_known_to("huffpost", {"huffpost-train"})  # the same file
    assert not is_known_to("hwu64", {"trec", "20news"})
    assert not is_known_to("mine", {"trec"})


def test_a_domain_of_ones_own_is_read_from_data(checkout):
    settings = Settings(root=checkout.root)
    found = read_domain(settings, "news")
    assert (found.name, found.labels, len(found.examples)) == ("news", ("a", "b"), 10)
    with pytest.raises(UserError, match="no domain 'olds' at revision HEAD"):
        read_domain(settings, "olds")
    with pytest.raises(UserError, match="domain stocks-covid is of family market, whose labels cost nothing"):
        read_domain(settings, "stocks-covid")


# A small run


def texts(classes=(60, 40, 8)):
    """Letters in the proportions of their class, of which the last is rare."""
    rng, rows = np.random.default_rng(5), []
    for c, (size, share) in enumerate(zip(classes, rng.dirichlet(np.full(8, 0.3), len(classes)), strict=True)):
        rows += [(f"{''.join(rng.choice(list('abcdefgh'), 24, p=share))} {c}{i}", f"class {c}") for i in range(size)]
    return pd.DataFrame(rows, columns=["text", "label"])


@pytest.fixture
def small(settings, letters, model, tmp_path):
    """A mirror with a small hwu64, and a text meta-model in service."""
    folder = tmp_path / "mirror" / "text"
    folder.mkdir(parents=True)
    texts().to_parquet(folder / "hwu64.parquet")
    meta = tmp_path / "meta"
    meta.mkdir()
    model.save(meta)
    version = registry.log_meta_model(settings, "text", meta, {}, {}, {"key": "meta"})
    registry.promote(settings, "meta-text", version, lambda folder: None)
    return settings.model_copy(update={"mirror": tmp_path / "mirror"})


def test_every_method_is_measured_and_the_page_shows_what_is_above_the_floor(small, tmp_path, check_picture):
    said = []
    rows = bench_labels(small, BenchOptions(domains=("hwu64",), shots=(3, 50, ALL), draws=2), said.append)
    assert json.loads(json.dumps(rows)) == rows
    assert len(said) == 2
    halves = [row for row in rows if "half" in row]
    settings = {f"K=3 {labels}, pool={pool}" for labels in ("even", "natural") for pool in ("even", "natural", "none")}
    assert {row["setting"] for row in halves} == {*settings, "all labels, pool=none"}  # 50 would be all
    assert {(row["half"], row["method"]) for row in halves} == {(half, m) for half in (0, 1) for m in METHODS}
    ours = {(r["half"], r["setting"]): r for r in halves if r["method"] == "acclimate"}
    assert ours[0, "all labels, pool=none"]["value"] > 0.6
    assert ours[0, "all labels, pool=none"]["labels"] == 54
    assert all(0 <= row[name] <= 1 for row in halves for name in ("balanced_accuracy", "macro_f1", "ece"))
    assert all(row["strategy"] and row["log_loss"] > 0 and row["seconds"] >= 0 for row in halves)
    means = {(r["setting"], r["method"], r["metric"]): r for r in rows if r["domain"] == MEAN}
    every = [row["value"] for row in ours.values() if row["setting"] == "K=3 even, pool=none"]
    assert means["K=3 even, pool=none", "acclimate", "accuracy"]["value"] == pytest.approx(np.mean(every), abs=1e-4)
    again = bench_labels(small, BenchOptions(domains=("hwu64",), shots=(3,), draws=1, methods=("logistic",)))
    first = {row["setting"]: row["value"] for row in halves if (row["half"], row["method"]) == (0, "logistic")}
    assert {r["setting"]: r["value"] for r in again if "half" in r}.items() <= first.items()

    console = Console(width=80, file=StringIO())
    console.print(*bench_tables(rows))
    assert console.file.getvalue().count("all labels, pool=none") == 1
    write_page([Result("labels", PARTS["labels"].command, "c", "{}", "m", "2026", 9.0, rows)], tmp_path / "r.md")
    page = (tmp_path / "r.md").read_text("utf-8")
    assert f"*{ABOVE_FLOOR}, %*\n\n|  | acclimate | logistic | words |" in page
    assert "n = 2 " in page
    check_picture((tmp_path / "r" / "labels.png").read_bytes())


def test_what_cannot_be_measured_is_one_line(small):
    for options, told in (
        (BenchOptions(pools=("large",)), "no pool 'large'; there are: even, natural, none"),
        (BenchOptions(methods=("svm",)), "no method 'svm' in this benchmark; there are: acclimate, tuned_logistic"),
        (BenchOptions(domains=("hwu64",), shots=(99,)), "no domain has more labels than that"),
        (BenchOptions(domains=("hwu64", "digits")), "no meta-model of family vision yet"),
    ):
        with pytest.raises(UserError, match=told):
            bench_labels(small, options)


# Rows


def score(half, method, accuracy, k=5):
    return LabelsScore(half, k, 60, "natural", "none", method, accuracy, 0.5, 0.5, 1.0, 0.1, "logistic", 0.2)


def test_means_are_over_domains_and_halves_paired_and_those_of_sources_stand_apart():
    found = {
        name: [score(h, m, a + shift) for h, a in enumerate((0.4, 0.6)) for m, shift in shifts.items()]
        for name, shifts in {
            "a": {"acclimate": 0.1, "tuned_logistic": 0.0},
            "b": {"acclimate": 0.3, "tuned_logistic": 0.0},
            "seen": {"acclimate": 0.0, "tuned_logistic": 0.0},
        }.items()
    }
    rows = result_rows(found, {"seen"}, 0)
    assert len([row for row in rows if "half" in row]) == 12
    above = {row["domain"]: row for row in rows if row["metric"] == ABOVE_FLOOR}
    assert above[MEAN]["value"] == pytest.approx(0.2)
    assert above[MEAN]["ci95"] == pytest.approx(0.1)  # of two domains; their halves agree
    assert above[MEAN]["n"] == 4
    assert above[MEAN_OF_SOURCES]["value"] == 0
    mixed = {"a": [score(0, "acclimate", 0.5, None)], "b": [score(0, "acclimate", 0.5, k) for k in (10, 3)]}
    order = [row["setting"] for row in result_rows(mixed, (), 0) if row["domain"] == MEAN]
    assert list(dict.fromkeys(order)) == ["K=3 natural, pool=none", "K=10 natural, pool=none", "all labels, pool=none"]
    single = result_rows({"a": [score(0, "acclimate", 0.5)]}, (), 0)
    assert single[-1]["ci95"] is None
    assert not any(row["metric"] == ABOVE_FLOOR for row in single)


def test_the_picture_has_a_panel_a_domain_and_names_that_are_no_formulas(check_picture):
    found = {
        f"${i}_x": [score(h, m, 0.5 + h / 50, k) for h in (0, 1) for k in (3, None) for m in METHODS] for i in range(5)
    }
    check_picture(plot_label_curves("labels $", result_rows(found, (), 0)))
    assert plot_label_curves("none", []) is None
