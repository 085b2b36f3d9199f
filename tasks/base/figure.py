"""What all pictures share: colours, a figure 700 dots wide, and its bytes as a small PNG."""

import io
from typing import TYPE_CHECKING

import numpy as np

from tasks.base.artifacts import shorten

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BLUE, BASELINE, INK, FAINT, RIGHT, WRONG = "#2563eb", "#b6bcc6", "#1f2937", "#6b7280", "#16a34a", "#dc2626"
WIDTH = 7.0  # inches, at 100 dots each
LARGEST = 80_000  # bytes of a PNG


def start_figure(height: float, title: str) -> "tuple[Figure, Axes]":
    """Return a figure, ``height`` inches high, and its axes."""
    figure = empty_figure(height, title)
    axes = figure.subplots()
    tidy_axes(axes)
    return figure, axes


def empty_figure(height: float, title: str) -> "Figure":
    """Return a figure of its own: pyplot's global state is not safe in threads and keeps every figure."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH, height), dpi=100, layout="constrained")
    figure.suptitle(plain_label(title, 66), x=0.01, ha="left", fontsize=12, weight="bold", color=INK)
    return figure


def tidy_axes(axes: "Axes") -> None:
    """Take away the frame's top and right, and set small ticks and grey labels."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=9, colors=INK)
    axes.xaxis.label.set(size=9, color=FAINT)
    axes.yaxis.label.set(size=9, color=FAINT)


def plain_label(text: str, length: int) -> str:
    """Return a short text in which matplotlib sees no formula."""
    return shorten(text, length).replace("$", r"\$")


def figure_png(figure: "Figure") -> bytes:
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
