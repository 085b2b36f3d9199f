"""The benchmark of adaptation: few labels of a new domain and a pool, every method on the same draws."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from domains.domain import Family
from domains.episode import Pile, Shape
from domains.errors import check_known
from domains.labelled_examples import LabelledExamples
from tasks.base.progress import progress
from tasks.base.settings import Settings
from tasks.base.side_by_side import run_side_by_side
from tasks.bench.adapt import models
from tasks.bench.adapt.domains import TARGETS, Corpus, all_examples, sources, targets
from tasks.bench.adapt.draws import POOLS, DrawProblem, problem_at, split
from tasks.bench.adapt.export import export_draws
from tasks.bench.adapt.measure import AdaptJob, measure_adaptation
from tasks.bench.adapt.methods import ABLATED, NEED_MODEL, SINGLE, TUNED, select_methods
from tasks.bench.adapt.rows import Scores, result_rows
from tasks.bench.options import BenchOptions, Row
from tasks.features.encoders import family_encoders, weights
from tasks.features.encoding import encode, encode_names
from tasks.meta_train.recipes import RECIPES, Recipe

DRAWS = 20
TARGET_CLASS = 300  # at most so many examples a class are encoded
SOURCE_CLASS: dict[Family, int] = {"text": 100, "vision": 30}  # the same of a source
#: The source episodes of a meta-model.
EPISODES: dict[Family, Shape] = {
    "text": Shape(ways=(5, 40), queries=8, pool=(0, 500, 1500)),
    "vision": Shape(ways=(5, 15), queries=8, pool=(0, 300, 600)),
}
Say = Callable[[str], None]


def bench_adapt(settings: Settings, options: BenchOptions, say: Say = lambda line: None) -> list[Row]:
    """Run the benchmark of adaptation and return its rows; with ``options.export``, write its draws and return none.

    Raises:
        UserError: a name is unknown, a file of the mirror is absent, or a domain is too small.
    """
    family = options.family
    check_known([family], TARGETS, "benchmark of adaptation for family")
    check_known(options.pools, POOLS, "pool")
    pools = options.pools or POOLS
    methods, draws = select_methods(family, options.methods), options.draws or DRAWS
    corpora = targets(family, options.domains)
    allowed = {corpus: sources(family, corpus, options.sources) for corpus in corpora}
    every = {c: all_examples(settings, family, c).sample(TARGET_CLASS, seed=settings.seed) for c in corpora}
    problems = {c: problems_of(domain, options.shots, settings.seed) for c, domain in every.items()}
    if options.export is not None:
        paths = export_draws(options.export, [(every[c], problems[c]) for c in corpora], draws, settings.seed)
        say(f"{len(paths)} files of {draws} draws written to {options.export}; nothing was measured")
        return []
    recipe = recipe_of(family).with_steps(options.steps)
    folders: dict[Corpus, Path] = {}
    if any(method in NEED_MODEL for method in methods):
        parts = [ABLATED[method] for method in methods if method in ABLATED]
        folders = meta_models(settings, family, allowed, recipe, parts)
    with progress("bench adapt: encode targets", sum(len(domain.y) for domain in every.values())) as advance:
        x = {c: encode(settings, family, domain.examples, advance).numpy() for c, domain in every.items()}
    encoded = encode_names(settings, family, [every[c].labels for c in corpora])
    names = {c: None if found is None else found.numpy() for c, found in zip(corpora, encoded, strict=True)}
    jobs = [
        AdaptJob(
            *(every[c], task, x[c], names[c]),
            *(methods, pools, draws, min(options.tune_draws, draws), settings.seed),
            *(
                folders.get(c),
                weights(settings, family_encoders(family)[0]),
                options.torch_device if set(methods) & set(TUNED) else "cpu",
            ),
        )
        for c in corpora
        for task in problems[c]
    ]
    jobs.sort(key=lambda job: -job.task.k * len(job.task.classes))  # many labels take long: they start first
    with progress("bench adapt", len(jobs) * draws * len(pools)) as advance:
        done = run_side_by_side(
            measure_adaptation, jobs, settings.processes, advance, lambda job, found: say(result_line(job, found))
        )
    scores = {(job.domain.name, job.task.k): found for job, found in zip(jobs, done, strict=True)}
    order = [(c.name, k) for c in corpora for k in options.shots]
    return result_rows({key: scores[key] for key in order}, [c.name for c in corpora if c.medical], SINGLE)


def recipe_of(family: Family) -> Recipe:
    """Return the family's recipe with more source examples a class, and episodes like those of the targets."""
    recipe = RECIPES[family]
    training = {name: replace(how, shape=EPISODES[family]) for name, how in recipe.training.items()}
    return replace(recipe, per_class=SOURCE_CLASS[family], training=training)


def problems_of(domain: LabelledExamples, shots: Sequence[int], seed: int) -> list[DrawProblem]:
    """Return the problems of a domain, one a number of shots, over one split."""
    parts = split(domain.y, domain.groups, seed)
    return [problem_at(domain.name, domain.y, parts, k) for k in shots]


def meta_models(
    settings: Settings, family: Family, allowed: dict[Corpus, tuple[Corpus, ...]], recipe: Recipe, parts: Sequence[str]
) -> dict[Corpus, Path]:
    """Return the folder of every target's meta-model, trained now where it is not there; one a set of sources."""
    needed = {corpus for used in allowed.values() for corpus in used}
    order = sorted(needed, key=lambda corpus: (corpus.name, corpus.without))
    read_in = {
        c: all_examples(settings, family, c).sample(recipe.per_class, recipe.classes, recipe.seed) for c in order
    }
    hashes = {c: domain.content_hash for c, domain in read_in.items()}
    folders: dict[Corpus, Path] = {}
    for target, used in allowed.items():
        folders[target] = models.folder_of(settings, family, recipe, {c.name: hashes[c] for c in used})
    todo = [
        work for folder in dict.fromkeys(folders.values()) for work in models.work_left(folder, family, recipe, parts)
    ]
    fresh = [
        f for f in dict.fromkeys(folders.values()) if any(w.folder == f for w in todo) or not models.has_meta_model(f)
    ]
    if not fresh:
        return folders
    with progress("bench adapt: encode sources", sum(len(domain.y) for domain in read_in.values())) as advance:
        piles = {c: encode_pile(settings, domain, advance) for c, domain in read_in.items()}
    for target, folder in folders.items():
        if folder in fresh:
            models.write_piles(folder, [piles[c] for c in allowed[target]], recipe)
    with progress("bench adapt: meta-train", sum(work.how.steps for work in todo)) as advance:
        run_side_by_side(models.train_in_folder, todo, settings.processes, advance)
    comparisons = [models.Assembly(folder, family, recipe) for folder in fresh]
    with progress("bench adapt: compare strategies", len(fresh) * recipe.compared) as advance:
        run_side_by_side(models.assemble_in_folder, comparisons, settings.processes, advance)
    return folders


def encode_pile(settings: Settings, domain: LabelledExamples, advance: Callable[[int], None]) -> Pile:
    """Return a source as features to draw episodes from."""
    x = encode(settings, domain.family, domain.examples, advance)
    (names,) = encode_names(settings, domain.family, [domain.labels])
    return Pile(domain.name, x, torch.from_numpy(domain.y), names=names)


def result_line(job: AdaptJob, found: Scores) -> str:
    """Return the line that is said when a job has ended: accuracies with the first of the pools."""
    parts = {method: np.mean([s.accuracy for s in found[job.pools[0], method]]) for method in job.methods}
    return f"{job.domain.name} K={job.task.k}: " + ", ".join(f"{m} {100 * value:.1f}" for m, value in parts.items())
