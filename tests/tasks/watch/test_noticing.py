"""Each change of the data opens one row of the ledger, whoever notices it."""

import hashlib
import logging
import shutil
from contextlib import nullcontext
from datetime import UTC, datetime
from types import SimpleNamespace
from uuid import uuid4

import pytest

from domains.errors import UserError
from tasks.adapt.adaptation import Adaptation, adaptation_key, work_key
from tasks.base.settings import Settings
from tasks.models import registry
from tasks.models.registry import Registered
from tasks.versions import snapshots
from tasks.versions.snapshots import domains_at
from tasks.versions.watched_commit import check_faults
from tasks.watch import ledger, noticing


@pytest.fixture
def there(checkout, monkeypatch):
    """A checkout with one target, news, a meta-model of texts in service, and no champion."""
    models = {"meta-text": version_of("meta-text", "7")}
    monkeypatch.setattr(registry, "champion", lambda settings, name: models.get(name))
    monkeypatch.setattr(registry, "find_by_key", lambda settings, key: models.get(key))
    monkeypatch.setattr(registry, "champions", lambda settings: {n: m.version for n, m in models.items() if m.aliases})
    checkout.write("news", train=6, test=4)
    return SimpleNamespace(checkout=checkout, settings=Settings(root=checkout.root), models=models)


def version_of(name: str, number: str, params=(), tags=(), aliases=("champion",)) -> Registered:
    now = datetime.now(UTC)
    return Registered(name, number, "", aliases, dict(params), {}, dict(tags), "", now, "")


def commit_of(there) -> str:
    return there.checkout.git("rev-parse", "HEAD")


def notice(there):
    return noticing.notice(there.settings, commit_of(there))


def test_a_target_is_opened_once_and_a_source_never(there):
    opened, notes = notice(there)
    assert [row.domain for row in opened] == ["news"]
    assert notes == []
    assert opened[0].parameters == {
        "domain": "news",
        "k": None,
        "revision": commit_of(there),
        "draws": 10,
        "method": "auto",
    }
    assert opened[0].why == "no champion yet"
    assert notice(there) == ([], [])


def test_only_what_changed_is_opened_and_takes_the_place_of_what_waits(there):
    notice(there)
    there.checkout.write("news", train=8, test=4)
    commit(there)
    (new,), _ = notice(there)
    first, second = ledger.list_rows(there.settings)
    assert (first.status, second.name) == ("overtaken", new.name)
    assert "took its place" in first.reason


def test_what_was_overtaken_is_opened_again_when_it_is_wanted_again_as_another_run(there):
    (first,), _ = notice(there)
    ledger.claim(there.settings, [(first, "")], "batch")
    ledger.record_run(there.settings, "batch", str(uuid4()))
    there.checkout.write("news", train=8, test=4)
    commit(there)
    notice(there)
    there.checkout.write("news", train=6, test=4)
    commit(there)
    (again,), _ = notice(there)
    assert (again.name, again.status, again.attempts, again.flow_run) == (first.name, "open", 1, "")
    assert sorted(row.status for row in ledger.list_rows(there.settings)) == ["open", "overtaken"]


def commit(there):
    from tasks.versions.commit import commit as commit_data

    commit_data(there.checkout.root, there.settings.home_path, "more", checked=False)


def test_a_domain_is_adapted_to_by_the_method_of_its_champion_from_all_labels(there):
    tags = {"content_hash": domains_at(there.checkout.root)["news"], "meta_version": "6", "method": "linear"}
    there.models["news"] = version_of("news", "1", {"k": "5", "draws": "3"}, tags)
    (row,), _ = notice(there)
    assert {name: row.parameters[name] for name in ("k", "method")} == {"k": None, "method": "linear"}
    assert row.why == "meta-model 7 took the place of 6"
    assert row.key == work_key(news_of(there), "7", Adaptation(method="linear"))


@pytest.mark.parametrize(("of_champion", "setting", "budget"), [("600", "0", 600), ("0", "1m", 60), ("", "0", 0)])
def test_an_encoder_is_tuned_as_long_as_the_champions_was_or_as_the_setting_says(there, of_champion, setting, budget):
    there.settings.budget = setting
    tags = {"content_hash": domains_at(there.checkout.root)["news"], "meta_version": "6"}
    there.models["news"] = version_of("news", "1", tags=tags | ({"budget": of_champion} if of_champion else {}))
    (row,), _ = notice(there)
    assert row.parameters.get("budget") == (f"{budget}s" if budget else None)
    assert row.key == work_key(news_of(there), "7", Adaptation(budget=budget))


def test_a_domain_is_adapted_to_for_what_it_is_to_be_best_in(there):
    path = there.checkout.root / "data/news/domain.yaml"
    path.write_text(path.read_text() + "objective: macro_f1\n")
    commit(there)
    (row,), _ = notice(there)
    assert row.key == work_key(news_of(there), "7", Adaptation(objective="macro_f1"))
    path.write_text(path.read_text().replace("macro_f1", "recall"))
    commit(there)
    rows, notes = notice(there)
    assert (rows, notes) == ([], ["news: no objective 'recall'; there are: accuracy, balanced_accuracy, macro_f1"])


def news_of(there):
    return snapshots.target_snapshot(there.settings, "news", commit_of(there))


@pytest.mark.parametrize("k", [None, 5])
def test_what_a_person_had_adapted_to_is_done_from_all_labels_or_as_the_champion_in_service(there, k):
    tags = {"content_hash": domains_at(there.checkout.root)["news"], "meta_version": "7"}
    there.models["news"] = version_of("news", "1", {"k": "5", "draws": "3"}, tags)
    key = adaptation_key(news_of(there), "7", Adaptation(k=k))
    there.models[key] = version_of("news", "2", tags={"decision": "refused"}, aliases=())
    (row,), _ = notice(there)
    assert (row.status, row.version, row.parameters["k"]) == ("done", "2", k)


def test_of_what_k_labels_made_for_no_champion_all_labels_are_wanted(there):
    key = adaptation_key(news_of(there), "7", Adaptation(k=10))
    there.models[key] = version_of("news", "1", tags={"decision": "refused"}, aliases=())
    (row,), _ = notice(there)
    assert (row.status, row.parameters["k"]) == ("open", None)


@pytest.mark.parametrize(
    ("decision", "aliases", "champion", "status"),
    [
        ("promoted", ("champion",), "2", "done"),
        ("refused", (), "1", "done"),
        ("promoted", (), "1", "open"),
        ("promoted", ("previous",), "3", "done"),
    ],
    ids=["in-service", "refused", "killed-before-it-came-into-service", "another-of-the-same-data"],
)
def test_what_was_done_by_hand_needs_no_run_unless_it_was_left_half_way(
    there, monkeypatch, decision, aliases, champion, status
):
    made = version_of("news", "2", tags={"decision": decision, "beside": "1"}, aliases=aliases)
    tags = {"content_hash": domains_at(there.checkout.root)["news"]} if champion == "3" else {}
    there.models["news"] = made if champion == "2" else version_of("news", champion, tags=tags)
    monkeypatch.setattr(registry, "find_by_key", lambda settings, key: made)
    (row,), _ = notice(there)
    assert (row.status, row.serves) == (status, champion if status == "done" else "")


def test_without_a_meta_model_a_family_with_sources_waits_and_a_line_says_what_to_do(there):
    del there.models["meta-text"]
    assert notice(there) == ([], ["no meta-model of family text yet: acclimate meta-train --family text"])


def test_without_a_meta_model_a_family_without_sources_is_adapted_to_and_again_when_there_is_one(there):
    meta = there.models.pop("meta-text")
    there.checkout.write("trec", train=6, test=4)  # the only source becomes a target
    commit(there)
    opened, notes = notice(there)
    assert ([row.domain for row in opened], notes) == (["news", "trec"], [])
    assert notice(there) == ([], [])
    there.models["meta-text"] = meta
    again, _ = notice(there)
    assert {row.domain for row in again} == {"news", "trec"}
    assert not {row.name for row in again} & {row.name for row in opened}


def test_an_unknown_domain_is_refused(there):
    with pytest.raises(UserError, match=r"no domain '\.\./x'"):
        noticing.notice(there.settings, commit_of(there), ["../x"])


def test_a_domain_whose_bytes_are_damaged_is_a_note_until_they_are_whole_and_the_others_go_on(there):
    data = there.checkout.root / "data"
    md5 = hashlib.md5((data / "trec/domain.yaml").read_bytes(), usedforsecurity=False).hexdigest()
    shutil.rmtree(data)
    kept = there.checkout.root / ".dvc/cache/files/md5" / md5[:2] / md5[2:]
    whole = kept.read_bytes()
    kept.chmod(0o644)
    kept.write_bytes(b"role: [")
    opened, (note,) = notice(there)
    assert [row.domain for row in opened] == ["news"]
    assert note.startswith("trec: ")
    with pytest.raises(UserError, match=r"^trec: "):
        check_faults([note])
    kept.write_bytes(whole)
    assert notice(there) == ([], [])


def test_a_tick_that_could_not_do_all_does_the_rest_and_fails(there, server, monkeypatch):
    from tasks.watch import steps

    monkeypatch.setattr("prefect.client.orchestration.get_client", lambda sync_client: nullcontext(server))
    monkeypatch.setattr(noticing, "announce", list)
    monkeypatch.setattr(steps, "show_ledger", lambda: None)
    monkeypatch.setattr(steps, "get_run_logger", logging.getLogger)
    monkeypatch.setenv("ACCLIMATE_WATCH", "origin/main")
    there.checkout.git("remote", "add", "origin", str(there.checkout.root / "nowhere"))
    there.checkout.git("update-ref", "refs/remotes/origin/main", "HEAD")
    with pytest.raises(UserError, match=r"^git remote origin cannot be reached: .*"):
        steps.notice_and_submit.fn([])
    assert [row.domain for row in ledger.list_rows(there.settings)] == ["news"]
    assert len(server.runs) == 1
    there.checkout.git("clone", "--quiet", ".", "nowhere")
    assert steps.notice_and_submit.fn([]).endswith("new nothing; 0 adaptations asked for")  # the next tick


def test_drift_and_watch_open_one_row_between_them_whichever_comes_first(there, server, monkeypatch):
    from tasks.drift.steps import open_adaptation

    monkeypatch.setattr("prefect.client.orchestration.get_client", lambda sync_client: nullcontext(server))
    said = open_adaptation(there.settings, "news", commit_of(there), "p < 0.001")
    assert said.startswith("adapt asked for as run ")
    assert [row.why for row in ledger.list_rows(there.settings)] == ["drift: p < 0.001"]
    assert notice(there) == ([], [])
    again = open_adaptation(there.settings, "news", commit_of(there), "p < 0.001")
    assert again == "its new data are in the ledger already; see acclimate status"
    assert len(server.runs) == 1
