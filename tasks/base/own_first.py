"""Processes in which our packages are always ours, whatever ``tasks.py`` of a user's own lies in the working folder.

Python looks for ``-m`` first in the working folder, and Prefect puts that folder first again while it imports a flow.
This file is started as a script, so that it is found whatever the working folder holds.
"""

import os
import runpy
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType

OURS = ("domains", "flows", "learners", "tasks")
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


class OwnFirst:
    """An import hook that finds our packages beside this file, before any folder is searched."""

    @staticmethod
    def find_spec(name: str, path: Sequence[str] | None = None, target: ModuleType | None = None) -> ModuleSpec | None:
        """Return where one of our packages is; None for every other name."""
        return PathFinder.find_spec(name, [ROOT]) if name in OURS else None


def find_ours_first() -> None:
    """Have this process and its forks find our packages here, whatever comes first in ``sys.path``."""
    if OwnFirst not in sys.meta_path:
        sys.meta_path.insert(0, OwnFirst)


def command(module: str, *arguments: str) -> list[str]:
    """Return the command that runs a module as ``python -m`` does, without the working folder to import from."""
    return [sys.executable, "-P", os.path.abspath(__file__), module, *arguments]


if __name__ == "__main__":
    find_ours_first()
    del sys.argv[0]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
