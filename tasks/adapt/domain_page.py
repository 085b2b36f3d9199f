"""One page a domain: what is in service, how it came to be, what was refused and why, and where to look further."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from domains.words import quantity
from tasks.base.artifacts import artifact_link, escape, image_markdown, markdown_artifact, markdown_table, with_interval
from tasks.base.figure import BLUE, FAINT, WRONG, figure_png, start_figure
from tasks.base.settings import Settings
from tasks.models import registry
from tasks.models.adapt_result import AWAITING, PROMOTED, REFUSED, k_cell
from tasks.models.registry import CHAMPION, Registered
from tasks.models.verdicts import BY_A_PERSON, decision_on

SHOWN = 20  # versions

#: How each kind of version is drawn: marker, colour.
KINDS = {"champion": ("*", BLUE), PROMOTED: ("o", BLUE), REFUSED: ("x", WRONG)}


@dataclass(frozen=True)
class Point:
    """A version's accuracy with the half-width of its 95 % interval; ``kind`` is one of KINDS."""

    version: str
    accuracy: float
    ci95: float
    kind: str


def page_key(name: str) -> str:
    """Return the key of a domain's page among the artifacts."""
    return f"domain-{name}"


def show_domain_page(settings: Settings, name: str) -> None:
    """Write a domain's page again, where this runs in a flow or task."""
    versions = registry.newest(settings, name, SHOWN)
    champion = registry.champion(settings, name)
    line = f"{name}: " + ("no champion" if champion is None else f"champion version {champion.version}")
    markdown_artifact(
        page_key(name), page_markdown(name, versions, champion), f"{line}, {quantity(len(versions), 'version')} shown"
    )


def page_markdown(name: str, versions: Sequence[Registered], champion: Registered | None) -> str:
    """Return the page as markdown; foreign text is escaped.

    Args:
        versions: newest first.
    """
    commands = [
        f"acclimate models show {name}      # lineage, and the commands that make the champion again",
        f"acclimate models rollback {name}  # the champion before",
        f"acclimate predict {name} new.csv -o out.csv",
    ]
    waiting = [model for model in versions if model.tags.get("decision") == AWAITING]
    commands += [f"acclimate models approve {name} {model.version}" for model in waiting]
    parts = [f"# {escape(name)}", _champion_line(champion)]
    if len(versions) > 1:
        parts.append(image_markdown(plot_history(f"{name}: accuracy of its versions", _points(versions)), "history"))
    parts += ["## Versions", markdown_table([_version_row(model) for model in versions])]
    parts += ["## Data", markdown_table(_data_rows(versions))]
    newest = artifact_link(f"adapt-{name}", "the newest adaptation")
    parts += ["## Where to look", f"Scores, examples and lineage: {newest}", "\n".join(["```", *commands, "```"])]
    return "\n\n".join(parts) + "\n"


def _champion_line(champion: Registered | None) -> str:
    if champion is None:
        return "**Nothing is in service.**"
    verdict = decision_on(champion)
    about = f"{verdict['decision']}, {verdict['reason']}" if verdict["reason"] else verdict["decision"]
    return f"**In service: version {champion.version}**, made {_created(champion)}. {escape(about)}"


def _points(versions: Sequence[Registered]) -> list[Point]:
    return [
        Point(model.version, model.metrics["accuracy"], model.metrics.get("ci95", 0.0), _kind(model))
        for model in reversed(versions)
        if "accuracy" in model.metrics
    ]


def _kind(model: Registered) -> str:
    if CHAMPION in model.aliases:
        return "champion"
    return PROMOTED if model.tags.get("decision") in (PROMOTED, BY_A_PERSON) else REFUSED


def _version_row(model: Registered) -> dict[str, str]:
    accuracy, verdict = model.metrics.get("accuracy"), decision_on(model)
    return {
        "version": model.version + (" (in service)" if CHAMPION in model.aliases else ""),
        "when": _created(model),
        "revision": model.tags.get("revision", "")[:12],
        "K": k_cell(model.params),
        "strategy": model.params.get("strategy", ""),
        "accuracy %": "" if accuracy is None else with_interval(accuracy, model.metrics.get("ci95")),
        "decision": verdict["decision"],
        "reason": verdict["reason"],
    }


def _data_rows(versions: Sequence[Registered]) -> list[dict[str, str]]:
    """Return a row for each run of versions made from the same bytes, newest first."""
    rows = []
    for content, found in groupby(versions, key=lambda model: model.tags.get("content_hash", "")):
        group = list(found)
        numbers = group[0].version if len(group) == 1 else f"{group[-1].version} to {group[0].version}"
        first = {"revision": group[-1].tags.get("revision", "")[:12], "content": content[:12]}
        rows.append(first | {"versions": numbers, "first adapted to": _created(group[-1])})
    return rows


def _created(model: Registered) -> str:
    return f"{model.created:%Y-%m-%d %H:%M}"


def plot_history(title: str, points: Sequence[Point]) -> bytes:
    """Draw versions in order, oldest first; a line joins those that went into service."""
    figure, axes = start_figure(3.0, title)
    place = {point.version: i for i, point in enumerate(points)}
    served = [point for point in points if point.kind != REFUSED]
    axes.plot([place[p.version] for p in served], [100 * p.accuracy for p in served], color=BLUE, linewidth=1.2)
    for kind, (marker, colour) in KINDS.items():
        of_kind = [point for point in points if point.kind == kind]
        if of_kind:
            x, y = [place[p.version] for p in of_kind], [100 * p.accuracy for p in of_kind]
            axes.errorbar(x, y, yerr=[100 * p.ci95 for p in of_kind], fmt="none", ecolor=FAINT, elinewidth=1, capsize=2)
            size = 150 if kind == "champion" else 40
            label = {"champion": "in service", REFUSED: "refused or waiting"}.get(kind, kind)
            axes.scatter(x, y, marker=marker, c=colour, s=size, label=label, zorder=3)
    axes.set_xticks(range(len(points)), [point.version for point in points])
    axes.margins(0.08, 0.2)
    axes.set(xlabel="version (each on the test examples of its own data)", ylabel="accuracy, %")
    if points:
        axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=3, frameon=False, fontsize=8.5)
    return figure_png(figure)
