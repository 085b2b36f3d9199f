"""As much of a Prefect server as watching needs."""

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from uuid import uuid4

import pytest
from prefect.client.schemas.objects import State
from prefect.exceptions import ObjectNotFound
from prefect.states import Running

from tasks.watch import submitting


class Server:
    """As much of a Prefect client as a tick uses: it creates one run for one idempotency key."""

    def __init__(self):
        self.deployments = (submitting.ADAPT, submitting.ADAPT_MANY)
        self.runs, self.by_key, self.states = {}, {}, {}

    def read_deployment_by_name(self, name):
        if name not in self.deployments:
            raise ObjectNotFound(Exception(name))
        return SimpleNamespace(id=name)

    def create_flow_run_from_deployment(self, deployment, parameters, tags, idempotency_key):
        run = self.by_key.setdefault(idempotency_key, uuid4())
        self.runs.setdefault(run, (deployment, parameters))
        self.states.setdefault(run, Running())
        return SimpleNamespace(id=run)

    def read_flow_run(self, run):
        if run not in self.states:
            raise ObjectNotFound(Exception(run))
        return SimpleNamespace(state=self.states[run])

    def end(self, state: State):
        """End every run in this state."""
        self.states = dict.fromkeys(self.states, state)


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
def aged():
    """Return a state as it would be some hours after it was reached."""

    def age(state: State, hours: float) -> State:
        return state.model_copy(update={"timestamp": datetime.now(UTC) - timedelta(hours=hours)})

    return age
