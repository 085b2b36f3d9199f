"""The page of an adaptation: the worst mistakes, every label, what is taken for what, and nothing that is not so."""

import io
import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from domains.domain import Domain
from tasks.adapt import pages
from tasks.models.adapt_result import AdaptResult, ClassScore, Score

Y = np.array([0, 0, 1, 1, 2, 2])
#: Wrong of the second (0.5), the third (0.9) and the last (0.7).
P = np.array([[0.8, 0.1, 0.1], [0.4, 0.5, 0.1], [0.9, 0.05, 0.05], [0.1, 0.8, 0.1], [0.1, 0.1, 0.8], [0.1, 0.7, 0.2]])


@pytest.fixture
def domain(tmp_path):
    texts = [f"text {i}" for i in range(5)] + ["<b>odd</b> | *text*"]
    pd.DataFrame({"text": texts, "label": Y}).to_parquet(tmp_path / "test.parquet")
    return Domain("h-fsi_atis", "text", "target", ("flight", "fare", "city_*"), tmp_path)


@pytest.fixture
def result():
    scores = {
        "acclimate": Score(accuracy=0.5, ci95=0.4, log_loss=1, ece=0.1, balanced_accuracy=0.51, macro_f1=0.52),
        "logistic": Score(accuracy=0.4, ci95=0.4, log_loss=1, ece=0.1),
    }
    recall = [("flight", 0.5, 0.5, 0.5, 2), ("fare", 1 / 3, 0.5, 0.4, 2), ("city_*", None, 0.5, None, 2)]
    fields = ("label", "precision", "recall", "f1", "support")
    return AdaptResult(
        **dict.fromkeys(("revision", "content_hash", "meta_version", "key"), "abc"),
        domain="h-fsi_atis",
        family="text",
        strategy="maml",
        k=None,
        labels=922,
        draws=1,
        pool=0,
        test=6,
        interval="test examples",
        scores=scores,
        classes=[ClassScore(**dict(zip(fields, row, strict=True))) for row in recall],
        seconds={},
        reason="promoted: because",
        baselines=["logistic"],
    )


@pytest.fixture
def page(monkeypatch):
    """Show an adaptation and return its page."""
    shown = {}
    monkeypatch.setattr(pages, "markdown_artifact", lambda key, markdown, about: shown.update({key: markdown}))

    def show(domain, result, p=P, named=None):
        named = p.argmax(1) if named is None else named
        pages.show_adaptation(domain, result, domain.column("test"), p, named, Y)
        (key,) = shown
        return shown[key]

    return show


def rows_below(page, heading):
    """The cells of the table below a heading, without backslashes."""
    part = page.split(heading)[1].split("\n## ")[0]
    lines = [line for line in part.splitlines() if line.startswith("| ")][2:]
    return [[re.sub(r"\\(.)", r"\1", cell) for cell in line[2:-2].split(" | ")] for line in lines]


def test_the_most_confident_mistakes_come_first_and_what_is_right_is_not_shown(domain, result, page):
    assert rows_below(page(domain, result), "## Mistakes: 3 of 3, the most confident first") == [
        ["fare", "flight", "0.90", "text 2"],
        ["city_*", "fare", "0.70", "<b>odd</b> | *text*"],
        ["flight", "fare", "0.50", "text 1"],
    ]
    assert pages.worst_mistakes(P, P.argmax(1), Y, 2) == [2, 5]


def test_a_mistake_is_of_the_label_that_is_named_at_its_own_probability(domain, result, page):
    named = np.array([0, 0, 1, 1, 2, 0])
    scores = dict.fromkeys(result.scores, result.scores["acclimate"])
    said = page(domain, result.model_copy(update={"objective": "macro_f1", "scores": scores}), P, named)
    assert rows_below(said, "## Mistakes: 1 of 1") == [["city_*", "flight", "0.10", "<b>odd</b> | *text*"]]
    assert re.search(r"labels are named for the highest macro.+F1", said)


def test_where_nothing_is_wrong_the_page_says_so(domain, result, page):
    said = page(domain, result, np.eye(3)[Y])
    assert "## Mistakes: none" in said
    assert "## Confusion" not in said


def test_every_label_has_a_row_the_worst_first(domain, result, page):
    assert rows_below(page(domain, result), "## Labels") == [
        ["fare", "33.3", "50.0", "40.0", "2"],
        ["flight", "50.0", "50.0", "50.0", "2"],
        ["city_*", "", "50.0", "", "2"],
    ]
    many = [ClassScore(label=f"l{i}", precision=1, recall=1, f1=1, support=1) for i in range(60)]
    said = page(domain, result.model_copy(update={"classes": many}))
    assert len(rows_below(said, "## Labels")) == pages.CLASSES
    assert "Lowest F1 first, 50 of 60." in said


def test_scores_are_shown_with_those_that_older_results_lack_left_empty(domain, result, page):
    said = page(domain, result)
    assert [row[:5] for row in rows_below(said, "## Scores")] == [
        ["acclimate", "ours", "50.0 ± 40.0", "51.0", "52.0"],
        ["logistic", "baseline", "40.0 ± 40.0", "", ""],
    ]
    assert "95 % interval over the 6 test examples" in said.replace("\\", "")
    old = result.model_copy(update={"classes": [], "k": 10, "labels": None, "draws": 10, "interval": "support draws"})
    assert "## Labels" not in page(domain, old)


@pytest.mark.parametrize(
    ("update", "title"),
    [
        ({}, "h-fsi_atis: all 922 labels, 0 unlabelled"),
        ({"k": 1000, "draws": 10}, "h-fsi_atis: at most 1000 labels a class, 922 in all, 0 unlabelled"),
    ],
)
def test_the_title_claims_nothing_that_small_classes_do_not_have(domain, result, page, update, title):
    said = page(domain, result.model_copy(update=update))
    assert said.splitlines()[0].replace("\\", "") == f"# {title}"


def test_links_and_pictures_have_no_backslashes_in_their_words(domain, result, page):
    said = page(domain, result)
    words = re.findall(r"!?\[((?:[^\]\\]|\\.)*)\]\(", said)
    assert len(words) == 3
    assert not any("\\" in each for each in words)
    assert "All versions of h\\-fsi\\_atis: [its history](" in said


def test_of_images_the_mistakes_are_drawn(domain, result, page, tmp_path):
    out = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (12, 16, 3), dtype=np.uint8)).save(out, "PNG")
    for split in ("train", "test"):
        images = [{"bytes": out.getvalue(), "path": None}] * len(Y)
        pd.DataFrame({"image": images, "label": Y}).to_parquet(tmp_path / f"{split}.parquet")
    said = page(replace(domain, family="vision"), result)
    assert "## Mistakes: 3 of 3, the most confident first\n\n![" in said
    assert said.count("data:image/png;base64,") == 3
