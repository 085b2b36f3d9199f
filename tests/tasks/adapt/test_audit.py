"""Labels that were flipped are found again, and what is written of them can be repaired."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from domains.domain import Domain
from domains.errors import UserError
from tasks.adapt.adaptation import Adaptation, encode_domain
from tasks.adapt.audit import SURE, audit_domain, with_folds
from tasks.adapt.suggestion import write_to_label
from tasks.adapt.unknown import find_unknown
from tasks.ingest.checking import domain_in_data

ALL = Adaptation()
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
            assert LABELS.index(row.given) == (LABELS.index(row.guess) + 1) % 4
        assert row.text == target.column(row.split, [row.row])[0]
        assert (row.label, row.why) == ("", SURE)
    assert found.rows["of_given"].is_monotonic_increasing
    assert found.gain.examples == found.labelled - len(listed)
    assert found.gain.line.startswith("estimated gain: ")
    assert found.record()["rows"][0]["guess"] in LABELS
    assert list(found.cells()[0]) == ["row", "given", "likely", "probability", "text"]


def test_a_market_and_a_name_without_a_domain_are_refused_in_a_line(made, settings):
    market = made("fx", role="target", first="2001-01-01")
    with pytest.raises(UserError, match="market states follow from prices"):
        audit_domain(settings, market)
    with pytest.raises(UserError, match="no domain 'other' in data/"):
        domain_in_data(settings, "other")


def test_pool_examples_of_no_class_are_shown_as_a_group_with_words(target, settings):
    table = pd.read_parquet(target.path / "pool.parquet")
    new = [f"{'h' * (20 + i % 3)} {'a' * (i % 2)} zither" for i in range(12)]
    pd.DataFrame({"text": [*table["text"], *new]}).to_parquet(target.path / "pool.parquet", index=False)
    data = with_folds(target, encode_domain(settings, target, ALL), ALL)
    y = data.scored_y.numpy()
    p = np.full((len(y), 4), 0.02)
    p[np.arange(len(y)), y] = np.random.default_rng(0).uniform(0.6, 0.94, len(y))
    sure = np.tile([0.94, 0.02, 0.02, 0.02], (len(data.pool_rows), 1)).astype(np.float32)
    sure[np.array(data.pool_rows) >= len(table)] = 0.25
    (group,) = find_unknown(target, data, p, sure)
    assert set(group.rows) >= set(range(len(table), len(table) + 12))
    assert "zither" in group.name
    assert len(group.examples) == 3


def test_images_that_are_doubted_are_written_beside_the_table(tmp_path):
    images = [b"\x89PNG one", b"\xff\xd8 two"]
    pd.DataFrame({"image": [{"bytes": image, "path": None} for image in images]}).to_parquet(tmp_path / "train.parquet")
    domain = Domain("cells", "vision", "target", ("a", "b"), tmp_path)
    rows = pd.DataFrame({"image": ["", ""], "label": "", "split": "train", "row": [1, 0]})
    assert write_to_label(domain, rows, tmp_path / "doubtful.csv") == tmp_path / "doubtful-images"
    written = pd.read_csv(tmp_path / "doubtful.csv")
    assert [Path(name).suffix for name in written["image"]] == [".jpg", ".png"]
    assert [(tmp_path / name).read_bytes() for name in written["image"]] == images[::-1]
