"""Differences between two versions of ``data/``, and the quick look at what is not committed."""

import pytest

from domains.errors import UserError
from tasks.versions.cache import usual_path
from tasks.versions.commit import commit
from tasks.versions.diff import data_diff
from tasks.versions.diff_text import diff_json, diff_lines
from tasks.versions.push import push
from tasks.versions.revisions import data_revision
from tasks.versions.snapshots import snapshot
from tasks.versions.uncommitted import uncommitted_domains


def test_added_removed_and_changed_domains_are_told_from_the_cache_and_not_from_the_folder(checkout):
    checkout.write("news", ("a", "c"), train=9, test=4)
    checkout.write("zoo", ("cat", "dog", "eel"), train=3)
    checkout.run("rm", "-r", "data/trec")
    commit(checkout.root, checkout.home, "x", drop=True)
    checkout.run("rm", "-r", "data")
    found = data_diff(checkout.root, "HEAD~1")
    assert [(d.name, d.change) for d in found.domains] == [
        ("news", "changed"),
        ("trec", "removed"),
        ("zoo", "added"),
    ]
    news, trec, zoo = found.domains
    assert (news.labels_added, news.labels_removed) == (("c",), ("b",))
    assert (trec.after, trec.before.counts) == (None, {"train": 6})
    assert (zoo.before, zoo.after.counts, zoo.after.labels) == (None, {"train": 3}, ("cat", "dog", "eel"))
    lines = list(diff_lines(found))
    assert lines[0].startswith("~ news: test 4, train 6 → 9 (+3), label +c, label -b, ")
    assert lines[1].startswith("- trec: train 6, 2 labels, ")
    assert lines[2].startswith("+ zoo: train 3, 3 labels, ")
    assert diff_json(found)["domains"][2]["labels_added"] == ("cat", "dog", "eel")
    assert data_diff(checkout.root, "HEAD", "HEAD~1").domains[2].change == "removed"


def test_shards_that_are_not_here_are_counted_as_domain_yaml_says_and_their_size_is_unknown(checkout):
    checkout.write("zoo", train=3)
    commit(checkout.root, checkout.home, "x")
    for path in (checkout.root / ".dvc/cache/files/md5").glob("*/*"):
        if path.read_bytes()[:4] == b"PAR1":
            path.unlink()
    (zoo,) = data_diff(checkout.root, "HEAD~1").domains
    assert (zoo.after.counts, zoo.after.size) == ({"train": 3}, None)


def test_a_list_that_is_missing_makes_the_difference_unknown_and_the_same_data_are_known_without(checkout):
    checkout.write("zoo", train=3)
    commit(checkout.root, checkout.home, "x")
    before = usual_path(checkout.root, data_revision(checkout.root, "HEAD~1").data_hash)
    before.unlink()
    with pytest.raises(UserError, match="what changed is unknown: data of revision"):
        data_diff(checkout.root, "HEAD~1")
    assert data_diff(checkout.root, "HEAD~1", "HEAD~1").domains == ()
    assert list(diff_lines(data_diff(checkout.root, "HEAD"))) == ["no difference"]


def test_a_list_that_is_missing_is_fetched_from_the_remote(checkout):
    push(checkout.root, checkout.home)
    checkout.write("zoo", train=3)
    commit(checkout.root, checkout.home, "x")
    usual_path(checkout.root, data_revision(checkout.root, "HEAD~1").data_hash).unlink()
    assert [d.name for d in data_diff(checkout.root, "HEAD~1").domains] == ["zoo"]


@pytest.mark.parametrize("revision", ["nope", "", "--stat", "HEAD:data.dvc", "HEAD..HEAD"])
def test_a_revision_that_is_none_is_named(checkout, revision):
    with pytest.raises(UserError) as raised:
        data_diff(checkout.root, "HEAD", revision)
    assert repr(revision) in str(raised.value)


def test_domains_that_head_does_not_name_as_they_are_are_found_without_dvc(checkout):
    commit(checkout.root, checkout.home, "x")
    assert uncommitted_domains(checkout.root, ["news", "trec"]) == []
    checkout.write("trec", train=6)  # written again, the same bytes
    assert uncommitted_domains(checkout.root, ["news", "trec", "nowhere"]) == []
    shard = checkout.root / "data/news/train.parquet"
    shard.write_bytes(shard.read_bytes()[:-9] + b"x" + shard.read_bytes()[-8:])  # as long as before
    (checkout.root / "data/trec/pool.parquet").write_text("new")
    assert uncommitted_domains(checkout.root, ["news", "trec"]) == ["news", "trec"]


def test_a_domain_that_is_not_committed_cannot_be_read_and_the_user_is_told_how(checkout):
    checkout.write("zoo", train=3)
    with pytest.raises(UserError, match=r"no domain 'zoo' at revision HEAD; .*acclimate data commit -m 'Add zoo'"):
        snapshot(checkout.root, checkout.home, "zoo")
    checkout.write("news", train=99)
    assert snapshot(checkout.root, checkout.home, "news").counts == {"test": 4, "train": 6}
