"""All checks of a domain, in order."""

from collections.abc import Callable

from domains.checks import classes, duplicates, folder, near, telling, times
from domains.checks.finding import Finding
from domains.checks.images import Images
from domains.checks.scan import Advance, Reader, scan
from domains.checks.texts import Texts, Vocabulary
from domains.checks.vectors import Vectors
from domains.domain import Domain, Family

READERS: dict[Family, Callable[[], Reader]] = {"text": Texts, "vision": Images, "market": Vectors}


def check(domain: Domain, advance: Advance = lambda rows: None) -> list[Finding]:
    """Return all that is wrong with a domain: errors first, else in the order of the checks.

    Nothing is written, and nothing in the folder makes it fail: what cannot be read is a finding.

    Args:
        advance: is called with the number of rows that were read; there are ``size(domain)``.
    """
    found = folder.folder(domain)
    reader = READERS[domain.family]()
    scans = []
    for split in folder.SPLITS:
        if domain.has(split):
            read, wrong = scan(domain, split, reader, advance)
            found += wrong
            scans += [read] if read is not None else []
    by_split = {read.split: read for read in scans}
    found += classes.classes(domain, scans)
    found += duplicates.duplicates(domain, scans)
    if "train" in by_split and "test" in by_split:
        found += near.near(by_split["train"], by_split["test"])
    found += telling.telling(domain, scans, reader.vocabulary if isinstance(reader, Texts) else Vocabulary())
    found += times.times(domain, scans)
    return sorted(found, key=lambda finding: not finding.is_error)


def size(domain: Domain) -> int:
    """Return how many rows a check reads."""
    return sum(folder.rows(domain, split) for split in folder.SPLITS)
