"""What is tried again: what could not be reached, and nothing that a person has to correct."""

from types import SimpleNamespace
from uuid import uuid4

import pytest
from prefect.context import FlowRunContext, TaskRunContext
from prefect.states import Failed

from domains.errors import UnreachableError, UserError
from tasks.base import retries


@pytest.mark.parametrize(
    ("error", "again"), [(UnreachableError("no network"), True), (UserError("no labels"), False), (KeyError(), False)]
)
def test_only_what_could_not_be_reached_is_tried_again(error, again, monkeypatch):
    state = Failed(data=error)
    assert not retries.is_unreachable(None, None, state)  # by hand
    deployed = SimpleNamespace(flow_run=SimpleNamespace(deployment_id=uuid4()))
    monkeypatch.setattr(FlowRunContext, "get", lambda: deployed)
    assert retries.is_unreachable(None, None, state) is again
    assert not retries.is_tried_again(error)  # outside of a task
    for tries, left in ((1, True), (3, False)):
        context = SimpleNamespace(task_run=SimpleNamespace(run_count=tries))
        monkeypatch.setattr(TaskRunContext, "get", lambda context=context: context)
        assert retries.is_tried_again(error) is (again and left)
