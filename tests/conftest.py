"""Fixtures that tests of more than one package use."""

import pytest

from domains.fetch import Fetch
from tasks.settings import settings


@pytest.fixture(scope="session")
def fetch() -> Fetch:
    """The downloads that the project itself keeps, so that a test run fetches a file once."""
    now = settings()
    return Fetch(cache=now.home_path / "downloads", mirror=now.mirror)
