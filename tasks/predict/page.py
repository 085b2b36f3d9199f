"""What people see of predictions: the artifact ``predict-<domain>``."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from tasks.base.artifacts import escape, markdown_artifact, markdown_table
from tasks.predict.records import Scored

LABELS = 30  # rows of the table of labels


def predictions_page(domain: str, version: str, scored: Sequence[Scored], faults: Sequence[str]) -> str:
    """Return the page as markdown; all foreign text is escaped."""
    new = [each for each in scored if not each.reused]
    parts = [f"# {escape(domain)}: {len(new)} of {len(scored) + len(faults)} inputs predicted by version {version}"]
    if faults:
        parts += ["## Not predicted", *(escape(fault) for fault in faults)]
    if new:
        parts += ["## Labels", markdown_table(label_rows(new))]
    if scored:
        parts += ["## Files", markdown_table([file_row(each) for each in scored])]
    doubts = [f"{Path(each.source).name}: {warning}" for each in new for warning in each.warnings]
    if doubts:
        parts += ["## Doubts", *(escape(doubt) for doubt in doubts)]
    return "\n\n".join(parts)


def label_rows(scored: Sequence[Scored]) -> list[dict[str, str]]:
    """Return how often each label was named, the most frequent first."""
    counts = Counter[str]()
    for each in scored:
        counts.update(each.labels)
    rows = [
        {"label": label, "examples": f"{count:,}", "%": f"{100 * count / counts.total():.1f}"}
        for label, count in counts.most_common(LABELS)
    ]
    if (others := len(counts) - LABELS) > 0:
        rest = counts.total() - sum(count for _, count in counts.most_common(LABELS))
        rows.append({"label": f"{others} others", "examples": f"{rest:,}", "%": f"{100 * rest / counts.total():.1f}"})
    return rows


def file_row(scored: Scored) -> dict[str, str]:
    """Return what came of an input."""

    def share(count: int | None) -> str:
        return "" if count is None else f"{100 * count / max(1, scored.predicted):.1f}"

    return {
        "input": scored.source,
        "rows": f"{scored.rows:,}",
        "for a person, %": share(scored.ask),
        "outside, %": share(scored.outside),
        "predictions": scored.output,
        "": f"predicted before, {scored.at}" if scored.reused else "",
    }


def publish(domain: str, version: str, scored: Sequence[Scored], faults: Sequence[str]) -> None:
    """Leave the artifact ``predict-<domain>``."""
    said = f"{sum(each.predicted for each in scored if not each.reused):,} predictions"
    markdown_artifact(f"predict-{domain}", predictions_page(domain, version, scored, faults), said)
