"""The page that shows why drift was found, or why not."""

import io
from collections.abc import Sequence
from typing import Any

from domains.market.regime import Regime
from tasks.base.artifacts import escape, image_markdown, markdown_artifact, markdown_table
from tasks.drift.cases import DriftResult
from tasks.drift.plots import plot_regime, plot_shares

LABELS = 30  # rows of the table of labels
SIDE = 160  # pixels of an image that is shown


def drift_page(result: DriftResult, farthest: Sequence[Any] = (), regime: Regime | None = None) -> str:
    """Return the page of one domain as markdown; all foreign text is escaped."""
    parts = [f"# {escape(result.line())}", markdown_table(fact_rows(result))]
    if result.before:
        title = f"{result.domain}: label proportions, from the champion's probabilities"
        shares = plot_shares(title, result.before, result.after, result.interval)
        parts += ["## Labels", image_markdown(shares, title), markdown_table(label_rows(result))]
    if result.farthest:
        rows = [{"distance": f"{apart:.3f}", "example": text} for text, apart in result.farthest]
        parts += ["## New examples farthest from all old ones", markdown_table(rows)]
        parts += [image_markdown(small_png(each), "a new example") for each in farthest if isinstance(each, bytes)]
    if regime is not None:
        title = f"{result.domain}: volatility of a week, of that of the year before"
        parts += ["## Regimes in hindsight", image_markdown(plot_regime(title, regime, result.adapted_until), title)]
    return "\n\n".join(parts)


def fact_rows(result: DriftResult) -> list[dict[str, Any]]:
    """Return a row for each fact that is known."""
    known = {
        "outcome": result.state,
        "false-alarm rate": result.alpha if result.p is not None else None,
        "without labels": result.accuracy_line() or None,
        "p-value of both tests": result.p,
        "p-value of features (MMD)": result.features_p,
        "p-value of label probabilities": result.labels_p,
        "MMD squared": None if result.statistic is None else f"{result.statistic:.5f}",
        "its threshold": None if result.threshold is None else f"{result.threshold:.5f}",
        "new examples": result.new or None,
        "old examples": result.old or None,
        "predicted last": ", ".join(result.inputs) or None,
        "alarms": ", ".join(result.alarms) or None,
        "what moved first": result.alarm_by,
        "since": result.alarm_began,
        "half of such changes, and nine of ten, are noticed after days": days_in_words(result),
        "in hindsight, regime since the week to": result.change,
        **{name.replace("_", " the change: ").capitalize(): f"{value:.3f}" for name, value in result.levels.items()},
        "champion adapted until": result.adapted_until,
        "champion": f"version {result.champion}",
        "git revision": result.revision,
    }
    return [{"what": name, "value": value} for name, value in known.items() if value is not None]


def days_in_words(result: DriftResult) -> str | None:
    """Return how late such an alarm is expected to be, where there is one."""
    if result.days_late is None:
        return None
    return ", ".join("not within a year" if days is None else str(days) for days in result.days_late)


def label_rows(result: DriftResult) -> list[dict[str, str]]:
    """Return labels with their shares before and after, those that changed most first."""
    apart = sorted(result.before, key=lambda label: -abs(result.after[label] - result.before[label]))
    rows = []
    for label in apart[:LABELS]:
        low, high = result.interval[label]
        shares = {"before %": f"{100 * result.before[label]:.1f}", "after %": f"{100 * result.after[label]:.1f}"}
        rows.append({"label": label} | shares | {"change, 95 %": f"{100 * low:+.1f} to {100 * high:+.1f}"})
    return rows


def small_png(image: bytes) -> bytes:
    """Return an encoded image as a small PNG."""
    from PIL import Image

    picture = Image.open(io.BytesIO(image)).convert("RGB")
    picture.thumbnail((SIDE, SIDE))
    out = io.BytesIO()
    picture.save(out, "PNG", optimize=True)
    return out.getvalue()


def publish(result: DriftResult, page: str) -> None:
    """Show the page in the Prefect UI as the artifact ``drift-<domain>``."""
    markdown_artifact(f"drift-{result.domain}", page, result.line())
