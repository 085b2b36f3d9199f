"""What new examples of a domain show against what its champion was adapted on."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import BaseModel, Field
from torch import Tensor

from domains.domain import Domain, Split, check_name
from domains.errors import UserError
from domains.files import read_examples
from learners.classifier import Classifier
from learners.shift.drift import FEWEST, LEAST_RATE, MOST_RATE, distances_to_nearest, draw_rows, drift_test
from learners.shift.label_shift import LabelShift, label_shift
from tasks.base.artifacts import shorten
from tasks.base.progress import say
from tasks.base.settings import Settings
from tasks.features.encoding import encode, key_of, last_layer
from tasks.models import registry
from tasks.models.prediction import family_read, in_service
from tasks.versions.revisions import data_revision
from tasks.versions.snapshots import domains_at, snapshot

POOL_ALONE = 100  # a pool of so many old examples is compared with alone: labelled ones are chosen, and so even
FARTHEST = 5  # new examples that are shown
ALL: tuple[Split, ...] = ("train", "pool", "test")
State = Literal["drift", "no drift", "nothing new", "too few", "unknown"]


@dataclass(frozen=True)
class Case:
    """A domain to look at.

    Attributes:
        champion: the version in service.
        revision: the commit whose data is looked at; content_hash: of the domain there, empty where it has none.
        file: new examples of a user, instead of those of the revision.
        patient: what is wrong is the outcome, and not an error, as other domains are looked at too.
    """

    domain: str
    champion: registry.Registered
    revision: str
    content_hash: str
    alpha: float
    file: Path | None = None
    column: str | None = None
    patient: bool = False


class DriftResult(BaseModel):
    """What was found of one domain.

    Attributes:
        state: ``unknown`` where something is wrong with the domain, which ``why`` says.
        why: the outcome in words.
        new, old: examples that were compared, of markets days; p: of both tests together, None for markets.
        features_p, labels_p: of each test; statistic, threshold: of the test of features, at alpha / 2.
        before, after: label proportions; interval: 95 %, of their difference.
        farthest: new examples that lie farthest from all old ones, and how far (1 - cosine).
        change: of a market, the end of the first week of the present regime; levels: around it; adapted_until: the last
            day that the champion was adapted on.
        action: what was done about it.
    """

    domain: str
    family: str
    champion: str
    revision: str
    alpha: float
    state: State
    why: str
    new: int = 0
    old: int = 0
    p: float | None = None
    features_p: float | None = None
    labels_p: float | None = None
    statistic: float | None = None
    threshold: float | None = None
    before: dict[str, float] = Field(default_factory=dict)
    after: dict[str, float] = Field(default_factory=dict)
    interval: dict[str, tuple[float, float]] = Field(default_factory=dict)
    farthest: list[tuple[str, float]] = Field(default_factory=list)
    change: str | None = None
    levels: dict[str, float] = Field(default_factory=dict)
    adapted_until: str | None = None
    action: str = ""

    def line(self) -> str:
        """Return the outcome in one line."""
        return f"{self.domain}: {self.why}" + (f"; {self.action}" if self.action else "")


def cases(
    settings: Settings, domain: str | None, revision: str, file: Path | None, alpha: float, column: str | None = None
) -> list[Case]:
    """Return what to look at: a domain, or all that have a champion.

    Raises:
        UserError: the revision or the rate is none, the domain has no champion, or a file comes without its domain.
    """
    if not LEAST_RATE <= alpha <= MOST_RATE:
        raise UserError(f"alpha = {alpha}: a false-alarm rate from {LEAST_RATE} to {MOST_RATE}, such as 0.01")
    commit = data_revision(settings.root_path, revision).commit
    if domain is not None:
        check_name(domain)
        champion = in_service(settings, domain)
        there = domains_at(settings.root_path, commit).get(domain, "")
        return [Case(domain, champion, commit, there, alpha, file, column)]
    if file is not None:
        raise UserError(f"which domain are the examples of {file} of? Say acclimate drift DOMAIN --file {file}")
    there = domains_at(settings.root_path, commit)
    found = {name: registry.champion(settings, name) for name in there}
    return [
        Case(name, champion, commit, there[name], alpha, patient=True)
        for name, champion in found.items()
        if champion is not None
    ]


def outcome(case: Case, state: State, why: str, **more: Any) -> DriftResult:
    """Return what was found of a case."""
    return DriftResult(
        domain=case.domain,
        family=case.champion.tags["family"],
        champion=case.champion.version,
        revision=case.revision,
        alpha=case.alpha,
        state=state,
        why=why,
        **more,
    )


def adapted_on(settings: Settings, case: Case) -> Domain:
    """Return the domain as the champion was adapted on it, by its content hash where the git revision is gone.

    Raises:
        UserError: the champion does not say, or the data is not to be had.
    """
    name, tags = case.domain, case.champion.tags
    if not tags.get("content_hash") or not tags.get("revision"):
        raise UserError(
            f"version {case.champion.version} of {name} does not say what it was adapted on; "
            f"run `acclimate adapt {name}`"
        )
    kept = settings.home_path / "domains" / f"{name}-{tags['content_hash'][:16]}"
    if kept.is_dir():
        return Domain.read(kept, tags["revision"], tags["content_hash"])
    return snapshot(settings.root_path, settings.home_path, name, tags["revision"])


def same_data(case: Case) -> bool:
    """Whether the domain is at the revision as the champion knows it."""
    return case.content_hash == case.champion.tags.get("content_hash")


@dataclass(frozen=True)
class Examples:
    """New and old examples [n] and [m], no two the same; how many ``known`` ones were among the new."""

    new: list[Any]
    old: list[Any]
    known: int = 0


def examples(settings: Settings, case: Case) -> Examples:
    """Return what the champion has not seen of texts or images, and what it was adapted on.

    Raises:
        UserError: as :func:`adapted_on`; the file is bad.
    """
    before = adapted_on(settings, case)
    if case.file is not None:
        given = read_examples(before.family, case.file, case.column)
        now: Sequence[Any] = given.examples
        for doubt in given.warnings:
            say(f"warning: {case.file}: {doubt}")
    else:
        here = snapshot(settings.root_path, settings.home_path, case.domain, case.revision)
        now = [example for split in ("pool", "train") for example in column(here, split)]  # type: ignore[arg-type]
    seen = {key_of(example) for split in ALL for example in column(before, split)}
    distinct = {key_of(example): example for example in now}
    new = [example for key, example in distinct.items() if key not in seen]
    old = column(before, "pool")
    if len(old) < POOL_ALONE:
        old += column(before, "train")
    return Examples(new, list({key_of(example): example for example in old}.values()), len(now) - len(new))


def column(domain: Domain, split: Split) -> list[Any]:
    """Return the examples of a shard that are not empty."""
    found = domain.column(split) if domain.has(split) else []
    return [example for example in found if example and (isinstance(example, bytes) or example.strip())]


@dataclass(frozen=True)
class Compared:
    """The outcome, and what a report shows beside it: the farthest examples as they are."""

    result: DriftResult
    farthest: tuple[Any, ...] = ()


def compare_examples(settings: Settings, case: Case) -> Compared:
    """Test the new texts or images of a domain against those its champion was adapted on.

    Raises:
        UserError: as :func:`examples`; the champion reads another encoder's features; a file has too few new ones.
    """
    family = family_read(case.champion)
    if case.file is None and same_data(case):
        return Compared(outcome(case, "nothing new", "nothing new since the champion was adapted"))
    found = examples(settings, case)
    sizes = {"new": len(found.new), "old": len(found.old)}
    if not found.new and case.file is None:
        return Compared(outcome(case, "nothing new", "no example is new since the champion was adapted", **sizes))
    if len(found.new) < FEWEST:
        few = f"{len(found.new)} new example{'' if len(found.new) == 1 else 's'}, {FEWEST} are needed to tell"
        if case.file is not None:
            beside = f" ({found.known} more are equal to others or known to the champion)" if found.known else ""
            raise UserError(f"{case.file}: {few}{beside}; add more")
        return Compared(outcome(case, "too few", few, **sizes))
    if len(found.old) < FEWEST:
        few = f"the champion was adapted on {len(found.old)} examples, {FEWEST} are needed to tell"
        return Compared(outcome(case, "too few", few, **sizes))
    generator = torch.Generator().manual_seed(settings.seed)
    new, old = ([some[i] for i in draw_rows(len(some), generator).tolist()] for some in (found.new, found.old))
    x = encode(settings, family, [*new, *old])
    model = Classifier.load(case.champion.folder)
    new_p, old_p = model.predict_proba(x).split([len(new), len(old)])
    new_x, old_x = x[:, : last_layer(family)].split([len(new), len(old)])
    test = drift_test(new_x, old_x, new_p, old_p, case.alpha, generator)
    shift = label_shift(new_p, old_p, generator)
    far = distances_to_nearest(new_x, old_x)
    rows = far.argsort(descending=True)[:FARTHEST].tolist()
    changed = changes(model.labels, shift) if test.labels.p <= case.alpha / 2 else []
    result = outcome(
        case,
        "drift" if test.found else "no drift",
        in_words(test.found, test.p, len(found.new), changed),
        **sizes,
        p=test.p,
        features_p=test.features.p,
        labels_p=test.labels.p,
        statistic=test.features.statistic,
        threshold=test.features.threshold,
        before=by_label(model.labels, shift.before),
        after=by_label(model.labels, shift.after),
        interval={
            label: (round(float(low), 4), round(float(high), 4))
            for label, low, high in zip(model.labels, shift.low, shift.high, strict=True)
        },
        farthest=[(shown(new[row]), round(float(far[row]), 4)) for row in rows],
    )
    return Compared(result, tuple(new[row] for row in rows))


def in_words(found: bool, p: float, new: int, changed: Sequence[str]) -> str:
    """Return an outcome in words: how sure, of how many examples, and which labels changed."""
    sure = "p < 0.001" if p < 0.001 else f"p = {p:.2g}"
    if not found:
        return f"no drift ({sure}, {new:,} new examples)"
    how = f"other labels: {', '.join(changed)}" if changed else "the examples are of another kind"
    return f"drift ({sure}, {new:,} new examples): {how}"


def changes(labels: Sequence[str], shift: LabelShift, most: int = 3) -> list[str]:
    """Return the labels whose share changed most, of those whose interval leaves out 0, with both shares in percent."""
    apart = (shift.after - shift.before).abs()
    sure = [i for i in apart.argsort(descending=True).tolist() if shift.low[i] > 0 or shift.high[i] < 0]
    return [f"{labels[i]} {100 * shift.before[i]:.0f} to {100 * shift.after[i]:.0f} %" for i in sure[:most]]


def by_label(labels: Sequence[str], shares: Tensor) -> dict[str, float]:
    return {label: round(float(share), 4) for label, share in zip(labels, shares, strict=True)}


def shown(example: Any) -> str:
    """Return what is said of an example: the text, or the size of an image."""
    return shorten(example, 160) if isinstance(example, str) else f"image of {len(example):,} bytes"
