"""Which domains of the quick start are built: those that a project has, or all where that is asked for or unknown."""

import shutil

from domains.catalogue import quick_start
from tasks.ingest import steps


def test_on_its_schedule_the_quick_start_is_built_as_far_as_head_names_it(checkout, monkeypatch):
    built = []
    monkeypatch.setattr(steps, "build_named", lambda settings, names, force: built.append(names) or names)
    steps.build_missing.fn(whole=False)
    steps.build_missing.fn()
    shutil.rmtree(checkout.root / ".dvc/cache")
    steps.build_missing.fn(whole=False)
    every = list(quick_start())
    assert built == [["trec"], every, every]
