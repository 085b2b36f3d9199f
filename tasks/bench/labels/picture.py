"""The picture of accuracy over the number of labels, a panel a domain."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from learners import metrics
from tasks.base.figure import BASELINE, BLUE, INK, empty_figure, figure_png, plain_label, tidy_axes
from tasks.bench.labels.names import FLOOR, NATURAL, NONE, OURS
from tasks.bench.options import ALL

#: Method, pool, name in the legend, colour and style of each line.
LINES = (
    (OURS, NONE, "acclimate", BLUE, "-"),
    (OURS, NATURAL, "acclimate with a pool", BLUE, ":"),
    (FLOOR, NONE, "tuned logistic regression", BASELINE, "-"),
)
COLUMNS = 3


def plot_label_curves(title: str, rows: Sequence[Mapping[str, Any]]) -> bytes | None:
    """Draw accuracy by the number of labels at the domain's frequencies, mean and interval over halves.

    Args:
        rows: of the benchmark; those of halves are drawn. None if there are none.
    """
    rows = [row for row in rows if "half" in row and row["frequencies"] == NATURAL]
    domains = list(dict.fromkeys(row["domain"] for row in rows))
    if not domains:
        return None
    down = -(-len(domains) // COLUMNS)
    figure = empty_figure(1.0 + 2.1 * down, title)
    panels = figure.subplots(down, COLUMNS, squeeze=False).ravel()
    for axes, domain in zip(panels, domains, strict=False):
        tidy_axes(axes)
        axes.set_title(plain_label(domain, 24), fontsize=9.5, color=INK)
        axes.set_xscale("log")
        for method, pool, name, colour, style in LINES:
            own: dict[int, list[Mapping[str, Any]]] = defaultdict(list)
            for row in rows:
                if (row["domain"], row["method"], row["pool"]) == (domain, method, pool):
                    own[row["k"] or ALL].append(row)
            sizes = [float(np.mean([row["labels"] for row in own[k]])) for k in sorted(own)]
            found = [metrics.mean_interval([100 * row["value"] for row in own[k]]) for k in sorted(own)]
            means, halves = np.nan_to_num(np.array(found).reshape(-1, 2)).T
            if pool == NONE and method == OURS:
                ticks = [size for i, size in enumerate(sizes) if i in (0, len(sizes) // 2, len(sizes) - 1)]
                axes.set_xticks(ticks, [f"{size:,.0f}" for size in ticks])
                axes.set_xticks([], minor=True)
            axes.plot(sizes, means, color=colour, linestyle=style, marker="o", markersize=3, linewidth=1.6, label=name)
            axes.fill_between(sizes, means - halves, means + halves, color=colour, alpha=0.2, linewidth=0)
        axes.tick_params(labelsize=8)
        axes.set_xlabel("labels")
        axes.set_ylabel("accuracy, %")
    for axes in panels[len(domains) :]:
        axes.set_axis_off()
    handles, names = panels[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower left", ncols=len(LINES), frameon=False, fontsize=8.5)
    return figure_png(figure)
