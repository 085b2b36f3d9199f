"""Tables of adaptations: a row a domain, and a row a method, for the terminal and for pages."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from domains.objective import ACCURACY
from learners.objective import WORDS
from tasks.adapt.trials import OURS
from tasks.base.artifacts import table_of, with_interval
from tasks.models.adapt_result import AdaptResult, ClassScore

if TYPE_CHECKING:
    from rich.table import Table

COLUMNS = {"accuracy": "accuracy", "balanced_accuracy": "balanced", "macro_f1": "macro-F1"}


def result_cells(result: AdaptResult) -> dict[str, str]:
    """Return what each column of the report shows of a domain."""
    (ours, ci95), best = result.value_of(OURS), result.best_baseline
    baseline = result.value_of(best)[0]
    return {
        "domain": result.domain,
        "family": result.family,
        "K": str(result.k) if result.k is not None else f"all {result.labels:,}",
        f"{COLUMNS[result.objective]} %": with_interval(ours, ci95),
        "best baseline": f"{100 * baseline:.1f} {best}",
        "gain": f"{100 * (ours - baseline):+.1f}",
        "seconds": f"{result.seconds['adapt']:.2f}",
        "decision": result.decision,
    }


def result_line(result: AdaptResult) -> str:
    """Return the row of a domain in words."""
    cells = result_cells(result)
    figure = COLUMNS[result.objective]
    ours = cells[f"{figure} %"]
    return f"{result.domain} {result.decision}: {figure} {ours} %, best baseline {cells['best baseline']}"


def result_table(results: Sequence[AdaptResult]) -> "Table":
    """Return one row a domain for the terminal."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    table = Table(header_style="bold", box=SIMPLE_HEAD, padding=0)
    rows = [result_cells(result) for result in results]
    columns = list(dict.fromkeys(column for row in rows for column in row))
    for column in columns:
        words = column in ("domain", "family", "best baseline", "decision")
        table.add_column(column, justify="left" if words else "right", no_wrap=True)
    for row in rows:
        styles = {"gain": "red" if row["gain"].startswith("-") else "green", "domain": "bold"}
        table.add_row(*(Text(row.get(column, ""), styles.get(column, "")) for column in columns))
    return table


def score_rows(result: AdaptResult) -> list[dict[str, Any]]:
    """Return one row a method, ours first."""
    rows = []
    for name, score in result.scores.items():
        kind = "ours" if name == OURS else "baseline" if name in result.baselines else "strategy"
        rows.append(
            {
                "method": name,
                "kind": kind,
                f"{COLUMNS['accuracy']} %": with_interval(score.accuracy, score.ci95),
                **({} if result.scores[OURS].in_use is None else {"in use %": percent(score.in_use)}),
                f"{COLUMNS['balanced_accuracy']} %": percent(score.balanced_accuracy),
                f"{COLUMNS['macro_f1']} %": percent(score.macro_f1),
                "log-loss": f"{score.log_loss:.3f}",
                "ECE": f"{score.ece:.3f}",
            }
        )
    return rows


def percent(share: float | None) -> str:
    """Return a share in percent; nothing where it is not known."""
    return "" if share is None else f"{100 * share:.1f}"


def class_rows(result: AdaptResult, most: int) -> list[dict[str, Any]]:
    """Return a row a label, at most so many: the lowest F1 first, and of equal ones that with more examples."""
    worst = sorted(result.classes, key=lambda each: (math.inf if each.f1 is None else each.f1, -each.support))
    return [class_row(each) for each in worst[:most]]


def class_row(score: ClassScore) -> dict[str, Any]:
    """Return the scores of a label."""
    return {
        "label": score.label,
        "precision %": percent(score.precision),
        "recall %": percent(score.recall),
        "F1 %": percent(score.f1),
        "examples": score.support,
    }


def score_table(result: AdaptResult) -> "Table":
    """Return one row a method for the terminal."""
    table = table_of(score_rows(result))
    table.caption, table.caption_justify = interval_line(result), "left"
    return table


def interval_line(result: AdaptResult) -> str:
    """Return in a line what the scores are of, and what their intervals are over."""
    test = f"the {result.test:,} test examples"
    if result.interval == "labelled examples":
        whole = (
            f"{result.labels_used}; each example is scored by what was adapted without it; ±: 95 % interval over them"
        )
    elif result.interval == "test examples":
        whole = f"{result.labels_used}; ±: 95 % interval over {test}"
    elif result.draws == 1:
        whole = f"{result.labels_used}; one support draw, on {test}"
    else:
        draws = f"means over {result.draws} support draws, on {test}"
        whole = f"{result.labels_used}; {draws}; ±: 95 % interval over the draws"
    if result.scores[OURS].in_use is not None:
        whole += "; in use: accuracy at the class frequencies of the pool"
    if result.objective != ACCURACY:
        whole += f"; labels are named for the highest {WORDS[result.objective]}"
    return whole
