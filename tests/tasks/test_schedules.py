"""What is done on a schedule in a project that has only a part of the quick start, or none of a family."""

import shutil

import pytest

from domains.catalogue import quick_start
from domains.errors import UserError
from flows.meta_train import meta_train
from tasks.ingest import steps


def test_the_quick_start_is_built_as_far_as_head_names_it_and_whole_where_that_is_asked_for_or_unknown(
    checkout, monkeypatch
):
    built = []
    monkeypatch.setattr(steps, "build_named", lambda settings, names, force: built.append(names) or names)
    steps.build_missing.fn(whole=False)
    steps.build_missing.fn()
    shutil.rmtree(checkout.root / ".dvc/cache")
    steps.build_missing.fn(whole=False)
    every = list(quick_start())
    assert built == [["trec"], every, every]


def test_where_a_family_has_no_source_domain_its_meta_training_does_nothing_unless_a_person_asks(checkout):
    assert meta_train.fn("vision", revision="") == ""
    with pytest.raises(UserError, match="no source domain of this family"):
        meta_train.fn("vision")
