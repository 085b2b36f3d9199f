"""What serves is what the watched revision asks for, with a real git repository, ledger and registry."""

import shutil
from types import SimpleNamespace

import pytest
import torch

from domains.errors import UserError
from learners.classifier import Affine, Classifier
from tasks.adapt import adaptation
from tasks.base.settings import Settings
from tasks.models import promotion, registry
from tasks.versions.commit import commit as commit_data
from tasks.versions.snapshots import domains_at
from tasks.watch import ledger, level, noticing
from tasks.watch.status import waiting_row
from tests.tasks.conftest import Checkout

A, B, C, GONE = "a", "b", "c", "gone"  # tags of revisions: news with 6, 8 and 10 training examples, and without it


@pytest.fixture(scope="module")
def revisions(versioned, tmp_path_factory):
    """The checkout with these revisions; to commit by DVC takes longer than all else here."""
    folder = tmp_path_factory.mktemp("revisions")
    shutil.copytree(versioned, folder / "root", symlinks=True)
    there = Checkout(folder / "root")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DVC_SITE_CACHE_DIR", str(folder / "dvc"))
        for data, train in ((A, 6), (B, 8), (C, 10), (GONE, 0)):
            if train:
                there.write("news", train=train, test=4)
            else:
                shutil.rmtree(there.root / "data/news")
            commit_data(there.root, there.home, data, checked=False, drop=True)
            there.git("tag", data)
        there.git("reset", "--quiet", "--hard", A)
    return there.root


class Project:
    """A checkout with one target, news, and as much of adapting as the ledger sees of it."""

    def __init__(self, checkout, tmp_path):
        self.checkout, self.settings, self.folder = checkout, Settings(root=checkout.root), tmp_path / "model"
        self.folder.mkdir()
        Classifier((Affine(torch.eye(2), torch.zeros(2)),), ("a", "b")).save(self.folder)
        registry.promote(self.settings, "meta-text", self.log_meta(), lambda folder: None)

    def log_meta(self):
        return registry.log_meta_model(self.settings, "text", self.folder, {}, {}, {})

    @property
    def champion(self):
        return registry.champions(self.settings).get("news")

    def commit(self, data):
        """Commit the data of one of the revisions."""
        self.checkout.git("checkout", "--quiet", data, "--", "data.dvc")
        self.checkout.git("commit", "--quiet", "--allow-empty", "--message", data)
        return self.tick()

    def tick(self, **more):
        self.opened, self.notes = noticing.notice(
            self.settings, self.checkout.git("rev-parse", "HEAD"), number=more.get("number")
        )
        return self.opened[0] if self.opened else None

    def decide(self, row, promoted=True):
        """Do what a run of ``adapt`` does of a row: a new version, or what the row brings back."""
        s, before = self.settings, self.champion
        if row.serves and level.usable(s, "news", row.serves):
            registry.promote(s, "news", row.serves, lambda folder: None)
            ledger.close_rows(s, row.key, row.version, row.decision, "", row.serves)
            return row.serves
        word = "promoted" if promoted else "refused"
        tags = {"content_hash": row.content_hash, "decision": word, "key": row.key, "beside": before or ""}
        version = registry.log_adapted(s, "news", self.folder, {}, {}, tags)
        if promoted:
            registry.promote(s, "news", version, lambda folder: None)
        ledger.close_rows(s, row.key, version, word, "", self.champion or "")
        return version

    @property
    def level(self):
        hashes = domains_at(self.checkout.root)
        champions = {name: registry.champion(self.settings, name) for name in ("news",) if self.champion}
        return level.levels(self.settings, hashes, champions)["news"]


@pytest.fixture
def project(revisions, tmp_path, monkeypatch):
    shutil.copytree(revisions, tmp_path / "root", symlinks=True)
    monkeypatch.setenv("ACCLIMATE_ROOT", str(tmp_path / "root"))
    return Project(Checkout(tmp_path / "root"), tmp_path)


def by_hand(project, version):
    """A person's choice, without the smoke test's encoder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(promotion, "smoke_test_for", lambda *asked: lambda folder: None)
        promotion.promote_by_hand(project.settings, "news", version)


def test_data_that_are_reverted_bring_their_model_back_and_again(project):
    one = project.decide(project.commit(A))
    two = project.decide(project.commit(B))
    assert (one, two, project.champion) == ("1", "2", "2")
    back = project.commit(A)
    assert (back.why, back.serves, project.level.word) == ("its data are again what they were", "1", "no")
    project.decide(back)
    assert (project.champion, project.tick(), project.level) == ("1", None, level.Level("yes", "adapted to these data"))
    project.decide(project.commit(B))
    assert (project.champion, project.tick()) == ("2", None)
    assert len(registry.versions(project.settings, "news")) == 2  # nothing was adapted to twice


def test_what_was_refused_is_not_tried_again_and_a_revert_brings_back_the_champion_that_stayed(project):
    project.decide(project.commit(A))
    project.decide(project.commit(B), promoted=False)
    assert (project.tick(), project.level) == (None, level.Level("yes", "version 2 was refused, what served stays"))
    project.decide(project.commit(C))
    assert project.champion == "3"
    project.decide(project.commit(B))
    assert (project.champion, project.tick()) == ("1", None)


def test_data_that_were_overtaken_before_their_turn_bring_back_what_served_before_they_came(project):
    project.decide(project.commit(A))
    project.commit(B)
    project.decide(project.commit(C))
    assert project.commit(B).serves == "1"


def test_what_waits_for_approval_says_so_and_is_not_asked_for_again(project):
    project.decide(project.commit(A))
    row = project.commit(B)
    ledger.note_waiting(project.settings, row.key, "2", "awaiting approval", "passed the gate", "asks")
    assert project.tick() is None
    assert project.level == level.Level("no", "waits for approval: acclimate models approve news 2, or refuse")
    (shown,) = (ledger.display_row(each) for each in ledger.list_rows(project.settings, "open"))
    assert waiting_row(shown)["status"] == "awaiting approval"
    assert waiting_row(shown | {"status": "failed"})["status"] == "failed"


def test_what_passed_the_gate_and_never_served_does_not_come_back_past_a_person(project, monkeypatch):
    project.decide(project.commit(A))
    project.commit(B)
    digest = domains_at(project.checkout.root)["news"]
    tags = {"content_hash": digest, "decision": "promoted", "key": "by hand"}
    made = registry.log_adapted(project.settings, "news", project.folder, {}, {}, tags)
    monkeypatch.setattr(adaptation, "work_key", lambda *asked: "by hand")
    domain = SimpleNamespace(name="news", content_hash=digest, revision=project.checkout.git("rev-parse", "HEAD"))
    plan = SimpleNamespace(domain=domain, meta_version="1", how=None, key="by hand")
    champion = registry.champion(project.settings, "news")
    assert (made, champion.version) == ("2", "1")
    assert level.version_to_bring_back(project.settings, plan, champion) == ""


@pytest.mark.parametrize("with_tick", [True, False])
def test_a_persons_choice_holds_until_the_data_change_and_is_what_these_ask_for(project, with_tick):
    project.decide(project.commit(A))
    project.decide(project.commit(B))
    by_hand(project, "1")
    if with_tick:
        assert project.tick() is None
        assert project.level.word == "chosen"
    project.decide(project.commit(C))
    assert project.champion == "3"
    back = project.commit(B)
    assert back.serves == "1"
    project.decide(back)
    assert (project.champion, project.tick()) == ("1", None)


def test_a_persons_choice_holds_for_another_meta_model_too_until_it_is_released(project):
    project.decide(project.commit(A))
    project.decide(project.commit(B))
    by_hand(project, "1")
    registry.promote(project.settings, "meta-text", project.log_meta(), lambda folder: None)
    assert project.tick() is None
    assert level.release(project.settings, "news") == ["2", "1"]
    with pytest.raises(UserError, match="no person's choice of news holds"):
        level.release(project.settings, "news")
    assert "withdrawn" not in registry.get(project.settings, "news", "2").tags


def test_what_is_released_comes_back_as_the_gate_decided(project):
    project.decide(project.commit(A))
    project.decide(project.commit(B))
    by_hand(project, "1")
    assert project.tick() is None
    level.release(project.settings, "news")
    (row,) = ledger.list_rows(project.settings, "open")
    assert (row.serves, row.why, project.tick()) == ("2", "a person left it to the gate again", None)


def test_a_champion_that_was_deleted_opens_its_row_again(project):
    project.decide(project.commit(A))
    registry._client(project.settings).delete_model_version("news", "1")
    row = project.tick()
    assert (row.why, row.attempts) == ("champion 1 is gone", 0)
    assert project.decide(row) == "2"
    assert project.tick() is None


def test_an_alias_that_was_moved_past_us_is_set_right(project):
    project.decide(project.commit(A))
    project.decide(project.commit(B))
    registry._client(project.settings).set_registered_model_alias("news", "champion", "1")
    assert project.level.word == "no"
    project.decide(project.tick())
    assert project.champion == "2"


def test_a_domain_that_was_removed_is_waited_for_no_more_and_keeps_its_champion(project):
    project.decide(project.commit(A))
    project.commit(B)
    assert (project.commit(GONE), ledger.list_rows(project.settings, "open")) == (None, [])
    assert project.level.why == "the watched revision has no such domain any more; its champion stays"
    assert project.commit(A) is None
    assert (project.champion, project.level.word) == ("1", "yes")


def test_a_tick_that_began_earlier_does_not_open_what_it_saw(project):
    early = ledger.begin_look(project.settings)
    project.commit(A)
    assert (project.tick(number=early), project.notes) == (None, ["a later look at the data came first"])


def test_a_checkout_that_lags_behind_another_changes_nothing_and_a_reset_branch_does(project, monkeypatch):
    project.decide(project.commit(A))
    project.commit(B)
    project.checkout.git("reset", "--quiet", "--hard", "HEAD~1")
    with monkeypatch.context() as patch:
        patch.setattr(level, "gethostname", lambda: "another")
        assert project.tick() is None
        assert "watches data that do not come before" in project.notes[0]
    assert project.tick() is None  # what serves is that of these data
    assert [row.status for row in ledger.list_rows(project.settings)] == ["done", "overtaken"]


def test_a_run_for_older_data_does_not_come_into_service(project):
    old = project.commit(A)
    project.commit(B)
    domain = SimpleNamespace(name="news", content_hash=old.content_hash, revision=old.revision)
    newer = SimpleNamespace(name="news", content_hash="other", revision=project.checkout.git("rev-parse", "HEAD"))
    assert level.is_overtaken(project.settings, SimpleNamespace(domain=domain))
    assert not level.is_overtaken(project.settings, SimpleNamespace(domain=newer))
