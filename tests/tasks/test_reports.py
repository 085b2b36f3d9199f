"""Reports: what the terminal and the Prefect UI show, small pictures, and foreign text that stays text."""

import io
import math

import numpy as np
import prefect.artifacts
import pytest
from PIL import Image
from rich.console import Console

from tasks import reports
from tasks.reports import Bar, ResultRow

ROW = ResultRow("hpo", "text", 10, 0.662, 0.011, "logistic regression", 0.612, 3.21, "promoted")
HOSTILE = "<script>alert(1)</script> | [click](javascript:x) ![x](http://spy) `code`\n# *big* & $x_1$ [red]"


@pytest.fixture
def sent(monkeypatch):
    """What a run would send to the server."""
    sent = []
    monkeypatch.setattr(reports, "in_run", lambda: True)
    for kind in ("markdown", "table"):
        send = lambda *args, kind=kind, _sync: sent.append((kind, *args))  # noqa: E731
        monkeypatch.setattr(prefect.artifacts, f"create_{kind}_artifact", send)
    return sent


def picture(seed=0):
    """A picture in many colours."""
    out = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 255, (12, 16, 3), dtype=np.uint8)
    Image.fromarray(pixels).resize((80, 60), Image.Resampling.BICUBIC).save(out, "PNG")
    return out.getvalue()


def test_a_row_shows_accuracy_with_its_interval_the_best_baseline_and_the_gain():
    assert ROW.gain == pytest.approx(0.05)
    shown = " / ".join(ROW.cells().values())
    assert shown == "hpo / text / 10 / 66.2 ± 1.1 / 61.2 logistic regression / +5.0 / 3.2 / promoted"
    assert reports.with_interval(0.5, math.nan) == "50.0"


def test_the_terminal_table_has_every_row_and_no_console_markup_from_data():
    out = io.StringIO()
    rows = [ROW, ResultRow("[red]x", "text", 1, 0.5, math.nan, "nearest prototype", 0.6, 0.4, "refused")]
    Console(file=out, width=120).print(reports.terminal_table(rows))
    for shown in ("domain", "66.2 ± 1.1", "promoted", "[red]x", "-10.0", "refused"):
        assert shown in out.getvalue()


def test_markdown_shows_hostile_text_as_text_on_one_line_in_one_cell():
    shown = reports.escape(HOSTILE)
    assert "&lt;script&gt;" in shown
    assert not set("<>|[]()`*_#!\n") & set(shown.replace("&#", ""))
    table = reports.markdown_table([{"text": HOSTILE, "label": "a|b"}]).splitlines()
    assert [line.count("|") for line in table] == [3, 3, 3]


def test_escaped_text_reads_as_the_original_in_a_browser():
    import html

    assert html.unescape(reports.escape('it\'s "5 < 6" & a_b | ü ✓')) == 'it\'s "5 < 6" & a_b | ü ✓'


def test_a_table_artifact_holds_numbers_as_numbers_and_no_markup(sent):
    reports.table_artifact("Adapt hpo: scores", [{"method": HOSTILE, "accuracy": 0.5}], "by <b>")
    [(kind, table, key, description)] = sent
    assert (kind, key, description) == ("table", "adapt-hpo-scores", "by &lt;b&gt;")
    assert table[0]["accuracy"] == 0.5
    assert not set("<>|[]`*_\n") & set(table[0]["method"])


def test_an_image_artifact_holds_the_whole_picture(sent):
    import base64

    reports.image_artifact("adapt-hpo-plot", picture(), "plot of <hpo>")
    [(kind, markdown, key, _)] = sent
    assert (kind, key) == ("markdown", "adapt-hpo-plot")
    assert markdown.startswith("![plot of &lt;hpo&gt;](data:image/png;base64,")
    assert base64.b64decode(markdown.split(",")[1].rstrip(")")) == picture()


def test_nothing_is_sent_outside_a_run(sent, monkeypatch):
    monkeypatch.undo()
    reports.markdown_artifact("key", "text")
    reports.table_artifact("key", [{"a": 1}])
    assert sent == []


def test_example_texts_are_shortened_and_marked_right_or_wrong():
    shown = reports.examples_markdown(["word " * 100, "two"], ["a", "b"], [0.9, 0.4], ["a", "c"])
    first, second = shown.splitlines()[2:]
    assert "…" in first
    assert len(first) < 220
    assert "✓" in first
    assert "✗" in second
    assert "true" not in reports.examples_markdown(["x"], ["a"], [1.0])


DATES = np.repeat(np.arange("2020-02-19", "2020-06-30", dtype="datetime64[D]").astype(str), 20)
MANY = [(picture(i), f"class {i % 12} {HOSTILE}") for i in range(120)]
PLOTS = {
    "methods": lambda: reports.plot_methods(
        "hpo $", [Bar("ours", 0.99, 0.02, True), Bar(HOSTILE, 0.1, math.nan)], 0.05
    ),
    "images": lambda: reports.plot_images(HOSTILE, MANY, [(image, label, "x") for image, label in MANY]),
    "one image": lambda: reports.plot_images("few", MANY[:1], []),
    "timeline": lambda: reports.plot_timeline("covid", DATES, np.full(len(DATES), 0.4), np.arange(len(DATES)) % 3 == 0),
    "learning": lambda: reports.plot_learning("text", range(5000), np.random.rand(5000), [0, 100], [0.2, 0.5]),
    "learning, not yet": lambda: reports.plot_learning("text", [1], [0.5], [], []),
}


@pytest.mark.parametrize("plot", PLOTS)
def test_every_plot_is_a_small_png_700_wide_whatever_it_shows(plot, recwarn):
    png = PLOTS[plot]()
    image = Image.open(io.BytesIO(png))
    assert image.format == "PNG"
    assert image.width == 700
    assert len(png) <= reports.LARGEST
    assert len(image.getcolors()) > 5
    assert not [w for w in recwarn if "matplotlib" in str(w.filename)]


def test_our_methods_are_drawn_in_colour_and_baselines_in_grey():
    def has(png, colour):
        rgb = np.asarray(Image.open(io.BytesIO(png)).convert("RGB"), int).reshape(-1, 3)
        wanted = [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
        return (np.abs(rgb - wanted).max(axis=1) < 12).sum() > 1000

    for ours, colour, other in (
        (True, reports.OURS, reports.BASELINE),
        (False, reports.BASELINE, reports.OURS),
    ):
        png = reports.plot_methods("x", [Bar("a", 0.6, 0.1, ours), Bar("b", 0.5, 0.1, ours)])
        assert has(png, colour)
        assert not has(png, other)


def test_plots_leave_no_figure_behind():
    import matplotlib.pyplot as plt

    PLOTS["methods"]()
    assert plt.get_fignums() == []
