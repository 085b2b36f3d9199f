"""Nothing that arrives as data is run: no call of ours unpickles, and every loader refuses or reads hostile files.

The loaders are found, not listed: every ending that a reader registers, every kind of encoder, and every class whose
``load`` or ``read`` takes a folder. What would run leaves a canary behind.
"""

import ast
import gzip
import importlib
import inspect
import io
import json
import os
import pickle
import pkgutil
import re
import struct
import tarfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from domains.errors import UserError
from domains.new_examples import read_examples
from domains.own.hub import open_dataset
from domains.own.opening import open_input
from domains.own.options import AddOptions
from domains.reading import excel
from domains.reading.packed import PACKED
from domains.reading.pictures import IMAGE_ENDINGS, to_picture
from domains.reading.tables import ENDINGS, open_table
from tasks.base.settings import Settings
from tasks.features import plug_ins

ROOT = Path(__file__).parents[1]
PACKAGES = ("domains", "learners", "tasks", "flows")

#: What runs code of whoever wrote its input, by the end of its dotted name.
RUNS_CODE = {
    *("pickle.load", "pickle.loads", "pickle.Unpickler", "marshal.load", "marshal.loads", "shelve.open"),
    *("joblib.load", "dill.load", "dill.loads", "cloudpickle.load", "cloudpickle.loads", "pd.read_pickle"),
    *("pandas.read_pickle", "yaml.unsafe_load", "yaml.full_load", "os.system", "os.popen", "subprocess.getoutput"),
    *("torch.jit.load", "torch.hub.load", "np.fromregex"),
}
MODULES = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "marshal", "shelve", "jsonpickle"}
SAFE_LOADERS = {"SAFE", "SafeLoader", "CSafeLoader", "loader"}  # the last is a parameter, which is checked below


def dotted(node: ast.expr) -> str:
    """Return ``a.b.c`` of an expression; what is no name is left out."""
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}".strip(".")
    return node.id if isinstance(node, ast.Name) else ""


def keyword(call: ast.Call, name: str) -> object:
    found = next((each.value for each in call.keywords if each.arg == name), None)
    return found.value if isinstance(found, ast.Constant) else found


def dangers(source: str) -> Iterator[str]:
    """Yield every call and import of a source that could run what is in a file."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""]
            yield from (f"import {name}" for name in names if name.split(".")[0] in MODULES)
        if not isinstance(node, ast.Call):
            continue
        name = dotted(node.func)
        last = name.split(".")[-1]
        if name in RUNS_CODE or (isinstance(node.func, ast.Name) and name in ("eval", "exec", "compile")):
            yield name
        elif last == "load" and name.split(".")[0] == "torch" and keyword(node, "weights_only") is not True:
            yield f"{name} without weights_only=True"
        elif name in ("np.load", "numpy.load") and keyword(node, "allow_pickle") not in (None, False):
            yield f"{name} with allow_pickle"
        elif name == "yaml.load":
            loader = next((each.value for each in node.keywords if each.arg == "Loader"), None) or node.args[-1]
            if dotted(loader).split(".")[-1] not in SAFE_LOADERS:
                yield "yaml.load without a safe loader"
        elif (
            last in ("extractall", "extract") and not name.startswith(("re.", "str.")) and "str" not in name.split(".")
        ):
            yield f"{name} unpacks where the archive says"
        elif keyword(node, "trust_remote_code") not in (None, False) or keyword(node, "shell") not in (None, False):
            yield f"{name} with trust_remote_code or shell"
        elif last in ("from_pretrained", "load_dataset") and keyword(node, "use_safetensors") is False:
            yield f"{name} with pickled weights"


@pytest.mark.parametrize("package", PACKAGES)
def test_no_call_of_ours_runs_what_is_in_a_file(package):
    found = {
        str(path.relative_to(ROOT)): dangerous
        for path in sorted((ROOT / package).rglob("*.py"))
        if (dangerous := list(dangers(path.read_text("utf-8"))))
    }
    assert found == {}


@pytest.mark.parametrize(
    "line",
    [
        "pickle.load(f)",
        "import joblib",
        "from pickle import loads",
        "torch.load(f)",
        "torch.load(f, weights_only=False)",
        "np.load(f, allow_pickle=True)",
        "yaml.load(f)",
        "yaml.load(f, Loader=yaml.Loader)",
        "eval(text)",
        "pd.read_pickle(f)",
        "tarfile.open(f).extractall()",
        "archive.extractall(folder)",
        "AutoModel.from_pretrained(f, trust_remote_code=True)",
        "subprocess.run(text, shell=True)",
    ],
)
def test_the_check_sees_each_kind(line):
    assert list(dangers(line))


class Canary:
    """What writes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


@pytest.fixture
def canary(tmp_path) -> Path:
    """Where the canary would be; a test ends with it not there, and the trap is one that works."""
    path = tmp_path / "canary"
    pickle.loads(pickle.dumps(Canary(path)))
    assert path.exists()
    path.unlink()
    return path


def zipped(members: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with ZipFile(out, "w", ZIP_DEFLATED) as archive:
        for name, body in members.items():
            archive.writestr(name, body)
    return out.getvalue()


def tar_with_links() -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        for kind, name in ((tarfile.SYMTYPE, "a.txt"), (tarfile.LNKTYPE, "../b.txt")):
            about = tarfile.TarInfo(name)
            about.type, about.linkname = kind, "/etc/passwd"
            archive.addfile(about)
    return out.getvalue()


def npy_of_objects(pickled: bytes) -> bytes:
    out = io.BytesIO()
    np.lib.format.write_array_header_1_0(out, {"descr": "|O", "fortran_order": False, "shape": (1,)})
    return out.getvalue() + pickled


def parquet(metadata: dict[bytes, bytes], field: dict[bytes, bytes]) -> bytes:
    schema = pa.schema([pa.field("text", pa.binary(), metadata=field), pa.field("label", pa.string())], metadata)
    out = io.BytesIO()
    pq.write_table(pa.table([[b"a", b"b"], ["x", "y"]], schema=schema), out)
    return out.getvalue()


def bomb(width: int = 60_000) -> bytes:
    """Return a PNG of 3.6 billion pixels in a few bytes."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    head = struct.pack(">IIBBBBB", width, width, 8, 2, 0, 0, 0)
    body = zlib.compress(b"\0" * 1000)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


SVG = b"<svg xmlns='http://www.w3.org/2000/svg'><script>x()</script><image href='file:///etc/passwd'/></svg>"
ENTITIES = b"<!DOCTYPE x [<!ENTITY e SYSTEM 'file:///etc/passwd'>]><sst><si><t>&e;</t></si></sst>"


def xlsx(strings: bytes) -> bytes:
    """Return an Excel file whose shared strings are these."""
    import openpyxl

    book, out = openpyxl.Workbook(), io.BytesIO()
    book.active.append(["text", "label"])
    for i in range(5):
        book.active.append([f"text {i}", "ab"[i % 2]])
    book.save(out)
    with ZipFile(out) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    return zipped(members | {"xl/sharedStrings.xml": strings})


def hostile(canary: Path) -> dict[str, bytes]:
    """Return a hostile body of each kind."""
    trap = pickle.dumps(Canary(canary))
    extension = {b"ARROW:extension:name": b"arrow.py_extension_type", b"ARROW:extension:metadata": trap}
    pandas = {
        b"pandas": json.dumps({"columns": [{"name": "text", "pandas_type": "object", "numpy_type": "object"}]}).encode()
    }
    return {
        "pickle": trap,
        "torch": zipped({"archive/data.pkl": trap, "archive/version": b"3"}),
        "npz": zipped({"x.npy": npy_of_objects(trap)}),
        "npy": npy_of_objects(trap),
        "parquet, extension type": parquet({}, extension),
        "parquet, pandas": parquet(pandas | {b"huggingface": trap}, {}),
        "yaml": f"!!python/object/apply:os.system ['touch {canary}']".encode(),
        "zip, out of it": zipped(
            {"../../../canary": b"x", "a/../../canary.txt": b"text", "../canary.csv": b"text,label"}
        ),
        "tar with links": tar_with_links(),
        "xlsx, entities": xlsx(ENTITIES),
        "nested JSON": b"[" * 200_000,
        "nested JSON lines": b'{"text": ' * 200_000,
        "HTML": b"<html><table><tr><td>text</td></tr></table><script>x()</script></html>",
        "formula": b'text,label\n"=cmd|\' /C calc\'!A0",a\n"@SUM(1)",b\n',
        "safetensors, long header": struct.pack("<Q", 2**62) + b"{}",
        "safetensors, no header": struct.pack("<Q", 2) + b"[]",
        "image bomb": bomb(),
        "SVG": SVG,
        "DICOM": bytes(128) + b"DICM" + trap,
        "gzip of a pickle": gzip.compress(trap),
        "empty": b"",
        "NUL": b"\0" * 1000,
    }


KINDS = sorted(hostile(Path("x")))


def harmless(read: Callable[[], object], canary: Path) -> None:
    """Check that a reader refuses in a line, or reads, and runs nothing."""
    said = ""
    try:
        read()
    except UserError as error:
        said = str(error)
    assert "\n" not in said
    assert len(said) < 2100
    assert not canary.exists()
    assert not list(canary.parent.parent.glob("canary*"))


@pytest.mark.parametrize("kind", KINDS)
def test_a_hostile_file_of_any_ending_is_refused_in_a_line_or_read_as_data(kind, tmp_path, canary):
    body = hostile(canary)[kind]
    for ending in {
        *ENDINGS,
        *PACKED,
        *IMAGE_ENDINGS,
        ".xls",
        ".pkl",
        ".npz",
        ".pt",
        ".yaml",
        ".tar",
        ".svg",
        ".csv.gz",
    }:
        path = tmp_path / f"file{ending}"
        path.write_bytes(body)
        harmless(lambda path=path: open_input(str(path), AddOptions()).understand(lambda n: None), canary)
        for family in ("text", "vision", "market"):
            harmless(lambda path=path, family=family: read_examples(family, path).examples, canary)
        path.unlink()


@pytest.mark.parametrize("kind", KINDS)
def test_a_hostile_image_is_no_image(kind, canary):
    with pytest.raises(ValueError):  # noqa: PT011 (of several words)
        to_picture(hostile(canary)[kind])
    assert not canary.exists()


def loaders() -> dict[str, Callable[[Path], object]]:
    """Return every class method ``load`` or ``read`` of ours that takes a folder or file, by its full name."""
    found: dict[str, Callable[[Path], object]] = {}
    for package in ("learners", "tasks"):
        for about in pkgutil.walk_packages([str(ROOT / package)], f"{package}."):
            if ".bench" in about.name or (about.name == "tasks.federate.flare" and find_spec("nvflare") is None):
                continue
            module = importlib.import_module(about.name)
            for kind in vars(module).values():
                if not isinstance(kind, type) or kind.__module__ != about.name:
                    continue
                for name in ("load", "read", "from_folder"):
                    if isinstance(inspect.getattr_static(kind, name, None), classmethod):
                        first = next(iter(inspect.signature(getattr(kind, name)).parameters), "")
                        if first in ("folder", "path", "file"):
                            found[f"{about.name}.{kind.__name__}.{name}"] = getattr(kind, name)
    return found


#: Names under which models, their parts and encoders keep files.
KEPT = ("config.json", "model.safetensors", "pytorch_model.bin", "tokenizer.json", "tokenizer_config.json")


def names_of_files(loader: Callable[[Path], object]) -> set[str]:
    """Return the names of files that the module of a loader has in it."""
    source = inspect.getsource(inspect.getmodule(loader))
    return {*KEPT, *re.findall(r"[\w-]+\.(?:safetensors|json|npz|pt)", source)}


def test_model_folders_of_hostile_files_are_refused_and_run_nothing(tmp_path, canary):
    bodies = {
        kind: body
        for kind, body in hostile(canary).items()
        if kind.split(",")[0] in ("pickle", "torch", "nested JSON", "safetensors", "empty")
    }
    found = loaders()
    assert {name.split(".")[-2] for name in found} >= {"Classifier", "MetaModel", "Policies", "Tuned", "AdaptResult"}
    for name, loader in found.items():
        folder = tmp_path / name / f"tuned-{'a' * 16}"
        folder.mkdir(parents=True)
        for body in bodies.values():
            for file in names_of_files(loader):
                (folder / file).write_bytes(body)
            taken = None
            with suppress(Exception):  # of whatever kind: what calls it says which model cannot be loaded
                taken = loader(folder)
            assert taken is None, f"{name} took a hostile file for a model"
            assert not canary.exists()


@pytest.mark.parametrize("kind", plug_ins.LOADERS)
def test_an_encoder_with_pickled_weights_or_code_of_its_own_is_refused(kind, tmp_path, canary):
    folder, settings = tmp_path / "encoder", Settings(root=tmp_path)
    family = "vision" if kind == plug_ins.IMAGE else "text"
    folder.mkdir()
    trap = pickle.dumps(Canary(canary))
    (folder / "config.json").write_text(json.dumps({"model_type": "bert", "auto_map": {"AutoModel": "evil.Evil"}}))
    (folder / "evil.py").write_text(f"open({str(canary)!r}, 'w')")
    for weights in ("pytorch_model.bin", "model.safetensors"):
        (folder / weights).write_bytes(trap)
        with pytest.raises(UserError) as refusal:
            plug_ins.find_plug_in(settings, str(folder), family)
        assert "\n" not in str(refusal.value)
        with pytest.raises(Exception):  # noqa: B017, PT011 (of transformers: whatever is missing)
            plug_ins.LOADERS[kind](folder)
        assert not canary.exists()


def test_an_excel_file_that_unpacks_to_too_much_is_refused_before_it_is_read(tmp_path, monkeypatch):
    path = tmp_path / "bomb.xlsx"
    path.write_bytes(xlsx(b" " * 1_000_000))
    monkeypatch.setattr(excel, "MOST_BYTES", 500_000)
    with pytest.raises(UserError, match=r"unpacks to 1,0.* bytes, at most 500,000; save it as CSV"):
        open_table(path)


def test_a_dataset_that_names_data_outside_of_its_folder_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_DATASETS_OFFLINE", "1")
    secret, folder = tmp_path / "secret.parquet", tmp_path / "dataset"
    folder.mkdir()
    table = pa.table({"text": ["a", "b"], "label": ["x", "y"]})
    pq.write_table(table, secret)
    pq.write_table(table, folder / "train.parquet")
    for path in (str(secret), "../secret.parquet"):
        (folder / "README.md").write_text(f"---\nconfigs:\n- config_name: default\n  data_files: {path}\n---\n")
        with pytest.raises(UserError, match="outside of it"):
            open_dataset(str(folder))
    (folder / "README.md").unlink()
    assert len(list(open_dataset(str(folder)).read(["text"]))) == 2
    (folder / "dataset.py").write_text("raise SystemExit('code of the dataset was run')")
    with pytest.raises(UserError, match="scripts are no longer supported"):
        open_dataset(str(folder))
