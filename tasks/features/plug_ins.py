"""Encoders that users bring: a folder in a format of Hugging Face, or the name of a model on its hub.

What is known of one lies in ``encoders/<identity>.json`` of the home, so that a model which names the identity finds it
again.
"""

import hashlib
import io
import json
import re
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from domains.domain import Family
from domains.errors import UserError, first_line
from domains.whole_file import write_whole
from tasks.base.settings import Settings
from tasks.features.spec import EncoderSpec

HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
PARTS = ["*.json", "*.safetensors", "*.txt", "*.model"]  # of a model on the hub; no code, and nothing to unpickle
READ = (".json", ".safetensors", ".txt", ".model")  # files that the identity is of
PICKLED = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.h5", "*.msgpack")
SENTENCES, MEAN, FIRST, IMAGE = "sentence-transformers", "mean", "cls", "image"  # kinds


@dataclass(frozen=True)
class PlugIn:
    """What is known of an encoder that a user brought.

    Attributes:
        name: as the user gave it.
        kind: ``sentence-transformers``, ``mean`` or ``cls`` (of texts), or ``image``.
    """

    name: str
    family: Family
    kind: str
    identity: str
    dim: int


def find_plug_in(settings: Settings, name: str, family: Family) -> EncoderSpec:
    """Return the encoder of a folder or a name on the hub; ``:cls`` or ``:mean`` behind it say how states are pooled.

    Raises:
        UserError: there is no such folder or model, or it is none that can be read safely.
    """
    before, _, pooling = name.rpartition(":")
    where, pooling = (before, pooling) if pooling in (MEAN, FIRST) else (name, "")
    folder = _folder(settings, where)
    kind = _kind(folder, where, family, pooling)
    identity = f"{_slug(where)}-{_content_hash(folder)[:8]}-{kind}"
    known = _read(settings, identity)
    if known is None or known.name != name:
        known = PlugIn(name, family, kind, identity, _width(folder, kind, name))
        path = settings.home_path / "encoders" / f"{identity}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, json.dumps(asdict(known)).encode())
    return _spec(known, folder)


def plug_in_of(settings: Settings, identity: str) -> EncoderSpec | None:
    """Return the encoder of that identity; None where it is not known here.

    Raises:
        UserError: it is no longer there, or has changed.
    """
    known = _read(settings, identity)
    if known is None:
        return None
    found = find_plug_in(settings, known.name, known.family)
    if found.identity != identity:
        raise UserError(
            f"encoder {known.name} has changed: models here were made with {identity}, now it is {found.identity}; "
            "adapt again, or bring the earlier one back"
        )
    return found


def plug_in_at(folder: Path) -> EncoderSpec | None:
    """Return the encoder in a folder, if what is known of it lies beside, as in an exported model."""
    about = folder.with_name(f"{folder.name}.json")
    return _spec(PlugIn(**_json(about)), folder) if about.exists() else None


def note_of(settings: Settings, spec: EncoderSpec) -> Path | None:
    """Return the file with what is known of an encoder that a user brought; None of a built-in one."""
    path = settings.home_path / "encoders" / f"{spec.identity}.json"
    return path if spec.folder is not None and path.exists() else None


def _spec(known: PlugIn, folder: Path) -> EncoderSpec:
    return EncoderSpec(known.identity, known.dim, None, None, LOADERS[known.kind], folder=folder)


def _folder(settings: Settings, where: str) -> Path:
    """Return the folder that a user means; that of a name on the hub is fetched once, by the hub's own client."""
    path = Path(where).expanduser()
    path = path if path.is_absolute() else settings.root_path / path
    if path.is_dir():
        return path
    if not HUB_NAME.fullmatch(where):
        raise UserError(f"no encoder {where!r}: neither built in, nor a folder, nor a name like org/model on the hub")
    from huggingface_hub import snapshot_download
    from huggingface_hub.utils import disable_progress_bars

    disable_progress_bars()
    try:
        return Path(snapshot_download(where, allow_patterns=PARTS))
    except Exception as error:  # of many kinds: of the network, the hub, the disk
        raise UserError(
            f"encoder {where}: no such folder, and the hub does not give it ({first_line(error)}); check the name and "
            "the network, or give a folder"
        ) from error


def _kind(folder: Path, where: str, family: Family, pooling: str) -> str:
    """Return what kind of encoder a folder holds, once it is sure that it can be read safely.

    Raises:
        UserError: it has no weights, or only pickled ones, or needs code of its own.
    """
    if not any(folder.rglob("*.safetensors")):
        pickled = next((path.name for pattern in PICKLED for path in folder.rglob(pattern)), None)
        also = f"; {pickled} is not read, as that could run code" if pickled else ""
        raise UserError(f"encoder {where}: no weights as *.safetensors in {folder}{also}")
    modules = folder / "modules.json"
    if modules.exists() and family == "text":
        for module in _json(modules):
            if not str(module.get("type", "")).startswith("sentence_transformers."):
                raise UserError(
                    f"encoder {where}: its module {module.get('type')} needs code of its own, which is not run"
                )
        return SENTENCES
    config = folder / "config.json"
    if not config.exists():
        raise UserError(f"encoder {where}: no config.json in {folder}; give a folder that transformers wrote")
    if "auto_map" in _json(config):
        raise UserError(f"encoder {where}: it needs code of its own, which is not run; take another model")
    if family == "text":
        return pooling or MEAN
    if not (folder / "preprocessor_config.json").exists():
        raise UserError(f"encoder {where}: no preprocessor_config.json in {folder}, which says how images are prepared")
    return IMAGE


def _width(folder: Path, kind: str, name: str) -> int:
    """Return the length of an encoder's vectors, of which it makes one for it.

    Raises:
        UserError: it cannot be loaded.
    """
    try:
        return int(LOADERS[kind](folder).encode([_picture() if kind == IMAGE else "a text"]).shape[1])
    except MemoryError as error:
        raise UserError(f"encoder {name}: does not fit into memory; take a smaller one") from error
    except Exception as error:  # of whatever a model's files may lack
        raise UserError(f"encoder {name}: cannot be loaded ({first_line(error)}); take another model") from error


def _picture() -> bytes:
    from PIL import Image

    file = io.BytesIO()
    Image.new("RGB", (32, 32)).save(file, "PNG")
    return file.getvalue()


def _load_sentences(folder: Path) -> Any:
    from learners.encoders.folder import SentenceFolder

    return SentenceFolder(folder)


def _load_mean(folder: Path) -> Any:
    from learners.encoders.folder import TextFolder

    return TextFolder(folder, first=False)


def _load_first(folder: Path) -> Any:
    from learners.encoders.folder import TextFolder

    return TextFolder(folder, first=True)


def _load_images(folder: Path) -> Any:
    from learners.encoders.folder import ImageFolder

    return ImageFolder(folder)


#: What loads an encoder from its folder, by kind.
LOADERS = {SENTENCES: _load_sentences, MEAN: _load_mean, FIRST: _load_first, IMAGE: _load_images}


def _read(settings: Settings, identity: str) -> PlugIn | None:
    path = settings.home_path / "encoders" / f"{identity}.json"
    return PlugIn(**_json(path)) if re.fullmatch(r"[\w.-]+", identity) and path.exists() else None


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be read ({first_line(error)})") from error


def _slug(where: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", Path(where).name.lower()).strip("-")[:40] or "encoder"


def _content_hash(folder: Path) -> str:
    """Return a hash over the names and bytes of the files that are read."""
    files = sorted(path for path in folder.rglob("*") if path.suffix in READ and path.is_file())
    whole = hashlib.sha256()
    for path in files:
        about = path.resolve().stat()
        whole.update(f"{path.relative_to(folder)}\n".encode())
        whole.update(_file_hash(path.resolve(), about.st_size, about.st_mtime_ns))
    return whole.hexdigest()


@lru_cache(maxsize=256)
def _file_hash(path: Path, size: int, changed: int) -> bytes:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").digest()
