"""Encoders tuned to one domain's labels: what they read gives log-probabilities of the labels, not vectors.

The folder of one holds what tuning changed, beside the name of the encoder whose other weights it has.
"""

import json
import re
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional as F

from domains.errors import UserError
from learners.base import ABSENT
from learners.classifier import Affine
from learners.plain.tuned_encoder import add_low_rank, merge_low_rank, tuned_state
from tasks.base.settings import Settings, settings
from tasks.features.encoders import built_in_of, weights
from tasks.features.spec import EncoderSpec

FILE, BASE = "tuned.safetensors", "base"
NAME = re.compile(r"tuned-[0-9a-f]{16}")


@dataclass(frozen=True)
class Tuned:
    """What is known of a tuned encoder before it is loaded.

    Attributes:
        of: identity of the encoder that was tuned.
        rank: of the matrices that were added to its maps; 0: these were tuned themselves.
        ways: N, how many labels there are.
    """

    of: str
    rank: int
    ways: int

    @classmethod
    def read(cls, folder: Path) -> "Tuned":
        """Read what ``save_tuned`` wrote."""
        with safe_open(folder / FILE, "pt") as file:
            return cls(**json.loads(file.metadata()["tuned"]))


def make_tunable(spec: EncoderSpec, folder: Path, rank: int, generator: torch.Generator) -> Any:
    """Return an encoder that is ``tunable``, with its weights in a folder, to be tuned by a rank, or whole (0)."""
    encoder = spec.load(folder)
    if rank:
        encoder.model.requires_grad_(False)
        add_low_rank(encoder.model.encoder, rank, generator)
    return encoder


def save_tuned(encoder: Any, head: nn.Linear, present: Tensor, about: Tuned, path: Path) -> None:
    """Write what tuning changed into a file; ``present`` [C] are the labels that the head tells apart."""
    state = {f"model.{name}": value.contiguous() for name, value in tuned_state(encoder.model).items()}
    state |= {f"head.{name}": value.detach().cpu() for name, value in head.state_dict().items()}
    save_file(state | {"present": present}, path, metadata={"tuned": json.dumps(asdict(about))})


class TunedReader:
    """An encoder tuned to a domain: log-probabilities [n, N] of the domain's labels."""

    def __init__(self, folder: Path) -> None:
        about = Tuned.read(folder)
        self.spec, base = base_of(settings(), folder)
        self.encoder = make_tunable(self.spec, base, about.rank, torch.Generator())
        with safe_open(folder / FILE, "pt") as file:
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
        own = {name.removeprefix("model."): value for name, value in state.items() if name.startswith("model.")}
        if self.encoder.model.load_state_dict(own, strict=False).unexpected_keys:
            raise UserError(f"{folder}: does not fit {about.of}; adapt again")
        merge_low_rank(self.encoder.model)
        weight, bias, present = (state[name] for name in ("head.weight", "head.bias", "present"))
        rows = weight.new_zeros(about.ways, weight.shape[1]).index_copy(0, present, weight)
        self.head = Affine(rows, bias.new_full((about.ways,), ABSENT).index_copy(0, present, bias))

    def to(self, device: torch.device) -> "TunedReader":
        """Move to a device, and return itself."""
        self.encoder.to(device)
        return self

    @torch.no_grad()
    def encode(self, examples: Sequence[Any]) -> Tensor:
        """Return log-probabilities [n, N] of examples."""
        return F.log_softmax(F.linear(self.encoder.encode(examples), self.head.weight, self.head.bias), 1)


def base_of(settings: Settings, folder: Path) -> tuple[EncoderSpec, Path]:
    """Return the encoder that the one in a folder was tuned from, and where its weights are: here, or in the home.

    Raises:
        UserError: this version does not have it.
    """
    of = Tuned.read(folder).of
    spec = built_in_of(of)
    if spec is None:
        raise UserError(f"{folder}: tuned from {of}, which this version does not have; adapt again")
    return spec, folder / BASE if (folder / BASE).is_dir() else weights(settings, spec)


def spread(logits: Tensor, present: Tensor, ways: int) -> Tensor:
    """Return log-probabilities [n, N] of all labels, from logits [n, C] of those that are ``present`` [C]."""
    logs = F.log_softmax(logits.detach(), 1)
    return logs.new_full((len(logs), ways), ABSENT).index_copy(1, present, logs)


def tuned_at(folder: Path) -> EncoderSpec | None:
    """Return the tuned encoder in a folder; None where there is none."""
    if not NAME.fullmatch(folder.name) or not (folder / FILE).exists():
        return None
    return EncoderSpec(
        folder.name, Tuned.read(folder).ways, None, None, TunedReader, folder=folder, batch=128, opinions=True
    )


def tuned_in(folder: Path) -> list[EncoderSpec]:
    """Return the tuned encoders that a model's folder has with it."""
    return [found for part in sorted(folder.glob("tuned-*")) if (found := tuned_at(part)) is not None]


def tuned_of(settings: Settings, identity: str) -> EncoderSpec | None:
    """Return the tuned encoder of that identity; None where it is not here."""
    return tuned_at(settings.home_path / "encoders" / identity) if NAME.fullmatch(identity) else None


def restore_tuned(settings: Settings, identity: str, folder: Path) -> None:
    """Bring the tuned encoders that a model's folder has with it into the home, where they are not there yet."""
    for part in identity.split("+"):
        place = settings.home_path / "encoders" / part
        if NAME.fullmatch(part) and not place.exists() and (folder / part / FILE).exists():
            made = place.with_name(f"{part}.part")
            shutil.copytree(folder / part, made, dirs_exist_ok=True)
            made.rename(place)
