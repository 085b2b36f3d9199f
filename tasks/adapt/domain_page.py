"""One page a domain: what is in service, how it came to be, what was refused and why, and where to look further."""

from collections.abc import Sequence
from itertools import groupby

from domains.words import many
from tasks.adapt.plot_history import Point, plot_history
from tasks.base.artifacts import artifact_link, escape, image_markdown, markdown_artifact, markdown_table, with_interval
from tasks.base.settings import Settings
from tasks.models import registry
from tasks.models.registry import CHAMPION, Registered
from tasks.models.verdicts import AWAITING, BY_A_PERSON, PROMOTED, decision_on

SHOWN = 20  # versions


def key_of(name: str) -> str:
    """Return the key of a domain's page among the artifacts."""
    return f"domain-{name}"


def show(settings: Settings, name: str) -> None:
    """Make a domain's page anew, where this runs in a flow or task."""
    versions = registry.newest(settings, name, SHOWN)
    champion = registry.champion(settings, name)
    line = f"{name}: " + ("no champion" if champion is None else f"champion version {champion.version}")
    markdown_artifact(key_of(name), page(name, versions, champion), f"{line}, {many(len(versions), 'version')} shown")


def page(name: str, versions: Sequence[Registered], champion: Registered | None) -> str:
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
    parts = [f"# {escape(name)}", _in_service(champion)]
    if len(versions) > 1:
        parts.append(image_markdown(plot_history(f"{name}: accuracy of its versions", _points(versions)), "history"))
    parts += ["## Versions", markdown_table([_row(model) for model in versions])]
    parts += ["## Data", markdown_table(_data(versions))]
    newest = artifact_link(f"adapt-{name}", "the newest adaptation")
    parts += ["## Where to look", f"Scores, examples and lineage: {newest}", "\n".join(["```", *commands, "```"])]
    return "\n\n".join(parts) + "\n"


def _in_service(champion: Registered | None) -> str:
    if champion is None:
        return "**Nothing is in service.**"
    said = decision_on(champion)
    about = f"{said['decision']}, {said['reason']}" if said["reason"] else said["decision"]
    return f"**In service: version {champion.version}**, made {_when(champion)}. {escape(about)}"


def _points(versions: Sequence[Registered]) -> list[Point]:
    return [
        Point(model.version, model.metrics["accuracy"], model.metrics.get("ci95", 0.0), _kind(model))
        for model in reversed(versions)
        if "accuracy" in model.metrics
    ]


def _kind(model: Registered) -> str:
    if CHAMPION in model.aliases:
        return "champion"
    return PROMOTED if model.tags.get("decision") in (PROMOTED, BY_A_PERSON) else "refused"


def _row(model: Registered) -> dict[str, str]:
    accuracy, said = model.metrics.get("accuracy"), decision_on(model)
    return {
        "version": model.version + (" (in service)" if CHAMPION in model.aliases else ""),
        "when": _when(model),
        "revision": model.tags.get("revision", "")[:12],
        "K": model.params.get("k", ""),
        "strategy": model.params.get("strategy", ""),
        "accuracy %": "" if accuracy is None else with_interval(accuracy, model.metrics.get("ci95")),
        "decision": said["decision"],
        "reason": said["reason"],
    }


def _data(versions: Sequence[Registered]) -> list[dict[str, str]]:
    """Return a row for each run of versions made from the same bytes, newest first."""
    rows = []
    for content, found in groupby(versions, key=lambda model: model.tags.get("content_hash", "")):
        group = list(found)
        numbers = group[0].version if len(group) == 1 else f"{group[-1].version} to {group[0].version}"
        first = {"revision": group[-1].tags.get("revision", "")[:12], "content": content[:12]}
        rows.append(first | {"versions": numbers, "first adapted to": _when(group[-1])})
    return rows


def _when(model: Registered) -> str:
    return f"{model.created:%Y-%m-%d %H:%M}"
