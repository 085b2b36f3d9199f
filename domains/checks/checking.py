"""All checks of a domain, in order."""

from collections.abc import Callable

from domains.checks import classes, duplicates, folder, leakage, near, prices, times
from domains.checks.finding import Finding
from domains.checks.images import Images
from domains.checks.scan import Advance, FamilyReader, scan
from domains.checks.texts import Texts, Vocabulary
from domains.checks.vectors import Vectors
from domains.domain import Domain, Family

READERS: dict[Family, Callable[[], FamilyReader]] = {"text": Texts, "vision": Images, "market": Vectors}


def run_checks(domain: Domain, advance: Advance = lambda rows: None) -> list[Finding]:
    """Return all that is wrong with a domain: errors first, else in the order of the checks.

    Nothing is written, and nothing in the folder makes it fail: what cannot be read is a finding.

    Args:
        advance: is called with the number of rows that were just read, of ``count_rows_to_check(domain)`` in all.
    """
    found = folder.check_folder(domain)
    reader = READERS[domain.family]()
    scans = []
    for split in folder.SPLITS:
        if domain.has(split):
            read, wrong = scan(domain, split, reader, advance)
            found += wrong
            scans += [read] if read is not None else []
    by_split = {read.split: read for read in scans}
    found += classes.check_classes(domain, scans)
    found += duplicates.find_duplicates(domain, scans)
    if "train" in by_split and "test" in by_split:
        found += near.find_near(by_split["train"], by_split["test"])
    found += leakage.find_leakage(domain, scans, reader.vocabulary if isinstance(reader, Texts) else Vocabulary())
    found += times.check_times(domain, scans)
    found += prices.check_doubts(domain)
    return sorted(found, key=lambda finding: not finding.is_error)


def count_rows_to_check(domain: Domain) -> int:
    """Return how many rows a check reads."""
    return sum(folder.count_rows(domain, split) for split in folder.SPLITS)
