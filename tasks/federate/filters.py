"""NVIDIA FLARE's privacy filters at a site: what they take away of the changes of weights never leaves."""

import json
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from domains.errors import UserError, check_known
from domains.whole_file import write_whole
from tasks.federate.kits import CLASSES, check_installed

#: By name: ``percentile`` sends the largest changes, clipped (Shokri & Shmatikov, CCS 2015); ``svt`` some that the
#: sparse vector technique chooses, with noise (Li, W., et al., MLMI 2019).
FILTERS = {
    "percentile": "nvflare.app_common.filters.percentile_privacy.PercentilePrivacy",
    "svt": "nvflare.app_common.filters.svt_privacy.SVTPrivacy",
}
SCOPE = "acclimate"
CHANGES = "WEIGHT_DIFF"  # FLARE's name for what alone is filtered

Filters = Mapping[str, Mapping[str, float]]


def read_filters(words: Sequence[str]) -> dict[str, dict[str, float]]:
    """Return filters with their arguments, of words as ``percentile:percentile=50,gamma=0.01``.

    Raises:
        UserError: a filter or argument is none.
    """
    found = {}
    for word in words:
        name, _, rest = word.partition(":")
        check_known([name], FILTERS, "filter")
        try:
            found[name] = {key: json.loads(value) for key, _, value in (p.partition("=") for p in rest.split(",") if p)}
            make_filter(name, found[name])
        except (ValueError, TypeError) as error:
            raise UserError(f"--filter {word}: {error}; write it as percentile:percentile=50,gamma=0.01") from error
    return found


def make_filter(name: str, arguments: Mapping[str, float]) -> Any:
    """Return a filter of FLARE.

    Raises:
        TypeError, ValueError: it has no such arguments.
    """
    check_installed()
    module, _, kind = FILTERS[name].rpartition(".")
    return getattr(import_module(module), kind)(**arguments, data_kinds=[CHANGES])


def check_unfiltered(kit: Path) -> None:
    """Raise UserError where a kit has filters, which would be given ciphertext."""
    path = kit / "local" / "privacy.json"
    if path.exists():
        raise UserError(f"filters see no changes of weights that --key seals: leave out --filter or --key, and {path}")


def set_filters(kit: Path, filters: Filters) -> None:
    """Have a kit's engine apply these filters to what the site sends, and none that were set before.

    A ``privacy.json`` that the site wrote itself stays, where no filter is given.
    """
    path, resources = kit / "local" / "privacy.json", kit / "local" / "resources.json"
    if filters:
        chain = [{"path": FILTERS[n], "args": {**given, "data_kinds": [CHANGES]}} for n, given in filters.items()]
        scope = {"name": SCOPE, "task_result_filters": chain}
        write_whole(path, json.dumps({"scopes": [scope], "default_scope": SCOPE}, indent=1))
    elif path.exists() and json.loads(path.read_text("utf-8")).get("default_scope") == SCOPE:
        path.unlink()
    known = json.loads(resources.read_text("utf-8"))
    kept = [c for c in known["class_allow_list"] if c not in FILTERS.values()] or list(CLASSES)
    known["class_allow_list"] = kept + [FILTERS[name] for name in filters]
    write_whole(resources, json.dumps(known, indent=1))
