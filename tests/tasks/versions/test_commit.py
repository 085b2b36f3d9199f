"""Commits of ``data/``, in a small git and DVC checkout."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from filelock import FileLock

from domains.catalogue import quick_start
from domains.errors import UserError
from tasks.versions import data_dvc, dvc_repo
from tasks.versions.commit import commit
from tasks.versions.new_project import shipped_text
from tasks.versions.revisions import parse_pointer
from tasks.versions.snapshots import domains_at, snapshot
from tasks.versions.verify import verify


def named(checkout) -> str:
    return parse_pointer((checkout.root / "data.dvc").read_text(), "data.dvc")


def test_a_commit_names_data_as_it_is_and_says_what_changed(checkout):
    checkout.write("news", train=9, test=4)
    checkout.write("zoo", ("cat", "dog", "eel"), train=3)
    done = commit(checkout.root, checkout.home, "Add zoo")
    assert [(d.name, d.change) for d in done.diff.domains] == [("news", "changed"), ("zoo", "added")]
    assert done.diff.domains[0].before.counts == {"train": 6, "test": 4}
    assert done.diff.domains[0].after.counts == {"train": 9, "test": 4}
    assert done.commit == checkout.git("rev-parse", "HEAD")
    assert checkout.git("show", "--format=", "--name-only") == "data.dvc"
    assert checkout.status() == ""
    assert verify(checkout.root).ok
    assert snapshot(checkout.root, checkout.home, "zoo").revision == done.commit


def test_a_domain_with_errors_is_not_committed_unless_it_is_asked_for(checkout):
    folder = checkout.write("zoo", train=6, test=6)
    (folder / "test.parquet").write_bytes((folder / "train.parquet").read_bytes())
    message = r"domain zoo is not fit .*zoo/test\.parquet row 0: .*also zoo/train\.parquet.*acclimate domains check zoo"
    with pytest.raises(UserError, match=message):
        commit(checkout.root, checkout.home, "Add zoo")
    assert checkout.git("rev-list", "--count", "HEAD") == "1"
    assert commit(checkout.root, checkout.home, "Add zoo", checked=False).commit


def test_what_else_is_staged_or_changed_stays_as_it_is(checkout):
    (checkout.root / "staged.py").write_text("1")
    checkout.git("add", "staged.py")
    (checkout.root / "notes.txt").write_text("two\n")
    before = checkout.status()
    checkout.write("zoo", train=3)
    commit(checkout.root, checkout.home, "Add zoo")
    assert checkout.status() == before == "M notes.txt\nA  staged.py"
    assert checkout.git("show", "--format=", "--name-only") == "data.dvc"


@pytest.mark.parametrize("message", ["-rf", "--amend", 'it\'s "quoted" $HOME `x` ; \\', "#1 größer ✓", "a\n\n# b"])
def test_a_message_is_kept_letter_by_letter(checkout, message):
    checkout.write("zoo", train=3)
    commit(checkout.root, checkout.home, message)
    assert checkout.git("log", "-1", "--format=%B") == message
    assert checkout.git("rev-list", "--count", "HEAD") == "2"


def test_nothing_is_committed_when_nothing_changed(checkout):
    commit(checkout.root, checkout.home, "again")  # not even where the folder was built again
    checkout.write("news", train=6, test=4)
    assert commit(checkout.root, checkout.home, "again").commit is None
    assert checkout.git("rev-list", "--count", "HEAD") == "1"
    assert checkout.status() == ""


def test_the_first_commit_of_a_project_makes_data_dvc_and_has_git_ignore_the_folder(checkout):
    checkout.git("rm", "--quiet", "--cached", "data.dvc")
    (checkout.root / "data.dvc").unlink()
    (checkout.root / ".gitignore").write_text("/.acclimate/\n")
    checkout.git("commit", "--quiet", "-am", "a project without data")
    done = commit(checkout.root, checkout.home, "first")
    assert [(d.name, d.change) for d in done.diff.domains] == [("news", "added"), ("trec", "added")]
    assert checkout.git("show", "--format=", "--name-only") == ".gitignore\ndata.dvc"
    assert (checkout.root / ".gitignore").read_text() == "/.acclimate/\n/data/\n"
    assert checkout.status() == ""


def test_a_gitignore_with_changes_of_the_user_is_not_committed_for_them(checkout):
    (checkout.root / ".gitignore").write_text("/.acclimate/\n/mine\n")
    checkout.write("zoo", train=3)
    with pytest.raises(UserError, match=r"\.gitignore has changes of yours: add /data/ to it"):
        commit(checkout.root, checkout.home, "x")
    assert (checkout.root / ".gitignore").read_text() == "/.acclimate/\n/mine\n"


def test_other_words_of_data_dvc_are_kept(checkout):
    text = (checkout.root / "data.dvc").read_text()
    (checkout.root / "data.dvc").write_text(text + "  desc: ours\n")
    assert commit(checkout.root, checkout.home, "described").commit
    checkout.write("zoo", train=3)
    commit(checkout.root, checkout.home, "Add zoo")
    assert "desc: ours" in checkout.git("show", "HEAD:data.dvc")


def test_on_no_branch_a_commit_is_made_and_the_user_told(checkout):
    checkout.git("checkout", "--quiet", "--detach")
    checkout.write("zoo", train=3)
    done = commit(checkout.root, checkout.home, "Add zoo")
    assert done.commit == checkout.git("rev-parse", "HEAD")
    assert "git switch -c" in done.notes[0]


def no_data(checkout):
    checkout.run("rm", "-r", "data")


def empty_data(checkout):
    checkout.run("rm", "-r", "data/news", "data/trec")


def merge(checkout):
    (checkout.root / ".git/MERGE_HEAD").write_text(checkout.git("rev-parse", "HEAD"))


def rebase(checkout):
    (checkout.root / ".git/rebase-merge").mkdir()


def no_user(checkout):
    checkout.git("config", "user.name", "")
    checkout.git("config", "user.useConfigOnly", "true")
    checkout.git("config", "--unset", "user.email")


def no_dvc(checkout):
    checkout.run("rm", "-r", ".dvc")


def faulty(checkout):
    (checkout.root / "data/zoo/domain.yaml").write_text("name: zoo\n")


def hook(checkout):
    path = checkout.root / ".git/hooks/pre-commit"
    path.parent.mkdir(exist_ok=True)
    path.write_text("#!/bin/sh\necho the hook says no >&2\nexit 1\n")
    path.chmod(0o755)


def tracked(checkout):
    checkout.git("add", "--force", "data/news/domain.yaml")


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (no_data, "data is absent: acclimate data build"),
        (empty_data, "data is empty: acclimate data build"),
        (merge, "a git merge is under way: finish it, or git merge --abort"),
        (rebase, "a git rebase is under way: finish it, or git rebase --abort"),
        (no_user, "git does not know who you are: git config --global user.name"),
        (no_dvc, "has no .dvc folder: run dvc init"),
        (faulty, "zoo: not a domain folder"),
        (hook, "git commit failed, so nothing is committed: the hook says no"),
        (tracked, "git itself tracks files of data/: git rm -r --cached data"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_what_stands_against_a_commit_is_said_and_all_is_left_as_it_was(checkout, monkeypatch, spoil, said):
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    for name in ("GIT_AUTHOR_NAME", "GIT_AUTHOR_EMAIL", "GIT_COMMITTER_NAME", "GIT_COMMITTER_EMAIL", "EMAIL"):
        monkeypatch.delenv(name, raising=False)
    if spoil is not empty_data:
        checkout.write("zoo", train=3)
    spoil(checkout)
    before = named(checkout), checkout.status(), checkout.git("rev-parse", "HEAD")
    with pytest.raises(UserError) as raised:
        commit(checkout.root, checkout.home, "x")
    assert said in str(raised.value)
    assert "\n" not in str(raised.value)
    assert (named(checkout), checkout.status(), checkout.git("rev-parse", "HEAD")) == before


def test_outside_of_a_checkout_and_without_a_message_the_user_is_told(checkout, tmp_path):
    with pytest.raises(UserError, match="not a git checkout"):
        commit(tmp_path, tmp_path / ".acclimate", "x")
    with pytest.raises(UserError, match="the message is empty"):
        commit(checkout.root, checkout.home, " \n")


def test_a_full_disk_leaves_data_dvc_as_it_was_and_the_same_command_goes_on(checkout, monkeypatch):
    from dvc_objects.fs.local import LocalFileSystem

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    checkout.write("zoo", train=3)
    before = named(checkout)
    with monkeypatch.context() as patch:
        patch.setattr(LocalFileSystem, "put_file", full)
        patch.setattr(LocalFileSystem, "reflink", full, raising=False)
        with pytest.raises(UserError, match=r"No space left on device.*free some space"):
            commit(checkout.root, checkout.home, "x")
    assert (named(checkout), checkout.status()) == (before, "")
    assert commit(checkout.root, checkout.home, "x").commit
    assert verify(checkout.root).ok


def test_a_commit_killed_before_git_had_it_is_done_by_the_next_or_undone_with_the_data(checkout):
    before = (checkout.root / "data.dvc").read_text()
    checkout.write("zoo", train=3)
    code = """if True:
        import os, signal, sys
        from pathlib import Path
        from tasks.versions import data_dvc
        from tasks.versions.commit import commit
        real = data_dvc.git
        def git(root, *arguments, **more):
            if arguments[0] == "commit":
                os.kill(os.getpid(), signal.SIGKILL)
            return real(root, *arguments, **more)
        data_dvc.git = git
        commit(Path(sys.argv[1]), Path(sys.argv[1]) / ".acclimate", "killed")
    """
    killed = subprocess.run([sys.executable, "-c", code, str(checkout.root)], capture_output=True)
    assert killed.returncode == -9
    left = (checkout.root / "data.dvc").read_text()
    assert left != before
    with pytest.raises(UserError, match="not as committed: acclimate data commit"):
        verify(checkout.root)
    assert commit(checkout.root, checkout.home, "again").commit
    assert verify(checkout.root).ok
    checkout.git("reset", "--quiet", "--soft", "HEAD~1")  # as if killed again, and then the data taken back
    checkout.run("rm", "-r", "data/zoo")
    assert commit(checkout.root, checkout.home, "taken back").commit is None
    assert (checkout.root / "data.dvc").read_text() == before
    assert checkout.status() == ""
    assert verify(checkout.root).ok


def test_an_interrupt_that_comes_when_git_has_the_commit_leaves_it(checkout, monkeypatch):
    real = data_dvc.git

    def git(root, *arguments, **more):
        done = real(root, *arguments, **more)
        if arguments[0] == "commit":
            raise KeyboardInterrupt
        return done

    checkout.write("zoo", train=3)
    with monkeypatch.context() as patch:
        patch.setattr(data_dvc, "git", git)
        with pytest.raises(KeyboardInterrupt):
            commit(checkout.root, checkout.home, "x")
    assert checkout.status() == ""
    assert verify(checkout.root).ok


def test_a_lock_of_git_is_waited_for_and_then_reported(checkout, monkeypatch):
    lock = checkout.root / ".git/index.lock"
    checkout.write("zoo", train=3)
    lock.touch()
    with monkeypatch.context() as patch:
        patch.setattr(dvc_repo, "LOCK_SECONDS", 0)
        with pytest.raises(UserError, match=r"index\.lock"):
            commit(checkout.root, checkout.home, "x")
    assert verify(checkout.root).ok is False
    monkeypatch.setattr(dvc_repo, "pause", lock.unlink)  # while it is waited for
    assert commit(checkout.root, checkout.home, "x").commit
    assert not lock.exists()


def test_a_commit_waits_while_another_command_writes_data_and_says_so(checkout):
    checkout.home.mkdir(exist_ok=True)
    held, said = FileLock(checkout.home / "build.lock", thread_local=False), []
    held.acquire()
    checkout.write("zoo", train=3)
    assert commit(checkout.root, checkout.home, "x", lambda line: (said.append(line), held.release())).commit
    assert "waiting" in said[0]


def test_two_writers_at_once_both_end_up_committed(checkout):
    code = """if True:
        import sys
        from flows.cli import main
        main(["data", "commit", "--no-push", "-m", "Add " + sys.argv[1]])
    """
    writers = []
    for name in ("left", "right"):
        checkout.write(name, train=3)
        command = [sys.executable, "-c", code, name]
        writers.append(subprocess.Popen(command, cwd=Path(__file__).parents[3], stderr=subprocess.PIPE, text=True))
    waited = "another acclimate command is writing data/; waiting for it"  # said on a busy machine
    for writer in writers:
        assert (writer.wait(), writer.stderr.read().strip().removeprefix(waited)) == (0, "")
    assert set(domains_at(checkout.root)) == {"left", "news", "right", "trec"}
    assert verify(checkout.root).ok
    assert checkout.status() == ""


def test_a_file_that_changes_while_it_is_read_is_noticed_and_spoils_nothing(checkout, monkeypatch):
    from tasks.versions.data_folder import keep_in_cache

    def change_first(repo, folder, *more):
        (checkout.root / "data/zoo/train.parquet").write_text("changed meanwhile")
        keep_in_cache(repo, folder, *more)

    checkout.write("zoo", train=3)
    with monkeypatch.context() as patch:
        patch.setattr("tasks.versions.commit.keep_in_cache", change_first)
        with pytest.raises(UserError, match=r"data/zoo/train\.parquet was changed while it was read"):
            commit(checkout.root, checkout.home, "x")
    checkout.write("zoo", train=3)
    commit(checkout.root, checkout.home, "x")
    assert snapshot(checkout.root, checkout.home, "zoo").counts == {"train": 3}


def test_files_that_did_not_change_are_not_read_again(checkout, monkeypatch):
    from dvc_data.hashfile import build

    commit(checkout.root, checkout.home, "hashed once")
    read, real = [], build.hash_file
    monkeypatch.setattr(build, "hash_file", lambda path, *a, **k: (read.append(path), real(path, *a, **k))[1])
    checkout.write("zoo", train=3)
    commit(checkout.root, checkout.home, "x")
    assert sorted(Path(path).parts[-2:] for path in read) == [("zoo", "domain.yaml"), ("zoo", "train.parquet")]


def test_what_changed_is_unknown_and_not_nothing_where_the_former_list_is_gone(checkout):
    checkout.write("zoo", train=3)
    checkout.run("rm", "-r", ".dvc/cache")
    with pytest.raises(UserError, match=r"the list of domains at HEAD is not in.*acclimate data build.*--drop"):
        commit(checkout.root, checkout.home, "x")
    assert commit(checkout.root, checkout.home, "x", drop=True).diff is None


def test_a_domain_that_is_gone_is_dropped_only_where_that_is_asked_for(checkout):
    checkout.write("zoo", train=3)
    checkout.run("rm", "-r", "data/news")
    with pytest.raises(UserError, match=r"data/ lacks domains that HEAD has \(news\): .*--drop"):
        commit(checkout.root, checkout.home, "x")
    assert set(domains_at(checkout.root)) == {"news", "trec"}
    commit(checkout.root, checkout.home, "x", drop=True)
    assert set(domains_at(checkout.root)) == {"trec", "zoo"}


@pytest.fixture
def new(checkout):
    """The checkout with the ``data.dvc`` of the installation, as `acclimate init` leaves a project."""
    checkout.run("rm", "-r", ".dvc/cache", "data")
    (checkout.root / "data.dvc").write_text(shipped_text("data.dvc"))
    checkout.git("commit", "--quiet", "--all", "--message", "Start a project")
    return checkout


def test_a_new_project_goes_on_without_the_quick_start_where_that_was_never_built(new):
    new.write("zoo", train=3)
    made = commit(new.root, new.home, "x")
    assert made.notes == (
        "the domains of the quick start were never built here, and are left out: acclimate data build",
    )
    assert set(domains_at(new.root)) == {"zoo"}


def test_a_new_project_keeps_the_whole_quick_start_or_says_what_lacks(new):
    first, *others = sorted(quick_start())
    for name in (*others, "zoo"):
        new.write(name, train=3)
    with pytest.raises(UserError, match=rf"data/ lacks domains that HEAD has \({first}\)"):
        commit(new.root, new.home, "x")
    new.write(first, train=3)
    assert commit(new.root, new.home, "x").notes == ()
    assert set(domains_at(new.root)) == {first, *others, "zoo"}
