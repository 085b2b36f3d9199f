"""Pictures of meta-training, each the bytes of a PNG: how a learner learned, and the map of a family's domains."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tasks.base.figure import BASELINE, BLUE, FAINT, INK, empty_figure, figure_png, plain_label, start_figure, tidy_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.transforms import Bbox


def plot_learning(
    title: str, steps: Sequence[int], loss: Sequence[float], checked: Sequence[int], accuracy: Sequence[float]
) -> bytes:
    """Draw a meta-training: the loss of its steps (faint, and smoothed), and the meta-validation accuracy."""
    figure = empty_figure(4.2, title)
    upper, lower = figure.subplots(2, 1, sharex=True)
    for axes in (upper, lower):
        tidy_axes(axes)
    upper.plot(steps, loss, color=BASELINE, linewidth=0.8)
    upper.plot(steps, _running_mean(np.asarray(loss, float)), color=BLUE, linewidth=1.8)
    upper.set_ylabel("meta-loss")
    lower.plot(checked, 100 * np.asarray(accuracy, float), color=BLUE, linewidth=1.8, marker="o", markersize=3.5)
    if len(accuracy):
        best = int(np.argmax(accuracy))
        text = f"best {100 * accuracy[best]:.1f} % at step {checked[best]:,}"
        lower.set_title(text, loc="right", fontsize=8.5, color=FAINT, pad=3)
    lower.set(ylabel="meta-validation\naccuracy, %", xlabel="step")
    figure.align_ylabels()
    return figure_png(figure)


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
    figure, axes = start_figure(6.2, title)
    is_target = np.asarray(targets, bool)
    for mask, marker, colour, size, label in (
        (~is_target, "o", FAINT, 30, "source: meta-trained on"),
        (is_target, "D", BLUE, 46, "target: adapted to"),
    ):
        if mask.any():
            x, y = places[mask].T
            axes.scatter(x, y, marker=marker, c=colour, s=size, label=label, zorder=2, linewidths=0)
    axes.set(xticks=[], yticks=[])
    axes.margins(0.14, 0.06)
    axes.spines[["left", "bottom"]].set_visible(False)
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, 0), ncols=2, frameon=False, fontsize=9)
    if shown is not None:
        note = f"near is alike; two dimensions show {100 * shown:.0f} % of the variation of the distances"
        axes.set_title(note, loc="left", fontsize=8.5, color=FAINT)
    _name_points(figure, axes, names, is_target, places)
    return figure_png(figure)


def _name_points(figure: "Figure", axes: "Axes", names: Sequence[str], bold: np.ndarray, places: np.ndarray) -> None:
    """Write a name beside each point, on the side where it covers the least of the points and names before it."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.transforms import Bbox

    renderer = FigureCanvasAgg(figure).get_renderer()
    figure.draw_without_rendering()  # fixes the layout, and with it where the points are in dots
    at = axes.transData.transform(places)
    taken = [Bbox.from_bounds(x - 4, y - 4, 8, 8) for x, y in at]
    sides = [side for r in (6, 14, 24) for side in _places_around(r)]
    before = {"left": 0.0, "center": 0.5, "right": 1.0, "bottom": 0.0, "top": 1.0}
    for i in np.lexsort((places[:, 0], ~bold)):  # targets first: they keep the best places
        style: dict[str, Any] = {"fontsize": 8, "color": INK, "weight": "bold" if bold[i] else "normal", "zorder": 3}
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
        cost = [1e6 * out + sum(_shared_area(box, b) for b in taken) for box, out in zip(boxes, outside, strict=True)]
        best = int(np.argmin(cost))
        dx, dy, ha, va = sides[best]
        text.set(position=(dx, dy), ha=ha, va=va)
        taken.append(boxes[best])


def _places_around(r: float) -> list[tuple[float, float, str, str]]:
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


def _shared_area(a: "Bbox", b: "Bbox") -> float:
    """Return the area that two boxes share."""
    width, height = min(a.x1, b.x1) - max(a.x0, b.x0), min(a.y1, b.y1) - max(a.y0, b.y0)
    return max(width, 0.0) * max(height, 0.0)


def _running_mean(values: np.ndarray) -> np.ndarray:
    """Return the running mean over a twentieth of the values, over what there is of it at the ends."""
    width = max(len(values) // 20, 1)
    kernel = np.ones(width)
    return np.convolve(values, kernel, "same") / np.convolve(np.ones(len(values)), kernel, "same")
