"""Many adaptations in one flow run: where they run, and what is said of those that fail."""

import logging

import pytest
from prefect.states import Completed, Failed
from prefect.task_runners import ThreadPoolTaskRunner

from domains.errors import UserError
from tasks.adapt import batch
from tasks.adapt.batch import Outcome, Request
from tasks.base.settings import Settings


class Done:
    """A future that has ended."""

    def __init__(self, decision: str, said: str) -> None:
        self.value, self.state = Outcome(decision, said), Completed() if said != "broken" else Failed(message=said)

    def wait(self) -> None: ...

    def result(self) -> Outcome:
        return self.value


def adapt_to(done: dict[str, Done]) -> str:
    return batch.adapt_each(lambda request: done[request.domain], [Request(domain=name) for name in done])


@pytest.fixture(autouse=True)
def tables(monkeypatch):
    shown = []
    monkeypatch.setattr(batch, "table_artifact", lambda key, rows, description: shown.extend(rows))
    return shown


def test_they_run_one_after_another_unless_a_cluster_is_set(monkeypatch):
    assert isinstance(batch.task_runner(), ThreadPoolTaskRunner)
    monkeypatch.setattr(batch, "settings", lambda: Settings(dask="tcp://10.0.0.1:8786", processes=2))
    assert batch.task_runner().address == "tcp://10.0.0.1:8786"
    monkeypatch.setattr(batch, "settings", lambda: Settings(dask="local", processes=2))
    assert batch.task_runner().cluster_kwargs["n_workers"] == 2


def test_what_came_of_each_is_in_a_table(tables):
    done = {"a": Done("promoted", "better"), "b": Done("refused", "worse")}
    assert adapt_to(done) == "2 adapted to, 1 promoted"
    assert [row["decision"] for row in tables] == ["promoted", "refused"]


def test_one_that_fails_is_named_and_the_others_are_in_the_table(tables):
    done = {"a": Done("", "UserError: no labels"), "b": Done("promoted", "better"), "c": Done("", "broken")}
    with pytest.raises(UserError, match="2 of 3 adaptations failed: a: UserError: no labels, c: broken"):
        adapt_to(done)
    assert [row["decision"] for row in tables] == ["failed", "promoted", "failed"]


def test_what_waits_for_a_person_is_no_failure_and_stops_no_other(tables):
    done = {"a": Done("awaiting approval", "passed the gate"), "b": Done("promoted", "better")}
    assert adapt_to(done) == "2 adapted to, 1 promoted, 1 wait for approval"


def test_an_adaptation_that_fails_is_an_outcome_in_one_line(monkeypatch):
    monkeypatch.setattr(batch, "get_run_logger", lambda: logging.getLogger())

    def adapt_directly(request):
        raise UserError(f"{request.domain} has\nno labels")

    one = batch.make_task(adapt_directly)
    assert one.fn(Request(domain="a")) == ("", "UserError: a has no labels")
