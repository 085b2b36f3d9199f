"""Pushes of versions of ``data/`` to DVC remotes that are folders."""

import shutil
import socket
import threading
from collections.abc import Iterator

import psutil
import pytest

from domains.errors import UnreachableError, UserError
from tasks.base import limited
from tasks.versions.cache import usual_path
from tasks.versions.commit import commit
from tasks.versions.push import push
from tasks.versions.revisions import data_revision
from tasks.versions.snapshots import snapshot


def configure(checkout, text: str) -> None:
    (checkout.root / ".dvc/config.local").write_text(text)


def test_without_a_remote_a_folder_is_made_one_in_the_configuration_that_is_not_committed(checkout):
    done = push(checkout.root, checkout.home)
    assert (done.remote, done.made, done.objects) == ("local", True, 6)
    assert (checkout.home / "remote/files/md5").is_dir()
    assert "verify = True" in (checkout.root / ".dvc/config.local").read_text()
    assert checkout.status() == ""
    again = push(checkout.root, checkout.home)
    assert (again.made, again.objects) == (False, 0)
    checkout.run("rm", "-r", ".dvc/cache")
    assert snapshot(checkout.root, checkout.home, "news").counts == {"test": 4, "train": 6}


def test_a_remote_of_the_user_is_used_and_made_to_verify(checkout, tmp_path):
    configure(checkout, f"[core]\n    remote = team\n['remote \"team\"']\n    url = {tmp_path / 'team'}\n")
    assert push(checkout.root, checkout.home).remote == "team"
    assert (tmp_path / "team/files/md5").is_dir()
    assert "verify = True" in (checkout.root / ".dvc/config.local").read_text()


def test_remotes_none_of_which_is_the_default_are_asked_about(checkout, tmp_path):
    configure(checkout, f"['remote \"team\"']\n    url = {tmp_path / 'team'}\n")
    with pytest.raises(UserError, match="no DVC remote is the default: dvc remote default team"):
        push(checkout.root, checkout.home)


def test_a_remote_that_cannot_be_written_is_named_and_a_second_push_goes_on(checkout):
    checkout.home.mkdir(exist_ok=True)
    (checkout.home / "remote").write_text("a file where the folder should be")
    done = commit(checkout.root, checkout.home, "x")
    with pytest.raises(UserError, match=r"push to the DVC remote local \(.*remote\) failed: .*irectory|exists"):
        push(checkout.root, checkout.home)
    assert done.commit is None
    (checkout.home / "remote").unlink()
    assert push(checkout.root, checkout.home).objects == 6


def test_a_full_remote_is_named_and_what_arrived_stays(checkout, monkeypatch):
    from dvc_objects.fs.local import LocalFileSystem

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(LocalFileSystem, "put_file", full)
        patch.setattr(LocalFileSystem, "reflink", full, raising=False)
        with pytest.raises(UserError, match=r"push to the DVC remote local .* failed: .*No space left on device"):
            push(checkout.root, checkout.home)
    assert push(checkout.root, checkout.home).objects == 6


def test_damaged_bytes_at_the_remote_are_noticed(checkout):
    push(checkout.root, checkout.home)
    name = data_revision(checkout.root).data_hash
    there = checkout.home / "remote/files/md5" / name[:2] / name[2:]
    there.chmod(0o644)
    there.write_text("[]")
    usual_path(checkout.root, name).unlink()
    with pytest.raises(UserError, match="nor sound at its remote"):
        snapshot(checkout.root, checkout.home, "news")


def test_bytes_that_are_nowhere_are_named(checkout):
    files = [path for path in (checkout.root / ".dvc/cache/files/md5").glob("*/*") if not path.name.endswith(".dir")]
    for path in files:
        path.unlink()
    with pytest.raises(UserError, match=r"data/news/domain\.yaml is not in DVC's cache; acclimate data verify"):
        push(checkout.root, checkout.home)


@pytest.fixture
def hanging(checkout, monkeypatch) -> Iterator[socket.socket]:
    """A remote that takes calls and never answers, from which the cache needs everything."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        configure(checkout, f"[core]\n    remote = team\n['remote \"team\"']\n    url = http://127.0.0.1:{port}/\n")
        monkeypatch.setenv("ACCLIMATE_TRANSFER_LIMIT", "1s")

        class Timer(threading.Timer):
            """Begins to count when the remote was called, however long that took."""

            def run(self):
                call, _ = server.accept()
                super().run()
                call.close()

        monkeypatch.setattr(limited, "Timer", Timer)
        yield server


def test_a_remote_that_does_not_answer_is_one_line_and_nothing_is_left_of_the_pull(checkout, hanging):
    shutil.rmtree(checkout.root / ".dvc/cache")
    before = psutil.Process().children()
    said = r"nor sound at its remote \(no end within 1 s; ACCLIMATE_TRANSFER_LIMIT=1s\): check out"
    with pytest.raises(UnreachableError, match=said):
        snapshot(checkout.root, checkout.home, "news")
    assert psutil.Process().children() == before
