"""Pictures of an adaptation are small and of one width, whatever they show."""

import io
import math

import numpy as np
import pytest
from PIL import Image

from tasks.adapt import plots
from tasks.adapt.plots import Bar, Mistake, most_confused
from tasks.models.adapt_result import CurveScore

HOSTILE = "<b> | [red] $x_1$ \\frac{1}"


def picture(seed=0):
    """A picture in many colours."""
    out = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 255, (12, 16, 3), dtype=np.uint8)
    Image.fromarray(pixels).resize((80, 60), Image.Resampling.BICUBIC).save(out, "PNG")
    return out.getvalue()


DATES = np.repeat(np.arange("2020-02-19", "2020-06-30", dtype="datetime64[D]").astype(str), 20)
MANY = [(picture(i), f"class {i % 12} {HOSTILE}") for i in range(120)]
CURVE = [
    CurveScore(k=k, labels=12 * k, accuracy=0.5 + k / 200, ci95=None if k == 2 else 0.1 / k) for k in (1, 2, 5, 10, 20)
]
CURVE += [CurveScore(k=None, labels=1200, accuracy=0.82, ci95=0.02)]
AHEAD = CurveScore(k=None, labels=2400, accuracy=0.86, ci95=0.04, forecast=True)
PLOTS = {
    "methods": lambda: plots.plot_methods("hpo $", [Bar("ours", 0.99, 0.02, True), Bar(HOSTILE, 0.1, math.nan)], 0.05),
    "images": lambda: plots.plot_images(HOSTILE, MANY, [Mistake(image, "x", label, 0.9) for image, label in MANY]),
    "one image": lambda: plots.plot_images("few", MANY[:1], []),
    "confusion": lambda: plots.plot_confusion(
        HOSTILE, np.eye(40, dtype=int) * 9 + 1, [f"{i} {HOSTILE}" for i in range(40)]
    ),
    "two labels": lambda: plots.plot_confusion("few", np.array([[5, 1], [0, 3]]), ["a", "b"]),
    "learning curve": lambda: plots.plot_learning_curve(HOSTILE, [*CURVE, AHEAD]),
    "one point": lambda: plots.plot_learning_curve("few", CURVE[-1:]),
    "timeline": lambda: plots.plot_timeline("covid", DATES, np.full(len(DATES), 0.4), np.arange(len(DATES)) % 3 == 0),
}


@pytest.mark.parametrize("plot", PLOTS)
def test_every_plot_is_a_small_png_700_wide_whatever_it_shows(plot, check_picture):
    check_picture(PLOTS[plot]())


def test_our_methods_are_drawn_in_colour_and_baselines_in_grey():
    def has(png, colour):
        rgb = np.asarray(Image.open(io.BytesIO(png)).convert("RGB"), int).reshape(-1, 3)
        wanted = [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
        return (np.abs(rgb - wanted).max(axis=1) < 12).sum() > 1000

    for ours, colour, other in (
        (True, plots.BLUE, plots.BASELINE),
        (False, plots.BASELINE, plots.BLUE),
    ):
        png = plots.plot_methods("x", [Bar("a", 0.6, 0.1, ours), Bar("b", 0.5, 0.1, ours)])
        assert has(png, colour)
        assert not has(png, other)


def test_labels_of_most_errors_are_drawn_and_the_others_counted_together():
    counts = np.diag(np.full(30, 9))
    counts[25, 3], counts[7, 29] = 4, 2
    names, table = most_confused(counts, [f"label {i}" for i in range(30)])
    assert names[:4] == ["label 3", "label 25", "label 7", "label 29"]
    assert (len(names), names[-1], table.shape) == (21, "all others", (21, 21))
    assert (table[1, 0], table[2, 3], table[-1, -1]) == (4, 2, 10 * 9)
    assert table.sum() == counts.sum()
    assert most_confused(counts[:20, :20], names[:20])[1] is not counts
    few, same = most_confused(counts[:5, :5], list("abcde"))
    assert (few, same.tolist()) == (list("abcde"), counts[:5, :5].tolist())


def test_plots_leave_no_figure_behind():
    import matplotlib.pyplot as plt

    PLOTS["methods"]()
    assert plt.get_fignums() == []
