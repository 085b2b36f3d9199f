"""Benchmarks: rows of figures that later checks read."""

from collections.abc import Callable
from typing import Any

from domains.errors import UserError
from learners.meta_model import MetaModel
from tasks import registry
from tasks.adapt_steps import summarise
from tasks.adaptation import Adaptation, check_encoder, encode_domain, run_trial
from tasks.data import domains_at, snapshot
from tasks.settings import Settings

SHOTS = (1, 5, 10)


def quick(settings: Settings, draws: int = 10, advance: Callable[[int], None] = lambda n: None) -> list[dict[str, Any]]:
    """Compare every method on every built-in target at 1, 5 and 10 labels a class.

    Protocol: frozen encoder, the same supports, pool and test examples for every method; mean over support draws
    with a 95 % Student-t interval. ``seconds`` is the whole of adaptation for ``acclimate``, choice included.

    Returns:
        Rows ``{suite, domain, setting, method, metric, value, ci95, n, seconds}``.
    """
    rows: list[dict[str, Any]] = []
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
    names = domains_at(settings.root_path)
    every = (snapshot(settings.root_path, settings.home_path, name) for name in names)
    return [domain for domain in every if domain.role == "target"]
