"""Pictures for people: each function returns the bytes of a PNG, 700 dots wide."""

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tasks.base.artifacts import shorten, with_interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.transforms import Bbox

OURS, BASELINE, INK, FAINT, RIGHT, WRONG = "#2563eb", "#b6bcc6", "#1f2937", "#6b7280", "#16a34a", "#dc2626"
WIDTH = 7.0  # inches, at 100 dots each
LARGEST = 80_000  # bytes of a PNG


@dataclass(frozen=True)
class Bar:
    """One method's accuracy with the half-width of its 95 % interval; ``ours`` is drawn in colour."""

    method: str
    accuracy: float
    ci95: float | None
    ours: bool = False


def plot_methods(title: str, bars: Sequence[Bar], chance: float | None = None) -> bytes:
    """Draw the accuracy of methods on one domain, best first: ours in colour, plain baselines in grey."""
    bars = sorted(bars, key=lambda bar: bar.accuracy)
    figure, axes = start(0.9 + 0.34 * max(len(bars), 2), title)
    accuracy = 100 * np.array([bar.accuracy for bar in bars])
    half = 100 * np.nan_to_num([bar.ci95 or 0.0 for bar in bars])
    where = np.arange(len(bars))
    axes.barh(where, accuracy, height=0.66, color=[OURS if bar.ours else BASELINE for bar in bars])
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
    axes.set_xlabel("accuracy on the test examples, %, with 95 % interval")
    return finish(figure)


def plot_images(
    title: str,
    support: Sequence[tuple[bytes, str]],
    tests: Sequence[tuple[bytes, str, str]],
    columns: int = 6,
) -> bytes:
    """Draw the support images by class, and test images with their predicted label in green or red.

    Args:
        title: of the figure.
        support: (encoded image, label); up to ten classes and five images of each are drawn.
        tests: (encoded image, predicted label, true label); up to five rows are drawn.
        columns: test images in a row.
    """
    labels = list(dict.fromkeys(label for _, label in support))
    by_class = [[image for image, of in support if of == label][:5] for label in labels[:10]]
    rows, tests = max(len(by_class), 1), tests[: 5 * columns]
    test_rows = max(math.ceil(len(tests) / columns), 1)
    shots = max([3, *map(len, by_class)])

    figure = _empty_figure(max(0.42 * rows, 0.85 * test_rows) + 1.0, title)
    left, right = figure.subplots(1, 2, width_ratios=(shots + 2.5, 1.9 * columns))
    for axes in (left, right):
        axes.set_axis_off()
        axes.set_anchor("N")
    for row, images in enumerate(by_class):
        left.text(-0.15, row, plain_label(labels[row], 14), ha="right", va="center", fontsize=8)
        for column, image in enumerate(images):
            _draw(left, image, column + 0.45, row, 0.86)
    left.set(xlim=(-2.5, shots), ylim=(rows - 0.5, -0.5))
    note = f"{rows} of {len(labels)} classes" if len(labels) > rows else "by class"
    left.set_title(f"labelled examples, {note}", fontsize=9, color=FAINT)
    for i, (image, predicted, truth) in enumerate(tests):
        row, column = divmod(i, columns)
        colour = RIGHT if predicted == truth else WRONG
        _draw(right, image, column, 1.35 * row, 0.9, colour)
        right.text(
            column, 1.35 * row + 0.52, plain_label(predicted, 11), ha="center", va="top", fontsize=7, color=colour
        )
    right.set(xlim=(-0.6, columns - 0.4), ylim=(1.35 * test_rows - 0.5, -0.5))
    right.set_title("test examples and their predicted label", fontsize=9, color=FAINT)
    return finish(figure)


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
    figure, axes = start(3.0, title)
    axes.fill_between(
        days,
        share,
        step="mid",
        color=BASELINE,
        alpha=0.6,
        linewidth=0,
        label=f"assets that became {plain_label(label, 20)}",
    )
    axes.plot(days, predicted, color=OURS, linewidth=1.8, label="predicted probability, mean over assets")
    locator = AutoDateLocator(maxticks=8)
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator, show_offset=False))
    axes.set(ylim=(0, 100), xlim=(days[0], days[-1]), ylabel="%", xlabel=f"{days[0]} to {days[-1]}")
    axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=2, frameon=False, fontsize=8.5, borderaxespad=0.2)
    return finish(figure)


def plot_learning(
    title: str, steps: Sequence[int], loss: Sequence[float], checked: Sequence[int], accuracy: Sequence[float]
) -> bytes:
    """Draw a meta-training: the loss of its steps (faint, and smoothed), and the meta-validation accuracy."""
    figure = _empty_figure(4.2, title)
    upper, lower = figure.subplots(2, 1, sharex=True)
    for axes in (upper, lower):
        _tidy(axes)
    upper.plot(steps, loss, color=BASELINE, linewidth=0.8)
    upper.plot(steps, _smooth(np.asarray(loss, float)), color=OURS, linewidth=1.8)
    upper.set_ylabel("meta-loss")
    lower.plot(checked, 100 * np.asarray(accuracy, float), color=OURS, linewidth=1.8, marker="o", markersize=3.5)
    if len(accuracy):
        best = int(np.argmax(accuracy))
        text = f"best {100 * accuracy[best]:.1f} % at step {checked[best]:,}"
        lower.set_title(text, loc="right", fontsize=8.5, color=FAINT, pad=3)
    lower.set(ylabel="meta-validation\naccuracy, %", xlabel="step")
    figure.align_ylabels()
    return finish(figure)


def plot_map(
    title: str, names: Sequence[str], targets: Sequence[bool], places: np.ndarray, shown: float | None = None
) -> bytes:
    """Draw domains as points that lie the nearer the more alike they are: sources as dots, targets as diamonds.

    Args:
        title: of the figure.
        names: [n] of the domains; targets: [n] whether each is one.
        places: [n, 2] where they lie.
        shown: the share of the variation of all distances that two dimensions show.
    """
    figure, axes = start(6.2, title)
    is_target = np.asarray(targets, bool)
    for mask, marker, colour, size, label in (
        (~is_target, "o", FAINT, 30, "source: meta-trained on"),
        (is_target, "D", OURS, 46, "target: adapted to"),
    ):
        if mask.any():
            axes.scatter(*places[mask].T, marker=marker, c=colour, s=size, label=label, zorder=2, linewidths=0)
    axes.set(xticks=[], yticks=[])
    axes.margins(0.14, 0.06)
    axes.spines[["left", "bottom"]].set_visible(False)
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, 0), ncols=2, frameon=False, fontsize=9)
    if shown is not None:
        note = f"near is alike; two dimensions show {100 * shown:.0f} % of the variation of the distances"
        axes.set_title(note, loc="left", fontsize=8.5, color=FAINT)
    _name_points(figure, axes, names, is_target, places)
    return finish(figure)


def _name_points(figure: "Figure", axes: "Axes", names: Sequence[str], bold: np.ndarray, places: np.ndarray) -> None:
    """Write a name beside each point, on the side where it covers the least of the points and names before it."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.transforms import Bbox

    renderer = FigureCanvasAgg(figure).get_renderer()
    figure.draw_without_rendering()  # fixes the layout, and with it where the points are in dots
    at = axes.transData.transform(places)
    taken = [Bbox.from_bounds(x - 4, y - 4, 8, 8) for x, y in at]
    sides = [side for r in (6, 14, 24) for side in _sides(r)]
    before = {"left": 0.0, "center": 0.5, "right": 1.0, "bottom": 0.0, "top": 1.0}
    for i in np.lexsort((places[:, 0], ~bold)):  # targets first: they keep the best places
        style = {"fontsize": 8, "color": INK, "weight": "bold" if bold[i] else "normal", "zorder": 3}
        text = axes.annotate(plain_label(names[i], 24), places[i], (0, 0), textcoords="offset pixels", **style)
        size = text.get_window_extent(renderer)
        boxes = [
            Bbox.from_bounds(
                at[i, 0] + dx - before[ha] * size.width,
                at[i, 1] + dy - before[va] * size.height,
                size.width,
                size.height,
            )
            for dx, dy, ha, va in sides
        ]
        outside = [box.x0 < 2 or box.x1 > figure.bbox.width - 2 for box in boxes]
        cost = [1e6 * out + sum(_shared(box, b) for b in taken) for box, out in zip(boxes, outside, strict=True)]
        best = int(np.argmin(cost))
        dx, dy, ha, va = sides[best]
        text.set(position=(dx, dy), ha=ha, va=va)
        taken.append(boxes[best])


def _sides(r: float) -> list[tuple[float, float, str, str]]:
    """Return eight places around a point, ``r`` dots away, the ones that read best first."""
    return [
        (r, 0, "left", "center"),
        (-r, 0, "right", "center"),
        (0, r, "center", "bottom"),
        (0, -r, "center", "top"),
        (r, r, "left", "bottom"),
        (r, -r, "left", "top"),
        (-r, r, "right", "bottom"),
        (-r, -r, "right", "top"),
    ]


def _shared(a: "Bbox", b: "Bbox") -> float:
    """Return the area that two boxes share."""
    width, height = min(a.x1, b.x1) - max(a.x0, b.x0), min(a.y1, b.y1) - max(a.y0, b.y0)
    return max(width, 0.0) * max(height, 0.0)


def _smooth(values: np.ndarray) -> np.ndarray:
    """Return the running mean over a twentieth of the values, over what there is of it at the ends."""
    width = max(len(values) // 20, 1)
    kernel = np.ones(width)
    return np.convolve(values, kernel, "same") / np.convolve(np.ones(len(values)), kernel, "same")


def _draw(axes: "Axes", image: bytes, x: float, y: float, size: float, frame: str | None = None) -> None:
    """Draw an encoded image as a square around (x, y)."""
    from matplotlib.patches import Rectangle
    from PIL import Image, ImageOps

    pixels = ImageOps.fit(Image.open(io.BytesIO(image)).convert("RGB"), (64, 64))
    half = size / 2
    extent = (x - half, x + half, y + half, y - half)
    axes.imshow(np.asarray(pixels), extent=extent, interpolation="antialiased", aspect="equal")
    if frame:
        axes.add_patch(Rectangle((x - half, y - half), size, size, fill=False, edgecolor=frame, linewidth=2))


def start(height: float, title: str) -> "tuple[Figure, Axes]":
    """Return a figure, ``height`` inches high, and its axes."""
    figure = _empty_figure(height, title)
    axes = figure.subplots()
    _tidy(axes)
    return figure, axes


def _empty_figure(height: float, title: str) -> "Figure":
    """Return a figure of its own: pyplot's global state is not safe in threads and keeps every figure."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH, height), dpi=100, layout="constrained")
    figure.suptitle(plain_label(title, 66), x=0.01, ha="left", fontsize=12, weight="bold", color=INK)
    return figure


def _tidy(axes: "Axes") -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=9, colors=INK)
    axes.xaxis.label.set(size=9, color=FAINT)
    axes.yaxis.label.set(size=9, color=FAINT)


def plain_label(text: str, length: int) -> str:
    """Return a short text in which matplotlib sees no formula."""
    return shorten(text, length).replace("$", r"\$")


def finish(figure: "Figure") -> bytes:
    """Return a figure as a PNG of so few colours that it stays small, as it travels inside the page."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from PIL import Image

    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    image = Image.fromarray(np.asarray(canvas.buffer_rgba())[..., :3])
    for colours in (256, 64, 24):
        out = io.BytesIO()
        image.quantize(colours, Image.Quantize.FASTOCTREE).save(out, "PNG", optimize=True)
        if out.tell() <= LARGEST:
            break
    return out.getvalue()
