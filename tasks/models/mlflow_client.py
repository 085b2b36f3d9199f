"""The MLflow client that the registry uses: patient while the database is locked, with errors that tell apart."""

import logging
import os
import random
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing, suppress
from functools import cache, partial
from pathlib import Path
from typing import Any

from domains.errors import UserError


class NotThereError(LookupError):
    """MLflow has no such model, version or alias."""


class AlreadyThereError(Exception):
    """MLflow has such an experiment or model already."""


@cache
def connect(uri: str) -> "Client":
    """Return the client of a tracking URI; one a process."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")
    from mlflow import MlflowClient

    logging.getLogger("mlflow").setLevel(logging.WARNING)  # also where something else imported it first
    # It prints a traceback for every locked database, before there is a chance to try again.
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)
    if uri.startswith("sqlite:///"):
        _make_sqlite(Path(uri.removeprefix("sqlite:///")))
    return Client(partial(MlflowClient, tracking_uri=uri, registry_uri=uri), uri)


def _make_sqlite(path: Path) -> None:
    """Make the database file with a write-ahead log: readers and a writer do not wait for each other."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot make {path.parent} for MLflow's database: {error.strerror or error}") from error
    with suppress(sqlite3.OperationalError), closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA journal_mode = WAL")  # not possible on some network drives: then without


class Client:
    """An MlflowClient that tries again while the database is locked.

    Raises:
        NotThereError, AlreadyThereError: instead of an MlflowException that says so.
        UserError: what a person has to correct; one line that says how.
    """

    TRIES = 8

    def __init__(self, make: Callable[[], Any], uri: str) -> None:
        self._uri = uri
        self._client = self._translate_errors(make)

    def __getattr__(self, name: str) -> Callable[..., Any]:
        call = getattr(self._client, name)

        def patiently(*args: Any, **kwargs: Any) -> Any:
            for attempt in range(self.TRIES):
                try:
                    return self._translate_errors(call, *args, **kwargs)
                except DatabaseLockedError:
                    time.sleep(random.uniform(0, 0.05 * 2**attempt))
            raise UserError("MLflow's database stays locked: end the process that holds it, then run again")

        return patiently

    def _translate_errors(self, call: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        from mlflow.exceptions import MlflowException

        try:
            return call(*args, **kwargs)
        except MlflowException as error:
            if "database is locked" in str(error):
                raise DatabaseLockedError from error
            if "disk is full" in str(error):
                raise UserError("the disk with MLflow's database is full: free some space, then run again") from error
            if "out-of-date database schema" in str(error):
                raise UserError(
                    "MLflow's database is of an earlier version of MLflow: copy it, then run mlflow db upgrade with "
                    "its address, sqlite:/// and the path of mlflow.db unless ACCLIMATE_MLFLOW_URI says otherwise"
                ) from error
            if self._uri in str(error):  # may have a password in it
                raise UserError(
                    f"MLflow cannot use ACCLIMATE_MLFLOW_URI, which begins with {self._uri.partition(':')[0]}: it "
                    "takes sqlite, postgresql, mysql, mssql, http or https"
                ) from None
            if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                raise NotThereError(str(error)) from error
            if error.error_code == "RESOURCE_ALREADY_EXISTS":
                raise AlreadyThereError(str(error)) from error
            raise


class DatabaseLockedError(Exception):
    """Another process holds MLflow's database; trying again helps."""
