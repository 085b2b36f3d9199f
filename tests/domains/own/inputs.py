"""What a user gives to ``domains add``, as the tests of all kinds of input read it."""

from pathlib import Path
from typing import Any

import pytest

from domains.errors import UserError
from domains.own.new_domain import NewDomain
from domains.own.opening import open_input
from domains.own.options import AddOptions


def understand(path: Path, **options: Any) -> NewDomain:
    """Return what is made of an input."""
    return open_input(str(path), AddOptions(**options)).understand(lambda n: None)


def refused(path: Path, **options: Any) -> str:
    """Return the one line with which an input is refused."""
    with pytest.raises(UserError) as caught:
        understand(path, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)
