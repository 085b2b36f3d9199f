"""Pictures of RL2: how it learned, and what it does in one trial."""

from collections.abc import Sequence

import numpy as np

from tasks.base.figure import BASELINE, BLUE, FAINT, INK, figure_png, start_figure

NAMED = 12  # actions that get a name each


def plot_curve(
    title: str,
    iteration: Sequence[int],
    reward: Sequence[float | None],
    validation: Sequence[float],
    others: dict[str, float],
) -> bytes:
    """Draw the mean reward of a trial over training: of actions drawn, and of the most probable ones.

    Args:
        others: what other players gain in a trial, by name, drawn as lines.
    """
    figure, axes = start_figure(3.4, title)
    known = [(i, r) for i, r in zip(iteration, reward, strict=True) if r is not None and np.isfinite(r)]
    if known:
        axes.plot(*zip(*known, strict=True), color=BASELINE, linewidth=1.4, label="while training, actions drawn")
    axes.plot(
        iteration, validation, color=BLUE, linewidth=1.8, marker="o", markersize=3.5, label="most probable actions"
    )
    for name, gain in others.items():
        axes.axhline(gain, color=FAINT, linewidth=0.9, linestyle=":")
        axes.annotate(name, (iteration[-1], gain), fontsize=7.5, color=FAINT, va="bottom", ha="right")
    axes.set(xlabel="iteration", ylabel="reward of a trial")
    axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=2, frameon=False, fontsize=8.5)
    return figure_png(figure)


def plot_trial(title: str, p: np.ndarray, actions: np.ndarray, rewards: np.ndarray, names: Sequence[str]) -> bytes:
    """Draw one trial: how probable the policy held each action (shade), what it did (dots), and what that paid.

    Args:
        p: [T, A] probabilities; actions: [T]; rewards: [T]; names: [A] of the actions, top to bottom.
    """
    figure, axes = start_figure(1.4 + 0.26 * min(max(len(names), 3), 20), title)
    t = np.arange(1, len(actions) + 1)
    axes.imshow(p.T, aspect="auto", cmap="Blues", vmin=0, vmax=1.4, extent=(0.5, len(t) + 0.5, len(names) - 0.5, -0.5))
    drawn = axes.scatter(t, actions, c=rewards, cmap="RdYlGn", s=26, edgecolors=INK, linewidths=0.5, zorder=3)
    figure.colorbar(drawn, ax=axes, pad=0.01).set_label("reward", fontsize=8.5)
    if len(names) <= NAMED:
        axes.set_yticks(range(len(names)), names)
    axes.grid(False)
    axes.set_xlabel(f"step; {rewards.sum():.1f} gained in all")
    return figure_png(figure)
