"""Progress as a person sees it: in the terminal, and as artifacts that never disturb the work."""

import io
import re
from itertools import product
from threading import Condition, Thread

import prefect.artifacts
import pytest
from rich.console import Console

import tasks.base.progress
from tasks.base.progress import EVERY, in_run, progress, slug, terminal


class Pause:
    """An event whose waits last until the test says that their time is over."""

    def __init__(self):
        self.ended, self.over, self.waiting, self.changed = False, 0, False, Condition()

    def _change(self, **values):
        vars(self).update(values)
        self.changed.notify_all()

    def set(self):
        with self.changed:
            self._change(ended=True)

    def wait(self, seconds):
        assert seconds == EVERY
        with self.changed:
            self._change(waiting=True)
            self.changed.wait_for(lambda: self.over or self.ended)
            self._change(waiting=False, over=max(0, self.over - 1))
            return self.ended

    def pass_by(self):
        """End the wait of now or next, and return when what follows it is done."""
        with self.changed:
            self._change(over=self.over + 1)
            self.changed.wait_for(lambda: self.waiting and not self.over)


@pytest.fixture
def pauses(monkeypatch):
    """The pauses between updates of each work, in the order in which they began; a test says when one is over."""
    made = []
    monkeypatch.setattr(tasks.base.progress, "Event", lambda: made.append(Pause()) or made[-1])
    monkeypatch.setattr(tasks.base.progress, "PATIENCE", None)
    return made


@pytest.fixture
def sent(monkeypatch, pauses):
    """What a run sends to the server."""
    sent = []

    def create(percent, key, description, _sync):
        sent.append(("create", key, percent))
        return "id"

    def update(artifact, percent, description, _sync):
        sent.append(("update", artifact, percent))

    monkeypatch.setattr(tasks.base.progress, "in_run", lambda: True)
    monkeypatch.setattr(prefect.artifacts, "create_progress_artifact", create)
    monkeypatch.setattr(prefect.artifacts, "update_progress_artifact", update)
    return sent


def work(steps=10, title="Encoding hpo", after=lambda: None):
    with progress(title, steps) as advance:
        for _ in range(steps):
            advance()
            after()


def test_a_run_gets_one_artifact_that_ends_at_100_percent(sent, pauses):
    work(after=lambda: pauses[0].pass_by())
    assert sent[0] == ("create", "progress-encoding-hpo", 10)
    assert {entry[:2] for entry in sent[1:]} == {("update", "id")}
    assert [entry[2] for entry in sent] == [*range(10, 101, 10), 100]


def test_steps_between_two_updates_are_sent_once(sent, pauses):
    with progress("Encoding hpo", 100) as advance:
        advance(30)
        advance(5)
        pauses[0].pass_by()
        advance()
    assert [entry[2] for entry in sent] == [35, 100]


def test_work_inside_of_other_work_is_shown_as_a_step_of_it(sent, pauses):
    with progress("Adapt to many", 1) as advance:
        work(after=lambda: pauses[0].pass_by())
        advance()
    assert [entry[:2] for entry in sent] == [("create", "progress-adapt-to-many"), ("update", "id")]


def test_work_that_stands_still_sends_nothing(sent, pauses):
    with progress("Waiting", 2) as advance:
        advance()
        for _ in range(5):
            pauses[0].pass_by()
    assert [entry[2] for entry in sent] == [50, 100]


def test_short_work_and_work_outside_a_run_get_no_artifact(sent, monkeypatch):
    work()
    monkeypatch.setattr(tasks.base.progress, "in_run", in_run)
    work()
    assert sent == []


def test_work_that_fails_is_not_shown_as_finished_and_its_error_arrives(sent, pauses):
    def failing():
        with progress("Failing", 10) as advance:
            advance(3)
            pauses[0].pass_by()
            raise OSError

    with pytest.raises(OSError):  # noqa: PT011
        failing()
    assert sent[-1][2] == 30


def test_a_server_that_is_away_disturbs_nobody(sent, pauses, monkeypatch):
    def away(*args, **kwargs):
        sent.append("tried")
        raise ConnectionError

    monkeypatch.setattr(prefect.artifacts, "create_progress_artifact", away)
    work(steps=3, after=lambda: pauses[0].pass_by())
    assert sent == ["tried"] * 3


def test_steps_counted_in_many_threads_are_all_counted():
    with progress("Threads", 4000) as advance:
        threads = [Thread(target=lambda: [advance() for _ in range(1000)]) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert advance.__self__.done == 4000


def test_a_terminal_shows_a_bar_while_working_and_one_line_after_long_work(monkeypatch):
    class Clock:
        seconds = 0.0

        def tick(self):
            self.seconds += 1

    clock = Clock()
    monkeypatch.setattr(tasks.base.progress, "monotonic", lambda: clock.seconds)
    out = io.StringIO()
    with terminal(Console(file=out, force_terminal=True, width=100)):
        work(title="Encoding [hpo]", after=clock.tick)
        work(title="Quick")
    shown = out.getvalue()
    assert "/10" in shown
    assert "Encoding [hpo], 10 s" in shown
    assert "Quick, " not in shown


def test_nothing_is_shown_without_a_terminal(capsys):
    work()
    assert capsys.readouterr() == ("", "")


def test_keys_have_only_what_prefect_allows():
    assert slug("Adapt: HPO/x", "scores") == "adapt-hpo-x-scores"
    assert slug("ünïcode ✓") == "n-code"
    assert slug("✓") == "untitled"


def test_names_that_differ_have_keys_that_differ():
    names = ["".join(letters) for n in range(1, 6) for letters in product("a1-_", repeat=n) if letters[0] not in "-_"]
    names += ["many", "a-b--1", "a--b--x"]
    keys = {slug(f"adapt-{name}") for name in names}
    assert len(keys) == len(set(names))
    assert all(re.fullmatch("[a-z0-9-]+", key) for key in keys)
    assert slug("adapt-fx-latest") == "adapt-fx-latest"
