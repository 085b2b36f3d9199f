"""Every setting and its default, written once. Each can be set as an environment variable ``ACCLIMATE_…``."""

import os
import re
from functools import cached_property
from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from domains.domain import FAMILIES, Family
from domains.errors import UserError, check_known

PoolType = Literal["process", "docker", "kubernetes"]


class Settings(BaseSettings):
    """Where things are and how much of the machine to use.

    Relative paths are relative to ``root``, the git checkout that holds ``data.dvc``.
    """

    model_config = SettingsConfigDict(env_prefix="ACCLIMATE_", env_file=".env", extra="ignore")

    root: Path = Path()
    home: Path = Path(".acclimate")  # all state: Prefect, MLflow, caches, checkpoints
    mirror: Path | None = None  # folder searched for source files before the network
    host: str = "127.0.0.1"
    port: int = Field(4200, ge=1, le=65535)
    mlflow_uri: str = ""  # default: SQLite in home
    ledger: str = ""  # address of a database; default: SQLite in home
    watch: str = "HEAD"  # git revision whose data is adapted to; with a remote's name, as origin/main, it is fetched
    dask: str = ""  # spread many adaptations: local, or the address of a Dask scheduler
    encoder_text: str = ""  # of texts, commas between several: minilm, e5 (default: both), minilm-int8, e5-int8
    bfloat16: Literal["auto", "never"] = "auto"  # texts in 16 bits; auto: where the processor multiplies them itself
    int8: Literal["auto", "never"] = "auto"  # texts in 8 bits; auto: where that is faster
    encoder_vision: str = ""  # of images: efficientnet
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"  # where networks run; auto: a GPU, if there is one
    budget: str = "0"  # how long an adaptation may tune an encoder to all labels: 90s, 10m, 1h
    seed: int = 0
    approval: Literal["none", "ask"] = "none"  # whether a person has to approve of what passed the gate
    approval_hours: float = Field(24, gt=0, le=24 * 365)  # after which no answer is a no
    webhook: SecretStr = SecretStr("")  # address that hears of failures and new champions
    pool_type: PoolType = "process"  # what a flow run is: a process of the worker, or a container
    image: str = ""  # of the containers
    git_url: str = ""  # where containers clone the project from; default: the checkout's origin
    pending_limit: str = ""  # how long a run that a worker took may need to begin; default: 150s, of containers 1h
    run_limit: str = "12h"  # how long a flow run may take; then it fails, and what it holds is free again
    tick_limit: str = "10m"  # how long a run of watch or reconcile may take
    transfer_limit: str = "1h"  # how long a pull or push of data may take
    warm: bool = True  # whether flow runs are forked off a process that has imported everything (Linux)
    processes: int = Field(os.cpu_count() or 1, ge=1)

    @property
    def run_seconds(self) -> int:
        """How long a flow run may take."""
        return read_duration(self.run_limit)

    @property
    def tick_seconds(self) -> int:
        """How long a run of ``watch`` or ``reconcile`` may take."""
        return read_duration(self.tick_limit)

    @cached_property
    def root_path(self) -> Path:
        return self.root.resolve()

    @cached_property
    def home_path(self) -> Path:
        return self.root_path / self.home

    @cached_property
    def data_path(self) -> Path:
        return self.root_path / "data"

    @cached_property
    def tracking_uri(self) -> str:
        return self.mlflow_uri or f"sqlite:///{self.home_path / 'mlflow.db'}"

    @cached_property
    def ledger_uri(self) -> str:
        return self.ledger or f"sqlite:///{self.home_path / 'ledger.db'}"

    @property
    def ledger_without_password(self) -> str:
        """Address of the ledger without its password."""
        from sqlalchemy import make_url
        from sqlalchemy.exc import ArgumentError

        try:
            return make_url(self.ledger_uri).render_as_string()
        except ArgumentError:
            return "what ACCLIMATE_LEDGER names"


def settings() -> Settings:
    """Read the settings from the environment (cheap; nothing is kept between calls)."""
    try:
        return Settings()
    except ValidationError as error:
        wrong = error.errors()[0]
        name = "_".join(str(part) for part in wrong["loc"]).upper()
        raise UserError(f"ACCLIMATE_{name}={wrong['input']}: {wrong['msg'].lower()}; change or unset it") from error


def read_duration(text: str) -> int:
    """Return the seconds of a time as people write it: 90s, 10m, 1h, 30d, or a number of seconds.

    Raises:
        UserError: it is none.
    """
    found = re.fullmatch(r"(\d{1,6})([smhd]?)", text.strip().lower())
    if found is None:
        raise UserError(f"{text!r} is not a duration; write it as 90s, 10m or 1h")
    return int(found[1]) * {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}[found[2]]


def families(names: list[str] | None) -> list[Family]:
    """Return known families in order (all when none are named), or raise UserError."""
    check_known(names or (), FAMILIES, "family")
    return [family for family in FAMILIES if not names or family in names]
