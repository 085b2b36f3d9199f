"""What each flow leaves behind for people: artifacts in the Prefect UI, and the same tables in the terminal."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from domains.domain import FAMILIES, Domain
from learners.choice.conformal import COVERAGE
from learners.choice.portfolio import fallback
from learners.meta_model import MetaModel
from tasks.adapt.adaptation import OURS
from tasks.base.artifacts import (
    artifact_link,
    escape,
    examples_markdown,
    image_artifact,
    image_markdown,
    markdown_artifact,
    markdown_table,
    table_artifact,
    table_of,
    with_interval,
)
from tasks.base.figure import Bar, plot_images, plot_learning, plot_map, plot_methods, plot_timeline
from tasks.meta_train.domain_map import Map
from tasks.models.adapt_result import AdaptResult

if TYPE_CHECKING:
    from rich.table import Table

SHOWN = 30  # test examples in a picture
TEXTS = 12  # test examples in a table


def meta_training(model: MetaModel, version: str) -> None:
    """Show learning curves, and what every strategy gained on held-out source episodes."""
    for name, history in model.about["history"].items():
        title = f"Meta-training of {name}, family {model.family}"
        trained = [
            (step, loss) for step, loss in zip(history["step"], history["loss"], strict=True) if loss is not None
        ]
        steps, loss = zip(*trained, strict=True) if trained else ((), ())
        curve = plot_learning(title, steps, loss, history["step"], history["validation_accuracy"])
        image_artifact(f"meta-train-{model.family}-{name}", curve, title)
    rows = []
    for name, gains in model.prior.means.items():
        shown = {f"K={k}": f"{100 * g.mean:+.1f} (sd {100 * g.deviation:.1f})" for k, g in gains.items()}
        rows.append({"strategy": name, **shown})
    what = "log-likelihood, hundredths of a nat" if model.in_time else "accuracy, points"
    about = f"Gain over '{fallback(model.strategies)}' on held-out source episodes ({what}): mean (deviation)"
    table_artifact(f"meta-train-{model.family}-gains", rows, f"Meta-model version {version}. {about}")


def similarity(found: Map) -> None:
    """Show the map of a family's domains, and the nearest sources of each."""
    image_artifact(f"map-{found.family}", map_picture(found), f"Domains of family {found.family}: near is alike")
    about = "Nearest sources and their distances (0: same classes, 1: nothing in common), targets first"
    table_artifact(f"map-{found.family}-nearest", found.rows(), about)


def map_picture(found: Map) -> bytes:
    """Return the map of a family's domains as a PNG."""
    places, shown = found.layout
    targets = [role == "target" for role in found.roles]
    return plot_map(f"Domains of family {found.family}", found.names, targets, places, shown)


def adaptation(domain: Domain, result: AdaptResult, p: np.ndarray, y: np.ndarray) -> None:
    """Show one adaptation on one page: decision, scores of every method, examples with predictions, and lineage.

    Args:
        p: the stored model's probabilities on the test examples [n, N]; y: their labels [n].
    """
    title = f"{domain.name}: {result.k} labels a class, {result.pool:,} unlabelled"
    bars = [Bar(name, s.accuracy, s.ci95, name == OURS) for name, s in result.scores.items()]
    show = {"text": show_texts, "vision": show_images, "market": show_timeline}[domain.family]
    lineage = {
        "decision": result.decision,
        "model": f"{result.domain} version {result.model_version}",
        "strategy": result.strategy,
        **trust_of(result),
        "meta-model": f"meta-{result.family} version {result.meta_version}",
        "git revision": result.revision,
        "content hash": result.content_hash,
        "work key": result.key,
    }
    parts = [
        f"# {escape(title)}",
        escape(result.reason),
        *(f"⚠ {escape(warning)}" for warning in result.warnings),
        image_markdown(plot_methods(title, bars, 1 / len(domain.labels)), "accuracy of every method"),
        f"## Scores, means over {result.draws} support draws",
        markdown_table(score_rows(result)),
        "## Test examples and their predictions",
        show(domain, p, y),
        "## Where it comes from",
        markdown_table([{"what": name, "value": value} for name, value in lineage.items()]),
        f"All versions: {artifact_link(f'domain-{domain.name}', f'history of {domain.name}')}",
    ]
    markdown_artifact(f"adapt-{domain.name}", "\n\n".join(parts), result.reason)


def trust_of(result: AdaptResult) -> dict[str, str]:
    """Return how far probabilities and prediction sets may be believed, means over support draws on the test set."""
    found = {"calibration error (ECE)": f"{result.scores[OURS].ece:.3f}"}
    if result.sets is not None:
        found["prediction sets with the true label"] = (
            f"{100 * result.sets.coverage:.1f} %, {100 * COVERAGE:.0f} % meant"
        )
        found["labels a prediction set"] = f"{result.sets.size:.2f}"
        found["a person is asked about"] = f"{100 * result.sets.asked:.0f} %"
    return found


def show_texts(domain: Domain, p: np.ndarray, y: np.ndarray) -> str:
    rows = np.linspace(0, len(y) - 1, min(TEXTS, len(y))).astype(int)
    texts, best = domain.column("test"), p.argmax(1)
    return examples_markdown(
        [texts[i] for i in rows],
        [domain.labels[best[i]] for i in rows],
        [float(p[i].max()) for i in rows],
        [domain.labels[y[i]] for i in rows],
    )


def show_images(domain: Domain, p: np.ndarray, y: np.ndarray) -> str:
    rows = np.linspace(0, len(y) - 1, min(SHOWN, len(y))).astype(int)
    train, labels, test, best = (
        domain.column("train"),
        domain.targets("train"),
        domain.column("test"),
        p.argmax(1),
    )
    support = [(train[i], domain.labels[labels[i]]) for i in np.argsort(labels, kind="stable")]
    tests = [(test[i], domain.labels[best[i]], domain.labels[y[i]]) for i in rows]
    title = f"{domain.name}: labelled and predicted images"
    return image_markdown(plot_images(title, support, tests), title)


def show_timeline(domain: Domain, p: np.ndarray, y: np.ndarray) -> str:
    state = len(domain.labels) - 1
    name, dates = domain.labels[state], list(domain.split("test")["date"])
    title = f"{domain.name}: probability of '{name}', predicted and come true"
    return image_markdown(plot_timeline(title, dates, p[:, state].tolist(), (y == state).tolist(), name), title)


def summary(results: Sequence[AdaptResult]) -> list[AdaptResult]:
    """Show the table of all results, as in the terminal, and return them in the order of the families."""
    results = sorted(results, key=lambda result: FAMILIES.index(result.family))  # type: ignore[arg-type]
    about = "Mean accuracy over support draws, with its 95 % interval; gain over the best plain baseline, in points"
    table_artifact("demo-results", [cells_of(result) for result in results], about)
    return results


def cells_of(result: AdaptResult) -> dict[str, str]:
    """Return what each column of the report shows of a domain."""
    ours, best = result.scores[OURS], result.best_baseline
    baseline = result.scores[best].accuracy
    return {
        "domain": result.domain,
        "family": result.family,
        "K": str(result.k),
        "accuracy %": with_interval(ours.accuracy, ours.ci95),
        "best baseline": f"{100 * baseline:.1f} {best}",
        "gain": f"{100 * (ours.accuracy - baseline):+.1f}",
        "seconds": f"{result.seconds['adapt']:.2f}",
        "decision": result.decision,
    }


def result_table(results: Sequence[AdaptResult]) -> "Table":
    """Return one row a domain for the terminal."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    table = Table(header_style="bold", box=SIMPLE_HEAD, padding=0)
    rows = [cells_of(result) for result in results]
    for column in rows[0]:
        words = column in ("domain", "family", "best baseline", "decision")
        table.add_column(column, justify="left" if words else "right", no_wrap=True)
    for row in rows:
        styles = {"gain": "red" if row["gain"].startswith("-") else "green", "domain": "bold"}
        table.add_row(*(Text(cell, styles.get(column, "")) for column, cell in row.items()))
    return table


def score_rows(result: AdaptResult) -> list[dict[str, Any]]:
    """Return one row a method, ours first."""
    rows = []
    for name, score in result.scores.items():
        kind = "ours" if name == OURS else "baseline" if name in result.baselines else "strategy"
        shown = {"accuracy %": with_interval(score.accuracy, score.ci95)}
        rows.append(
            {"method": name, "kind": kind} | shown | {"log-loss": f"{score.log_loss:.3f}", "ECE": f"{score.ece:.3f}"}
        )
    return rows


def score_table(result: AdaptResult) -> "Table":
    """Return one row a method for the terminal."""
    return table_of(score_rows(result))
