"""How well accuracy in service is estimated without labels, on domains that the estimate was not calibrated on."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from domains.domain import Family
from domains.errors import UserError, check_known
from domains.labelled_examples import LabelledExamples
from learners.shift.accuracy_estimate import estimate_accuracy
from tasks.base.progress import progress
from tasks.base.settings import Settings
from tasks.base.side_by_side import run_side_by_side
from tasks.bench.adapt.domains import all_examples, corpus
from tasks.bench.drift.calibration import calibrate
from tasks.bench.drift.shifted import NONE, ShiftJob, ShiftTrial, run_shifts
from tasks.bench.options import BenchOptions, Row
from tasks.features.encoders import BUILT_IN
from tasks.features.encoding import encode

#: Calibrated on; and the domains of the tables, none of which shares examples with one of the former.
CALIBRATED: dict[Family, str] = {
    "text": "20newsgroups agnews amazon_products banking77 clinc150 huffpost hwu64 mag stc2_searchsnippets "
    "stc2_stackoverflow sst5 trec50 snips tweeteval_emotion",
    "vision": "digits mnist gtsrb miniimagenet glyphs-latin",
}
UNSEEN: dict[Family, str] = {
    "text": "chemprot medical_abstracts ohsumed23 stc2_biomedical drugreviews hpo",
    "vision": "pbc_blood ham10000 chula_rbc",
}
ENCODERS: dict[Family, tuple[str, ...]] = {"text": ("minilm", "minilm+e5"), "vision": ("efficientnet",)}
MOST, CLASSES, FOREIGN = 1200, 20, 400  # examples and classes of a domain, and foreign ones beside them
TRIALS: dict[Family, int] = {"text": 4, "vision": 8}
Say = Callable[[str], None]


def bench_in_service(settings: Settings, options: BenchOptions, say: Say = lambda line: None) -> list[Row]:
    """Run the benchmark and return its rows: a mean a domain, kind of shift and encoder.

    Protocol: at most MOST examples of at most CLASSES classes of a domain; trials are those of ``run_shifts``. The
    domains of CALIBRATED give the constants, which are said and not used: those of the code are. ``error``: mean
    absolute error of the estimate; ``error of none``: of the accuracy on held-out examples in its place; ``coverage``:
    how often the interval holds the accuracy; ``width``: of it.

    Raises:
        UserError: a domain is unknown, or its file is neither in the mirror nor to be had.
    """
    names = {name for every in (*CALIBRATED.values(), *UNSEEN.values()) for name in every.split()}
    check_known(options.domains, names, "domain", " in this benchmark")
    known, unseen = list[ShiftTrial](), dict[str, list[ShiftTrial]]()
    for family, several in ENCODERS.items():
        for encoders in several:
            unseen[encoders] = run_all(settings, options, family, encoders, UNSEEN[family].split(), say)
        known += run_all(settings, options, family, several[0], CALIBRATED[family].split(), say)
    if len({trial.domain for trial in known}) > 1:
        say(f"constants of {len(known)} trials of source domains: {calibrate(known).line()}")
    rows = [row for encoders, trials in unseen.items() for row in error_rows(encoders, trials)]
    if not rows and not known:
        raise UserError("nothing could be measured; leave out --domains")
    return rows


def run_all(
    settings: Settings, options: BenchOptions, family: Family, encoders: str, names: Sequence[str], say: Say
) -> list[ShiftTrial]:
    """Return the trials of domains of a family; the foreign examples of each are of the one before it."""
    specs = tuple(BUILT_IN[family][name] for name in encoders.split("+"))
    jobs = []
    for before, name in zip((names[-1], *names), names, strict=False):
        if not options.domains or name in options.domains:
            both = with_foreign(*(read_sample(settings, family, each) for each in (name, before)))
            with progress(f"encode {name}", len(both.examples) * len(specs)) as advance:
                x = encode(settings, family, both.examples, advance, specs)
            jobs.append(ShiftJob(both, x, specs, options.draws or TRIALS[family], settings.seed))
    with progress(f"bench in-service: {encoders}", 3 * sum(job.trials for job in jobs)) as advance:
        done = run_side_by_side(
            run_shifts, jobs, settings.processes, advance, lambda job, found: say(result_line(encoders, found))
        )
    return [trial for trials in done for trial in trials]


def read_sample(settings: Settings, family: Family, name: str) -> LabelledExamples:
    """Return a part of a domain."""
    found = all_examples(settings, family, replace(corpus(name), without=()))
    rng = np.random.default_rng(settings.seed)
    kept = rng.permutation(len(found.labels))[:CLASSES]
    rows = rng.permutation(np.flatnonzero(np.isin(found.y, kept)))[:MOST]
    return replace(found.take(np.sort(rows).tolist()), name=name)


def with_foreign(own: LabelledExamples, other: LabelledExamples) -> LabelledExamples:
    """Return a domain with some examples of another behind its own, which have no label."""
    strangers = other.examples[:FOREIGN]
    y = np.concatenate([own.y, np.full(len(strangers), NONE)])
    return replace(own, examples=(*own.examples, *strangers), y=y, groups=None)


def error_rows(encoders: str, trials: Sequence[ShiftTrial]) -> list[Row]:
    """Return the rows of trials: of each domain and shift, and over all domains."""
    rows = []
    groups: dict[tuple[str, str], list[ShiftTrial]] = {}
    for trial in trials:
        groups.setdefault((trial.domain, trial.shift), []).append(trial)
        groups.setdefault(("mean of domains", trial.shift), []).append(trial)
    for (domain, shift), some in groups.items():
        about = {"suite": "in-service", "domain": domain, "setting": shift, "method": encoders}
        for metric, value in measures(some).items():
            rows.append(about | {"metric": metric, "value": value, "ci95": None, "n": len(some), "seconds": None})
    return rows


def measures(trials: Sequence[ShiftTrial]) -> dict[str, float]:
    """Return what the estimate is worth on some trials."""
    found = [estimate_accuracy(trial.evidence) for trial in trials]
    truth = np.array([trial.accuracy for trial in trials])
    accuracy, low, high, before = np.array([[e.accuracy, e.low, e.high, e.before] for e in found]).T
    values = {
        "error": np.abs(accuracy - truth),
        "error of none": np.abs(before - truth),
        "bias": accuracy - truth,
        "coverage": (low <= truth) & (truth <= high),
        "width": high - low,
    }
    return {name: round(float(value.mean()), 4) for name, value in values.items()}


def result_line(encoders: str, trials: Sequence[ShiftTrial]) -> str:
    """Return the line that is said when a domain is done."""
    found = measures(trials)
    return (
        f"{trials[0].domain}, {encoders}: error {100 * found['error']:.1f} points, "
        f"{100 * found['error of none']:.1f} without an estimate; coverage {100 * found['coverage']:.0f} %"
    )
