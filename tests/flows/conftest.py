"""Commands in the process of a test."""

from collections.abc import Callable

import pytest

from flows import cli

Said = tuple[int, str, str]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Callable[..., Said]:
    """Run a command in this process; returns its exit code and what it printed to stdout and stderr."""

    def run(*arguments: str) -> Said:
        code = 0
        try:
            cli.main(arguments)
        except SystemExit as left:
            code = int(left.code or 0)
        return code, *capsys.readouterr()

    return run
