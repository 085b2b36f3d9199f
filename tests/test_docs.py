"""What the documents tell people to type is understood by the command line."""

import re
import shlex
from pathlib import Path

import pytest
import typer

from flows.cli import app

ROOT = Path(__file__).parents[1]
COMMANDS = sorted(
    {
        line.split("#")[0].strip()
        for page in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
        for block in re.findall(r"^```\w*\n(.*?)^```", page.read_text("utf-8"), re.M | re.S)
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


@pytest.mark.parametrize("target", re.findall(r"\]\(([^)#:]+)\)", (ROOT / "README.md").read_text("utf-8")))
def test_a_link_of_the_readme_leads_somewhere(target):
    assert (ROOT / target).exists()
