"""Many adaptations in one flow run: where they run, and what is said of those that fail."""

import logging

import pytest
from prefect.states import Completed, Failed
from prefect.task_runners import ThreadPoolTaskRunner

from domains.errors import UserError
from tasks.adapt import batch as many
from tasks.adapt.batch import Request
from tasks.base.settings import Settings


class Done:
    """A future that has ended."""

    def __init__(self, decision: str, said: str) -> None:
        self.value, self.state = (decision, said), Completed() if said != "broken" else Failed(message=said)

    def wait(self) -> None: ...

    def result(self) -> tuple[str, str]:
        return self.value


def adapt_to(done: dict[str, Done]) -> str:
    return many.each(lambda request: done[request.domain], [Request(domain=name) for name in done])


@pytest.fixture(autouse=True)
def tables(monkeypatch):
    shown = []
    monkeypatch.setattr(many, "table_artifact", lambda key, rows, description: shown.extend(rows))
    return shown


def test_they_run_one_after_another_unless_a_cluster_is_set(monkeypatch):
    assert isinstance(many.runner(), ThreadPoolTaskRunner)
    monkeypatch.setattr(many, "settings", lambda: Settings(dask="tcp://10.0.0.1:8786", processes=2))
    assert many.runner().address == "tcp://10.0.0.1:8786"
    monkeypatch.setattr(many, "settings", lambda: Settings(dask="local", processes=2))
    assert many.runner().cluster_kwargs["n_workers"] == 2


def test_what_came_of_each_is_in_a_table(tables):
    done = {"a": Done("promoted", "better"), "b": Done("refused", "worse")}
    assert adapt_to(done) == "2 adapted to, 1 promoted"
    assert [row["decision"] for row in tables] == ["promoted", "refused"]


def test_one_that_fails_is_named_and_the_others_are_in_the_table(tables):
    done = {"a": Done("", "UserError: no labels"), "b": Done("promoted", "better"), "c": Done("", "broken")}
    with pytest.raises(UserError, match="2 of 3 adaptations failed: a: UserError: no labels, c: broken"):
        adapt_to(done)
    assert [row["decision"] for row in tables] == ["failed", "promoted", "failed"]


def test_a_result_that_the_server_lost_is_no_failure():
    late = Completed()  # without data, as when an answer is asked for again
    assert many.in_a_flow_run(lambda **_: late, Request(domain="a")) == ("done", "see acclimate status")
    broken = Failed(message="UserError: no labels")
    assert many.in_a_flow_run(lambda **_: broken, Request(domain="a")) == ("", "UserError: no labels")


def test_steps_are_plain_functions_and_their_errors_one_line(monkeypatch):
    monkeypatch.setattr(many, "get_run_logger", lambda: logging.getLogger())

    def steps(do, domain, **_):
        assert not hasattr(do.find_finished, "fn")
        assert do.PROBE == "logistic"
        raise UserError(f"{domain} has\nno labels")

    one = many.adapting(lambda **_: pytest.fail("nobody is asked"), steps)
    assert one.fn(Request(domain="a")) == ("", "UserError: a has no labels")
