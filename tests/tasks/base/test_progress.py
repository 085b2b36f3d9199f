"""Progress as a person sees it: in the terminal, and as artifacts that never disturb the work."""

import io
import time
from threading import Thread

import prefect.artifacts
import pytest
from rich.console import Console

import tasks.base.progress
from tasks.base.progress import in_run, progress, slug, terminal


@pytest.fixture
def sent(monkeypatch):
    """What a run would send to the server, a hundred times as often as usual."""
    sent = []

    def create(percent, key, description, _sync):
        sent.append(("create", key, percent))
        return "id"

    def update(artifact, percent, description, _sync):
        sent.append(("update", artifact, percent))

    monkeypatch.setattr(tasks.base.progress, "in_run", lambda: True)
    monkeypatch.setattr(tasks.base.progress, "EVERY", 0.02)
    monkeypatch.setattr(prefect.artifacts, "create_progress_artifact", create)
    monkeypatch.setattr(prefect.artifacts, "update_progress_artifact", update)
    return sent


def work(seconds, steps=10, title="Encoding hpo"):
    with progress(title, steps) as advance:
        for _ in range(steps):
            advance()
            time.sleep(seconds / steps)


def test_a_run_gets_one_artifact_that_ends_at_100_percent(sent):
    work(0.3)
    assert sent[0][:2] == ("create", "encoding-hpo-progress")
    assert {entry[:2] for entry in sent[1:]} == {("update", "id")}
    percents = [entry[2] for entry in sent]
    assert percents == sorted(percents)
    assert 0 < percents[0] < 100
    assert percents[-1] == 100
    assert len(sent) <= 17


def test_work_inside_of_other_work_is_shown_as_a_step_of_it(sent):
    with progress("Adapt to many", 1) as advance:
        work(0.1)
        advance()
    assert [entry[:2] for entry in sent] == [("create", "adapt-to-many-progress"), ("update", "id")]


def test_work_that_stands_still_sends_nothing(sent):
    with progress("Waiting", 2) as advance:
        advance()
        time.sleep(0.3)
    assert len(sent) == 2


def test_short_work_and_work_outside_a_run_get_no_artifact(sent, monkeypatch):
    work(0.0)
    monkeypatch.setattr(tasks.base.progress, "in_run", in_run)
    work(0.1)
    assert sent == []


def test_work_that_fails_is_not_shown_as_finished_and_its_error_arrives(sent):
    def failing():
        with progress("Failing", 10) as advance:
            advance(3)
            time.sleep(0.1)
            raise OSError

    with pytest.raises(OSError):  # noqa: PT011
        failing()
    assert sent[-1][2] == 30


def test_a_server_that_is_away_disturbs_nobody(sent, monkeypatch):
    def away(*args, **kwargs):
        sent.append("tried")
        raise ConnectionError

    monkeypatch.setattr(prefect.artifacts, "create_progress_artifact", away)
    work(0.2)
    assert len(sent) > 1


def test_steps_counted_in_many_threads_are_all_counted():
    with progress("Threads", 4000) as advance:
        threads = [Thread(target=lambda: [advance() for _ in range(1000)]) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert advance.__self__.done == 4000


def test_a_terminal_shows_a_bar_while_working_and_one_line_after_long_work(monkeypatch):
    monkeypatch.setattr(tasks.base.progress, "EVERY", 0.05)
    out = io.StringIO()
    with terminal(Console(file=out, force_terminal=True, width=100)):
        work(0.3, title="Encoding [hpo]")
        work(0.0, title="Quick")
    shown = out.getvalue()
    assert "/10" in shown
    assert "Encoding [hpo], 0 s" in shown
    assert "Quick, " not in shown


def test_nothing_is_shown_without_a_terminal(capsys):
    work(0.05)
    assert capsys.readouterr() == ("", "")


def test_keys_have_only_what_prefect_allows():
    assert slug("Adapt: HPO_x", "scores") == "adapt-hpo-x-scores"
    assert slug("ünïcode ✓") == "n-code"
    assert slug("✓") == "untitled"
