"""The domains to look at, what their champions were adapted on, and the outcome for each."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, Field

from domains.domain import Domain, Split, check_name
from domains.errors import UserError
from learners.shift.drift import LEAST_RATE, MOST_RATE
from tasks.base.settings import Settings
from tasks.models import registry
from tasks.models.prediction import model_in_service
from tasks.versions.revisions import data_revision
from tasks.versions.snapshots import domains_at, kept_snapshot, snapshot

ALL: tuple[Split, ...] = ("train", "pool", "test")
State = Literal["drift", "no drift", "nothing new", "too few", "unknown"]


@dataclass(frozen=True)
class DriftCase:
    """A domain to look at.

    Attributes:
        champion: the version in service.
        revision: the commit whose data is looked at; content_hash: of the domain there, empty where it has none.
        file: new examples of a user, instead of those of the revision; column: its text column.
        patient: a fault of this domain is its outcome, and not an error, as other domains are looked at too.
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
        inputs: files that were predicted last, where the new examples are of these.
        accuracy: estimated for the new examples without labels; accuracy_interval: 95 %; accuracy_before: on held-out
            labels. None where the champion keeps too little for it.
        alarms: of a market, the days after ``adapted_until``, the last that the champion was adapted on, that raised an
            alarm; alarm_by, alarm_began, alarm_change: of the first of these, what moved, since when, and to how many
            times what it was (of ``return``: by how much); days_late: after how many days half of such changes, and
            nine of ten, are noticed, None if not within a year.
        change: of a market in hindsight, the end of the first week of the present regime; levels: around it.
        action: what was done about it.
        fault: why a comparison or what was to be done about it failed; empty where nothing did.
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
    inputs: list[str] = Field(default_factory=list)
    accuracy: float | None = None
    accuracy_interval: tuple[float, float] | None = None
    accuracy_before: float | None = None
    alarms: list[str] = Field(default_factory=list)
    alarm_by: str | None = None
    alarm_began: str | None = None
    alarm_change: float | None = None
    days_late: tuple[int | None, int | None] | None = None
    change: str | None = None
    levels: dict[str, float] = Field(default_factory=dict)
    adapted_until: str | None = None
    action: str = ""
    fault: str = ""

    def line(self) -> str:
        """Return the outcome in one line."""
        return f"{self.domain}: " + "; ".join(filter(None, (self.why, self.accuracy_line(), self.action)))

    def accuracy_line(self) -> str:
        """Return the accuracy in service in words, or nothing where it is not known."""
        if self.accuracy is None or self.accuracy_interval is None or self.accuracy_before is None:
            return ""
        low, high = self.accuracy_interval
        return (
            f"accuracy in service about {100 * self.accuracy:.0f} % ({100 * low:.0f} to {100 * high:.0f}), was "
            f"{100 * self.accuracy_before:.0f} % on held-out labels"
        )


def find_cases(
    settings: Settings, domain: str | None, revision: str, file: Path | None, alpha: float, column: str | None = None
) -> list[DriftCase]:
    """Return the domains to look at: the one named, or all that have a champion.

    Raises:
        UserError: no such revision, a rate out of range, a domain without a champion, or a file without its domain.
    """
    if not LEAST_RATE <= alpha <= MOST_RATE:
        raise UserError(f"alpha = {alpha}: a false-alarm rate from {LEAST_RATE} to {MOST_RATE}, such as 0.01")
    commit = data_revision(settings.root_path, revision).commit
    if domain is not None:
        check_name(domain)
        champion = model_in_service(settings, domain)
        there = domains_at(settings.root_path, commit).get(domain, "")
        return [DriftCase(domain, champion, commit, there, alpha, file, column)]
    if file is not None:
        raise UserError(f"which domain are the examples of {file} of? Say acclimate drift DOMAIN --file {file}")
    there = domains_at(settings.root_path, commit)
    found = {name: registry.champion(settings, name) for name in there}
    return [
        DriftCase(name, champion, commit, there[name], alpha, patient=True)
        for name, champion in found.items()
        if champion is not None
    ]


def drift_result(case: DriftCase, state: State, why: str, **more: Any) -> DriftResult:
    """Return the outcome of a case."""
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


def domain_adapted_on(settings: Settings, case: DriftCase) -> Domain:
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
    kept = kept_snapshot(settings.home_path, name, tags["content_hash"])
    if kept is not None:
        return Domain.read(kept, tags["revision"], tags["content_hash"])
    return snapshot(settings.root_path, settings.home_path, name, tags["revision"])


def has_same_data(case: DriftCase) -> bool:
    """Whether the domain at the revision has the bytes that the champion was adapted on."""
    return case.content_hash == case.champion.tags.get("content_hash")
