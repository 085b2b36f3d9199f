"""The state of an installation in one look: server, data, meta-models, champions."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from rich.table import Table
from rich.text import Text

from domains.domain import FAMILIES
from domains.errors import UserError
from tasks.base.artifacts import table_of, time_ago, with_interval
from tasks.base.settings import Settings
from tasks.models import registry
from tasks.models.adapt_result import AWAITING, k_cell
from tasks.models.verdicts import last_decisions
from tasks.service.server import prefect_server, running_ui
from tasks.versions.revisions import data_revision
from tasks.versions.snapshots import domains_at
from tasks.watch import ledger
from tasks.watch.level import Level, levels

SHOWN = 8  # last runs, last decisions
OFTEN = ("watch", "reconcile")  # flows


def status(settings: Settings) -> dict[str, Any]:
    """Return what is in service and where; nothing is started or changed."""
    found: dict[str, Any] = {"server": running_ui(settings), "revision": None, "domains": {}}
    try:
        found["revision"] = data_revision(settings.root_path).commit
        found["domains"] = domains_at(settings.root_path)
    except UserError as error:
        found["data"] = str(error)
    meta = {family: registry.champion(settings, registry.meta_name(family)) for family in FAMILIES}
    found["meta_models"] = {family: describe_version(model) for family, model in meta.items() if model is not None}
    serving = {name: registry.champion(settings, name) for name in champions_of_domains(settings)}
    champions = {name: model for name, model in serving.items() if model is not None}
    found["champions"] = {name: describe_version(model) for name, model in champions.items()}
    found["levels"] = {name: vars(level) for name, level in levels_now(settings, found["domains"], champions).items()}
    found["ledger"] = [
        ledger.display_row(row) for row in ledger.list_rows(settings)[::-1] if row.status in ("open", "failed")
    ]
    decisions = [{"domain": name, **on} for name, on in last_decisions(settings, found["domains"]).items()]
    found["decided"] = sorted(decisions, key=lambda decision: decision["when"], reverse=True)
    found["next"], found["runs"] = schedule(settings, found["server"])
    return found


def champions_of_domains(settings: Settings) -> list[str]:
    """Return the domains that have a champion, of which the data may have been removed since."""
    return [name for name in sorted(registry.champions(settings)) if not name.startswith(registry.META_PREFIX)]


def levels_now(
    settings: Settings, here: Mapping[str, str], champions: Mapping[str, registry.Registered]
) -> dict[str, Level]:
    """Return whether what serves is what ``ACCLIMATE_WATCH`` asks for, by domain; HEAD, where that is unknown."""
    with suppress(UserError):
        here = domains_at(settings.root_path, settings.watch)
    return levels(settings, here, champions)


def schedule(settings: Settings, server: str | None) -> tuple[dict[str, str], list[dict[str, str]]]:
    """Return when each deployment runs next, and the last flow runs, newest first; nothing where no server runs.

    Of ``watch`` and ``reconcile``, which run every few minutes, only those that went wrong.
    """
    if server is None:
        return {}, []
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import (
        FlowFilter,
        FlowFilterName,
        FlowRunFilter,
        FlowRunFilterState,
        FlowRunFilterStateType,
    )
    from prefect.client.schemas.objects import StateType
    from prefect.client.schemas.sorting import FlowRunSort

    def of(*types: StateType) -> FlowRunFilter:
        return FlowRunFilter(state=FlowRunFilterState(type=FlowRunFilterStateType(any_=list(types))))

    wrong = (StateType.FAILED, StateType.CRASHED)
    ran = (*wrong, StateType.RUNNING, StateType.COMPLETED, StateType.PAUSED)
    with prefect_server(settings), get_client(sync_client=True) as client:
        due = client.read_flow_runs(
            flow_run_filter=of(StateType.SCHEDULED), sort=FlowRunSort.EXPECTED_START_TIME_ASC, limit=200
        )
        last = []
        flows = {flow.id: flow.name for flow in client.read_flows()}
        for names, states in ((set(flows.values()) - set(OFTEN), ran), (OFTEN, wrong)):
            which = FlowFilter(name=FlowFilterName(any_=sorted(names)))
            newest = FlowRunSort.START_TIME_DESC
            last += client.read_flow_runs(flow_filter=which, flow_run_filter=of(*states), sort=newest, limit=SHOWN)
        last = sorted(last, key=start_time, reverse=True)[:SHOWN]
        flows |= {flow: client.read_flow(flow).name for flow in {run.flow_id for run in due} - flows.keys()}
    soonest: dict[str, str] = {}
    for run in due:
        family = (run.parameters or {}).get("family", "")
        soonest.setdefault(
            " ".join(filter(None, (flows[run.flow_id], family))), f"{run.expected_start_time:%F %H:%M} UTC"
        )
    return soonest, [{"run": run.name, "state": run.state_name or "", "started": start_time(run)} for run in last]


def start_time(run: Any) -> str:
    """Return when a flow run started, for people; nothing where it did not."""
    return f"{run.start_time:%F %H:%M:%S}" if run.start_time else ""


def describe_version(model: registry.Registered) -> dict[str, Any]:
    """Return a version as JSON-able words and numbers; its age in seconds."""
    age = (datetime.now(UTC) - model.created).total_seconds()
    kept = {key: model.tags[key] for key in ("revision", "content_hash", "decision", "reason") if key in model.tags}
    return {
        "version": model.version,
        "age": round(age),
        "metrics": model.metrics,
        "params": model.params,
    } | kept


def status_tables(found: dict[str, Any]) -> list[Any]:
    """Return a status as tables for the terminal."""
    server = f"running at {found['server']}" if found["server"] else "not running (`acclimate up` starts it)"
    lines = [
        f"Prefect server: {server}",
        f"data: {found.get('data') or 'revision ' + found['revision'][:12]}",
    ]
    columns = "domain", "champion", "strategy", "K", "accuracy", "age", "asked for"
    champions = Table(*columns, title="Champions", title_justify="left")
    for name, model in found["champions"].items():
        accuracy = with_interval(model["metrics"]["accuracy"], model["metrics"].get("ci95"))
        how = model["params"]
        level = found["levels"][name]
        asked = level["word"] if level["word"] == "yes" else Text(f"{level['word']}: {level['why']}")
        champions.add_row(name, model["version"], how["strategy"], k_cell(how), accuracy, time_ago(model["age"]), asked)
    metas = Table("family", "meta-model", "age", title="Meta-models", title_justify="left")
    for family, model in found["meta_models"].items():
        metas.add_row(family, model["version"], time_ago(model["age"]))
    more = []
    for title, rows in (
        ("Waiting or failed", [waiting_row(row) for row in found["ledger"]]),
        ("Decided last", [decision_row(row) for row in found["decided"][:SHOWN]]),
        ("Runs", found["runs"]),
    ):
        if rows:
            more.append(titled_table(title, rows))
    if found["next"]:
        more.append(titled_table("Next", [{"flow": flow, "at": at} for flow, at in found["next"].items()]))
    nothing = "No champions yet: run `acclimate demo`, or `acclimate adapt DOMAIN`."
    return ["\n".join(lines) + "\n", *((metas, champions) if found["champions"] else (nothing,)), *more]


def waiting_row(row: Mapping[str, str]) -> dict[str, str]:
    """Return a row of the ledger for a narrow terminal: what is longest comes last."""
    short = {key: row[key] for key in ("domain", "status", "runs", "opened")}
    if row["status"] == "open" and row["decision"] == AWAITING:
        short["status"] = AWAITING
    return short | {"why": "; ".join(filter(None, (row["reason"], row["why"])))}


def decision_row(row: Mapping[str, str]) -> dict[str, str]:
    """Return a decision for a narrow terminal."""
    when = {"when": row["when"][:16].replace("T", " ")}
    return {key: row[key] for key in ("domain", "version", "when", "decision", "reason")} | when


def titled_table(title: str, rows: Sequence[Mapping[str, str]]) -> Table:
    """Return rows of equal keys as a table below its title."""
    table = table_of(rows)
    table.title, table.title_justify = title, "left"
    return table
