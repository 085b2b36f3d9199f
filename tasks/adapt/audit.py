"""Labels of a domain that are probably wrong, and what correcting them would gain."""

from collections.abc import Callable, Collection, Hashable, Mapping
from dataclasses import asdict, dataclass, replace

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from domains.checks.disagreement import Place, find_disagreements
from domains.domain import EXAMPLE_COLUMN, Domain, Split
from domains.errors import UserError
from domains.same_example import may_contradict
from learners.choice.prior import Prior
from learners.label_errors import rank_label_errors
from learners.meta_model import MetaModel
from tasks.adapt.adaptation import Adaptation, Encoded, assign_folds, encode_domain, examples_used, model_for
from tasks.adapt.suggestion import readable_examples
from tasks.adapt.trials import choose_by_fold
from tasks.adapt.unknown import UnknownGroup, find_unknown
from tasks.base.artifacts import shorten
from tasks.base.progress import progress
from tasks.base.settings import Settings

SHOWN, LENGTH = 20, 60  # rows in a table, characters of its cells
GROUPS, WIDE = 5, 100  # groups of pool examples that are shown, characters of one
LABELLED: tuple[Split, ...] = ("train", "test")
SURE = "the model is sure of another label"


@dataclass(frozen=True)
class MendingGain:
    """What leaving doubtful labels out of training does to held-out accuracy on so many labels that are not doubted."""

    examples: int
    before: float
    after: float

    @property
    def line(self) -> str:
        """The same in a sentence, with its protocol."""
        return (
            f"estimated gain: {100 * (self.after - self.before):+.1f} points (five-fold accuracy on the "
            f"{self.examples:,} labels that are not doubted: {100 * self.before:.1f} % with the doubtful ones among "
            f"those learned from, {100 * self.after:.1f} % without)"
        )


@dataclass(frozen=True)
class Audit:
    """What an audit found.

    Attributes:
        labelled: how many labelled examples were read.
        rows: doubtful labels, the surest first: ``text`` or ``image``, ``label`` for a person to fill in, ``given``,
            ``guess`` (the likely one; empty where nothing says which), the ``probability`` of the guess and, as
            ``of_given``, that of the given one, ``why``, ``split`` and ``row``.
        gain: None where the model doubts no label.
        unknown: groups of pool examples that no class covers, the largest first.
    """

    labelled: int
    rows: pd.DataFrame
    gain: MendingGain | None
    unknown: tuple[UnknownGroup, ...] = ()

    def lines(self) -> list[str]:
        """Return what was found in sentences."""
        count = f"{len(self.rows):,} of {self.labelled:,} labels are doubtful"
        if alike := int((self.rows["why"] != SURE).sum()):
            count += f", {alike:,} of them beside a nearly equal example"
        if len(self.rows) > SHOWN:
            count += f"; the first {SHOWN} are shown, -o FILE writes them all"
        found = [count] + ([] if self.gain is None else [self.gain.line])
        for group in self.unknown[:GROUPS]:
            name = f" ({group.name})" if group.name else ""
            found.append(f"{len(group.rows):,} examples of the pool are alike and of no class{name}; label some:")
            found += [
                f"  pool {row} {shorten(example, WIDE)}"
                for row, example in zip(group.rows, group.examples, strict=False)
            ]
        return found

    def cells(self) -> list[dict[str, str]]:
        """Return the first SHOWN rows as a table for people, the example last."""
        example, shown = self.rows.columns[0], self.rows.head(SHOWN).astype(object)
        shown = shown.where(shown.notna(), "").astype(str).map(lambda value: shorten(value, LENGTH))
        shown["row"] = shown["split"] + " " + shown["row"]
        shown = shown.rename(columns={"guess": "likely"})[["row", "given", "likely", "probability", example]]
        return [dict(zip(map(str, shown), row, strict=True)) for row in shown.to_numpy().tolist()]

    def record(self) -> dict[str, object]:
        """Return what was found for a program; what is not known is None."""
        rows = self.rows.astype(object).where(self.rows.notna(), None).to_dict("records")
        gain = None if self.gain is None else asdict(self.gain)
        return {"labelled": self.labelled, "gain": gain, "rows": rows, "unknown": [asdict(g) for g in self.unknown]}


def audit_domain(settings: Settings, domain: Domain) -> Audit:
    """Return the labels of a domain that are probably wrong.

    Each labelled example, of train and test alike, is predicted by what the portfolio makes of four fifths of the
    others; its label is doubted as ``learners/label_errors.py`` says. Pairs that are nearly equal and carry different
    labels come after these. Strategies are those that need no meta-model.

    Raises:
        UserError: it is a market, lacks examples, or no label has two.
    """
    if not may_contradict(domain.family):
        raise UserError(f"domain {domain.name}: market states follow from prices; nobody gave labels that may be wrong")
    how = Adaptation(seed=settings.seed)
    with progress(f"encode {domain.name}", examples_used(domain, how)) as advance:
        data = with_folds(domain, encode_domain(settings, domain, how, advance), how)
    assert data.fold is not None
    y, scored = data.labelled.y.numpy(), data.scored_rows.numpy()
    with progress(f"audit {domain.name}", 2 * (int(data.fold.max()) + 1)) as advance:
        p, pool_p = predict_held_out(domain, data, how, advance=advance)
        order, likely = rank_label_errors(p[scored], y[scored])
        suspects = scored[order]
        gain = estimate_gain(domain, data, how, p, suspects, advance) if len(suspects) else None
    places = labelled_places(data)
    rows = [
        doubtful_row(domain, places[i], label, p[i], SURE)
        for i, label in zip(suspects.tolist(), likely.tolist(), strict=True)
    ]
    known = {places[i]: p[i] for i in scored.tolist()}
    rows += disagreement_rows(domain, known, {places[i] for i in suspects.tolist()})
    columns = ["label", "given", "guess", "probability", "of_given", "why", "split", "row"]
    found = pd.DataFrame(rows, columns=columns)
    found.insert(0, EXAMPLE_COLUMN[domain.family], examples_of(domain, found))
    return Audit(len(y), found, gain, tuple(find_unknown(domain, data, p[scored], pool_p)))


def with_folds(domain: Domain, data: Encoded, how: Adaptation) -> Encoded:
    """Return the same with a fold for every labelled example, whatever the division into train and test.

    Raises:
        UserError: no label has two examples.
    """
    assert data.keys is not None
    fold = assign_folds(data.labelled.y.numpy(), data.keys, how.seed)
    if fold is None:
        raise UserError(f"domain {domain.name}: no label has two examples, so none can be held out; label more")
    return replace(data, fold=fold)


def predict_held_out(
    domain: Domain,
    data: Encoded,
    how: Adaptation,
    fitted: Tensor | None = None,
    advance: Callable[[int], None] = lambda n: None,
) -> tuple[np.ndarray, np.ndarray | None]:
    """Return probabilities [n, N] of the labelled examples that have a fold, each by what was adapted without it.

    And the mean probabilities [U, N] of the pool by these models; None where there is no pool.

    Args:
        fitted: [n], whether an example may be adapted to; None: all may.
        advance: called with 1 for each fold.
    """
    plain = model_for(MetaModel(domain.family, "", 0, None, {}, Prior()), data.encoders)
    p, pool = torch.zeros(len(data.labelled.y), len(data.labels)), []
    for out, _, choice in choose_by_fold(plain, data, data.labelled, how, fitted):
        p[out] = choice.classifier.predict_proba(data.examples[out])
        if data.pool is not None:
            pool.append(choice.classifier.predict_proba(data.pool))
        advance(1)
    return p.double().numpy(), torch.stack(pool).mean(0).numpy() if pool else None


def estimate_gain(
    domain: Domain, data: Encoded, how: Adaptation, p: np.ndarray, suspects: np.ndarray, advance: Callable[[int], None]
) -> MendingGain | None:
    """Return what is gained where the suspects [e] are not learned from; None where too little would be left.

    Args:
        p: [n, N] what was said of the labelled examples while all the others were learned from.
    """
    y, fitted = data.labelled.y, torch.ones(len(p), dtype=torch.bool)
    fitted[suspects] = False
    rest = data.scored_rows[fitted[data.scored_rows]].numpy()
    if len(y[fitted].unique()) < 2 or not len(rest):
        return None
    after, _ = predict_held_out(domain, data, how, fitted, advance)
    right = [float((said[rest].argmax(1) == y[rest].numpy()).mean()) for said in (p, after)]
    return MendingGain(len(rest), *right)


def labelled_places(data: Encoded) -> list[Place]:
    """Return where each labelled example lies: train, and then test."""
    y, n = data.labelled.y.tolist(), len(data.train_rows)
    train = [Place("train", row, y[i]) for i, row in enumerate(data.train_rows)]
    return train + [Place("test", row, label) for row, label in enumerate(y[n:])]


def disagreement_rows(
    domain: Domain, known: Mapping[Place, np.ndarray], listed: Collection[Place]
) -> list[list[object]]:
    """Return a row for each example whose label contradicts that of one that is nearly equal.

    Of a pair the one is doubted whose label is less probable for both; both are, where nothing is known of either.

    Args:
        known: probabilities [N] of held-out examples; listed: the examples that are doubted already.
    """
    rows, listed = [], set(listed)
    for pair in find_disagreements(domain):
        if listed & set(pair):
            continue
        said = sum((known[place] for place in pair if place in known), np.zeros(len(domain.labels)))
        for one, other in (pair, pair[::-1]):
            sure = said[other.label] - said[one.label]
            if sure < 0:
                continue
            why = f"nearly equal to {other.split} row {other.row}, which is labelled {domain.labels[other.label]!r}"
            rows.append(doubtful_row(domain, one, other.label if sure > 0 else None, known.get(one), why))
            listed.add(one)
    return rows


def doubtful_row(domain: Domain, place: Place, likely: int | None, p: np.ndarray | None, why: str) -> list[object]:
    """Return a row of ``Audit.rows`` without its example."""
    sure = None if p is None or likely is None else round(float(p[likely]), 4)
    of_given = None if p is None else round(float(p[place.label]), 4)
    guess = "" if likely is None else domain.labels[likely]
    return ["", domain.labels[place.label], guess, sure, of_given, why, place.split, place.row]


def examples_of(domain: Domain, rows: pd.DataFrame) -> list[str]:
    """Return the examples of rows with ``split`` and ``row``, as a person reads them."""
    found: dict[Hashable, str] = {}
    for split in LABELLED:
        own = rows["row"][rows["split"] == split]
        found |= dict(zip(own.index, readable_examples(domain, own.tolist(), split), strict=True)) if len(own) else {}
    return [found[i] for i in rows.index]
