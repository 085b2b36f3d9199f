"""Every method on every target of the quick start, from its meta-models."""

from collections.abc import Callable

from domains.domain import Domain
from learners.meta_model import MetaModel
from tasks.adapt.adaptation import Adaptation, encode_domain, model_for
from tasks.adapt.plan import meta_model_in_service
from tasks.adapt.steps import summarise
from tasks.adapt.trials import run_trial
from tasks.base.progress import progress
from tasks.base.settings import Settings
from tasks.bench.options import SHOTS, BenchOptions, Row
from tasks.versions.snapshots import snapshots

DRAWS = 10


def bench_quick(settings: Settings, options: BenchOptions, say: Callable[[str], None]) -> list[Row]:
    """Compare every method on every built-in target at 1, 5 and 10 labels a class.

    Protocol: frozen encoder, the same supports, pool and test examples for every method; mean over support draws
    with a 95 % Student-t interval. ``seconds`` is the whole of adaptation for ``acclimate``, choice included.

    Returns:
        Rows ``{suite, domain, setting, method, metric, value, ci95, n, seconds}``.
    """
    draws = options.draws or DRAWS
    domains = [domain for domain in snapshots(settings.root_path, settings.home_path) if domain.role == "target"]
    with progress("bench quick", len(domains) * len(SHOTS) * draws) as advance:
        return [row for domain in domains for row in _measure(settings, domain, draws, advance)]


def _measure(settings: Settings, domain: Domain, draws: int, advance: Callable[[int], None]) -> list[Row]:
    rows: list[Row] = []
    trained = MetaModel.load(meta_model_in_service(settings, domain.family).folder)
    for k in SHOTS:
        how = Adaptation(k=k, draws=draws, seed=settings.seed)
        data = encode_domain(settings, domain, how)
        model = model_for(trained, data.encoders)
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
                ci95 = None if metric != "accuracy" or score.ci95 is None else round(score.ci95, 5)
                value = round(getattr(score, metric), 5)
                rows.append(base | {"metric": metric, "value": value, "ci95": ci95, "n": draws, "seconds": ours})
    return rows
