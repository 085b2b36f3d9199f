"""The picture of a domain's history: accuracy of its versions, and which of them went into service."""

from collections.abc import Sequence
from dataclasses import dataclass

from tasks.base.figure import FAINT, OURS, WRONG, finish, start

#: How each kind of version is drawn: marker, colour.
KINDS = {"champion": ("*", OURS), "promoted": ("o", OURS), "refused": ("x", WRONG)}


@dataclass(frozen=True)
class Point:
    """A version's accuracy with the half-width of its 95 % interval; ``kind`` is one of KINDS."""

    version: str
    accuracy: float
    ci95: float
    kind: str


def plot_history(title: str, points: Sequence[Point]) -> bytes:
    """Draw versions in order, oldest first; a line joins those that went into service."""
    figure, axes = start(3.0, title)
    place = {point.version: i for i, point in enumerate(points)}
    served = [point for point in points if point.kind != "refused"]
    axes.plot([place[p.version] for p in served], [100 * p.accuracy for p in served], color=OURS, linewidth=1.2)
    for kind, (marker, colour) in KINDS.items():
        chosen = [point for point in points if point.kind == kind]
        if chosen:
            x, y = [place[p.version] for p in chosen], [100 * p.accuracy for p in chosen]
            axes.errorbar(x, y, yerr=[100 * p.ci95 for p in chosen], fmt="none", ecolor=FAINT, elinewidth=1, capsize=2)
            size = 150 if kind == "champion" else 40
            label = {"champion": "in service", "refused": "refused or waiting"}.get(kind, kind)
            axes.scatter(x, y, marker=marker, c=colour, s=size, label=label, zorder=3)
    axes.set_xticks(range(len(points)), [point.version for point in points])
    axes.margins(0.08, 0.2)
    axes.set(xlabel="version (each on the test examples of its own data)", ylabel="accuracy, %")
    if points:
        axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=3, frameon=False, fontsize=8.5)
    return finish(figure)
