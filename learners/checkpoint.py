"""Checkpoints that survive a kill at any moment: safetensors only, written whole, the last good one kept."""

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.optim import Optimizer


def save(path: Path, tensors: dict[str, Tensor], about: dict[str, Any]) -> None:
    """Write tensors and a JSON-able description as one file; the file before it stays as ``*.previous``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new, previous = path.with_suffix(".new"), path.with_suffix(".previous")
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    words = json.dumps(about)
    save_file(tensors, new, metadata={"about": words, "digest": _digest(tensors, words)})
    with new.open("rb") as stream:
        os.fsync(stream.fileno())
    if path.exists():
        os.replace(path, previous)
    os.replace(new, path)


def load(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
    """Return the newest checkpoint whose checksum holds, or None when there is none."""
    for candidate in (path.with_suffix(".new"), path, path.with_suffix(".previous")):
        try:
            with safe_open(candidate, "pt") as file:
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
                metadata = file.metadata() or {}
        except (OSError, SafetensorError):
            continue
        words = metadata.get("about", "")
        if metadata.get("digest") == _digest(tensors, words):
            return tensors, json.loads(words)
    return None


def optimiser_tensors(optimiser: Optimizer) -> dict[str, Tensor]:
    """Return an optimiser's state as tensors with names."""
    state = optimiser.state_dict()["state"]
    return {f"adam.{i}.{name}": value for i, values in state.items() for name, value in values.items()}


def restore_optimiser(optimiser: Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Give an optimiser the state that :func:`optimiser_tensors` returned, found among other tensors."""
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        if name.startswith("adam."):
            _, i, key = name.split(".")
            state.setdefault(int(i), {})[key] = value
    optimiser.load_state_dict({**optimiser.state_dict(), "state": state})


@dataclass(frozen=True)
class Run:
    """What a training run goes on from, beside its best parameters and a description."""

    network: nn.Module
    optimiser: Optimizer
    generator: torch.Generator

    def keep(self, path: Path, best: Mapping[str, Tensor], about: dict[str, Any]) -> None:
        """Write the run as it is now; see ``save``."""
        tensors = {f"now.{name}": value for name, value in self.network.state_dict().items()}
        tensors |= {f"best.{name}": value for name, value in best.items()}
        tensors |= optimiser_tensors(self.optimiser)
        save(path, tensors | {"generator": self.generator.get_state()}, about)

    def restore(self, path: Path | None) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        """Go back to the newest checkpoint and return its best parameters and description; None: there is none."""
        found = None if path is None else load(path)
        if found is None:
            return None
        tensors, about = found
        self.network.load_state_dict({k.removeprefix("now."): v for k, v in tensors.items() if k.startswith("now.")})
        restore_optimiser(self.optimiser, tensors)
        self.generator.set_state(tensors["generator"])
        return {k.removeprefix("best."): v for k, v in tensors.items() if k.startswith("best.")}, about


def _digest(tensors: dict[str, Tensor], words: str) -> str:
    digest = hashlib.sha256(words.encode())
    for name in sorted(tensors):
        digest.update(name.encode())
        digest.update(tensors[name].contiguous().view(-1).numpy().tobytes())
    return digest.hexdigest()
