"""Flow runs in containers: the job template of a work pool of type docker or kubernetes, and what containers lack.

Nothing secret is kept at the Prefect server: template and pull steps name environment variables, whose values each
worker hands on to the containers that it starts.
"""

import os
import re
from importlib import import_module
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pydantic import SecretStr

from domains.errors import UserError
from tasks.base.settings import Settings
from tasks.service.forks import BEATS
from tasks.service.listening import is_loopback
from tasks.versions.git import git

RUN = "acclimate-run"  # the command that is a flow run, see tasks/service/forks.py
CHECKOUT = "checkout"  # the clone of the project, in PROJECT
PROJECT = "/project"  # working folder of the image (Dockerfile)

#: Where Prefect keeps the workers of each type of work pool. Those of containers are extras of ours by the same name.
WORKERS = {
    "process": ("prefect.workers.process", "ProcessWorker"),
    "docker": ("prefect_docker.worker", "DockerWorker"),
    "kubernetes": ("prefect_kubernetes.worker", "KubernetesWorker"),
}

#: What a container gets of the worker's environment, beside our settings; and of these, what is of the worker alone.
HANDED_ON = ("AWS_", "AZURE_", "MLFLOW_")
OF_THE_WORKER = {"root", "home", "mirror", "host", "port", "git_url"}
#: What Prefect would hand on of its own: places, and secrets of a server that the worker's machine may also run.
WITHHELD = ("PREFECT_HOME", "PREFECT_PROFILES_PATH", "PREFECT_SERVER_API_AUTH_STRING")
WITHHELD += ("PREFECT_SERVER_DATABASE_CONNECTION_URL",)


def worker_class(pool_type: str) -> Any:
    """Return the class of a work pool's workers.

    Raises:
        UserError: the extra that has it is not installed.
    """
    module, name = WORKERS[pool_type]
    try:
        return getattr(import_module(module), name)
    except ImportError:
        raise UserError(
            f"work pools of type {pool_type} need prefect-{pool_type}: pip install -e '.[{pool_type}]'"
        ) from None


def set_defaults(template: dict[str, Any], settings: Settings) -> dict[str, Any]:
    """Set in a base job template what our flow runs need, and leave what else a person has set there."""
    variables = template["variables"]["properties"]
    variables["command"]["default"] = variables["command"].get("default") or RUN
    if settings.pool_type != "process":
        variables["image"]["default"] = settings.image
        named = {name: f"{{{{ ${name} }}}}" for name in sorted(environment_to_hand_on(settings))}
        ours = {"ACCLIMATE_ROOT": f"{PROJECT}/{CHECKOUT}"} | BEATS | named
        variables["env"]["default"] = variables["env"].get("default", {}) | dict.fromkeys(WITHHELD) | ours
        if settings.pool_type == "docker":
            variables["auto_remove"]["default"] = True
        else:
            variables["finished_job_ttl"]["default"] = 3600
    return template


def environment_to_hand_on(settings: Settings) -> dict[str, str]:
    """Return what containers need to know of the worker: settings that were set, access to stores, the repository.

    Not what is a file of the worker's machine, as ``AWS_CONFIG_FILE``.
    """
    found = {n: value for n, value in os.environ.items() if n.startswith(HANDED_ON) and not os.path.isabs(value)}
    for name in settings.model_fields_set - OF_THE_WORKER:
        value = getattr(settings, name)
        found[f"ACCLIMATE_{name.upper()}"] = value.get_secret_value() if isinstance(value, SecretStr) else str(value)
    return found | {"ACCLIMATE_GIT_URL": git_url(settings)}


def pull_steps() -> list[dict[str, Any]]:
    """Return how a container gets the project: with all its commits, as runs name older ones than the newest."""
    steps = "prefect.deployments.steps"
    clone = {"id": "clone", "repository": "{{ $ACCLIMATE_GIT_URL }}", "clone_directory_name": CHECKOUT}
    whole = {"script": f"git fetch --quiet --depth={2**31 - 1}", "directory": "{{ clone.directory }}"}
    return [{f"{steps}.git_clone": clone}, {f"{steps}.run_shell_script": whole}]


def git_url(settings: Settings) -> str:
    """Return where containers clone the project from."""
    return settings.git_url or git(settings.root_path, "remote", "get-url", "origin").stdout.strip()


def check_containers(settings: Settings, api: str) -> None:
    """Refuse what is on this machine alone, as a container would find an empty folder, or nobody, there.

    Args:
        api: address of the API of the Prefect server.

    Raises:
        UserError: one thing that a container would lack.
    """
    worker_class(settings.pool_type)
    if not settings.image:
        raise UserError("ACCLIMATE_IMAGE names no image: docker build --tag acclimate . makes one")
    where = f"flow runs in containers ({settings.pool_type}) cannot reach"
    for name, url, schemes in (
        ("PREFECT_API_URL", api, ("http", "https")),
        ("ACCLIMATE_MLFLOW_URI", settings.tracking_uri, ("http", "https")),
        ("ACCLIMATE_LEDGER", settings.ledger_uri, ("postgresql", "mysql", "mssql")),
    ):
        there = urlsplit(url)
        if there.scheme.split("+")[0] not in schemes:
            kept = f"what is kept by {there.scheme or 'file'}://"
            raise UserError(f"{where} {kept}: set {name} to an address that begins with {schemes[0]}://")
        if is_loopback(there.hostname or ""):
            raise UserError(f"{where} {there.hostname}, which is this machine: set {name} to a name that they know")
    if _is_local(git_url(settings)):
        raise UserError(f"{where} a git repository of this machine: set ACCLIMATE_GIT_URL to where they clone it from")
    if _is_local(_dvc_remote(settings.root_path)):
        raise UserError(
            f"{where} a DVC remote of this machine: dvc remote add --default team s3://bucket/folder, then commit "
            ".dvc/config"
        )


def _is_local(url: str) -> bool:
    """Whether a URL of git or DVC is a folder, or none at all."""
    if re.match(r"[\w.-]+@[\w.-]+:", url):  # as ssh is written for git
        return False
    return urlsplit(url).scheme in ("", "file", "local")


def _dvc_remote(root: Path) -> str:
    """Return the address of the default DVC remote that the project's own configuration names, else an empty text."""
    from dvc.config import Config

    config = Config(str(root / ".dvc"), validate=False).load_one("repo")
    return str(config.get("remote", {}).get(config.get("core", {}).get("remote"), {}).get("url", ""))
