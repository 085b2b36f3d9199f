"""What the documents say can be typed, followed, run and imported."""

import importlib
import importlib.util
import json
import re
import shlex
import subprocess
import sys
import tomllib
from functools import cache
from pathlib import Path

import pytest
import torch
import typer

from flows.cli import app
from tasks.base.settings import Settings
from tasks.bench.suites import SUITES

ROOT = Path(__file__).parents[1]
DOCS = sorted(page for page in (ROOT / "docs").rglob("*.md") if "_build" not in page.parts)
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *DOCS]
FENCE = re.compile(r"^```([^\n`]*)\n(.*?)^```[ ]*$", re.M | re.S)


def blocks(page: Path) -> list[tuple[str, str]]:
    """Return the language and the text of every fenced block of a page."""
    return FENCE.findall(page.read_text("utf-8"))


ASSIGNED = r"(?:[A-Z][A-Z0-9_]*=\S* )*"  # variables before a command


def typed(program: str) -> list[str]:
    """Return every command of a program in fenced blocks, without its comment and the variables before it."""
    lines = (line.split(" #")[0] for page in PAGES for _, block in blocks(page) for line in block.splitlines())
    pieces = (piece.strip() for line in lines for piece in line.removeprefix("$ ").split(" && "))
    return sorted({found[1] for piece in pieces if (found := re.match(rf"{ASSIGNED}({program} .*)", piece))})


def mentioned(program: str) -> list[str]:
    """Return every command of a program that a sentence or a cell of a table quotes; names of methods begin alike."""
    text = "\n".join(FENCE.sub("", page.read_text("utf-8")) for page in PAGES)
    quoted = {" ".join(words.split()) for words in re.findall(rf"`{ASSIGNED}({program} [^`]+)`", text)}
    return sorted(each.split(" && ")[0] for each in quoted if not each.startswith("acclimate without"))


def command_of(line: str):
    """Return the command that a line names, and the words after its name."""
    command, words = typer.main.get_command(app), shlex.split(line)[1:]
    while hasattr(command, "commands") and words:
        name, *words = words
        command = command.commands[name]
    return command, words


COMMANDS, MENTIONED = typed("acclimate"), mentioned("acclimate")


@pytest.mark.parametrize("line", COMMANDS)
def test_a_command_of_the_documents_is_understood(line):
    command, words = command_of(line)
    command.make_context(command.name, words)


@pytest.mark.parametrize("line", MENTIONED)
def test_a_command_that_a_sentence_quotes_has_the_options_that_it_names(line):
    command, words = command_of(line)
    known = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
    assert {word.split("=")[0] for word in words if re.match(r"--?[a-z]", word)} <= known | {"--help"}


def test_a_benchmark_that_the_documents_name_is_there():
    named = {shlex.split(line)[2] for line in (*COMMANDS, *MENTIONED) if line.startswith("acclimate bench ")}
    assert named <= {*SUITES, "all"}


def test_the_documents_show_commands():
    assert len(COMMANDS) >= 50
    assert len(MENTIONED) >= 50


@pytest.mark.parametrize("line", [*typed("prefect"), *mentioned("prefect")])
def test_a_command_of_prefect_is_understood(line):
    from prefect.cli._app import _app

    _app.parse_args(shlex.split(line)[1:], exit_on_error=False, print_error=False)


@pytest.mark.parametrize("line", typed("dvc"))
def test_a_command_of_dvc_is_understood(line):
    from dvc.cli.parser import get_main_parser

    get_main_parser().parse_args(shlex.split(line)[1:])


@pytest.mark.parametrize("line", typed(r"(?:\.venv/bin/)?mlflow"))
def test_a_command_of_mlflow_is_understood(line):
    from mlflow.cli import cli

    command, words = cli, shlex.split(line)[1:]
    while hasattr(command, "commands"):
        name, *words = words
        command = command.commands[name]
    command.make_context(command.name, words)


@pytest.mark.parametrize("line", typed("make"))
def test_what_make_is_asked_for_is_there(line):
    assert re.search(rf"^{line.split()[1]}:", (ROOT / "Makefile").read_text("utf-8"), re.M)


def test_an_extra_that_the_documents_install_is_there():
    known = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]
    text = "\n".join(page.read_text("utf-8") for page in PAGES)
    named = {name for names in re.findall(r"(?:acclimate|\.)\[([a-z0-9,-]+)\]", text) for name in names.split(",")}
    assert named
    assert named <= known.keys()


def test_the_documents_name_settings_that_there_are_and_one_page_has_them_all():
    known = {f"ACCLIMATE_{name.upper()}" for name in Settings.model_fields}
    options = {option.envvar for command in every_command() for option in command.params if option.envvar}
    named = {name for page in PAGES for name in SETTING.findall(page.read_text("utf-8"))}
    assert named <= known | options
    assert known <= set(SETTING.findall((ROOT / "docs/settings.md").read_text("utf-8")))


SETTING = re.compile(r"\bACCLIMATE_[A-Z0-9_]*[A-Z0-9](?![A-Z0-9_…])")


def every_command():
    """Yield every command of ours."""
    todo = [typer.main.get_command(app)]
    while todo:
        command = todo.pop()
        todo += getattr(command, "commands", {}).values()
        yield command


def test_the_page_of_commands_has_them_all():
    page = (ROOT / "docs/commands.md").read_text("utf-8")
    top = typer.main.get_command(app).commands
    missing = [name for name in top if f"acclimate {name}" not in page]
    assert not missing


@cache
def anchors(page: Path) -> set[str]:
    """Return the anchors that GitHub gives the headings of a page."""
    found: set[str] = set()
    for heading in re.findall(r"^#{1,6} +(.+?) *#*$", FENCE.sub("", page.read_text("utf-8")), re.M):
        said = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading)
        name = re.sub(r"[^\w\- ]", "", said.lower()).replace(" ", "-")
        found.add(name if name not in found else f"{name}-{sum(a.startswith(name) for a in found)}")
    return found


def links() -> list[tuple[str, str]]:
    """Return every link to a file or a heading, with the page that has it."""
    return sorted(
        {
            (str(page.relative_to(ROOT)), target)
            for page in PAGES
            for target in re.findall(
                r"\]\(([^)\s]+)\)", re.sub(r"`[^`\n]*`", "", FENCE.sub("", page.read_text("utf-8")))
            )
            if not re.match(r"[a-z]+:", target)
        }
    )


@pytest.mark.parametrize(("page", "target"), links())
def test_a_link_leads_to_a_file_and_a_heading(page, target):
    path, _, anchor = target.partition("#")
    there = (ROOT / page).parent / path if path else ROOT / page
    assert there.exists()
    assert not anchor or anchor in anchors(there.resolve())


#: A file of this repository that a page names. Targets of links are looked at above; ``<name>`` is no name.
FILE = re.compile(r"(?<![\w./<(-])((?:flows|tasks|learners|domains|tests|docs)/[\w/.-]*\w\.\w+|(?:[\w-]+/)+[\w-]+\.py)")
TO_WRITE = {"learners/methods/shrunk.py"}  # a page tells its reader to write it


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_files_that_a_page_names_are_there(page):
    named = set(FILE.findall(page.read_text("utf-8"))) - TO_WRITE
    assert not {file for file in named if not (ROOT / file).is_file()}


MODULE = re.compile(r"`((?:flows|tasks|learners|domains)(?:\.[A-Za-z_]+)+)(?:\(.*?\))?`")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_modules_and_functions_that_a_page_names_are_there(page):
    files = {f"{package}.py" for package in ("flows", "tasks", "learners", "domains")}  # of the user's, not ours
    missing = []
    for name in set(MODULE.findall(page.read_text("utf-8"))) - files:
        module, _, attribute = name.rpartition(".")
        if not hasattr(importlib.import_module(module), attribute) and importlib.util.find_spec(name) is None:
            missing.append(name)
    assert not missing


def test_the_readme_and_the_pages_for_users_are_short():
    users = sorted((ROOT / "docs/users").glob("*.md"))
    assert len(users) == 6
    assert len((ROOT / "README.md").read_text("utf-8").splitlines()) <= 120
    assert max(len(page.read_text("utf-8").splitlines()) for page in users) <= 50


def test_every_page_is_in_the_table_of_contents_once():
    listed = [
        line.strip()
        for language, block in blocks(ROOT / "docs/index.md")
        if language == "{toctree}"
        for line in block.splitlines()
        if line.strip() and not line.startswith(":")
    ]
    pages = [page.relative_to(ROOT / "docs").with_suffix("").as_posix() for page in DOCS]
    assert sorted(listed) == sorted(page for page in pages if page != "index")


def test_the_learner_of_the_documents_works():
    namespace: dict[str, object] = {"__name__": "documents"}
    code = [block for language, block in blocks(ROOT / "docs/new-learner.md") if language == "python"]
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for block in code:
            exec(compile(block, "docs/new-learner.md", "exec"), namespace)
    finally:
        torch.set_num_threads(threads)
    assert len(code) >= 2


NOTEBOOK = ROOT / "docs/notebook.ipynb"


@cache
def cells(kind: str) -> list[str]:
    """Return the sources of the notebook's cells of a kind."""
    every = json.loads(NOTEBOOK.read_text("utf-8"))["cells"]
    return ["".join(cell["source"]) for cell in every if cell["cell_type"] == kind]


def test_the_notebook_adapts_without_prefect():
    code = "\n".join([*cells("code"), "assert sum(right) >= 60 and sum(held) >= 75, table"])
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=600, check=False
    )
    assert run.returncode == 0, run.stderr
    assert "Prefect was imported: False" in run.stdout


def test_the_notebook_adapts_in_ten_lines_and_keeps_no_outputs():
    (adapting,) = [code for code in cells("code") if "choose(" in code]
    assert len([line for line in adapting.splitlines() if line.strip()]) <= 10
    linked = re.findall(r"\]\(([^)]+)\)", "\n".join(cells("markdown")))
    assert all((ROOT / "docs" / target).is_file() for target in linked)
    every = json.loads(NOTEBOOK.read_text("utf-8"))["cells"]
    assert not any(cell.get("outputs") or cell.get("execution_count") for cell in every)


REFERENCE = re.findall(r"^\.\. auto\w+:: (\S+)$", (ROOT / "docs/api.md").read_text("utf-8"), re.M)


@pytest.mark.parametrize("name", REFERENCE)
def test_what_the_reference_names_is_there_and_says_what_it_is(name):
    module, _, attribute = name.rpartition(".")
    thing = getattr(importlib.import_module(module), attribute)
    assert thing.__doc__
    assert not thing.__doc__.startswith(f"{attribute}(")  # what a dataclass without a docstring gets


def test_the_reference_names_nothing_twice():
    assert len(REFERENCE) == len(set(REFERENCE)) >= 40
