"""What a registered model was made from, and the commands that make it again, to the same weights."""

import json
import shlex
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from domains.objective import ACCURACY
from tasks.base.settings import Settings
from tasks.models import registry
from tasks.models.adapt_result import k_of
from tasks.models.registry import Registered
from tasks.versions.git import git

PACKAGES = ("acclimate", "torch", "numpy", "scikit-learn", "transformers", "safetensors")
UNKNOWN = "unknown"  # to a version from before it was recorded
#: Settings of a worktree that is read by itself: its code, no other home, ledger or models, and its own revision.
AS_THERE = 'PYTHONPATH="$PWD" ACCLIMATE_ROOT="$PWD" ACCLIMATE_HOME=.acclimate ACCLIMATE_MLFLOW_URI= ACCLIMATE_LEDGER='
CODE = Path(__file__).resolve().parents[2]


def code_and_packages() -> dict[str, str]:
    """Return tags that name the code and packages in use: ``code`` (a git commit) and ``packages`` (JSON)."""
    return {"code": code_version(), "packages": json.dumps({name: _installed_version(name) for name in PACKAGES})}


def code_version(folder: Path = CODE) -> str:
    """Return the commit of this code, with ``+changes`` where files differ from it; empty outside of a checkout.

    An installation may lie inside a repository that is not its own.
    """
    if not (folder / "pyproject.toml").is_file():
        return ""
    head = git(folder, "rev-parse", "--verify", "--quiet", "HEAD")
    if head.returncode:
        return ""
    changes = git(folder, "status", "--porcelain", "--untracked-files=no", "--", "*.py").stdout
    return head.stdout.strip() + ("+changes" if changes.strip() else "")


def lineage(settings: Settings, model: Registered) -> dict[str, Any]:
    """Return what a version was made from: JSON-able, ``unknown`` where it was never recorded."""
    tags, params = model.tags, model.params
    found: dict[str, Any] = {
        "model": model.name,
        "version": model.version,
        "created": f"{model.created:%Y-%m-%d %H:%M}",
    }
    if meta := model.name.startswith(registry.META_PREFIX):
        made_from = ("problems", "steps") if "problems" in tags else ("revision", "steps", "learners", "sources", "for")
        kept: tuple[str, ...] = ("family", *made_from, "key", "code")
    else:
        found |= {key: params.get(key, UNKNOWN) for key in ("k", "draws", "strategy")}
        kept = (
            "method",
            "objective",
            "budget",
            "seed",
            "revision",
            "content_hash",
            "encoder",
            "meta_version",
            "meta_key",
            "key",
            "code",
        )
    found |= {key: tags.get(key, UNKNOWN) for key in kept}
    found["packages"] = json.loads(tags["packages"]) if "packages" in tags else UNKNOWN
    for key in ("decision", "reason", "decided", "replaced", "gate", "withdrawn"):
        if key in tags:
            found[key] = tags[key]
    found["packages_now_different"] = _changed_packages(found["packages"])
    found["commands"] = _meta_commands(tags) if meta else _adapt_commands(settings, model)
    return found


def _adapt_commands(settings: Settings, model: Registered) -> list[str]:
    tags, params = model.tags, model.params
    meta = _meta_model(settings, tags)
    k, revision = k_of(params), ["--rev", tags.get("revision", "HEAD")]
    few = revision if k is None else ["--k", str(k), *revision, "--draws", params.get("draws", "10")]
    adapt = ["acclimate", "adapt", model.name, *few, "--method", tags.get("method", "auto")]
    if (objective := tags.get("objective", ACCURACY)) != ACCURACY:
        adapt += ["--objective", objective]
    if (budget := tags.get("budget", "0")) != "0":
        adapt += ["--budget", f"{budget}s"]
    adapt += ["--meta-version", tags.get("meta_key") or tags.get("meta_version", "1")]
    seed = tags.get("seed", "0")
    again = ([] if seed == "0" else [f"ACCLIMATE_SEED={shlex.quote(seed)}"]) + [shlex.join(adapt)]
    train = [] if meta is None else [_train_command(meta.tags)]
    return [*_first_commands(tags), *train, " ".join(again)]


def _meta_commands(tags: Mapping[str, str]) -> list[str]:
    return [*_first_commands(tags), _train_command(tags)]


def _first_commands(tags: Mapping[str, str]) -> list[str]:
    """Return the commands that come first: the code in a folder beside this one, with a home of its own; the data.

    A worktree, as what is checked out here may be watched, and would be adapted to.
    """
    code = tags.get("code", "").removesuffix("+changes") or tags.get("revision", "HEAD")
    folder = f"../acclimate-{code[:7]}"
    cache = 'dvc config --local cache.dir "$OLDPWD/.dvc/cache"'
    data = [] if "problems" in tags else [cache, "acclimate data build"]
    return [
        shlex.join(["git", "worktree", "add", "--detach", folder, code]),
        shlex.join(["cd", folder]),
        f"export {AS_THERE}",
        *data,
    ]


def _train_command(tags: Mapping[str, str]) -> str:
    words = ["acclimate", "meta-train", "--family", tags.get("family", UNKNOWN)]
    words += [] if "problems" in tags else ["--rev", tags.get("revision", "HEAD")]
    if tags.get("steps"):
        words += ["--steps", tags["steps"]]
    for option, tag in (("--learner", "learners"), ("--problem", "problems")):
        words += [word for name in filter(None, tags.get(tag, "").split(",")) for word in (option, name)]
    if tags.get("for"):
        words += ["--sources", tags["sources"], "--for", tags["for"]]
    return shlex.join(words)


def _meta_model(settings: Settings, tags: Mapping[str, str]) -> Registered | None:
    if not {"family", "meta_version"} <= tags.keys():
        return None
    name = registry.meta_name(tags["family"])
    return next((m for m in registry.versions(settings, name) if m.version == tags["meta_version"]), None)


def _changed_packages(packages: Any) -> dict[str, list[str]]:
    """Return the packages whose version has changed: [then, now]."""
    if not isinstance(packages, dict):
        return {}
    return {name: [then, now] for name, then in packages.items() if (now := _installed_version(name)) != then}


def _installed_version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "absent"
