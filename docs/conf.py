"""Sphinx: the pages of this folder and the docstrings as a site. `make docs` builds it, without a network."""

import inspect
import re
import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]

project = "Acclimate"
author = "the Acclimate authors"
release = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build", "peers"]
myst_heading_anchors = 3  # as GitHub makes them, so that page.md#heading works in both places

autodoc_inherit_docstrings = False  # those of torch and Gymnasium are in their own markup
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True
default_role = "code"
python_maximum_signature_line_length = 90

html_theme = "furo"
html_show_copyright = False
html_title = f"Acclimate {release}"

SECTION = re.compile(r"(Args|Attributes|Raises|Returns|Yields):")
QUOTED = re.compile(r"(``.+?``|`.+?`|:func:`.+?`)")


def plain(app: Any, what: str, name: str, thing: Any, options: Any, lines: list[str]) -> None:
    """Have a docstring read as it is written: |x| is no substitution, x_ no link, and an indented line a formula."""
    found: list[str] = []
    before, blank, formula = "", True, -1  # the line before that is not empty; the indent that a formula is deeper than
    for line in one_a_line(lines, names_of(thing)):
        indent, above = indent_of(line), indent_of(before)
        if line.strip():
            if indent <= formula:
                formula = -1
            if formula < 0 and blank and before and indent > above and not SECTION.match(before.strip()):
                formula = above
                found += [" " * above + "::", ""]
            before = line
        blank = not line.strip()
        found.append(line if formula >= 0 else escaped(line))
    lines[:] = found


def indent_of(line: str) -> int:
    """Return how far a line is indented."""
    return len(line) - len(line.lstrip())


def names_of(thing: Any) -> set[str]:
    """Return the names of what a function or class is called with."""
    try:
        return set(inspect.signature(thing).parameters)
    except (TypeError, ValueError):
        return set()


def one_a_line(lines: list[str], names: set[str]) -> list[str]:
    """Give arguments and attributes that share a line ("x: features; y: labels", "mean, scale: [D]") one each."""
    found, section = [], ""
    for line in lines:
        if indent_of(line) == 0 and line.strip():
            section = line.strip()
        if section in ("Args:", "Attributes:") and indent_of(line):
            line = re.sub(r"; ((?:\w+, )*(\w+)): ", lambda m: f"\n    {m[1]}: " if m[2] in names else m[0], line)
            for part in line.split("\n"):
                shared = re.fullmatch(r"    (\w+(?:, \w+)+): (.*)", part)
                if shared and section == "Attributes:":
                    *others, last = shared[1].split(", ")
                    found += [*(f"    {other}: as {last}." for other in others), f"    {last}: {shared[2]}"]
                else:
                    found.append(part)
        else:
            found.append(line)
    return found


def escaped(line: str) -> str:
    """Return a line whose signs outside of backticks mean themselves."""
    parts = QUOTED.split(line)
    parts[::2] = [re.sub(r"([|*\\])|(?<=\w)(_)(?!\w)", r"\\\1\2", part) for part in parts[::2]]
    return "".join(parts)


def setup(app: Any) -> None:
    """Run before Napoleon, which turns sections into fields."""
    app.connect("autodoc-process-docstring", plain, priority=100)
