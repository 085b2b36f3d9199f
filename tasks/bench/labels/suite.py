"""Accuracy over the number of labels, as a user meets it: own frequencies, any pool, acclimate's model in use."""

from collections.abc import Callable

from domains.errors import UserError, check_known
from learners.meta_model import MetaModel
from learners.plain.words import Words
from tasks.adapt.plan import meta_model_in_service
from tasks.base.progress import progress
from tasks.base.settings import Settings
from tasks.base.side_by_side import run_side_by_side
from tasks.bench.labels.domains import default_domains, is_known_to, read_domain
from tasks.bench.labels.measure import LabelsJob, LabelsScore, cells_of, measure_half
from tasks.bench.labels.names import METHODS, POOLS
from tasks.bench.labels.rows import result_rows, setting_of
from tasks.bench.options import BenchOptions, Row
from tasks.features.encoders import family_encoders, names_set
from tasks.features.encoding import encode, encode_names
from tasks.features.reading import readable

HALVES = 5


def bench_labels(
    settings: Settings, options: BenchOptions, say: Callable[[str], None] = lambda line: None
) -> list[Row]:
    """Run the benchmark over the number of labels and return its rows.

    Raises:
        UserError: a name is unknown, a file of the mirror or a meta-model is absent, or nothing could be measured.
    """
    check_known(options.pools, POOLS, "pool")
    check_known(options.methods, METHODS, "method", " in this benchmark")
    names = options.domains or default_domains(settings, say)
    domains = [read_domain(settings, name) for name in dict.fromkeys(names)]
    folders, sources = {}, set[str]()
    for domain in domains:
        meta = meta_model_in_service(settings, domain.family)
        model = MetaModel.load(meta.folder)
        folders[domain.name] = meta.folder
        if is_known_to(domain.name, model.about.get("sources", {})):
            sources.add(domain.name)
            say(f"{domain.name}: the meta-model was trained on examples of it; its means stand apart")
    encoders = {
        d.name: readable(settings, family_encoders(d.family), d.examples, bool(names_set(d.family)))[0] for d in domains
    }
    with progress("bench labels: encode", sum(len(d.y) * len(encoders[d.name]) for d in domains)) as advance:
        x = {d.name: encode(settings, d.family, d.examples, advance, encoders[d.name]) for d in domains}
    phrases = {d.name: encode_names(settings, d.family, [d.labels], encoders[d.name])[0] for d in domains}
    chosen = [method for method in METHODS if method in (options.methods or METHODS)]
    jobs = [
        LabelsJob(
            *(domain, x[domain.name], phrases[domain.name], half, options.shots, options.pools or POOLS),
            tuple(method for method in chosen if domain.family == "text" or method != Words.name),
            *(settings.seed, folders[domain.name], encoders[domain.name]),
        )
        for domain in domains
        for half in range(options.draws or HALVES)
    ]
    with progress("bench labels", len(jobs) * len(list(cells_of(options.shots)))) as advance:
        done = run_side_by_side(
            measure_half, jobs, settings.processes, advance, lambda job, found: say(half_line(job, found))
        )
    found: dict[str, list[LabelsScore]] = {}
    for job, scores in zip(jobs, done, strict=True):
        found.setdefault(job.domain.name, []).extend(scores)
    found = {name: scores for name, scores in found.items() if scores}
    if not found:
        raise UserError("--shots, --pools: no domain has more labels than that, or has such a pool; ask for others")
    return result_rows(found, sources, settings.seed)


def half_line(job: LabelsJob, found: list[LabelsScore]) -> str:
    """Return the line that is said when a half is done: accuracies with the most labels."""
    if not found:
        return f"{job.domain.name} half {job.half}: nothing to measure"
    setting = setting_of(found[-1])
    parts = [f"{s.method} {100 * s.accuracy:.1f}" for s in found if setting_of(s) == setting]
    return f"{job.domain.name} half {job.half}, {setting}: {', '.join(parts)}"
