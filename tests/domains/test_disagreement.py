"""Pairs of labelled examples that are nearly equal and carry different labels."""

import pandas as pd
import yaml

from domains.checks.disagreement import Place, find_disagreements
from domains.domain import Domain

LONG = "the patient complains of a dull pain in the left shoulder after a long walk up the hill in the rain"


def write(folder, **shards):
    for split, rows in shards.items():
        pd.DataFrame(rows, columns=["text", "label"]).to_parquet(folder / f"{split}.parquet", index=False)
    counts = {split: len(rows) for split, rows in shards.items()}
    about = {"name": "notes", "family": "text", "role": "target", "labels": ["a", "b"], "counts": counts}
    (folder / "domain.yaml").write_text(yaml.safe_dump(about))
    return Domain.read(folder)


def test_equal_and_nearly_equal_texts_with_other_labels_are_pairs_within_and_across_shards(tmp_path):
    train = [(LONG + " today", 0), ("Something else altogether here", 1), ("The  same", 0), ("The same", 1), (LONG, 0)]
    domain = write(tmp_path, train=train, test=[(LONG + " again", 1), ("Something else altogether here", 1)])
    assert find_disagreements(domain) == [
        (Place("train", 0, 0), Place("test", 0, 1)),
        (Place("train", 2, 0), Place("train", 3, 1)),
        (Place("train", 4, 0), Place("test", 0, 1)),
    ]
