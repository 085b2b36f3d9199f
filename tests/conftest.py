"""Fixtures that tests of more than one package use."""

import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from threading import Lock

import pytest
import torch

from domains.fetch import Fetch
from tasks.base.settings import settings
from tasks.models import mlflow_client

os.environ["DVC_NO_ANALYTICS"] = "1"  # else each dvc command starts a process that imports DVC once more
os.environ.setdefault("OMP_NUM_THREADS", "1")  # of the processes that run the tests, and of commands that these start
os.environ["PREFECT_PROFILES_PATH"] = "/none/profiles.toml"  # not the server of whoever runs them
os.environ.setdefault("ACCLIMATE_ENCODER_TEXT", "minilm")  # alone, for speed; what reads with several says so


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that take longest, so that no process ends long before another."""
    items.sort(key=lambda item: {"end_to_end", "service"}.isdisjoint(item.path.parts))


@pytest.fixture(scope="session")
def fetch() -> Fetch:
    """The downloads that the project itself keeps, so that a test run fetches a file once."""
    now = settings()
    return Fetch(cache=now.home_path / "downloads", mirror=now.mirror)


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """Small tensors are faster so, and tests that run side by side do not take each other's cores."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session", autouse=True)
def mlflow_template(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Have MLflow's databases in SQLite begin as copies of one that is made when it is first needed, by MLflow itself.

    A new one takes it sixty migrations, more than a second.
    """
    template, making, make = tmp_path_factory.mktemp("template") / "mlflow.db", Lock(), mlflow_client._make_sqlite

    def copy(path: Path) -> None:
        with making:
            new = not path.exists()
            make(path)
            if new:
                if not template.exists():
                    make(template)
                    fill(template)
                shutil.copyfile(template, path)

    def fill(path: Path) -> None:
        from mlflow import MlflowClient

        MlflowClient(f"sqlite:///{path}", f"sqlite:///{path}").search_registered_models()
        with closing(sqlite3.connect(path)) as database:
            database.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mlflow_client, "_make_sqlite", copy)
        yield
