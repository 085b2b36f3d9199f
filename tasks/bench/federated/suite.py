"""The benchmark of federated meta-training: six sites alone, by their priors, by their learners, and pooled."""

import hashlib
import json
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np
import torch

import learners
from domains.errors import check_known
from learners import metrics
from learners.choice.prior import Prior
from learners.federated import messages
from learners.federated.federation import Federation
from learners.federated.messages import Arrays
from learners.federated.server import Plan
from learners.federated.site import Identity, Site
from learners.meta_model import MetaModel
from tasks.base.progress import progress
from tasks.base.settings import Settings
from tasks.bench.adapt.domains import TARGETS, all_examples, corpus
from tasks.bench.adapt.draws import NATURAL
from tasks.bench.adapt.measure import AdaptJob, measure_adaptation
from tasks.bench.adapt.methods import OURS
from tasks.bench.adapt.models import META_MODEL
from tasks.bench.adapt.suite import encode_pile, problems_of
from tasks.bench.federated.sites import FAMILY, SITES, divide, to_site, unite
from tasks.bench.options import BenchOptions, Row
from tasks.features.encoders import encoder_identity, family_encoders, weights
from tasks.features.encoding import encode, encode_names
from tasks.meta_train.recipes import RECIPES, Recipe
from tasks.meta_train.training import Piles, assemble, save_new, train_learner

TARGET_NAMES = ("stc2_biomedical", "chemprot", "ohsumed23")
DRAWS, STEPS, LOCAL_STEPS, EPISODES = 10, 120, 4, 60
TARGET_CLASS = 60  # at most so many examples a class of a target are encoded
LOST = 0.2  # chance that a site dies in a round, and that the server does after one
ALONE, PRIOR, LEARNERS, DEATHS, POOLED = "alone", "federated prior", "federated learners", "with deaths", "pooled"
METHODS = (ALONE, PRIOR, LEARNERS, DEATHS, POOLED)


@dataclass
class Wire:
    """Carries questions to sites in this process, counts what travels, and loses answers of sites that die."""

    sites: Mapping[str, Site]
    lost: float = 0.0
    generator: torch.Generator | None = None
    up: int = 0
    down: int = 0
    deaths: list[str] = field(default_factory=list)

    def __call__(self, question: str, told: Arrays, names: Collection[str]) -> dict[str, Arrays]:
        found = {}
        for name in names or self.sites:
            self.down += messages.size(told)
            if question == "round" and self._dies():
                self.deaths.append(name)
                continue
            found[name] = self.sites[name].answer(question, told)
            self.up += messages.size(found[name])
        return found

    def _dies(self) -> bool:
        return self.lost > 0 and float(torch.rand((), generator=self.generator)) < self.lost


class ServerDied(Exception):
    """The server was made to end after a round."""


def bench_federated(settings: Settings, options: BenchOptions, say: Callable[[str], None]) -> list[Row]:
    """Meta-train six sites' learners in five ways and adapt to medical targets by each; return the rows.

    Sites are in this process; what would travel is counted. Every way makes the same number of meta-updates a learner
    and site, and learns its prior on the same number of episodes. ``alone`` is the mean of six models, one a site; a
    site that has too few classes to hold any out has no meta-model of its own, and adapts without meta-training.
    ``pooled`` has the domains of all, held out as the sites hold them out. ``with deaths`` is ``federated learners``
    where each site dies in a fifth of its rounds and the server after a fifth of all.

    Raises:
        UserError: a method or target is unknown, or a file of the mirror is absent.
    """
    check_known(options.methods, METHODS, "method")
    known = {c.name: c for c in TARGETS[FAMILY]}
    names = options.domains or TARGET_NAMES
    check_known(names, known, "target", " in this benchmark")
    recipe = replace(RECIPES[FAMILY], prior_episodes=options.episodes or EPISODES, prior_per_class=0)
    recipe = recipe.with_steps(options.steps or STEPS)
    torch.set_num_threads(1)
    methods = options.methods or METHODS
    folder = _folder(settings, recipe)
    trained = _train_all(settings, recipe, methods, folder, say)
    targets = [all_examples(settings, FAMILY, known[n]).sample(TARGET_CLASS, seed=settings.seed) for n in names]
    with progress("bench federated: encode targets", sum(len(t.y) for t in targets)) as advance:
        x = [encode(settings, FAMILY, t.examples, advance).numpy() for t in targets]
    named = encode_names(settings, FAMILY, [t.labels for t in targets])
    draws, jobs = options.draws or DRAWS, []
    for method, folders in trained.items():
        for of in folders:
            for target, features, name in zip(targets, x, named, strict=True):
                for task in problems_of(target, options.shots, settings.seed):
                    fixed = target, task, features, None if name is None else name.numpy()
                    rest = (OURS,), (NATURAL,), draws, draws, settings.seed, of
                    jobs.append((method, AdaptJob(*fixed, *rest, weights(settings, family_encoders(FAMILY)[0]))))
    scores: dict[tuple[str, str, int], list[np.ndarray]] = {}
    with progress("bench federated: adapt", len(jobs) * draws) as advance:
        for method, job in jobs:
            found = measure_adaptation(job, advance)[NATURAL, OURS]
            key = method, job.domain.name, job.task.k
            scores.setdefault(key, []).append(np.array([draw.accuracy for draw in found]))
    means = {key: np.mean(values, 0) for key, values in scores.items()}
    cost = {m: json.loads((folder / m / "cost.json").read_text("utf-8")) for m in methods}
    return rows_of(means, methods, names, options.shots, cost)


def rows_of(
    scores: Mapping[tuple[str, str, int], np.ndarray],
    methods: Collection[str],
    targets: Collection[str],
    shots: Collection[int],
    cost: Mapping[str, Mapping[str, float]],
) -> list[Row]:
    """Return rows of accuracies [draws] by method, target and K: each, their mean, and its gain over alone."""
    rows: list[Row] = []

    def row(domain: str, k: int, method: str, metric: str, values: np.ndarray) -> None:
        mean, half = metrics.mean_interval(values)
        base = {"suite": "federated", "domain": domain, "setting": f"K={k}", "method": method, "metric": metric}
        ci95 = None if np.isnan(half) else round(half, 5)
        rows.append(base | {"value": round(mean, 5), "ci95": ci95, "n": len(values), "seconds": None})

    mean = {(m, k): np.mean([scores[m, t, k] for t in targets], 0) for m in methods for k in shots}
    of_all = f"mean of {len(targets)} targets"
    for k in shots:
        for m in methods:
            for t in targets:
                row(t, k, m, "accuracy", scores[m, t, k])
            row(of_all, k, m, "accuracy", mean[m, k])
            if m != ALONE and ALONE in methods:
                row(of_all, k, m, "gain over alone", mean[m, k] - mean[ALONE, k])
    if {ALONE, POOLED} <= set(methods):
        gained = {m: np.mean([mean[m, k] - mean[ALONE, k] for k in shots], 0) for m in methods}
        for m in methods:
            if m not in (ALONE, POOLED):
                rows.append(_share_row(of_all, m, gained[m], gained[POOLED]))
    for m in methods:
        for metric, value in cost[m].items():
            base = {"suite": "federated", "domain": "all sites", "setting": "", "method": m, "metric": metric}
            rows.append(base | {"value": round(value, 1), "ci95": None, "n": 1, "seconds": None})
    return rows


def _share_row(domain: str, method: str, ours: np.ndarray, pooled: np.ndarray) -> Row:
    """Return the share of pooling's gain that a method keeps; its interval is by bootstrap over draws."""
    rng = np.random.default_rng(0)
    index = rng.integers(len(ours), size=(2000, len(ours)))
    with np.errstate(divide="ignore", invalid="ignore"):
        shares = ours[index].mean(1) / pooled[index].mean(1)
        value = float(ours.mean() / pooled.mean())
    low, high = np.nanpercentile(shares, [2.5, 97.5])
    base = {"suite": "federated", "domain": domain, "setting": "all K", "method": method, "metric": "share of gain"}
    return base | {"value": round(value, 3), "ci95": round(float(high - low) / 2, 3), "n": len(ours), "seconds": None}


def _folder(settings: Settings, recipe: Recipe) -> Path:
    """Return where models of this recipe and this code of learners are kept."""
    code = hashlib.sha256(json.dumps([asdict(recipe), SITES], sort_keys=True).encode())
    for path in (*sorted(Path(learners.__path__[0]).rglob("*.py")), *sorted(Path(__file__).parent.glob("*.py"))):
        code.update(path.read_bytes())
    code.update(encoder_identity(FAMILY).encode())
    return settings.home_path / "bench" / "federated" / code.hexdigest()[:16]


def _train_all(
    settings: Settings, recipe: Recipe, methods: Collection[str], folder: Path, say: Callable[[str], None]
) -> dict[str, list[Path]]:
    """Return the folders of every method's meta-models, trained now where they are not there."""
    found: dict[str, list[Path]] = {}
    sites: dict[str, Piles] = {}
    for method in methods:
        todo = [folder / method / name for name in (SITES if method == ALONE else ("all",))]
        found[method] = todo
        if (folder / method / "cost.json").exists():
            continue
        sites = sites or _sites(settings, recipe)
        started = time.process_time()
        cost = _train(method, recipe, sites, folder / method, say)
        cost["CPU seconds of training"] = time.process_time() - started
        (folder / method / "cost.json").write_text(json.dumps(cost), "utf-8")
        say(f"{method}: {', '.join(f'{name} {value:,.0f}' for name, value in cost.items())}")
    return found


def _sites(settings: Settings, recipe: Recipe) -> dict[str, Piles]:
    read = {
        site: [
            all_examples(settings, FAMILY, corpus(name)).sample(recipe.per_class, recipe.classes, recipe.seed)
            for name in of
        ]
        for site, of in SITES.items()
    }
    total = sum(len(domain.y) for of in read.values() for domain in of)
    with progress("bench federated: encode sources", total) as advance:
        piles = {site: [encode_pile(settings, domain, advance) for domain in of] for site, of in read.items()}
    return divide(piles, recipe)


def _train(
    method: str, recipe: Recipe, sites: Mapping[str, Piles], folder: Path, say: Callable[[str], None]
) -> dict[str, float]:
    """Train the meta-models of a method into its folder; return bytes that travelled."""
    folder.mkdir(parents=True, exist_ok=True)
    if method == ALONE:
        for site, piles in sites.items():
            (folder / site).mkdir(exist_ok=True)
            model = _pooled_model(piles, recipe, folder / site) if piles.prior else _plain_model(piles)
            save_new(model, folder / site / META_MODEL)
        return {}
    if method == POOLED:
        (folder / "all").mkdir(exist_ok=True)
        save_new(_pooled_model(unite(sites), recipe, folder / "all"), folder / "all" / META_MODEL)
        return {"MB that travel": sum(p.x.nbytes for s in sites.values() for part in s.parts for p in part) / 1e6}
    return _federate(method, recipe, sites, folder, say)


def _pooled_model(piles: Piles, recipe: Recipe, folder: Path) -> MetaModel:
    found, histories = {}, {}
    for name, training in recipe.training.items():
        found[name], histories[name] = train_learner(name, piles, training, folder / f"{name}.checkpoint")
    return assemble(FAMILY, piles, found, histories, recipe)


def _plain_model(piles: Piles) -> MetaModel:
    return MetaModel(FAMILY, encoder_identity(FAMILY), piles.dim, None, {}, Prior(), {}, piles.last)


def _federate(
    method: str, recipe: Recipe, sites: Mapping[str, Piles], folder: Path, say: Callable[[str], None]
) -> dict[str, float]:
    identity = Identity(encoder_identity(FAMILY), "bench")
    training = {} if method == PRIOR else recipe.training
    steps = max((how.steps for how in training.values()), default=0)
    generator = torch.Generator().manual_seed(recipe.seed + 9)
    members = {name: to_site(identity, piles, recipe, bool(training)) for name, piles in sites.items()}
    wire = Wire(members, LOST if method == DEATHS else 0.0, generator)
    plan = Plan(training, max(1, steps // LOCAL_STEPS), LOCAL_STEPS, len(sites))
    dim, last = next(iter(sites.values())).dim, next(iter(sites.values())).last
    path = folder / "server.checkpoint"
    ended = 0

    def ask(question: str, told: Arrays, names: Collection[str]) -> dict[str, Arrays]:
        nonlocal ended
        if method == DEATHS and question == "round" and float(torch.rand((), generator=generator)) < LOST:
            ended += 1
            raise ServerDied
        return wire(question, told, names)

    federation = Federation(plan, identity, dim, ask, recipe.prior_episodes, last, path, say)
    while True:
        try:
            found = federation.run()
            break
        except ServerDied:
            continue
    made = {}
    for name, of in found.weights.items():
        made[name] = learners.make(name, dim, None, last)
        made[name].load_state_dict(of)
    model = MetaModel(FAMILY, encoder_identity(FAMILY), dim, None, made, found.prior, {}, last)
    (folder / "all").mkdir(exist_ok=True)
    save_new(model, folder / "all" / META_MODEL)
    path.unlink(missing_ok=True)
    deaths = {"sites that died": float(len(wire.deaths)), "times the server died": float(ended)} if wire.lost else {}
    return {"MB that travel": (wire.up + wire.down) / 1e6} | deaths
