"""Which package may import which, and inside of tasks and learners which folder: imports go one way, in no circle."""

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("flows", "tasks", "learners", "domains")

#: What a module of each package may import of this project.
ALLOWED = {
    "flows": ("flows", "tasks", "learners", "domains"),
    "tasks": ("tasks", "learners", "domains"),
    "learners": ("learners", "domains.episode", "domains.decisions"),  # what they learn from
    "domains": ("domains",),
}
#: The folders of a package in the order in which they build on each other: each imports only from those before it.
ORDER = {
    "tasks": (
        *("base", "versions", "service", "ingest", "features", "models", "export"),
        *("meta_train", "adapt", "watch", "drift", "decisions", "bench"),
    ),
    "learners": (
        *("encoders", "bodies", "heads", "representation", "choice"),
        *("shift", "plain", "market", "methods", "decisions"),
    ),
}
#: What runs in a notebook or on a bare GPU machine knows nothing of these.
ORCHESTRATION = ("prefect", "mlflow", "dvc", "dvc_data")


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
    circle: list[str] = []
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        circle = error.args[1]
    assert not circle


def file_of(name: str) -> str | None:
    """Return the file of this project that holds what an import names; None for what is not ours."""
    parts = name.split(".")
    for end in range(len(parts), 0, -1) if parts[0] in PACKAGES else ():
        path = Path(*parts[:end])
        for file in (path.with_suffix(".py"), path / "__init__.py"):
            if (ROOT / file).is_file():
                return str(file)
    return None


@pytest.mark.parametrize("package", ["learners", "domains"])
def test_learners_and_domains_know_nothing_of_orchestration(package: str) -> None:
    wrong = [
        f"{file} imports {name}"
        for file, names in modules(package).items()
        for name in names
        if within(name, ORCHESTRATION)
    ]
    assert not wrong


def test_flows_leave_arithmetic_and_file_formats_to_tasks() -> None:
    formats = ("numpy", "pandas", "pyarrow", "torch", "yaml", "safetensors", "mlflow", "dvc")
    wrong = [f"{file} imports {name}" for file, names in modules("flows").items() for name in names]
    assert not [line for line in wrong if within(line.split()[-1], formats)]


def test_every_file_of_the_packages_is_seen() -> None:
    for package in PACKAGES:
        assert f"{package}/__init__.py" in modules(package)
    assert "prefect.flow" in modules("flows")["flows/adapt.py"]


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
