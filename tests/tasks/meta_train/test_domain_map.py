"""Class means kept on disk, and which sources lie nearest."""

import pytest

from domains.errors import UserError
from tasks.meta_train.domain_map import make_map, nearest_sources
from tasks.meta_train.steps import Nearest


def test_a_map_encodes_once_and_finds_the_domain_that_is_the_same(made, letters, settings):
    domains = [made("one"), made("two"), made("new", role="target")]
    found = make_map(settings, domains)
    assert set(found.nearest_sources("new")) == {"one", "two"}
    assert set(found.nearest_sources("one")) == {"two"}
    calls = letters.calls.total()
    again = make_map(settings, domains)
    assert letters.calls.total() == calls
    assert (again.apart == found.apart).all()
    assert [row["domain"] for row in found.to_json()["domains"]] == ["one", "two", "new"]
    assert found.rows()[0]["domain"] == "new"


def test_the_nearest_sources_are_so_many_and_never_the_domain_itself(made, letters, settings):
    domains = [made("one"), made("two"), made("three")]
    chosen = nearest_sources(settings, domains, domains[0], 1, lambda n: None)
    assert len(chosen) == 1
    assert domains[0] not in chosen
    with pytest.raises(UserError, match="no source of family text besides one"):
        nearest_sources(settings, domains[:1], domains[0], 1, lambda n: None)


def test_damaged_class_means_are_named(made, letters, settings):
    domains = [made("one"), made("two")]
    make_map(settings, domains)
    path = next((settings.home_path / "class-means").rglob("*.safetensors"))
    path.write_bytes(b"x")
    with pytest.raises(UserError, match=r"damaged .*remove it"):
        make_map(settings, domains)


@pytest.mark.parametrize("sources", ["near", "nearest", "nearest:0", "nearest:x", "nearest:-1", ""])
def test_sources_are_all_or_so_many_nearest(sources):
    with pytest.raises(UserError, match="they are all, or nearest:K"):
        Nearest.parse(sources, "hpo")
    assert Nearest.parse("nearest:8", "hpo") == Nearest(8, "hpo")
    assert Nearest.parse("all", "") is None


def test_nearest_to_nothing_and_for_without_a_number_are_mistakes():
    with pytest.raises(UserError, match="nearest to which domain"):
        Nearest.parse("nearest:8", "")
    with pytest.raises(UserError, match="say how many"):
        Nearest.parse("all", "hpo")
