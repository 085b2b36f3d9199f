"""What people read: the terminal's table and the artifacts of the Prefect UI, where foreign text stays text."""

import base64
import math
import re
from io import BytesIO, StringIO

import numpy as np
import prefect.artifacts
import pytest
from markdown_it import MarkdownIt
from PIL import Image
from prefect.settings import PREFECT_UI_URL, temporary_settings
from rich.console import Console

from tasks.adapt.tables import interval_line, result_cells, result_line, result_table
from tasks.base import artifacts
from tasks.models.adapt_result import AdaptResult, Score


def result(domain="hpo", ours=0.662, ci95=0.011, best="logistic regression", baseline=0.612, decision="promoted"):
    scores = {"acclimate": Score(accuracy=ours, ci95=ci95, log_loss=1, ece=0)}
    scores[best] = Score(accuracy=baseline, ci95=0, log_loss=1, ece=0)
    counts = {"k": 10, "draws": 10, "pool": 0, "test": 9, "seconds": {"adapt": 3.21}}
    about = {"family": "text", "revision": "", "content_hash": "", "strategy": "", "decision": decision}
    return AdaptResult(domain=domain, scores=scores, baselines=[best], **counts, **about)


HOSTILE = "<script>alert(1)</script> | [click](javascript:x) ![x](http://spy) `code`\n# *big* & $x_1$ [red]"


@pytest.fixture
def sent(monkeypatch):
    """What a run would send to the server."""
    sent = []
    monkeypatch.setattr(artifacts, "in_run", lambda: True)
    for kind in ("markdown", "table"):
        send = lambda *args, kind=kind, _sync: sent.append((kind, *args))  # noqa: E731
        monkeypatch.setattr(prefect.artifacts, f"create_{kind}_artifact", send)
    return sent


@pytest.fixture
def picture():
    out = BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (60, 80, 3), dtype=np.uint8)).save(out, "PNG")
    return out.getvalue()


def test_a_row_shows_accuracy_with_its_interval_the_best_baseline_and_the_gain():
    shown = " / ".join(result_cells(result()).values())
    assert shown == "hpo / text / 10 / 66.2 ± 1.1 / 61.2 logistic regression / +5.0 / 3.21 / promoted"
    assert artifacts.with_interval(0.5, math.nan) == "50.0"
    everything = result().model_copy(update={"k": None, "labels": 1622})
    assert result_cells(everything)["K"] == "all 1,622"
    assert result_line(result()) == "hpo promoted: accuracy 66.2 ± 1.1 %, best baseline 61.2 logistic regression"


def test_a_line_says_what_scores_are_of_and_what_intervals_are_over():
    few = result().model_copy(update={"labels": 210})
    assert interval_line(few) == (
        "at most 10 labels a class, 210 in all; means over 10 support draws, on the 9 test examples; "
        "±: 95 % interval over the draws"
    )
    assert interval_line(few.model_copy(update={"draws": 1, "labels": None})) == (
        "at most 10 labels a class; one support draw, on the 9 test examples"
    )
    everything = few.model_copy(update={"k": None, "labels": 1622, "interval": "test examples"})
    assert interval_line(everything) == "all 1,622 labels; ±: 95 % interval over the 9 test examples"


def test_the_terminal_table_has_every_row_and_no_console_markup_from_data():
    out = StringIO()
    rows = [result(), result("[red]x", 0.5, None, "nearest prototype", 0.6, "refused")]
    Console(file=out, width=120).print(result_table(rows))
    for shown in ("domain", "66.2 ± 1.1", "promoted", "[red]x", "-10.0", "refused"):
        assert shown in out.getvalue()


def test_markdown_shows_hostile_text_as_text_on_one_line_in_one_cell():
    shown = artifacts.escape(HOSTILE)
    assert "\n" not in shown
    assert not set("<>|[]()`*_#!&$") & set(re.sub(r"\\.", "", shown))
    table = artifacts.markdown_table([{"text": HOSTILE, "label": r"a\|b"}]).splitlines()
    assert [len(re.sub(r"\\.", "", line).split("|")) for line in table] == [4, 4, 4]


def test_escaped_text_reads_as_the_original_without_its_backslashes():
    text = 'it\'s "5 < 6" & a_b | ü ✓ (1) C:\\x 2026-11-23 #1 ~y~'
    assert re.sub(r"\\(.)", r"\1", artifacts.escape(text)) == text
    assert "&lt;" not in artifacts.escape(text)


def test_a_table_artifact_holds_numbers_as_numbers_and_no_markup(sent):
    artifacts.table_artifact("Adapt hpo: scores", [{"method": HOSTILE, "accuracy": 0.5}], "by <b>")
    [(kind, table, key, description)] = sent
    assert (kind, key, description) == ("table", "adapt-hpo-scores", "by ‹b›")
    assert table[0]["accuracy"] == 0.5
    assert not set("<>|[]`*_\n") & set(table[0]["method"])


def test_an_image_artifact_holds_the_whole_picture(sent, picture):
    artifacts.image_artifact("adapt-hpo-plot", picture, "plot of <hpo>")
    [(kind, markdown, key, _)] = sent
    assert (kind, key) == ("markdown", "adapt-hpo-plot")
    assert markdown.startswith("![plot of ‹hpo›](data:image/png;base64,")
    assert base64.b64decode(markdown.split(",")[1].rstrip(")")) == picture


def test_nothing_is_sent_outside_a_run(sent, monkeypatch):
    monkeypatch.undo()
    artifacts.markdown_artifact("key", "text")
    artifacts.table_artifact("key", [{"a": 1}])
    assert sent == []


def shown_text(markdown):
    """The text of the first line as a CommonMark reader shows it, and the types of what it is made of."""
    children = MarkdownIt().parse(markdown)[1].children
    return "".join(child.content for child in children), [child.type for child in children]


@pytest.mark.parametrize("name", ["h-fsi-atis", "h_fsi_atis", "*a*", "a[b](c)", "a](http://spy) b", "__x__ ~~y~~ `z`"])
def test_a_name_is_shown_as_it_is_and_a_link_reads_the_same_to_both_interfaces(name, monkeypatch):
    assert shown_text(artifacts.escape(name)) == (name, ["text"])
    with temporary_settings({PREFECT_UI_URL: "http://here"}):
        link = artifacts.artifact_link("adapt-x", name)
    typed = link[1 : link.index("](")]
    assert link == f"[{typed}](http://here/artifacts/key/adapt-x)"
    assert shown_text(link) == (
        typed,
        ["link_open", "text", "link_close"],
    )  # one shows what is typed, one what it means
    assert "\\" not in typed
    assert len(typed) == len(name)


def test_words_and_hyphens_in_a_link_stay_as_they_are():
    assert artifacts.artifact_link("k", "history of h-fsi-atis").startswith("[history of h-fsi-atis](")
