"""Fixtures that tests of more than one package use."""

import pytest
import torch

from domains.fetch import Fetch
from tasks.base.settings import settings


@pytest.fixture(scope="session")
def fetch() -> Fetch:
    """The downloads that the project itself keeps, so that a test run fetches a file once."""
    now = settings()
    return Fetch(cache=now.home_path / "downloads", mirror=now.mirror)


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """Small tensors are faster so, and tests that run side by side do not take each other's cores."""
    torch.set_num_threads(1)
