"""Labels that were flipped are found again, and what is written of them can be mended."""

import numpy as np
import pandas as pd
import pytest

from domains.domain import Domain
from domains.errors import UserError
from tasks.adapt.audit import SURE, audit_domain
from tasks.ingest.checking import domain_in_data

LABELS = ("target 0", "target 1", "target 2", "target 3")


def flip(domain: Domain, share: float) -> set[tuple[str, int]]:
    """Give a share of the labelled examples another label, and return where they lie."""
    rng, flipped = np.random.default_rng(0), set()
    for split in ("train", "test"):
        table = pd.read_parquet(domain.path / f"{split}.parquet")
        rows = rng.choice(len(table), round(share * len(table)), replace=False)
        table.loc[rows, "label"] = (table.loc[rows, "label"] + 1) % len(domain.labels)
        table.to_parquet(domain.path / f"{split}.parquet", index=False)
        flipped |= {(split, int(row)) for row in rows}
    return flipped


def test_flipped_labels_are_found_with_their_own_and_mending_gains(target, settings):
    flipped = flip(target, 0.08)
    found = audit_domain(settings, domain_in_data(settings, "target"))
    assert found.labelled == target.counts["train"] + target.counts["test"]
    listed = set(zip(found.rows["split"], found.rows["row"], strict=True))
    assert len(listed & flipped) >= 0.7 * len(flipped)
    first = set(list(zip(found.rows["split"], found.rows["row"], strict=True))[: len(flipped)])
    assert len(first & flipped) >= 0.7 * len(first)
    for row in found.rows.itertuples():
        if (row.split, row.row) in flipped:
            assert LABELS.index(row.given) == (LABELS.index(row.label) + 1) % 4
        assert row.text == target.column(row.split, [row.row])[0]
        assert row.why == SURE
    assert found.rows["of_given"].is_monotonic_increasing
    assert found.gain.examples == found.labelled - len(listed)
    assert found.gain.line.startswith("estimated gain: ")
    assert found.record()["rows"][0]["label"] in LABELS
    assert list(found.cells()[0]) == ["row", "given", "likely", "probability", "text"]


def test_a_market_and_a_name_without_a_domain_are_refused_in_a_line(made, settings):
    market = made("fx", role="target", first="2001-01-01")
    with pytest.raises(UserError, match="market states follow from prices"):
        audit_domain(settings, market)
    with pytest.raises(UserError, match="no domain 'other' in data/"):
        domain_in_data(settings, "other")
