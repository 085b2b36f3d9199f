"""A picture a regime: how much log-loss each method has saved against the pooled model, day by day."""

from collections.abc import Sequence

import numpy as np

from tasks.base.figure import BLUE, FAINT, INK, RIGHT, WRONG, figure_png, start_figure
from tasks.bench.market.methods import OURS, POOLED
from tasks.bench.market.scores import RegimeForecast

COLOURS = {OURS: BLUE, "HAR": RIGHT, "GARCH": WRONG, "pooled boosting": FAINT}


def plot_saved(judged: Sequence[RegimeForecast]) -> bytes:
    """Draw one regime as a PNG: the running sum of pooled log-loss less a method's, and how turbulent the days were.

    Args:
        judged: what methods said of the same days, the pooled model among them.
    """
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    by = {one.method: one for one in judged}
    pooled = by[POOLED]
    dates = pooled.rule.panel.dates[pooled.days]
    figure, axes = start_figure(3.4, f"{pooled.regime}: log-loss saved against the pooled model")
    turbulent = (pooled.rule.labels(pooled.days) == pooled.rule.ways - 1).mean(1)
    share = axes.twinx()
    share.fill_between(dates, 100 * turbulent, color=FAINT, alpha=0.15, linewidth=0)
    share.set(ylim=(0, 250), yticks=[])
    share.spines[["top", "right", "left"]].set_visible(False)
    axes.axhline(0, color=INK, linewidth=0.8)
    for method, colour in COLOURS.items():
        if method in by:
            saved = np.cumsum(pooled.losses - by[method].losses)
            axes.plot(dates, saved, color=colour, linewidth=2 if method == OURS else 1.2, label=method)
    locator = AutoDateLocator(maxticks=8)
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator, show_offset=False))
    axes.set(ylabel="nats, summed over days", xlabel=f"{dates[0]:%Y-%m-%d} to {dates[-1]:%Y-%m-%d}; grey: turbulent")
    axes.legend(loc="upper left", ncols=4, frameon=False, fontsize=8.5)
    return figure_png(figure)
