"""Pictures of an adaptation, each the bytes of a PNG: methods side by side, images, and a market over time."""

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tasks.base.artifacts import with_interval
from tasks.base.figure import (
    BASELINE,
    BLUE,
    FAINT,
    INK,
    RIGHT,
    WRONG,
    empty_figure,
    figure_png,
    plain_label,
    start_figure,
)
from tasks.models.adapt_result import CurveScore

if TYPE_CHECKING:
    from matplotlib.axes import Axes


CONFUSED = 20  # labels in a picture of confusion


@dataclass(frozen=True)
class Bar:
    """One method's accuracy with the half-width of its 95 % interval; ``ours`` is drawn in colour."""

    method: str
    accuracy: float
    ci95: float | None
    ours: bool = False


def plot_methods(title: str, bars: Sequence[Bar], chance: float | None = None, measure: str = "accuracy") -> bytes:
    """Draw a measure of methods on one domain, best first: ours in colour, plain baselines in grey."""
    bars = sorted(bars, key=lambda bar: bar.accuracy)
    figure, axes = start_figure(0.9 + 0.34 * max(len(bars), 2), title)
    accuracy = 100 * np.array([bar.accuracy for bar in bars])
    half = 100 * np.nan_to_num([bar.ci95 or 0.0 for bar in bars])
    where = np.arange(len(bars))
    axes.barh(where, accuracy, height=0.66, color=[BLUE if bar.ours else BASELINE for bar in bars])
    known = half > 0
    axes.errorbar(accuracy[known], where[known], xerr=half[known], fmt="none", ecolor=INK, elinewidth=1, capsize=3)
    for y, (bar, end) in enumerate(zip(bars, accuracy + half, strict=True)):
        weight = "bold" if bar.ours else "normal"
        axes.text(end + 1, y, with_interval(bar.accuracy, bar.ci95), va="center", fontsize=9, weight=weight)
    if chance is not None:
        axes.axvline(100 * chance, color=FAINT, linewidth=1, linestyle=":")
        axes.text(100 * chance, len(bars) - 0.45, "chance", fontsize=7.5, color=FAINT, ha="center", va="bottom")
    axes.set_yticks(where, [plain_label(bar.method, 34) for bar in bars])
    axes.tick_params(axis="y", length=0)
    axes.set_xlim(0, min(max((accuracy + half).max() + 19, 40), 125))
    axes.set_xticks([tick for tick in range(0, 101, 20) if tick <= axes.get_xlim()[1]])
    axes.set_xlabel(f"{measure}, %" + (", with its 95 % interval" if known.any() else ""))
    return figure_png(figure)


def plot_learning_curve(title: str, points: Sequence[CurveScore]) -> bytes:
    """Draw the accuracy by the number of labels, and what twice as many would give.

    Args:
        points: by their labels, the fewest first; the last one may be a forecast.
    """
    figure, axes = start_figure(3.2, title)
    labels, accuracy = np.array([p.labels for p in points]), 100 * np.array([p.accuracy for p in points])
    half = 100 * np.array([p.ci95 or 0.0 for p in points])
    known = sum(not p.forecast for p in points)
    for part, colour, line, face in ((slice(known), BLUE, "-", BLUE), (slice(known - 1, None), FAINT, ":", "white")):
        axes.plot(labels[part], accuracy[part], line, color=colour, linewidth=1.6, zorder=2)
        own = slice(part.start and known, part.stop)
        axes.errorbar(
            *(labels[own], accuracy[own], half[own]), fmt="o", color=colour, mfc=face, elinewidth=1, capsize=3, zorder=3
        )
    for x, y, end in zip(labels, accuracy, accuracy + half, strict=True):
        axes.annotate(f"{y:.0f}", (x, end), (0, 4), textcoords="offset points", ha="center", fontsize=8.5)
    axes.set_xscale("log")
    ticks = [size for size, after in zip(labels, [*labels[1:], math.inf], strict=True) if after > 1.15 * size]
    axes.set_xticks(ticks, [f"{size:,}" for size in ticks])
    axes.set_xticks([], minor=True)
    axes.set_xlim(labels[0] / 1.25, labels[-1] * 1.25)
    lowest, highest = (accuracy - half).min(), (accuracy + half).max()
    axes.set_ylim(max(lowest - 5, 0), min(highest + 10, 110))
    axes.set_yticks([tick for tick in axes.get_yticks() if lowest - 5 <= tick <= 100])
    note = "; open: a forecast with its 90 % interval" if known < len(points) else ""
    axes.set(xlabel=f"labels{note}", ylabel="accuracy, %")
    return figure_png(figure)


def plot_confusion(title: str, counts: np.ndarray, labels: Sequence[str]) -> bytes:
    """Draw how many examples of each label are taken for which, those of most errors first, the others together.

    Args:
        counts: [N, N], true label by predicted label; labels: the N names. Up to CONFUSED labels are drawn.
    """
    names, table = most_confused(counts, labels)
    size = 0.27 * len(names) + 2.0
    figure, axes = start_figure(min(size, 8.5), title)
    share = table / table.sum(axis=1, keepdims=True).clip(1)
    off = ~np.eye(len(names), dtype=bool)
    for chosen, colours in ((~off, "Greens"), (off, "Reds")):
        axes.imshow(np.ma.masked_where(~chosen, share), cmap=colours, vmin=0, vmax=1.2, aspect="auto")
    for row, column in zip(*np.nonzero(table), strict=True):
        dark = share[row, column] > 0.7
        axes.text(column, row, table[row, column], ha="center", va="center", fontsize=7, color="white" if dark else INK)
    places, short = range(len(names)), [plain_label(name, 22) for name in names]
    axes.set_xticks(places, short, rotation=90)
    axes.set_yticks(places, short)
    axes.tick_params(length=0, labelsize=7.5)
    axes.spines[:].set_visible(False)
    axes.set(xlabel="predicted", ylabel="true")
    return figure_png(figure)


def most_confused(counts: np.ndarray, labels: Sequence[str]) -> tuple[list[str], np.ndarray]:
    """Return the names and counts [n, n] of the labels with the most errors, as true or as predicted label, n at most
    CONFUSED; the others are one more row and column, ``all others``.

    Args:
        counts: [N, N], true label by predicted label.
    """
    errors = counts.sum(axis=0) + counts.sum(axis=1) - 2 * counts.diagonal()
    if len(labels) <= CONFUSED:
        return list(labels), counts
    place = np.full(len(labels), CONFUSED)
    first = np.argsort(-errors, kind="stable")[:CONFUSED]
    place[first] = np.arange(CONFUSED)
    table = np.zeros((CONFUSED + 1, CONFUSED + 1), counts.dtype)
    np.add.at(table, (place[:, None], place[None, :]), counts)
    return [*(labels[i] for i in first), "all others"], table


@dataclass(frozen=True)
class Mistake:
    """An encoded image that is predicted wrongly, with the probability of the predicted label."""

    image: bytes
    true: str
    predicted: str
    probability: float


def plot_images(
    title: str, support: Sequence[tuple[bytes, str]], mistakes: Sequence[Mistake], columns: int = 6
) -> bytes:
    """Draw the labelled images by class, and mistakes with their predicted label in red above the true one in green.

    Args:
        title: of the figure.
        support: (encoded image, label); up to ten classes and five images of each are drawn.
        mistakes: up to five rows are drawn.
        columns: mistakes in a row.
    """
    labels = list(dict.fromkeys(label for _, label in support))
    by_class = [[image for image, of in support if of == label][:5] for label in labels[:10]]
    rows, mistakes = max(len(by_class), 1), mistakes[: 5 * columns]
    test_rows = max(math.ceil(len(mistakes) / columns), 1)
    shots = max([3, *map(len, by_class)])

    figure = empty_figure(max(0.42 * rows, 0.98 * test_rows) + 1.0, title)
    left, right = figure.subplots(1, 2, width_ratios=(shots + 2.5, 1.9 * columns))
    for axes in (left, right):
        axes.set_axis_off()
        axes.set_anchor("N")
    for row, images in enumerate(by_class):
        left.text(-0.15, row, plain_label(labels[row], 14), ha="right", va="center", fontsize=8)
        for column, image in enumerate(images):
            _draw_image(left, image, column + 0.45, row, 0.86)
    left.set(xlim=(-2.5, shots), ylim=(rows - 0.5, -0.5))
    note = f"{rows} of {len(labels)} classes" if len(labels) > rows else "by class"
    left.set_title(f"labelled examples, {note}", fontsize=9, color=FAINT)
    for i, each in enumerate(mistakes):
        row, column = divmod(i, columns)
        _draw_image(right, each.image, column, 1.6 * row, 0.9, WRONG)
        predicted = f"{plain_label(each.predicted, 6)} {each.probability:.2f}"
        for below, words, colour in ((0.5, predicted, WRONG), (0.74, plain_label(each.true, 13), RIGHT)):
            right.text(column, 1.6 * row + below, words, ha="center", va="top", fontsize=7, color=colour)
    right.set(xlim=(-0.6, columns - 0.4), ylim=(1.6 * test_rows - 0.5, -0.5))
    right.set_title("mistakes: the predicted label and the true one", fontsize=9, color=FAINT)
    return figure_png(figure)


def plot_timeline(
    title: str,
    dates: Sequence[str],
    probability: Sequence[float],
    realised: Sequence[bool],
    label: str = "turbulent",
) -> bytes:
    """Draw the predicted probability of a market state over the test period against how often it came.

    Args:
        title: of the figure.
        dates: [n] ISO dates, one for each test example; examples of one date (the assets) are averaged.
        probability: [n] predicted probability of the state.
        realised: [n] whether it came.
        label: the state's name.
    """
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    days, index = np.unique(np.asarray(dates, dtype="datetime64[D]"), return_inverse=True)
    count = np.bincount(index)
    predicted = 100 * np.bincount(index, weights=np.asarray(probability, float)) / count
    share = 100 * np.bincount(index, weights=np.asarray(realised, float)) / count
    figure, axes = start_figure(3.0, title)
    axes.fill_between(
        days,
        share,
        step="mid",
        color=BASELINE,
        alpha=0.6,
        linewidth=0,
        label=f"assets that became {plain_label(label, 20)}",
    )
    axes.plot(days, predicted, color=BLUE, linewidth=1.8, label="predicted probability, mean over assets")
    locator = AutoDateLocator(maxticks=8)
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator, show_offset=False))
    axes.set(ylim=(0, 100), xlim=(days[0], days[-1]), ylabel="%", xlabel=f"{days[0]} to {days[-1]}")
    axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=2, frameon=False, fontsize=8.5, borderaxespad=0.2)
    return figure_png(figure)


def _draw_image(axes: "Axes", image: bytes, x: float, y: float, size: float, frame: str | None = None) -> None:
    """Draw an encoded image as a square around (x, y)."""
    from matplotlib.patches import Rectangle
    from PIL import Image, ImageOps

    pixels = ImageOps.fit(Image.open(io.BytesIO(image)).convert("RGB"), (64, 64))
    half = size / 2
    extent = (x - half, x + half, y + half, y - half)
    axes.imshow(np.asarray(pixels), extent=extent, interpolation="antialiased", aspect="equal")
    if frame:
        axes.add_patch(Rectangle((x - half, y - half), size, size, fill=False, edgecolor=frame, linewidth=2))
