"""The steps of the flow ``adapt`` as plain functions. They hand on paths and names; tensors stay inside."""

import math
import shutil
import time
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from torch import Tensor

from domains.domain import Domain
from domains.errors import UserError
from domains.objective import Objective
from learners import metrics
from learners.choice.fallback import PROBE
from learners.classifier import Classifier
from learners.examples import Examples
from learners.meta_model import MetaModel
from learners.objective import majority_value
from tasks.adapt import events
from tasks.adapt.adaptation import (
    AUTO,
    BASELINE_NAMES,
    Adaptation,
    Encoded,
    encoder_warning,
    examples_used,
    model_for,
    scored_examples,
    tuning_budget,
)
from tasks.adapt.approval import asked_about
from tasks.adapt.class_frequencies import Said, at_pool_frequencies, preferences
from tasks.adapt.domain_page import show_domain_page
from tasks.adapt.gate import MISSING, Decision, Scores, align, compare_known, gate, hash_of_test, score
from tasks.adapt.held_out import HeldOut
from tasks.adapt.learning_curve import forecast_beyond, learning_curve
from tasks.adapt.outside import typicality_of
from tasks.adapt.pages import show_adaptation
from tasks.adapt.plan import NO_META_WARNING, Plan, encode_plan
from tasks.adapt.trials import FLOOR, OURS, Trial, run_trial
from tasks.adapt.tuning import folder_of, join_tuned
from tasks.base import assets
from tasks.base.flow_runs import link_to_model, run_tags
from tasks.base.progress import progress
from tasks.base.settings import settings
from tasks.features.encoders import identity_of
from tasks.features.encoding import encode
from tasks.features.spec import EncoderSpec
from tasks.features.tuned import tuned_in
from tasks.models import registry
from tasks.models.adapt_result import (
    AWAITING,
    PROMOTED,
    REFUSED,
    AdaptResult,
    ClassScore,
    CurveScore,
    Interval,
    Score,
    SetScore,
    k_param,
)
from tasks.models.lineage import code_and_packages
from tasks.models.lookup import input_of
from tasks.models.prediction_table import needs_person, prediction_sets
from tasks.models.smoke_test import smoke_test_for
from tasks.models.verdicts import BESIDE, apply_verdict, refused_by_gate, utc_now

#: Fields of ``Score`` besides accuracy, each named as its function.
OF_PROBABILITIES, OF_LABELS = (metrics.log_loss, metrics.ece), (metrics.balanced_accuracy, metrics.macro_f1)


def find_finished(plan: Plan) -> AdaptResult | None:
    """Return what the same work gave before, if it was done; what this run asked a person about is its own work."""
    asked = asked_about(plan.domain.name)
    done = asked or registry.find_by_key(settings(), plan.key)
    if done is None or done.name != plan.domain.name:
        return None
    known = {"domain": done.name, "model_version": done.version, "reused": asked is None}  # whatever its file says
    found = AdaptResult.read(done.folder).model_copy(update=known)
    return apply_verdict(found, done.tags)


def encode_examples(plan: Plan) -> float:
    """Encode what was never encoded before; return the seconds it took."""
    domain, started = plan.domain, time.perf_counter()
    with progress(f"encode {domain.name}", examples_used(domain, plan.how)) as advance:
        encode_plan(plan, advance)
    seconds = time.perf_counter() - started
    about = {"revision": domain.revision, "content_hash": domain.content_hash}
    assets.made(
        assets.features_asset(domain.name), f"features of {domain.name}", assets.data_asset(domain.name), **about
    )
    return seconds


def adapt_and_compare(plan: Plan, encode_seconds: float, tune_seconds: float = 0.0) -> AdaptResult:
    """Adapt from every support draw beside the baselines, and keep the first draw's model as the challenger.

    All labels make one draw.
    """
    domain, how = plan.domain, plan.how
    data = join_tuned(plan, encode_plan(plan))
    trained = plan.load_meta_model()
    model = model_for(trained, data.encoders)
    started = time.perf_counter()
    trials = []
    with progress(f"adapt {domain.name}", how.trials) as advance:
        for number in range(how.trials):
            trials.append(run_trial(model, data, how, number))
            advance(1)
    seconds = {"encode": encode_seconds} | ({"tune": tune_seconds} if tune_seconds else {})
    seconds["adapt"] = float(np.median([trial.seconds for trial in trials]))
    seconds["evaluate"] = time.perf_counter() - started - sum(trial.seconds for trial in trials)
    whole: Interval = "test examples" if data.fold is None else "labelled examples"
    scores = summarise(trials, data, whole if how.k is None else "support draws")
    first, y = trials[0], data.scored_y.numpy()
    started = time.perf_counter()
    curve = measure_curve(model, data.without_opinions, first, how)
    seconds["curve"] = time.perf_counter() - started
    result = AdaptResult(
        domain=domain.name,
        family=domain.family,
        revision=domain.revision,
        content_hash=domain.content_hash,
        strategy=first.strategy,
        k=how.k,
        draws=how.trials,
        pool=0 if data.pool_x is None else len(data.pool_x),
        test=len(y),
        labels=len(first.support),
        interval=whole if how.k is None else "support draws",
        scores=scores,
        objective=how.objective,
        classes=score_classes(preferences(first.classifier, first.probabilities[OURS].numpy()), y, data.labels),
        curve=curve,
        sets=score_sets(trials, data),
        seconds={name: round(value, 3) for name, value in seconds.items()},
        meta_version=plan.meta_version,
        key=plan.key,
        baselines=[name for name in BASELINE_NAMES if name in scores],
        encoders=[spec.identity for spec in needed(first.classifier, data)],
        warnings=[
            *data.warnings,
            *(encoder_warning(trained, data.encoders) if plan.meta_folder else [NO_META_WARNING.format(domain.family)]),
            *(f"{name} is left out: {why}" for name, why in first.left_out.items()),
        ],
    )
    shutil.rmtree(plan.folder, ignore_errors=True)
    plan.folder.mkdir(parents=True)
    first.classifier.save(plan.folder)
    for spec in needed(first.classifier, data):
        if spec.opinions and spec.folder is not None:
            shutil.copytree(spec.folder, plan.folder / spec.identity)
    held_out(first, data).write(plan.folder)
    typicality = typicality_of(first, data)
    if typicality is not None:
        typicality.save(plan.folder)
    result.write(plan.folder)
    return result


def needed(classifier: Classifier, data: Encoded) -> list[EncoderSpec]:
    """Return the encoders whose features a classifier reads."""
    ends = np.cumsum([spec.dim for spec in data.encoders]).tolist()
    return [spec for spec, end in zip(data.encoders, ends, strict=True) if classifier.reads(end - spec.dim, end)]


def measure_curve(model: MetaModel, data: Encoded, trial: Trial, how: Adaptation) -> list[CurveScore]:
    """Return accuracy by the number of labels and a forecast at twice as many; [] of K labels a class, or a market.

    It is that of the most probable labels whatever the objective is: it tells what labels are worth.
    """
    if how.k is not None or how.method != AUTO or model.in_time:
        return []
    accuracy, half = metrics.accuracy_interval(trial.probabilities[OURS].numpy(), data.scored_y.numpy())
    points = [
        CurveScore(k=point.shots, labels=point.labels, accuracy=point.accuracy, ci95=point.ci95)
        for point in learning_curve(model, data, how.seed)
    ]
    points.append(CurveScore(k=None, labels=len(trial.support), accuracy=accuracy, ci95=known(half)))
    ahead = forecast_beyond(model, data, trial.strategy, accuracy, how.seed)
    if ahead is not None:
        half = max(ahead.high - ahead.accuracy, ahead.accuracy - ahead.low)
        size = 2 * len(trial.support)
        points.append(CurveScore(k=None, labels=size, accuracy=ahead.accuracy, ci95=half, forecast=True))
    return points


def held_out(trial: Trial, data: Encoded) -> HeldOut:
    """Return what a challenger says of the scored examples, and which examples it was fitted to."""
    ours, floor = (trial.probabilities[name].double().numpy() for name in (OURS, floor_of(trial.probabilities)))
    weights = np.ones(len(ours)) if trial.weights is None else trial.weights
    keys = np.empty(0, np.uint64) if data.keys is None else data.keys
    if data.keys is None:
        return HeldOut(ours, floor, weights, keys, keys)
    scored = keys[data.scored_rows.numpy()]
    return HeldOut(ours, floor, weights, scored, np.setdiff1d(keys[trial.support.numpy()], scored))


def floor_of(methods: Iterable[str]) -> str:
    """Return what the gate asks a model not to be below: logistic regression of tuned strength, where there is one."""
    return FLOOR if FLOOR in methods else PROBE


def judge(plan: Plan, result: AdaptResult) -> tuple[Decision, AdaptResult]:
    """Score challenger, champion and linear probe on the same examples, and decide."""
    return ask_gate(plan, result, plan.folder)


def ask_gate(plan: Plan, result: AdaptResult, folder: Path) -> tuple[Decision, AdaptResult]:
    """Return what the gate says of the model in a folder, beside today's champion and the linear probe."""
    incumbent = registry.champion(settings(), plan.domain.name)
    decision = decide(plan, folder, incumbent)
    before = None if incumbent is None else incumbent.version
    update = {"decision": decision.word, "reason": decision.reason, "champion_before": before}
    return decision, result.model_copy(update=update | {"new_classes": decision.new_classes})


def decide(plan: Plan, folder: Path, incumbent: registry.Registered | None) -> Decision:
    """Score the model in a folder, the linear probe and the champion on the same examples, and ask the gate."""
    domain, data, objective = plan.domain, encode_plan(plan), plan.how.objective
    y, examples, record = data.scored_y.numpy(), scored_examples(domain, data), HeldOut.read(folder)
    if record is None or len(record.ours) != len(y):  # damaged, or made by an earlier version from other examples
        return gate(MISSING, None, MISSING)

    def scores(said: Said, rows: np.ndarray, objective: Objective = objective) -> Scores:
        identity = hash_of_test([examples[i] for i in rows], y[rows].tolist())
        p, in_use, named = (each[rows] for each in said)
        return score(p, y[rows].tolist(), identity, in_use, record.weights[rows], named, objective)

    every, model = np.arange(len(y)), Classifier.load(folder)
    ours = Said.of(model, record.ours)
    probe = Said(record.floor, record.floor, preferences(model, record.floor).argmax(1))
    challenger = beside = scores(ours, every)
    champion = new = None
    recalled = None if incumbent is None else recall_champion(incumbent, domain, data)
    if incumbent is not None and recalled is None:
        champion = MISSING
    if recalled is not None:
        theirs, rows = recalled
        champion, beside = scores(theirs, rows), scores(ours, rows)
        unknown = unknown_classes(theirs.p, data)
        known = rows[~np.isin(y[rows], unknown)]
        if unknown and len(known):
            kept = "balanced_accuracy" if objective == "macro_f1" else objective
            classes = score_classes(preferences(model, record.ours), y, data.labels)
            pair = scores(ours, known, kept), scores(theirs, known, kept)
            new = compare_known(*pair, [classes[i] for i in unknown])
            champion = replace(champion, ece=pair[1].ece)  # of what it does not know nobody asks that it is calibrated
    # a market's test lies after its labels: which of them is the most frequent there is known in hindsight only
    majority = None if domain.family == "market" else majority_value(objective, y, record.weights)
    decision = gate(challenger, champion, scores(probe, every), majority, beside=beside, new=new)
    return replace(decision, new_classes=new)


def unknown_classes(p: np.ndarray, data: Encoded) -> list[int]:
    """Return the classes with labelled examples to which a champion gives nothing anywhere.

    Args:
        p: its probabilities of the scored examples [m, N]; even where all that it said was of labels that are gone.
    """
    taught, p = data.train_y if data.fold is None else data.labelled.y, p[np.ptp(p, axis=1) > 0]
    return [c for c in taught.unique().tolist() if not p[:, c].any()]


def judge_again(plan: Plan, result: AdaptResult) -> AdaptResult:
    """Ask the gate anew about a version that waited while another came into service, and write its word on it."""
    version = registry.get(settings(), result.domain, result.model_version)
    decision, result = ask_gate(plan, result, version.folder)
    tags = {"decision": decision.word, "reason": decision.reason, "decided": utc_now()}
    tags |= {BESIDE: result.champion_before or ""}
    registry.tag(settings(), result.domain, result.model_version, tags)
    return result


def scored_by(incumbent: registry.Registered, domain: Domain, data: Encoded) -> Tensor | Examples:
    """Return the scored examples as a champion reads them: by the encoders that it was adapted with.

    Raises:
        UserError: one of them is not here.
    """
    identity = incumbent.tags.get("encoder", "")
    if identity == identity_of(data.encoders):
        return data.scored
    x = encode(settings(), domain.family, scored_examples(domain, data), encoders=input_of(incumbent).encoders)
    return replace(data.scored, x=x) if isinstance(data.scored, Examples) else x


def recall_champion(incumbent: registry.Registered, domain: Domain, data: Encoded) -> tuple[Said, np.ndarray] | None:
    """Return what the champion says of the scored examples [m], and which rows are fair to compare.

    Of an example that it was fitted to, the probabilities are those while it was held out; where there are none the
    comparison would not be fair. None: the champion cannot be read.
    """
    try:
        model = Classifier.load(incumbent.folder)
        p = model.predict_proba(scored_by(incumbent, domain, data)).double().numpy()
    except (UserError, OSError, ValueError, RuntimeError, SafetensorError):
        return None
    fair = np.ones(len(p), bool)
    if data.keys is not None:
        rows, record = data.scored_rows.numpy(), HeldOut.read(incumbent.folder)
        if record is None:  # of before 0.11, and fitted to labels of train
            fair = rows >= len(data.train_y)
        else:
            p, fair = record.recall(data.keys[rows], p)
    served = at_pool_frequencies(p, model.shift)
    p, served, tilted = (align(each, model.labels, data.labels) for each in (p, served, model.tilt(served)))
    return Said(p, served, tilted.argmax(1)), np.flatnonzero(fair)


def register(plan: Plan, result: AdaptResult, decision: Decision) -> AdaptResult:
    """Store the challenger with its scores and lineage as a version of the domain's model."""
    result.write(plan.folder)
    ours, sets = result.scores[OURS], {} if result.sets is None else result.sets.model_dump()
    version = registry.log_adapted(
        settings(),
        result.domain,
        plan.folder,
        params={
            "k": k_param(result.k),
            "labels": result.labels,
            "draws": result.draws,
            "strategy": result.strategy,
            "pool": result.pool,
        },
        metrics={name: value for name, value in ours.model_dump().items() if value is not None}
        | {f"set_{name}": value for name, value in sets.items()},
        tags={
            "key": plan.key,
            "family": result.family,
            "revision": result.revision,
            "content_hash": result.content_hash,
            "meta_version": result.meta_version,
            "meta_key": plan.meta_key,
            "method": plan.how.method,
            "objective": plan.how.objective,
            "budget": str(tuning_budget(plan.domain, plan.how)),
            "seed": str(plan.how.seed),
            **code_and_packages(),
            **run_tags(),
            "encoder": identity_of([*encode_plan(plan).encoders, *tuned_in(plan.folder)]),
            "decision": decision.word,
            "reason": decision.reason,
        },
    )
    for made in (plan.folder, folder_of(plan)):
        shutil.rmtree(made, ignore_errors=True)
    return result.model_copy(update={"model_version": version})


def promote(plan: Plan, result: AdaptResult) -> AdaptResult:
    """Put a challenger that passed the gate into service, and say what is in service then; harmless to repeat.

    One that waits for a person goes on waiting.
    """
    s = settings()
    incumbent = registry.champion(s, result.domain)
    serving = None if incumbent is None else incumbent.version
    if result.reused:
        result = look_again(plan, result, incumbent)
    if result.decision == PROMOTED and result.model_version != serving:
        if result.champion_before != serving:
            result = judge_again(plan, result)
        if result.decision == PROMOTED:
            check = smoke_test_for(s, registry.get(s, result.domain, result.model_version))
            registry.promote(s, result.domain, result.model_version, check, expected=result.champion_before)
            events.champion_changed(result)
            assets.made(
                assets.champion_asset(result.domain),
                f"champion of {result.domain}",
                assets.features_asset(result.domain),
                assets.meta_model_asset(result.family),
                version=result.model_version,
                revision=result.revision,
            )
            return result.model_copy(update={"in_service": result.model_version})
        events.challenger_refused(result)
    elif result.decision not in (PROMOTED, AWAITING) and not result.reused:
        events.challenger_refused(result)
    return result.model_copy(update={"in_service": serving})


def look_again(plan: Plan, result: AdaptResult, incumbent: registry.Registered | None) -> AdaptResult:
    """Return what an earlier run decided, as it stands beside today's champion.

    Where a later version has taken its place, it is out of service. Where the gate refused it beside a champion that is
    gone, it is judged once more.
    """
    if result.decision == PROMOTED:
        if incumbent is None or int(incumbent.version) <= int(result.model_version):
            return result
        reason = f"it passed the gate before, and version {incumbent.version} has taken its place since"
        return result.model_copy(update={"decision": REFUSED, "reason": reason})
    version = registry.get(settings(), result.domain, result.model_version)
    if not refused_by_gate(version.tags):
        return result
    if incumbent is None:
        return judge_again(plan, result)
    same = incumbent.version == result.champion_before or incumbent.tags.get("content_hash") == result.content_hash
    return result if same else judge_again(plan, result)


def report(plan: Plan, result: AdaptResult) -> AdaptResult:
    """Leave artifacts that show the scores, examples with predictions, and the lineage."""
    domain = plan.domain
    data = encode_plan(plan)
    done = registry.get(settings(), domain.name, result.model_version)
    record = HeldOut.read(done.folder)
    if record is not None:
        named = preferences(Classifier.load(done.folder), record.ours).argmax(1)
        show_adaptation(domain, result, scored_examples(domain, data), record.ours, named, data.scored_y.numpy())
    show_domain_page(settings(), domain.name)
    link_to_model(settings().tracking_uri, domain.name, result.model_version)
    return result


def summarise(trials: list[Trial], data: Encoded, interval: Interval = "support draws") -> dict[str, Score]:
    """Return means over draws by method, ours first, with the interval of accuracy over draws or test examples.

    Labels are named as the first model names them, whoever gives the probabilities.
    """
    y, scores = data.scored_y.numpy(), {}
    weighted = any(trial.weights is not None for trial in trials)
    for name in trials[0].probabilities:
        p = [trial.probabilities[name].double().numpy() for trial in trials]
        named = [preferences(trial.classifier, each) for trial, each in zip(trials, p, strict=True)]
        if interval == "support draws":
            accuracy, ci95 = metrics.mean_interval([metrics.accuracy(each, y) for each in named])
        else:
            accuracy, ci95 = metrics.accuracy_interval(named[0], y)
        others = {
            measure.__name__: float(np.mean([measure(each, y) for each in of]))
            for measures, of in ((OF_PROBABILITIES, p), (OF_LABELS, named))
            for measure in measures
        }
        if weighted:
            others["in_use"] = float(np.mean([accuracy_in_use(trial, name, y) for trial in trials]))
        scores[name] = Score(accuracy=accuracy, ci95=known(ci95), **others)
    return scores


def known(half_width: float) -> float | None:
    """Return the half-width of an interval; None of one draw, or one test example, where it is not known."""
    return None if math.isnan(half_width) else half_width


def accuracy_in_use(trial: Trial, name: str, y: np.ndarray) -> float:
    """Return a method's accuracy at the pool's class frequencies, which the portfolio's model knows of."""
    p, model = trial.probabilities[name].double().numpy(), trial.classifier
    served = at_pool_frequencies(p, model.shift) if name == OURS and model.offsets is None else preferences(model, p)
    return float(np.average(metrics.correct(served, y), weights=trial.weights))


def score_classes(p: np.ndarray, y: np.ndarray, labels: Sequence[str]) -> list[ClassScore]:
    """Return how well each label is predicted by probabilities [n, N] of test examples with labels y [n]."""
    found = metrics.class_measures(p, y)
    shares = [[None if math.isnan(v) else float(v) for v in values] for values in found[:3]]
    return [
        ClassScore(label=label, precision=precision, recall=recall, f1=f1, support=int(support))
        for label, precision, recall, f1, support in zip(labels, *shares, found.support, strict=True)
    ]


def score_sets(trials: list[Trial], data: Encoded) -> SetScore | None:
    """Return how good the prediction sets of the portfolio's models are, means over draws."""
    y, found = data.scored_y.numpy(), []
    for trial in trials:
        p = trial.probabilities[OURS].numpy()
        named = preferences(trial.classifier, p).argmax(1)
        sets = prediction_sets(trial.classifier, p, named)
        if sets is None:
            return None
        covered, doubtful = sets[np.arange(len(y)), y], needs_person(p, sets, named)
        found.append([covered.mean(), sets.sum(1).mean(), doubtful.mean()])
    coverage, size, asked = np.mean(found, axis=0).tolist()
    return SetScore(coverage=coverage, size=size, asked=asked)
