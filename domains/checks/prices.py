"""What was doubtful about the prices that a market's examples were made of: ``domains add`` keeps it in domain.yaml."""

from collections.abc import Iterator

from domains.checks.finding import Finding, Kind, short_value
from domains.domain import Domain
from domains.market.doubts import KINDS as DOUBTS

JUMP = Kind(
    "price-jump",
    "warning",
    DOUBTS["price-jump"],
    "compare it with another source: correct it, or adjust the prices before for the split or the change of currency",
)
STALE = Kind(
    "stale-price",
    "warning",
    DOUBTS["stale-price"],
    "leave these dates out if the price was filled in, or choose others by --start and --end",
)
WEEKENDS = Kind(
    "filled-weekends",
    "warning",
    DOUBTS["filled-weekends"],
    "leave these days out, for they make every week calmer than it was, and add the domain again",
)
KINDS = (JUMP, STALE, WEEKENDS)


def check_doubts(domain: Domain) -> Iterator[Finding]:
    """Yield what domain.yaml says under ``price_doubts``."""
    doubts = domain.meta.get("price_doubts") if domain.family == "market" else None
    by_name = {kind.name: kind for kind in KINDS}
    for doubt in doubts if isinstance(doubts, list) else ():
        if isinstance(doubt, dict) and (kind := by_name.get(str(doubt.get("kind")))) is not None:
            where, about = (
                short_value(doubt.get("where", "")).strip("'"),
                short_value(doubt.get("about", "")).strip("'"),
            )
            yield Finding(kind, f"{domain.name}/domain.yaml", where, about=about)
