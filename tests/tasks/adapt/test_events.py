"""Events of champions are emitted from Prefect runs alone."""

from tasks.adapt.events import champion_changed


def test_outside_of_a_run_nothing_is_emitted():
    champion_changed(None)
