"""The page of a domain: every version with its decision, foreign text as text, also where there is little to show."""

from datetime import UTC, datetime

from tasks.adapt import domain_page
from tasks.models.registry import Registered

HOSTILE = "<script>x</script> | [a](javascript:b)"


def version(number, decision="promoted", aliases=(), **tags):
    at = datetime(2026, 1, int(number), tzinfo=UTC)
    params, metrics = {"k": "5", "strategy": "maml"}, {"accuracy": 0.5 + int(number) / 50, "ci95": 0.01}
    tags = {"decision": decision, "revision": "abcdef0123456789", "content_hash": "c0ffee", "reason": "r"} | tags
    return Registered("hpo", number, "", aliases, params, metrics, tags, "run", at, "")


def test_the_page_shows_versions_decisions_data_and_what_to_type():
    champion = version("2", aliases=("champion",))
    newest = version("3", "awaiting approval", content_hash="bead")
    page = domain_page.page_markdown("hpo", [newest, champion, version("1", "refused", reason=HOSTILE)], champion)
    assert "**In service: version 2**" in page
    assert "](data:image/png;base64," in page
    rows = [line for line in page.splitlines() if line.startswith("| ")]
    assert len(rows) == 2 + 3 + 2 + 2
    assert "52\\.0 ± 1\\.0" in rows[4]
    assert "acclimate models approve hpo 3" in page
    assert "/artifacts/key/adapt-hpo)" in page
    assert "| c0ffee | 1 to 2 |" in page
    assert "<script>" not in page
    assert "\\[a\\]\\(javascript" in page


def test_a_domain_with_nothing_to_show_has_a_page_too():
    page = domain_page.page_markdown("hpo", [], None)
    assert "**Nothing is in service.**" in page
    assert "data:image" not in page
    assert "data:image" not in domain_page.page_markdown("hpo", [version("1", "refused")], None)
    assert (
        domain_page.page_markdown("hpo", [version("2", "refused"), version("1", "refused")], None).count("data:image")
        == 1
    )


def test_a_version_without_scores_is_listed_but_not_drawn():
    bare = Registered("hpo", "1", "", (), {}, {}, {}, "run", datetime(2026, 1, 1, tzinfo=UTC), "")
    assert "| 1 | 2026\\-01\\-01 00\\:00 |" in domain_page.page_markdown("hpo", [bare], None)
