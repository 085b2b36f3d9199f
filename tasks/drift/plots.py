"""Pictures of drift: label proportions before and after, and the regimes of a market."""

from collections.abc import Mapping
from itertools import pairwise

import numpy as np

from domains.market.regime import Regime
from tasks.base.figure import BASELINE, BLUE, INK, RIGHT, WRONG, figure_png, plain_label, start_figure


def plot_shares(
    title: str,
    before: Mapping[str, float],
    after: Mapping[str, float],
    interval: Mapping[str, tuple[float, float]],
    most: int = 12,
) -> bytes:
    """Draw label proportions before and after, the labels that changed most first.

    Args:
        title: of the figure.
        before, after: shares by label; interval: of after minus before.
        most: labels that are drawn.
    """
    labels = sorted(before, key=lambda label: abs(after[label] - before[label]))[-most:]
    figure, axes = start_figure(1.1 + 0.42 * max(len(labels), 2), title)
    where = np.arange(len(labels))
    old, new = (100 * np.array([shares[label] for label in labels]) for shares in (before, after))
    axes.barh(where + 0.2, old, height=0.36, color=BASELINE, label="before")
    axes.barh(where - 0.2, new, height=0.36, color=BLUE, label="after, with the 95 % interval of the change")
    low, high = (old + 100 * np.array([interval[label][side] for label in labels]) for side in (0, 1))
    beyond = np.stack([np.maximum(new - low, 0), np.maximum(high - new, 0)])
    axes.errorbar(new, where - 0.2, xerr=beyond, fmt="none", ecolor=INK, elinewidth=1, capsize=3)
    axes.set_yticks(where, [plain_label(label, 34) for label in labels])
    axes.tick_params(axis="y", length=0)
    axes.set_xlim(left=0)
    axes.set_xlabel("share of the examples, %")
    axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=2, frameon=False, fontsize=8.5, borderaxespad=0.2)
    return figure_png(figure)


def plot_regime(title: str, regime: Regime, adapted_until: str | None = None) -> bytes:
    """Draw the weekly volatility of a market, the level of each regime, and until when the champion was adapted."""
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    figure, axes = start_figure(3.0, title)
    weeks, edges = regime.weeks, (0, *regime.changes, len(regime.weeks.dates))
    days = weeks.dates.to_numpy()
    axes.plot(days, np.exp(weeks.volatility), color=BASELINE, linewidth=1.4, label="volatility of a week")
    for i, (first, end) in enumerate(pairwise(edges)):
        level = float(np.exp(weeks.volatility[first:end].mean()))
        label = "level of a regime" if i == 0 else None
        axes.hlines(level, days[first], days[end - 1], color=BLUE, linewidth=2.2, label=label)
    for change in regime.changes:
        axes.axvline(days[change], color=WRONG, linewidth=1, linestyle=":")
    if adapted_until is not None:
        day = np.datetime64(adapted_until)
        axes.axvline(day, color=RIGHT, linewidth=1.4, label="champion adapted until")
    locator = AutoDateLocator(maxticks=8)
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator, show_offset=False))
    axes.set(ylim=(0, None), ylabel="of the year's", xlabel=f"{weeks.dates[0]:%Y-%m-%d} to {weeks.dates[-1]:%Y-%m-%d}")
    axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=3, frameon=False, fontsize=8.5, borderaxespad=0.2)
    return figure_png(figure)
