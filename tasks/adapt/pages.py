"""What an adaptation leaves for people in the Prefect UI: one page a domain, and a table of all of a demo."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from domains.domain import FAMILIES, Domain, Family
from learners import metrics
from learners.choice.conformal import COVERAGE
from learners.objective import WORDS
from tasks.adapt.domain_page import page_key
from tasks.adapt.plots import (
    Bar,
    Mistake,
    plot_confusion,
    plot_images,
    plot_learning_curve,
    plot_methods,
    plot_timeline,
)
from tasks.adapt.tables import class_row, class_rows, interval_line, result_cells, score_rows
from tasks.adapt.trials import OURS
from tasks.base.artifacts import (
    artifact_link,
    escape,
    image_markdown,
    markdown_artifact,
    markdown_table,
    shorten,
    table_artifact,
)
from tasks.models.adapt_result import AdaptResult

SHOWN = 30  # mistakes in a picture
TEXTS = 12  # mistakes in a table
CLASSES = 50  # labels in a table


def show_adaptation(
    domain: Domain, result: AdaptResult, scored: Sequence[Any], p: np.ndarray, named: np.ndarray, y: np.ndarray
) -> None:
    """Show one adaptation on one page: decision, scores of methods and labels, the worst mistakes, and lineage.

    Args:
        scored: the n examples that the model is scored on, as the shards have them.
        p: probabilities of them [n, N] by models that were not fitted to them.
        named: the labels that these name [n]; y: the true ones [n].
    """
    title = f"{domain.name}: {result.labels_used}, {result.pool:,} unlabelled"
    words = WORDS[result.objective]
    bars = [Bar(name, *result.value_of(name), name == OURS) for name in result.scores]
    by_family: dict[Family, Callable[[Domain, Sequence[Any], np.ndarray, np.ndarray, np.ndarray], list[str]]]
    by_family = {"text": texts_markdown, "vision": images_markdown, "market": timeline_markdown}
    lineage = {
        "decision": result.decision,
        "model": f"{result.domain} version {result.model_version}",
        "strategy": result.strategy,
        **({"encoders": ", ".join(result.encoders)} if result.encoders else {}),
        **trust_facts(result),
        "meta-model": f"meta-{result.family} version {result.meta_version}",
        "git revision": result.revision,
        "content hash": result.content_hash,
        "work key": result.key,
    }
    parts = [
        f"# {escape(title)}",
        escape(result.reason),
        *(f"⚠ {escape(warning)}" for warning in result.warnings),
        image_markdown(plot_methods(title, bars, 1 / len(domain.labels), words), f"{words} of every method"),
        "## Scores",
        escape(interval_line(result)),
        markdown_table(score_rows(result)),
        *new_classes_markdown(result),
        *curve_markdown(result),
        *classes_markdown(result),
        *confusion_markdown(domain, named, y),
        *by_family[domain.family](domain, scored, p, named, y),
        "## Where it comes from",
        markdown_table([{"what": name, "value": value} for name, value in lineage.items()]),
        f"All versions of {escape(domain.name)}: {artifact_link(page_key(domain.name), 'its history')}",
    ]
    markdown_artifact(f"adapt-{domain.name}", "\n\n".join(parts), result.reason)


def curve_markdown(result: AdaptResult) -> list[str]:
    """Return a picture of accuracy by the number of labels; nothing where there is one point only."""
    if len(result.curve) < 2:
        return []
    title = f"{result.domain}: accuracy by the number of labels"
    return ["## What labels are worth", image_markdown(plot_learning_curve(title, result.curve), title)]


def new_classes_markdown(result: AdaptResult) -> list[str]:
    """Return how well the classes are predicted that the champion does not know, and what became of the others."""
    new = result.new_classes
    if new is None:
        return []
    known = (
        f"The champion does not know them. On the {new.examples:,} examples of classes that both know: "
        f"{WORDS[new.objective]} {100 * new.challenger:.1f} %, the champion's {100 * new.champion:.1f} %, "
        f"95 % interval of the difference {100 * new.low:+.1f} to {100 * new.high:+.1f} points."
    )
    return ["## New classes", known, markdown_table([class_row(each) for each in new.classes])]


def classes_markdown(result: AdaptResult) -> list[str]:
    """Return a table of the challenger's labels, those that it predicts worst first."""
    if not result.classes:
        return []
    about = "Lowest F1 first" + (f", {CLASSES} of {len(result.classes):,}" if len(result.classes) > CLASSES else "")
    model = "" if result.draws == 1 else " The challenger is the model of the first support draw."
    table = markdown_table(class_rows(result, CLASSES))
    return ["## Labels", f"{about}.{model}", table]


def trust_facts(result: AdaptResult) -> dict[str, str]:
    """Return how far probabilities and prediction sets may be believed, means over support draws."""
    found = {"calibration error (ECE)": f"{result.scores[OURS].ece:.3f}"}
    if result.sets is not None:
        found["prediction sets with the true label"] = (
            f"{100 * result.sets.coverage:.1f} %, {100 * COVERAGE:.0f} % meant"
        )
        found["labels a prediction set"] = f"{result.sets.size:.2f}"
        found["a person is asked about"] = f"{100 * result.sets.asked:.0f} %"
    return found


def confusion_markdown(domain: Domain, named: np.ndarray, y: np.ndarray) -> list[str]:
    """Return a picture of which labels are taken for which; nothing where all are right."""
    counts = metrics.count_pairs(named, y, len(domain.labels))
    wrong = int(counts.sum() - counts.trace())
    if not wrong:
        return []
    title = f"{domain.name}: what is taken for what, {wrong:,} of {len(y):,} examples wrong"
    return ["## Confusion", image_markdown(plot_confusion(title, counts, domain.labels), title)]


def worst_mistakes(p: np.ndarray, named: np.ndarray, y: np.ndarray, most: int) -> list[int]:
    """Return examples that are predicted wrongly, those with the most probable wrong label first."""
    wrong = np.flatnonzero(named != y)
    return wrong[np.argsort(-p[wrong, named[wrong]], kind="stable")][:most].tolist()


def mistakes_title(shown: int, named: np.ndarray, y: np.ndarray) -> str:
    """Return the heading above the worst mistakes."""
    wrong = int((named != y).sum())
    return f"## Mistakes: {shown} of {wrong:,}, the most confident first" if wrong else "## Mistakes: none"


def texts_markdown(domain: Domain, texts: Sequence[str], p: np.ndarray, named: np.ndarray, y: np.ndarray) -> list[str]:
    """Return the worst mistakes; texts come last, as they are cut off where the page is too narrow."""
    rows = worst_mistakes(p, named, y, TEXTS)
    table = [
        {
            "true": domain.labels[y[i]],
            "predicted": domain.labels[named[i]],
            "probability": f"{p[i, named[i]]:.2f}",
            "text": shorten(texts[i], 160),
        }
        for i in rows
    ]
    return [mistakes_title(len(rows), named, y), *([markdown_table(table)] if table else [])]


def images_markdown(
    domain: Domain, images: Sequence[bytes], p: np.ndarray, named: np.ndarray, y: np.ndarray
) -> list[str]:
    """Return labelled images by class beside the worst mistakes."""
    rows = worst_mistakes(p, named, y, SHOWN)
    train, labels = domain.column("train"), domain.targets("train")
    support = [(train[i], domain.labels[labels[i]]) for i in np.argsort(labels, kind="stable")]
    mistakes = [Mistake(images[i], domain.labels[y[i]], domain.labels[named[i]], float(p[i, named[i]])) for i in rows]
    title = f"{domain.name}: labelled images and mistakes"
    return [mistakes_title(len(rows), named, y), image_markdown(plot_images(title, support, mistakes), title)]


def timeline_markdown(
    domain: Domain, windows: Sequence[Any], p: np.ndarray, named: np.ndarray, y: np.ndarray
) -> list[str]:
    """Return the probability of the last state over time."""
    state = len(domain.labels) - 1
    name, dates = domain.labels[state], list(domain.split("test")["date"])
    title = f"{domain.name}: probability of '{name}', predicted and come true"
    picture = plot_timeline(title, dates, p[:, state].tolist(), (y == state).tolist(), name)
    return ["## Over time", image_markdown(picture, title)]


def show_summary(results: Sequence[AdaptResult]) -> list[AdaptResult]:
    """Show the table of all results, as in the terminal, and return them in the order of the families."""
    results = sorted(results, key=lambda result: FAMILIES.index(result.family))
    about = "Accuracy with its 95 % interval; gain over the best plain baseline, in points"
    table_artifact("demo-results", [result_cells(result) for result in results], about)
    return results
