"""What a flow run is called and found by in the Prefect UI; nothing here happens outside of one, or makes one fail."""

from typing import Any

from tasks.base.progress import in_run, slug


def describe_run(name: str = "", *tags: str) -> None:
    """Give the flow run that this is part of a name that says more than could be known when it began, and more tags.

    Tags are left alone inside of a task, whose domain is one of many there.
    """
    if not in_run():
        return
    from prefect import get_run_logger
    from prefect.client.orchestration import get_client
    from prefect.context import TaskRunContext
    from prefect.runtime import flow_run

    changes: dict[str, Any] = {"name": name} if name else {}
    new = set(filter(None, tags)) - set(flow_run.tags)
    if new and not TaskRunContext.get():
        changes["tags"] = sorted({*flow_run.tags, *new})
    if changes and flow_run.id:
        try:
            with get_client(sync_client=True) as client:
                client.update_flow_run(flow_run.id, **changes)
        except Exception as error:  # a server that is gone for a moment
            get_run_logger().warning(f"the flow run keeps its name and tags: {error}")


def run_tags() -> dict[str, str]:
    """Return tags of a model that name the flow run that made it: its id, and its page; none outside of one."""
    if not in_run():
        return {}
    from prefect.runtime import flow_run

    return {"flow_run": flow_run.id or "", "flow_run_url": flow_run.ui_url or ""} if flow_run.id else {}


def link_to_model(tracking_uri: str, name: str, version: str) -> None:
    """Leave an artifact that links to a version's page, where MLflow is a server and so has pages."""
    if not in_run() or not tracking_uri.startswith(("http://", "https://")):
        return
    from prefect.artifacts import create_link_artifact

    page = f"{tracking_uri.rstrip('/')}/#/models/{name}/versions/{version}"
    text = f"{name} version {version} in MLflow"
    create_link_artifact(page, text, slug("model", name), f"What MLflow keeps of {text.split(' in ')[0]}.", _sync=True)
