"""What may import what, and where: one way between packages and rooms, and at the top of a file.

Flows use tasks, tasks use learners and domains, never the other way round. An import inside a function is for libraries
that take long to import (``SLOW``), and for modules of ours that import one of those at their top.
"""

import ast
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("flows", "tasks", "learners", "domains")

#: What a module of each package may import of this project.
ALLOWED = {
    "flows": ("flows", "tasks", "learners", "domains"),
    "tasks": ("tasks", "learners", "domains"),
    "learners": ("learners", "domains.episode", "domains.objective", "domains.decisions"),  # what they learn from
    "domains": ("domains",),
}
#: The folders of a package in the order in which they build on each other: each imports only from those before it.
ORDER = {
    "tasks": (
        *("base", "versions", "service", "features", "ingest", "models", "serving", "export"),
        *("meta_train", "federate", "adapt", "watch", "clean", "predict", "drift", "decisions", "bench"),
    ),
    "learners": (
        *("encoders", "bodies", "heads", "representation", "shift"),
        *("plain", "transductive", "choice", "market", "methods", "decisions", "federated"),
    ),
}
#: What runs in a notebook or on a bare GPU machine knows nothing of these.
ORCHESTRATION = ("prefect", "mlflow", "dvc", "dvc_data")

#: The rooms of domains, lowest first: a module imports its own room and those below. A file without a folder is a room.
ROOMS = (
    ("errors", "words", "names", "whole_file", "whole_folder", "objective", "domain", "same_example", "episode"),
    ("fetch",),
    ("reading",),
    ("source", "groups", "build", "labelled_examples", "mirror", "class_split"),
    ("market", "vision", "text"),
    ("catalogue", "decisions"),
    ("own",),
    ("new_examples",),
    ("checks",),
)

#: Libraries that may be imported inside a function: the seconds that an import of each takes, and who needs it.
#: The command line, and each process that it starts, should not wait for what it does not use.
SLOW = {
    "arch": "4.0: only a fit of GARCH",
    "cryptography": "0.1, and of an extra: only who makes or asks for a certificate of a federation",
    "datasets": "1.2: only decoded images, the schema of a shard, and datasets of others",
    "dvc": "0.3: only who reads or writes versions",
    "dvc_data": "0.2: as dvc",
    "filelock": "0.03: only who registers a model",
    "fsspec": "0.2: as dvc",
    "higher": "not among the dependencies: one benchmark compares with it",
    "huggingface_hub": "0.5, without torch: only who fetches a model from the hub",
    "httpx": "0.2: only who asks a server whether it runs",
    "matplotlib": "0.4 to 0.8: only drawings, and glyphs that are drawn from its fonts",
    "mlflow": "2.1: only who reads or writes the registry",
    "nncf": "5.0, and an extra: only who quantises an encoder",
    "nvflare": "0.6, and an extra: only who makes startup kits or asks the server of a federation",
    "openvino": "0.4, and an extra: only who encodes in 8 bits",
    "openpyxl": "0.2: only Excel files",
    "pandas": "0.6: nothing that the command line imports at its start needs a frame",
    "peft": "7.6: only learners that tune a body by LoRA",
    "PIL": "0.02, and more for each format: only who draws an image",
    "prefect": "1.8: only who runs flows or asks their server",
    "prefect_dask": "3.6, and an extra: only runs on a Dask cluster",
    "psutil": "0.03: only who looks for processes",
    "pydicom": "0.2, and an extra: only who reads DICOM",
    "pyarrow": "0.2: the command line imports domains.domain at its start and reads no shard",
    "pydantic": "0.06: only who makes a secret of the webhook's address",
    "sentence_transformers": "5 or more, with all of transformers: only who reads by a folder of its own",
    "tokenizers": "0.02, and its library: only who tells whether an encoder can read texts",
    "rich": "0.07: only a terminal draws tables and bars",
    "ruptures": "1.8: only changes of regime",
    "sklearn": "1.0: only who counts the n-grams of texts",
    "sqlalchemy": "0.3: only the address of a database",
    "tenseal": "0.04, and an extra: only who seals, adds or opens numbers of an encrypted federation",
    "torch": "2.1: options of a benchmark are parsed without it",
    "transformers": "1.1: only encoders of texts and bodies of raw images and texts",
}
#: Other imports inside functions, with their files.
INSIDE = {
    "tasks/service/forks.py": ("gc", "runpy", "tasks.service.forks"),  # runs as __main__ and imports itself by name
}


def imported(source: str, package: str) -> Iterator[str]:
    """Yield the full name of everything that a module of ``package`` imports, inside functions too.

    ``from a import b`` gives ``a.b``, as b may be a module. Modules named in calls of ``import_module`` count.
    """
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parents = package.split(".")
            base = parents[: len(parents) - node.level + 1] if node.level else []
            where = ".".join([*base, *filter(None, [node.module])])
            yield from (f"{where}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Call) and getattr(node.func, "attr", getattr(node.func, "id", "")) in (
            "import_module",
            "__import__",
        ):
            first = node.args[0] if node.args else None
            if isinstance(first, ast.JoinedStr) and first.values:
                first = first.values[0]
            if isinstance(first, ast.Constant):
                yield str(first.value)


def inside_functions(source: str, package: str) -> Iterator[str]:
    """Yield the full name of everything that is imported inside a function."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            for inner in ast.walk(node):
                if isinstance(inner, ast.Import | ast.ImportFrom):
                    yield from imported(ast.unparse(inner), package)


def file_of(name: str) -> str | None:
    """Return the path of the module of ours that a name is, or is in; None for a library."""
    parts = name.split(".")
    for end in range(len(parts), 0, -1) if parts[0] in PACKAGES else ():
        path = Path(*parts[:end])
        for file in (path.with_suffix(".py"), path / "__init__.py"):
            if (ROOT / file).is_file():
                return str(file)
    return None


@cache
def at_the_top(file: str) -> frozenset[str]:
    """Return what a file imports when it is imported itself, not for the type checker alone."""
    source, package = (ROOT / file).read_text("utf-8"), ".".join(Path(file).parent.parts)
    top = [node for node in ast.parse(source).body if isinstance(node, ast.Import | ast.ImportFrom)]
    return frozenset(name for node in top for name in imported(ast.unparse(node), package))


def slow_below(file: str) -> bool:
    """Whether a file imports a slow library at its top, or one that does."""
    done, todo = {file}, [file]
    while todo:
        for name in at_the_top(todo.pop()):
            if name.split(".")[0] in SLOW:
                return True
            below = file_of(name)
            if below is not None and below not in done:
                done.add(below)
                todo.append(below)
    return False


def modules(package: str) -> dict[str, list[str]]:
    """Return what each file of a package imports, by path."""
    files = sorted((ROOT / package).rglob("*.py"))
    return {
        str(file.relative_to(ROOT)): list(
            imported(file.read_text("utf-8"), ".".join(file.relative_to(ROOT).parent.parts))
        )
        for file in files
    }


def within(name: str, packages: tuple[str, ...]) -> bool:
    return any(name == package or name.startswith(f"{package}.") for package in packages)


@pytest.mark.parametrize("package", PACKAGES)
def test_imports_go_one_way(package: str) -> None:
    wrong = [
        f"{file} imports {name}"
        for file, names in modules(package).items()
        for name in names
        if within(name, PACKAGES) and not within(name, ALLOWED[package])
    ]
    assert not wrong


@pytest.mark.parametrize("package", ["learners", "domains"])
def test_learners_and_domains_know_nothing_of_orchestration(package: str) -> None:
    wrong = [
        f"{file} imports {name}"
        for file, names in modules(package).items()
        for name in names
        if within(name, ORCHESTRATION)
    ]
    assert not wrong


@pytest.mark.parametrize("package", ["tasks", "learners", "domains"])
def test_what_is_imported_inside_a_function_takes_long(package: str) -> None:
    wrong = []
    for file in modules(package):
        folder = ".".join(Path(file).parent.parts)
        for name in inside_functions((ROOT / file).read_text("utf-8"), folder):
            ours = file_of(name)
            slow = slow_below(ours) if ours else name.split(".")[0] in SLOW
            if not slow and not within(name, INSIDE.get(file, ())):
                wrong.append(f"{file} imports {name}")
    assert not wrong


@pytest.mark.parametrize("package", ["learners", "domains"])
def test_learners_and_domains_import_each_other_at_the_top(package: str) -> None:
    wrong = [
        f"{file} imports {name}"
        for file in modules(package)
        for name in inside_functions((ROOT / file).read_text("utf-8"), ".".join(Path(file).parent.parts))
        if within(name, PACKAGES)
    ]
    assert not wrong


def test_commands_import_what_is_slow_or_ours_inside_so_that_help_is_quick() -> None:
    wrong = [
        f"{file} imports {name}"
        for file in modules("flows")
        for name in inside_functions((ROOT / file).read_text("utf-8"), "flows")
        if not within(name, PACKAGES) and name.split(".")[0] not in SLOW
    ]
    assert not wrong


@pytest.mark.parametrize("package", ORDER)
def test_a_folder_imports_only_from_those_before_it(package: str) -> None:
    order = ORDER[package]
    wrong = []
    for file, names in modules(package).items():
        where = Path(file).parts[1]
        if where in order:
            later = tuple(f"{package}.{folder}" for folder in order[order.index(where) + 1 :])
            wrong += [f"{file} imports {name}" for name in names if within(name, later)]
    assert not wrong


@pytest.mark.parametrize("package", ORDER)
def test_every_folder_has_its_place_in_the_order(package: str) -> None:
    folders = {path.parent.name for path in (ROOT / package).glob("*/__init__.py")}
    assert folders == set(ORDER[package])


def test_no_file_imports_itself_by_way_of_others() -> None:
    files = {file: names for package in PACKAGES for file, names in modules(package).items()}
    graph = {
        file: {found for name in names if (found := file_of(name)) not in (file, None)} for file, names in files.items()
    }
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        raise AssertionError(" imports ".join(reversed(error.args[1]))) from error


def room_of(file: str) -> str:
    return Path(file).parts[1].removesuffix(".py")


def test_rooms_of_domains_import_their_own_and_those_below() -> None:
    level = {room: i for i, rooms in enumerate(ROOMS) for room in rooms}
    wrong = []
    for file, names in modules("domains").items():
        for other in {file_of(name) for name in names} - {None, file, "domains/__init__.py"}:
            here, there = room_of(file), room_of(str(other))
            if here != there and level[there] > level[here]:
                wrong.append(f"{file} imports {other}")
    assert not wrong
    assert {room_of(file) for file in modules("domains")} == {*level, "__init__"}


@pytest.mark.parametrize("package", PACKAGES)
def test_transformers_are_imported_from_their_modules(package: str) -> None:
    """The library replaces its own top module while it is imported: a second thread that waits for it meets the old one
    and is told "cannot import name 'AutoTokenizer'"."""
    names = [(file, name) for file, names in modules(package).items() for name in names]
    assert not [(file, name) for file, name in names if name.startswith("transformers.") and name.count(".") < 2]


def test_flows_leave_arithmetic_and_file_formats_to_tasks() -> None:
    formats = ("numpy", "pandas", "pyarrow", "torch", "yaml", "safetensors", "mlflow", "dvc")
    wrong = [f"{file} imports {name}" for file, names in modules("flows").items() for name in names]
    assert not [line for line in wrong if within(line.split()[-1], formats)]


def test_every_file_of_the_packages_is_seen() -> None:
    for package in PACKAGES:
        assert f"{package}/__init__.py" in modules(package)
    assert "prefect.flow" in modules("flows")["flows/adapt.py"]


def test_a_module_of_ours_is_found_and_so_is_what_it_takes() -> None:
    assert file_of("domains.reading.tables.Table") == "domains/reading/tables.py"
    assert file_of("domains.checks") == "domains/checks/__init__.py"
    assert file_of("pandas") is None
    assert slow_below("domains/own/opening.py")
    assert not slow_below("domains/errors.py")
    assert list(inside_functions("import a\ndef f():\n    import b\n    from c import d", "here")) == ["b", "c.d"]


def test_every_way_to_import_is_seen() -> None:
    source = """
import a.b, c as d
from e import f
from . import g
from ..h import i
def later():
    import j
    import_module("k.l")
    importlib.import_module(f"m.{name}")
"""
    assert list(imported(source, "here.sub")) == ["a.b", "c", "e.f", "here.sub.g", "here.h.i", "j", "k.l", "m."]
