"""What is tried again: what could not be reached, and nothing that a person has to mend."""

from types import SimpleNamespace

import pytest
from prefect.context import TaskRunContext
from prefect.states import Failed

from domains.errors import UnreachableError, UserError
from tasks.base import retries


@pytest.mark.parametrize(
    ("error", "again"), [(UnreachableError("no network"), True), (UserError("no labels"), False), (KeyError(), False)]
)
def test_only_what_could_not_be_reached_is_tried_again(error, again, monkeypatch):
    assert retries.is_unreachable(None, None, Failed(data=error)) is again
    assert not retries.is_tried_again(error)  # outside of a task
    for tries, left in ((1, True), (3, False)):
        context = SimpleNamespace(task_run=SimpleNamespace(run_count=tries))
        monkeypatch.setattr(TaskRunContext, "get", lambda context=context: context)
        assert retries.is_tried_again(error) is (again and left)
