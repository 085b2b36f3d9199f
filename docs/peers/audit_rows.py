"""Make the tables of docs/checks.md (labels replaced by chance) and docs/serving.md (labels left out).

    python docs/peers/audit_rows.py flipped hwu64.parquet
    python docs/peers/audit_rows.py missing hwu64.parquet trec.parquet

Tables have columns ``text`` and ``label``. Of each, 4,000 distinct texts are drawn, of labels with 8 texts or more.
Where cleanlab is installed (2.9.0; it is no dependency) ``flipped`` gives it the same probabilities.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from sklearn.metrics import roc_auc_score

from domains.same_example import content_keys
from learners import plain_strategies
from learners.choice.portfolio import choose
from learners.choice.prior import Prior
from learners.classifier import Classifier
from learners.encoders.ngrams import count_ngrams
from learners.label_errors import rank_label_errors
from learners.shift.groups import find_groups
from learners.shift.typicality import OUTSIDE, ClassDistance, Typicality, side_by_side
from learners.support import Support
from tasks.adapt.adaptation import assign_folds
from tasks.adapt.unknown import UNTYPICAL
from tasks.base.settings import settings
from tasks.features.encoders import family_encoders
from tasks.features.encoding import encode
from tasks.models.prediction_table import prediction_table

SIZE, DRAWN, SEEDS = 1000, 4000, 3
WIDTHS = (384, 384)  # MiniLM, e5
COLUMNS = ((0, 384), (384, 768))


@dataclass(frozen=True)
class Texts:
    """n texts with features [n, D] and labels [n]."""

    texts: np.ndarray
    x: torch.Tensor
    y: np.ndarray

    @classmethod
    def read(cls, path: Path) -> "Texts":
        frame = pd.read_parquet(path).drop_duplicates("text")
        frame = frame[frame.groupby("label")["text"].transform("size") >= 8].sample(DRAWN, random_state=0)
        x = encode(settings(), "text", frame["text"].tolist(), encoders=family_encoders("text"))
        return cls(frame["text"].to_numpy(), x, np.unique(frame["label"], return_inverse=True)[1])

    def take(self, rows: np.ndarray) -> "Texts":
        return Texts(self.texts[rows], self.x[rows], self.y[rows])

    def support(self, y: np.ndarray) -> Support:
        ngrams = count_ngrams(self.texts.tolist())
        return Support(self.x, torch.from_numpy(y), ngrams=ngrams, ways=int(y.max()) + 1, widths=WIDTHS)


def fit(support: Support, seed: int) -> Classifier:
    others = [plain_strategies(WIDTHS[1])]
    generator = torch.Generator().manual_seed(seed)
    return choose(plain_strategies(WIDTHS[0]), support, Prior(), generator, others=others).classifier


def cross_fit(given: Texts, y: np.ndarray, seed: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return probabilities, distances and folds of examples, each by what was fitted without its fold."""
    support, fold = given.support(y), assign_folds(y, content_keys(given.texts), seed)
    assert fold is not None
    p, distances = torch.zeros(len(y), support.ways), torch.zeros(len(y))
    for number in range(int(fold.max()) + 1):
        out = fold == number
        p[out] = fit(support.select(~out), number).predict_proba(support.examples[out])
        distances[out] = ClassDistance.fit(support.x[~out], support.y[~out], COLUMNS)(support.x[out])
    return p, distances, fold


def flipped(every: Texts, seed: int, share: float) -> dict[str, float]:
    rng = np.random.default_rng(seed)
    rows = np.sort(rng.permutation(len(every.y))[:SIZE])
    given = every.take(rows)
    true = np.unique(given.y, return_inverse=True)[1]
    y, wrong = true.copy(), rng.choice(SIZE, round(share * SIZE), replace=False)
    y[wrong] = (y[wrong] + rng.integers(1, true.max() + 1, len(wrong))) % (true.max() + 1)
    p, _, fold = cross_fit(given, y, seed)
    known = (fold >= 0).numpy()
    p, y, true = p.double().numpy()[known], y[known], true[known]
    order, likely = rank_label_errors(p, y)
    bad = y != true
    found = {"share": share, "listed": len(order), "wrong": bad[order].mean(), "found": bad[order].sum() / bad.sum()}
    found |= {"likely is right": (likely == true[order])[bad[order]].mean()}
    try:
        from cleanlab.filter import find_label_issues
    except ImportError:
        return found
    used = np.unique(y)
    of_used = p[:, used] / p[:, used].sum(1, keepdims=True)
    theirs = find_label_issues(np.searchsorted(used, y), of_used, return_indices_ranked_by="self_confidence", n_jobs=1)
    return found | {
        "cleanlab": len(theirs),
        "cleanlab wrong": bad[theirs].mean(),
        "found ": bad[theirs].sum() / bad.sum(),
    }


def missing(every: Texts, foreign: Texts, seed: int) -> dict[str, float]:
    rng = np.random.default_rng(seed)
    left_out = rng.choice(every.y.max() + 1, 3, replace=False)
    order = rng.permutation(len(every.y))
    away = np.isin(every.y[order], left_out)
    train, test = every.take(order[~away][:SIZE]), every.take(order[~away][SIZE : 2 * SIZE])
    tested = [test, every.take(order[away]), foreign.take(rng.choice(len(foreign.y), 500, replace=False))]
    y = np.unique(train.y, return_inverse=True)[1]
    p, distances, fold = cross_fit(train, y, seed)
    known, support = fold >= 0, train.support(y)
    distance = ClassDistance.fit(support.x, support.y, COLUMNS)
    typicality, model = Typicality.of(distance, distances[known], p[known].max(1).values), fit(support, SEEDS)
    kind, scores, asked = np.repeat([0, 1, 2], [len(each.y) for each in tested]), [], []
    for each in tested:
        p = model.predict_proba(each.support(each.y).examples)
        scores.append([-p.max(1).values.numpy(), distance(each.x).numpy(), -typicality(each.x, p).numpy()])
        names = model.with_labels(map(str, range(p.shape[1])))
        asked.append((prediction_table(names, p.numpy(), -scores[-1][2])["ask"] != "").mean())
    found = {"outside": (-scores[0][2] < OUTSIDE).mean(), "asked, missing": asked[1], "asked, foreign": asked[2]}
    pool = torch.cat([each.x for each in tested[:2]])
    far = np.flatnonzero(-np.concatenate([each[2] for each in scores[:2]]) < UNTYPICAL)
    groups = find_groups(side_by_side(pool[far], COLUMNS), side_by_side(support.x, COLUMNS), support.y)
    members = far[[i for group in groups for i in group]]
    found |= {"groups": len(groups), "texts in groups": len(members), "of them missing": (kind[members] == 1).mean()}
    for name, value in zip(
        ("probability", "distance", "both"), map(np.concatenate, zip(*scores, strict=True)), strict=True
    ):
        limit = np.quantile(value[kind == 0], 0.95)
        for number, which in ((1, "missing"), (2, "foreign")):
            two = (kind == 0) | (kind == number)
            found[f"{name}, {which}: AUROC"] = roc_auc_score(kind[two] == number, value[two])
            found[f"{name}, {which}: found"] = (value[kind == number] > limit).mean()
    return found


def main(what: str, *paths: str) -> None:
    sets: Sequence[Texts] = [Texts.read(Path(path)) for path in paths]
    if what == "flipped":
        rows = [flipped(sets[0], seed, share) for seed in range(SEEDS) for share in (0.05, 0.1)]
        print(pd.DataFrame(rows).groupby("share").mean().round(3).T.to_string())
    else:
        print(pd.DataFrame([missing(sets[0], sets[1], seed) for seed in range(SEEDS)]).mean().round(3).to_string())


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(*sys.argv[1:])
