"""What the documents say can be typed, followed, run and imported."""

import importlib
import importlib.util
import re
import shlex
from functools import cache
from pathlib import Path

import pytest
import torch
import typer

from flows.cli import app

ROOT = Path(__file__).parents[1]
DOCS = sorted((ROOT / "docs").glob("*.md"))
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *DOCS]
FENCE = re.compile(r"^```([^\n`]*)\n(.*?)^```[ ]*$", re.M | re.S)


def blocks(page: Path) -> list[tuple[str, str]]:
    """Return the language and the text of every fenced block of a page."""
    return FENCE.findall(page.read_text("utf-8"))


COMMANDS = sorted(
    {
        line.split("#")[0].strip()
        for page in PAGES
        for _, block in blocks(page)
        for line in block.splitlines()
        if line.startswith("acclimate ")
    }
)


@pytest.mark.parametrize("line", COMMANDS)
def test_a_command_of_the_documents_is_understood(line):
    command, words = typer.main.get_command(app), shlex.split(line)[1:]
    while hasattr(command, "commands"):
        name, *words = words
        command = command.commands[name]
    command.make_context(command.name, words)


def test_the_documents_show_commands():
    assert len(COMMANDS) >= 8


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


def test_every_page_is_in_the_table_of_contents_once():
    listed = [
        line.strip()
        for language, block in blocks(ROOT / "docs/index.md")
        if language == "{toctree}"
        for line in block.splitlines()
        if line.strip() and not line.startswith(":")
    ]
    assert sorted(listed) == [page.stem for page in DOCS if page.stem != "index"]


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


REFERENCE = re.findall(r"^\.\. auto\w+:: (\S+)$", (ROOT / "docs/api.md").read_text("utf-8"), re.M)


@pytest.mark.parametrize("name", REFERENCE)
def test_what_the_reference_names_is_there_and_says_what_it_is(name):
    module, _, attribute = name.rpartition(".")
    thing = getattr(importlib.import_module(module), attribute)
    assert thing.__doc__
    assert not thing.__doc__.startswith(f"{attribute}(")  # what a dataclass without a docstring gets


def test_the_reference_names_nothing_twice():
    assert len(REFERENCE) == len(set(REFERENCE)) >= 40
