"""A meta-model: the meta-trained learners of one family, with what has to be known to use them."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file

from learners import make, strategies
from learners.base import Learner
from learners.choice.portfolio import Prior


@dataclass(frozen=True)
class MetaModel:
    """Learners by name, and how they fared on source domains.

    Attributes:
        family: of the domains it is for.
        encoder: identity of the encoder whose features it reads.
        dim: length of a feature vector.
        ways: the number of shared labels, or None.
        learners: meta-trained learners by name.
        prior: what every strategy gained over the fallback on source domains.
        last: how many of the features are of the encoder's last layer, or None: all.
        about: data revision, content hashes, training settings, validation curves.
    """

    family: str
    encoder: str
    dim: int
    ways: int | None
    learners: Mapping[str, Learner]
    prior: Prior
    about: dict[str, Any] = field(default_factory=dict)
    last: int | None = None

    @property
    def in_time(self) -> bool:
        """Whether the family's targets lie after their supports: markets do, and only they share their labels."""
        return self.ways is not None

    @property
    def strategies(self) -> dict[str, Learner]:
        """What the portfolio chooses from, by name."""
        return strategies(self.learners, self.dim, self.last)

    def save(self, folder: Path) -> None:
        """Write one safetensors file a learner and ``meta_model.json``."""
        for name, learner in self.learners.items():
            save_file({k: v.contiguous() for k, v in learner.state_dict().items()}, folder / f"{name}.safetensors")
        about = {
            "family": self.family,
            "encoder": self.encoder,
            "dim": self.dim,
            "ways": self.ways,
            "last": self.last,
            "learners": list(self.learners),
            "prior": self.prior.to_json(),
            "about": self.about,
        }
        (folder / "meta_model.json").write_text(json.dumps(about, indent=1), "utf-8")

    @classmethod
    def load(cls, folder: Path) -> "MetaModel":
        """Read what ``save`` wrote."""
        about = json.loads((folder / "meta_model.json").read_text("utf-8"))
        learners = {}
        for name in about["learners"]:
            learners[name] = make(name, about["dim"], about["ways"], about.get("last"))
            try:
                learners[name].load_state_dict(load_file(folder / f"{name}.safetensors"))
            except RuntimeError as error:
                raise ValueError(f"{folder}: weights of {name} do not fit this version; meta-train again") from error
        prior = Prior.from_json(about["prior"])
        shape = about["family"], about["encoder"], about["dim"], about["ways"]
        return cls(*shape, learners, prior, about["about"], about.get("last"))
