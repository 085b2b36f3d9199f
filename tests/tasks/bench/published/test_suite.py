"""Beside published figures: published parts are kept apart, episodes are what is said of them, and so are rows."""

from io import StringIO

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from domains.errors import UserError
from domains.text.bao import REUTERS
from tasks.bench.adapt.methods import NAMELESS, PLAIN
from tasks.bench.labels.measure import LabelsJob, LabelsScore
from tasks.bench.options import ALL, BenchOptions
from tasks.bench.published.figures import PUBLISHED
from tasks.bench.published.measure import QUERIES, WAYS, draw_episode
from tasks.bench.published.suite import DOMAINS, INTENTS, bench_published, read_published, rows_of
from tasks.bench.results_page import bench_tables
from tasks.models import registry


def texts(labels, sizes):
    """Letters in the proportions of their class, so many in each part of a split."""
    rng, rows = np.random.default_rng(5), []
    for label, share in zip(labels, rng.dirichlet(np.full(8, 0.3), len(labels)), strict=True):
        for part, size in sizes.items():
            words = ("".join(rng.choice(list("abcdefgh"), 24, p=share)) for _ in range(size))
            rows += [(f"{word} {label} {part}{i}", label, part) for i, word in enumerate(words)]
    return pd.DataFrame(rows, columns=["text", "label", "split"])


@pytest.fixture
def small(settings, letters, tmp_path):
    """A mirror with a small HWU64 and the 31 topics of Reuters."""
    folder = tmp_path / "mirror" / "text"
    folder.mkdir(parents=True)
    texts(["alarm_set", "play_music", "weather"], {"train": 30, "valid": 5, "test": 8}).to_parquet(
        folder / "hwu64.parquet"
    )
    topics = [topic for part in REUTERS.values() for topic in part]
    texts(topics, {"all": 20}).to_parquet(folder / "reuters31.parquet")
    return settings.model_copy(update={"mirror": tmp_path / "mirror"})


def test_intents_are_read_in_their_published_parts_and_episodes_of_the_test_classes(small):
    intents = read_published(small, "hwu64")
    assert (len(intents.y), set(intents.groups)) == (3 * 38, {"train", "test"})
    episodes = read_published(small, "reuters31-test")
    assert episodes.name == "reuters31-test"
    assert episodes.labels == tuple(sorted(REUTERS["test"]))
    assert np.bincount(episodes.y).tolist() == [20] * 11


def test_a_file_without_the_published_parts_is_refused(small):
    path = small.mirror / "text" / "hwu64.parquet"
    frame = pd.read_parquet(path)
    frame[frame["split"] != "test"].to_parquet(path)
    with pytest.raises(UserError, match="hwu64: no test in column 'split' of its file in the mirror"):
        read_published(small, "hwu64")


def test_an_episode_has_k_labels_and_the_other_examples_of_five_classes_up_to_25(small):
    domain = read_published(small, "reuters31-test")
    x = np.arange(len(domain.y), dtype=np.float32)[:, None]
    job = LabelsJob(domain, x, None, 3, (5,), ("none",), ("logistic",), 0, None, ())
    episode = draw_episode(job)
    support, queries = episode.parts
    assert np.bincount(episode.domain.y[support]).tolist() == [5] * WAYS
    assert np.bincount(episode.domain.y[queries]).tolist() == [15] * WAYS  # of 20; others have QUERIES
    assert QUERIES > 15
    assert episode.shots == (ALL,)
    for text, row, label in zip(episode.domain.examples, episode.x[:, 0], episode.domain.y, strict=True):
        assert text == domain.examples[int(row)]
        assert f" {episode.domain.labels[label]} all" in text
    assert draw_episode(job).domain.examples == episode.domain.examples
    assert set(episode.domain.labels) <= set(REUTERS["test"])
    assert len(set(episode.domain.examples)) == len(episode.domain.examples)


def test_both_protocols_are_measured_beside_what_is_published(small, model, tmp_path):
    meta = tmp_path / "meta"
    meta.mkdir()
    model.save(meta)
    version = registry.log_meta_model(small, "text", meta, {}, {}, {"key": "meta"})
    registry.promote(small, "meta-text", version, lambda folder: None)
    said = []
    asked = BenchOptions(domains=("hwu64", "reuters31-test"), shots=(1, 5), draws=1, episodes=2)
    rows = bench_published(small, asked, said.append)
    ours = {(r["domain"], r["setting"], r["method"]): r for r in rows if r["metric"] == "accuracy"}
    few = {"acclimate", NAMELESS, "tuned_logistic", "logistic"}
    assert ours.keys() == {
        *(("hwu64", f"K=5 pool={pool}", method) for pool in ("none", "natural") for method in few),
        *(("reuters31-test", f"5-way K={k}", method) for k in (1, 5) for method in (PLAIN, "logistic")),
    }
    row = ours["hwu64", "K=5 pool=none", "acclimate"]
    assert (row["published"], row["best_published"], row["n"]) == (0.7556, 0.8203, 1)
    assert row["value"] > 0.6
    assert ours["reuters31-test", "5-way K=1", PLAIN]["published"] == 0.818
    assert "best_published" not in ours["reuters31-test", "5-way K=1", PLAIN]
    theirs = {(r["domain"], r["setting"]): r["value"] for r in rows if r["metric"] == "published accuracy"}
    assert theirs["reuters31-test", "5-way K=5"] == 0.96
    assert len(said) == 3
    assert said[-1].startswith("reuters31-test K=5, draws 0 to 1: acclimate")
    console = Console(width=200, file=StringIO())
    console.print(*bench_tables(rows))
    assert "RoBERTa-base (published)" in console.file.getvalue()
    again = bench_published(small, BenchOptions(domains=("reuters31-test",), shots=(1,), episodes=2))
    assert again[0]["value"] == ours["reuters31-test", "5-way K=1", PLAIN]["value"]


def test_what_cannot_be_measured_is_one_line(small):
    for options, told in (
        (BenchOptions(pools=("even",)), "no pool 'even' in this benchmark; there are: none, natural"),
        (BenchOptions(methods=("svm",)), "no method 'svm' in this benchmark; there are: acclimate"),
        (BenchOptions(domains=("trec",)), "no domain 'trec' in this benchmark; there are: banking77"),
        (BenchOptions(shots=(3,)), "nothing is published of so many labels; ask for 5 or 10 of intents, 1 or 5 of"),
        (BenchOptions(domains=("clinc150",)), "no text/clinc150.parquet or text/clinc150.csv in"),
    ):
        with pytest.raises(UserError, match=told):
            bench_published(small, options)


def test_a_row_has_the_mean_of_its_own_draws():
    scores = [
        LabelsScore(half, k, 60, "even", "none", "acclimate", accuracy, 0.5, 0.5, 1.0, 0.1, "logistic", 0.2)
        for half, k, accuracy in ((0, 5, 0.7), (1, 5, 0.8), (0, 10, 0.9))
    ]
    row, *published = rows_of("banking77", 5, scores)
    assert (row["value"], row["n"], row["seconds"]) == (0.75, 2, 0.2)
    assert row["ci95"] == pytest.approx(12.706 * 0.05, abs=1e-3)
    assert [each["value"] for each in published] == [0.7404, 0.8086]
    (single, *_) = rows_of("banking77", 10, scores)
    assert single["ci95"] is None


def test_every_domain_is_of_one_protocol():
    assert set(INTENTS) < set(DOMAINS)
    assert {k for name, k in PUBLISHED if name in INTENTS} == {5, 10}
    assert {k for name, k in PUBLISHED if name not in INTENTS} == {1, 5}
