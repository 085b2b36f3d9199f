"""Benchmarks: rows of figures that later checks read."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from domains.domain import Family
from domains.errors import UserError
from learners.meta_model import MetaModel
from tasks import registry
from tasks.adapt_steps import summarise
from tasks.adaptation import Adaptation, check_encoder, encode_domain, run_trial
from tasks.data import snapshots
from tasks.progress import progress
from tasks.settings import Settings

SUITES = (
    *("quick", "adapt", "suggest", "omniglot", "miniimagenet", "lake", "speed"),
    *("drift", "market", "orchestration", "faults", "rl2"),
)
SHOTS = (1, 5, 10)
ROUNDS = 7  # of the suite speed
QUICK_DRAWS = 10

#: A row: ``{suite, domain, setting, method, metric, value, ci95, n, seconds}``.
Row = dict[str, Any]


@dataclass(frozen=True)
class Asked:
    """What the command line asks of a benchmark; each suite reads its own part."""

    draws: int | None = None  # None: 10, or 20 of the suites adapt and lake, 200 of drift
    methods: tuple[str, ...] = ()
    shots: tuple[int, ...] = SHOTS
    ways: int = 5
    steps: int | None = None
    pixels: int | None = None
    episodes: int | None = None
    device: str = ""
    family: Family = "text"
    pools: tuple[str, ...] = ("balanced", "imbalanced", "none")
    sources: str = "non-medical"
    domains: tuple[str, ...] = ()
    tune_draws: int = 3
    export: Path | None = None

    @property
    def on(self) -> str:
        """The device asked for, or a GPU where there is one.

        Raises:
            UserError: no such device.
        """
        import torch

        there = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
        if self.device and self.device not in there:
            raise UserError(f"no device {self.device!r} on this machine; there is: {', '.join(there)}")
        return self.device or there[-1]


def words(text: str) -> tuple[str, ...]:
    """Return what stands between commas."""
    return tuple(word.strip() for word in text.split(",") if word.strip())


def numbers(text: str) -> tuple[int, ...]:
    """Return the positive numbers between commas.

    Raises:
        UserError: one is not a positive number, or there is none.
    """
    found = words(text)
    if not found or not all(word.isdecimal() and int(word) for word in found):
        raise UserError(f"shots = {text!r}: positive numbers with commas between them, such as 1,5,10")
    return tuple(int(word) for word in found)


def run(settings: Settings, suite: str, asked: Asked, say: Callable[[str], None]) -> list[Row]:
    """Run a suite of SUITES and return its rows."""
    if suite == "quick":
        draws = asked.draws or QUICK_DRAWS
        with progress("bench quick", len(targets(settings)) * len(SHOTS) * draws) as advance:
            return quick(settings, draws, advance)
    if suite == "adapt":
        from tasks.bench_adapt import adapt

        return adapt(settings, asked, say)
    if suite == "suggest":
        from tasks.bench_suggest import bench_suggest

        return bench_suggest(settings, asked, say)
    if suite == "drift":
        from tasks.bench_drift import bench_drift

        return bench_drift(settings, asked, say)
    if suite == "market":
        from tasks.bench_market import bench_market

        return bench_market(settings, asked, say)
    if suite == "rl2":
        from tasks.bench_rl2 import bench_rl2

        return bench_rl2(settings, asked, say)
    if suite == "speed":
        from tasks.bench_speed import speed

        with progress("bench speed", 4 * (ROUNDS + 1)) as advance:
            return speed(ROUNDS, asked.on, advance)
    if suite == "lake":
        from tasks.bench_lake import METHODS, lake, training

        trains = "protonet" in (asked.methods or METHODS)
        with progress("bench lake", training(asked.steps, settings.seed).steps if trains else 0) as advance:
            return lake(settings, asked, advance, say)
    if suite == "orchestration":
        from tasks.bench_orchestration import orchestration

        return orchestration(settings, asked, say)
    if suite == "faults":
        from tasks.bench_faults import faults

        return faults(settings, asked, say)
    from tasks import bench_fewshot

    todo = bench_fewshot.jobs(suite, asked)
    with progress(f"bench {suite}", bench_fewshot.total(todo)) as advance:
        return bench_fewshot.few_shot(settings, todo, advance, say)


def quick(settings: Settings, draws: int = QUICK_DRAWS, advance: Callable[[int], None] = lambda n: None) -> list[Row]:
    """Compare every method on every built-in target at 1, 5 and 10 labels a class.

    Protocol: frozen encoder, the same supports, pool and test examples for every method; mean over support draws
    with a 95 % Student-t interval. ``seconds`` is the whole of adaptation for ``acclimate``, choice included.

    Returns:
        Rows ``{suite, domain, setting, method, metric, value, ci95, n, seconds}``.
    """
    rows: list[Row] = []
    for domain in targets(settings):
        meta = registry.champion(settings, registry.meta_name(domain.family))
        if meta is None:
            raise UserError(f"no meta-model of family {domain.family} yet; run `acclimate demo` first")
        model = MetaModel.load(meta.folder)
        check_encoder(domain, model)
        for k in SHOTS:
            how = Adaptation(k=k, draws=draws, seed=settings.seed)
            data = encode_domain(settings, domain, how)
            trials = []
            for number in range(draws):
                trials.append(run_trial(model, data, how, number))
                advance(1)
            seconds = sum(trial.seconds for trial in trials) / draws
            pool = 0 if data.pool_x is None else len(data.pool_x)
            for method, score in summarise(trials, data).items():
                base = {
                    "suite": "quick",
                    "domain": domain.name,
                    "setting": f"K={k} pool={pool}",
                    "method": method,
                }
                ours = round(seconds, 4) if method == "acclimate" else None
                for metric in ("accuracy", "log_loss", "ece"):
                    ci95 = round(score.ci95, 5) if metric == "accuracy" else None
                    value = round(getattr(score, metric), 5)
                    rows.append(base | {"metric": metric, "value": value, "ci95": ci95, "n": draws, "seconds": ours})
    return rows


def targets(settings: Settings) -> list[Any]:
    """Return the target domains of HEAD."""
    return [domain for domain in snapshots(settings.root_path, settings.home_path) if domain.role == "target"]
