"""A model of the family ``decisions``: trained policies by the name of what they play, as one folder."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file

from learners.decisions.rl2 import RL2

ABOUT, WEIGHTS = "policies.json", "policies.safetensors"


@dataclass(frozen=True)
class Policies:
    """Policies by name, and how they were trained.

    Attributes:
        policies: RL2 networks by the name of what they play.
        about: by the same names: training settings, learning curve and scores, JSON-able.
    """

    policies: Mapping[str, RL2]
    about: Mapping[str, Any] = field(default_factory=dict)

    def save(self, folder: Path) -> None:
        """Write ``policies.safetensors``, its tensors by policy and name, and ``policies.json``."""
        tensors = {f"{p}/{k}": v for p, policy in self.policies.items() for k, v in policy.state_dict().items()}
        save_file({name: value.contiguous() for name, value in tensors.items()}, folder / WEIGHTS)
        configs = {name: policy.config for name, policy in self.policies.items()}
        (folder / ABOUT).write_text(json.dumps({"policies": configs, "about": self.about}, indent=1), "utf-8")

    @classmethod
    def load(cls, folder: Path) -> "Policies":
        """Read what ``save`` wrote; tensors and words, never code."""
        read = json.loads((folder / ABOUT).read_text("utf-8"))
        tensors, policies = load_file(folder / WEIGHTS), {}
        for name, config in read["policies"].items():
            start = f"{name}/"
            own = {key.removeprefix(start): value for key, value in tensors.items() if key.startswith(start)}
            if isinstance(config["memory"], bool):  # written before 0.11
                config["memory"] = "gru" if config["memory"] else "none"
                own = {f"core.{key}" if key.startswith("gru.") else key: value for key, value in own.items()}
            policies[name] = RL2(**config)
            policies[name].load_state_dict(own)
        return cls(policies, read["about"])
