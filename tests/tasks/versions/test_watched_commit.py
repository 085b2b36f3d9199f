"""Which commit is adapted to, and what becomes of a git remote that does not answer."""

import os
import shutil

import psutil
import pytest

from domains.errors import UserError
from tasks.base.settings import Settings
from tasks.versions import watched_commit
from tasks.versions.commit import commit
from tasks.versions.git import git
from tasks.versions.watched_commit import check_faults, commit_to_watch, revision_to_read

GIT = shutil.which("git")


def test_an_unknown_revision_is_refused(checkout):
    with pytest.raises(UserError, match="unknown git revision"):
        commit_to_watch(Settings(root=checkout.root, watch="gone"), [])


def test_a_remote_that_cannot_be_reached_is_a_note_and_what_is_known_of_it_is_used(checkout):
    checkout.git("remote", "add", "origin", str(checkout.root / "nowhere"))
    checkout.git("update-ref", "refs/remotes/origin/main", "HEAD")
    notes = []
    watched = Settings(root=checkout.root, watch="origin/main")
    assert commit_to_watch(watched, notes) == checkout.git("rev-parse", "HEAD")
    with pytest.raises(UserError, match="git remote origin cannot be reached"):
        check_faults(["no meta-model yet", *notes])
    check_faults(["no meta-model yet"])


def test_a_remote_that_does_not_answer_does_not_keep_the_tick(checkout):
    checkout.git("config", "alias.wait", "!sleep 5")
    done = git(checkout.root, "wait", seconds=0.2)
    assert (done.returncode, done.stderr) == (1, "no answer within 0.2 s")


def test_a_git_that_hangs_is_ended_with_what_it_started_and_the_tick_goes_on(checkout, tmp_path, monkeypatch):
    checkout.git("remote", "add", "origin", ".")
    checkout.git("update-ref", "refs/remotes/origin/main", "HEAD")
    stub = tmp_path / "bin/git"
    stub.parent.mkdir()
    stub.write_text(f'#!/bin/sh\ncase " $* " in *" fetch "*) sleep 600;; esac\nexec {GIT} "$@"\n')
    stub.chmod(0o755)
    monkeypatch.setenv("PATH", f"{stub.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(watched_commit, "FETCH", 0.5)
    notes = []
    assert commit_to_watch(Settings(root=checkout.root, watch="origin/main"), notes) == checkout.git(
        "rev-parse", "HEAD"
    )
    assert notes == ["git remote origin cannot be reached: no answer within 0.5 s"]
    hung = psutil.Process().children(recursive=True)
    psutil.wait_procs(hung, timeout=10)
    assert not [each for each in hung if each.is_running() and "sleep" in each.name()]


def test_what_needs_no_other_machine_has_a_limit_too(checkout, monkeypatch):
    monkeypatch.setattr("tasks.versions.git.LOCAL", 0.2)
    checkout.git("config", "alias.wait", "!sleep 5")
    assert git(checkout.root, "wait").stderr == "no answer within 0.2 s"


def test_a_scheduled_run_reads_what_is_known_of_a_remote_and_hears_that_it_cannot_be_reached(checkout, monkeypatch):
    checkout.git("remote", "add", "origin", str(checkout.root / "nowhere"))
    checkout.git("update-ref", "refs/remotes/origin/main", "HEAD")
    monkeypatch.setenv("ACCLIMATE_WATCH", "origin/main")
    notes = []
    assert revision_to_read("", notes) == checkout.git("rev-parse", "HEAD")
    with pytest.raises(UserError, match="git remote origin cannot be reached"):
        check_faults(notes)


def test_what_a_schedule_reads_is_the_revision_that_is_watched(checkout, monkeypatch):
    checkout.git("branch", "older")
    checkout.write("news", train=8, test=4)
    commit(checkout.root, checkout.home, "more", checked=False)
    monkeypatch.setenv("ACCLIMATE_WATCH", "older")
    assert revision_to_read("HEAD", []) == "HEAD"
    assert revision_to_read("", []) == checkout.git("rev-parse", "older") != checkout.git("rev-parse", "HEAD")
