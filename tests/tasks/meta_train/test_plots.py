"""Pictures of meta-training are small and of one width, whatever they show."""

import numpy as np
import pytest

from tasks.meta_train.plots import plot_learning, plot_map

HOSTILE = "<b> | [red] $x_1$ \\frac{1}"
LOSS = np.random.default_rng(0).random(5000)
PLOTS = {
    "learning": lambda: plot_learning("text", range(5000), LOSS, [0, 100], [0.2, 0.5]),
    "learning, not yet": lambda: plot_learning("text", [1], [0.5], [], []),
    "map": lambda: plot_map(HOSTILE, [HOSTILE, "a", "b"], [True, False, False], np.eye(3)[:, :2], 0.4),
}


@pytest.mark.parametrize("plot", PLOTS)
def test_every_plot_is_a_small_png_700_wide_whatever_it_shows(plot, check_picture):
    check_picture(PLOTS[plot]())
