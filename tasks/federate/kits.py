"""Startup kits of a federation: who is in it, by certificates of a root that is made for it alone."""

import json
import os
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from importlib.util import find_spec
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from domains.domain import check_name
from domains.errors import UserError
from domains.whole_file import write_whole

ADMIN, ORGANISATION, PROJECT = "acclimate@server.local", "acclimate", "federation"
#: All that a job may have a site or the server build, beside FLARE's own parts; a site may add FLARE's filters.
CLASSES = ("tasks.federate.flare.Server", "tasks.federate.flare.SiteExecutor")
NOTE = "acclimate.json"
HEARTBEAT = 60  # seconds without one, after which the server takes a site for gone
#: What the server's side may do at a site: run a job of our classes. It can send no code and give no shell commands.
RIGHTS = {"submit_job": "any", "manage_job": "any", "view": "any", "operate": "any"} | dict.fromkeys(
    ("clone_job", "download_job", "shell_commands", "byoc", "server-predeployed-flwr"), "none"
)


def check_installed() -> None:
    """Raise UserError where NVIDIA FLARE is not installed."""
    if find_spec("nvflare") is None:
        raise UserError("a federation needs NVIDIA FLARE; install it: pip install 'acclimate[federate]'")


def make_kits(folder: Path, host: str, port: int, sites: Sequence[str]) -> Path:
    """Return the folder of the kits, made where it is absent: one a site, by its name, ``server`` and that of ADMIN.

    Raises:
        UserError: FLARE is absent, a site's name is none, or there are kits of other sites or another address.
    """
    check_installed()
    for name in sites:
        check_name(name)
    if len(set(sites)) < 2:
        raise UserError("a federation needs two sites or more: --sites hospital-a,hospital-b")
    note = folder / NOTE
    who: dict[str, Any] = {"host": host, "port": port, "sites": sorted(sites)}
    if note.exists():
        known = json.loads(note.read_text("utf-8"))
        if {name: known[name] for name in who} != who:
            there = f"{', '.join(known['sites'])} at {known['host']}:{known['port']}"
            raise UserError(f"{folder} has kits of {there}; give the same, or another --name")
        return folder / known["kits"]
    kits = _provision(folder, host, port, sorted(sites))
    for name in sites:
        _write_resources(kits / name)
    _write_resources(kits / host, {"/tmp/nvflare": str(folder / "flare")})  # its state lies in its folder
    write_whole(note, json.dumps(who | {"kits": str(kits.relative_to(folder))}))
    return kits


def make_site_kit(kit: Path, host: str, port: int, files: Mapping[str, str]) -> None:
    """Make a site's kit at the site: all that its engine reads but its certificates, in ``files``, is written here.

    Args:
        kit: its folder, named as the site; files: texts of ``startup``, by name.
    """
    with TemporaryDirectory(dir=kit.parent) as folder:
        made = _provision(Path(folder), host, port, [kit.name], certificates=False) / kit.name
        for name, text in files.items():
            (made / "startup" / name).touch(0o600)
            (made / "startup" / name).write_text(text, "ascii")
        _write_resources(made)
        os.replace(made, kit)


def server_of(kits: Path) -> Path:
    """Return the server's kit."""
    return next(path.parents[1] for path in kits.glob("*/startup/fed_server.json"))


def read_kit(kit: Path) -> str:
    """Return the name of the site that a startup kit is of.

    Raises:
        UserError: it is none, or of a server.
    """
    check_installed()
    path = kit / "startup" / "fed_client.json"
    try:
        name = str(json.loads(path.read_text("utf-8"))["client"]["fqsn"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{kit} is not a site's startup kit ({path.name} cannot be read); ask the server's side"
        ) from error
    check_name(name)
    return name


def _provision(folder: Path, host: str, port: int, sites: Sequence[str], certificates: bool = True) -> Path:
    from nvflare.lighter.constants import CtxKey
    from nvflare.lighter.impl.cert import CertBuilder
    from nvflare.lighter.impl.static_file import StaticFileBuilder
    from nvflare.lighter.impl.workspace import WorkspaceBuilder
    from nvflare.lighter.provision import prepare_project
    from nvflare.lighter.provisioner import Provisioner

    people = [{"name": host, "type": "server", "org": ORGANISATION, "fed_learn_port": port, "admin_port": port}]
    people += [{"name": name, "type": "client", "org": ORGANISATION} for name in sites]
    people += [{"name": ADMIN, "type": "admin", "org": ORGANISATION, "role": "project_admin"}]
    project = {"api_version": 3, "name": PROJECT, "description": "", "participants": people}
    folder.mkdir(parents=True, exist_ok=True)
    os.chmod(folder, 0o700)  # private keys
    builders = [WorkspaceBuilder(), StaticFileBuilder(config_folder="config")]
    if certificates:
        builders.append(CertBuilder())
    said = StringIO()
    with redirect_stdout(said):
        context = Provisioner(str(folder), builders).provision(prepare_project(project))
    if context.get(CtxKey.BUILD_ERROR):
        raise UserError(f"no startup kits: {' '.join(said.getvalue().split())[-300:]}")
    return Path(context[CtxKey.CURRENT_PROD_DIR]).resolve()


def _write_resources(kit: Path, moved: Mapping[str, str] | None = None) -> None:
    """Let a kit build our classes only, and stream no logs."""
    default = kit / "local" / "resources.json.default"
    text = default.read_text("utf-8")
    for old, new in (moved or {}).items():
        text = text.replace(old, new)
    found = json.loads(text)
    found["class_allow_list"], found["class_list_enforcement_mode"] = list(CLASSES), "enforce"
    for server in found.get("servers", ()):
        server["heart_beat_timeout"] = HEARTBEAT
    if "allow_log_streaming" in found:
        found["allow_log_streaming"] = False
        found["components"] = [c for c in found["components"] if c["id"] != "site_log_streamer"]
    write_whole(kit / "local" / "resources.json", json.dumps(found, indent=1))
    rights = {"format_version": "1.0", "permissions": {"project_admin": RIGHTS}}
    write_whole(kit / "local" / "authorization.json", json.dumps(rights, indent=1))
