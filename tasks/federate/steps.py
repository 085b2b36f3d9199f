"""The Prefect tasks of ``federate-serve`` and ``federate-join``."""

import hashlib
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from prefect import task
from prefect.cache_policies import NO_CACHE
from safetensors.numpy import load_file

from domains.domain import Family, check_name
from domains.errors import UserError, check_known
from learners import make
from learners.federated.privacy import epsilon
from learners.federated.server import State
from learners.meta_model import MetaModel
from tasks.base.flow_runs import run_tags
from tasks.base.progress import progress, say
from tasks.base.retries import RETRIES
from tasks.base.settings import settings
from tasks.features.encoders import encoder_identity
from tasks.federate import engine
from tasks.federate.desk import desk
from tasks.federate.filters import check_unfiltered, read_filters, set_filters
from tasks.federate.invitations import join_port
from tasks.federate.keys import check_tenseal, read_key
from tasks.federate.kits import make_kits, read_kit, server_of
from tasks.federate.plan import (
    FAMILIES,
    LOG,
    REFUSED,
    RESULT,
    SHARES,
    ServerPlan,
    SitePlan,
    about_of,
    check_result,
    read_delivered,
)
from tasks.meta_train import steps as meta
from tasks.meta_train.gate import Decision
from tasks.meta_train.recipes import RECIPES
from tasks.meta_train.training import load_piles, save_new
from tasks.models import registry
from tasks.models.lineage import code_and_packages
from tasks.models.verdicts import utc_now
from tasks.service.processes import last_line
from tasks.versions.revisions import data_revision


def check_family(family: str) -> None:
    """Raise UserError where a family cannot be meta-trained by a federation."""
    check_known([family], FAMILIES, "family", " in a federation")


@task(cache_policy=NO_CACHE)
def plan_server(
    name: str,
    family: Family,
    sites: Sequence[str],
    learners: Sequence[str],
    address: tuple[str, int],
    how: dict[str, float | None],
) -> ServerPlan:
    """Make the startup kits where they are absent, and keep the plan.

    Raises:
        UserError: a name, learner or number is none, FLARE is absent, or the federation was begun with other options.
    """
    check_name(name)
    check_family(family)
    if how.get("encrypted"):
        check_tenseal()
        if how.get("noise"):
            raise UserError("noise is added to clipped updates, which --encrypted hides: leave out one of the two")
    folder = settings().home_path / "federations" / name
    training = RECIPES[family].with_learners(learners).training
    free = [n for n, t in training.items() if t.optimiser == "sgd"]
    if free and how.get("clip") is None:
        raise UserError(f"the steps of {', '.join(free)} have no bound to clip updates to: give --clip")
    chosen = tuple(training)
    kits = make_kits(folder, *address, sites)
    least = int(how.get("least") or (len(set(sites)) + 1) // 2)
    numbers = {key: value for key, value in how.items() if key != "least" and value is not None}
    plan = ServerPlan(folder, name, family, tuple(sorted(sites)), chosen, **numbers, least=least)  # type: ignore[arg-type]
    plan.write()
    say(f"startup kits to bring to sites by hand, instead of a token: {kits}")
    if plan.noise:
        released = plan.rounds * len(plan.learners)
        worth = epsilon(plan.noise, released, plan.delta)
        say(f"weights are ({worth:.3g}, {plan.delta:g})-differentially private for each site, over {released} means")
    return plan


@task(cache_policy=NO_CACHE)
def serve(plan: ServerPlan, address: tuple[str, int]) -> Path:
    """Run the server until every site has the result; whatever dies in between goes on from the last round.

    Raises:
        UserError: the port is taken, or several jobs of FLARE in a row came no further.
    """
    kits = make_kits(plan.folder, *address, plan.sites)
    kit, (host, port) = server_of(kits), address
    if not engine.is_running(kit):
        engine.check_port(host, port)
    engine.check_port(host, join_port(port))
    failures, shown, known = 0, 0, (-1, 0)
    try:
        with (
            desk(plan.folder, kit, address, plan.log),
            progress(f"federation {plan.name}", plan.rounds) as advance,
        ):
            while set(plan.sites) - read_delivered(plan.folder):
                before = time.monotonic()
                engine.start(kit, "server")
                had_job = engine.run_segment(plan, kits, lambda: _wanted(plan), say)
                done = _rounds_done(plan)
                advance(max(0, done - shown))
                shown = max(shown, done)
                now = done, len(read_delivered(plan.folder)) + (plan.outcome() is not None)
                lives = engine.is_running(kit) or time.monotonic() - before > 60
                failures = failures + 1 if not lives or (had_job and now == known) else 0
                known = now
                if failures > 3:
                    raise UserError(f"no progress: {last_line(plan.folder / LOG)}; see {kit / engine.OUTPUT}")
    finally:
        engine.end(kit)
    say(f"every site has the result; the log is {plan.folder / LOG}")
    return plan.folder


def _wanted(plan: ServerPlan) -> set[str]:
    return set(plan.sites) - (read_delivered(plan.folder) if plan.outcome() is not None else set())


def _rounds_done(plan: ServerPlan) -> int:
    found = State.load(plan.checkpoint)
    return 0 if found is None else found[0].rounds


@task(cache_policy=NO_CACHE, **RETRIES)
def plan_site(
    kit: str, family: Family, share: Sequence[str], revision: str, filters: Sequence[str] = (), key: str = ""
) -> SitePlan:
    """Say what the site will share, and keep it.

    Raises:
        UserError: the kit, family, share, a filter or the key is none, or the site has no source domains.
    """
    check_family(family)
    check_known(share, SHARES, "share")
    folder = Path(kit).resolve()
    name, commit = read_kit(folder), data_revision(settings().root_path, revision).commit
    where = str(Path(key).resolve()) if key else ""
    plan = SitePlan(folder, family, commit, tuple(share) or SHARES, where)
    domains = plan.domains()
    if not domains:
        raise UserError(f"no source domain of family {family} at this revision; build some: acclimate data build")
    set_filters(folder, read_filters(filters))
    if key:
        read_key(Path(key))
        check_unfiltered(folder)
    plan.write()
    parts = {"learners": "learners' weights and mean features", "prior": "sums of what strategies reach"}
    shares = " and ".join(parts[part] for part in plan.share)
    of = f"{len(domains)} domains" if len(domains) > 1 else "1 domain"
    line = f"{name} shares {shares}, of {of}; never features, texts or labels"
    line += f"; changes of weights pass {', '.join(filters)}" * bool(filters)
    line += f"; sealed with {key} before they leave" * bool(key)
    plan.log(line)
    say(line)
    return plan


@task(cache_policy=NO_CACHE, **RETRIES)
def encode_at_site(plan: SitePlan) -> int:
    """Encode the site's source examples; return how many are used.

    Raises:
        UserError: as ``load_piles``.
    """
    domains = plan.domains()
    total = sum(len(d.targets("train")) for d in domains)
    with progress(f"encode {plan.family} sources", total) as advance:
        piles = load_piles(settings(), domains, RECIPES[plan.family], advance, may_hold_out_nothing=True)
    if not piles.prior:
        say("these domains are too few or have too few classes to hold any out: the site trains, but measures nothing")
    return piles.size


@task(cache_policy=NO_CACHE)
def take_part(plan: SitePlan) -> Path:
    """Run the site's client until the result is there; its log is said line by line.

    Raises:
        UserError: the client ends again and again, or the federation is of another encoder, version or recipe.
    """
    name, failures, shown = read_kit(plan.kit), 0, len(_lines(plan.kit / LOG))
    (plan.kit / REFUSED).unlink(missing_ok=True)
    try:
        while not (plan.kit / RESULT).exists():
            if not engine.is_running(plan.kit):
                failures += 1
                if failures > 3:
                    log = plan.kit / engine.OUTPUT
                    raise UserError(f"the client ends again and again: {engine.why_ended(plan.kit)}; see {log}")
                engine.start(plan.kit, "client", name)
            time.sleep(engine.POLL)
            shown = _say_new(plan.kit / LOG, shown)
            if (plan.kit / REFUSED).exists():
                raise UserError((plan.kit / REFUSED).read_text("utf-8"))
        engine.wait_for_jobs(plan.kit)  # the server hears that the result is here
    finally:
        engine.end(plan.kit)
    _say_new(plan.kit / LOG, shown)
    return plan.kit / RESULT


def _say_new(log: Path, shown: int) -> int:
    lines = _lines(log)
    for line in lines[shown:]:
        say(line)
    return len(lines)


def _lines(log: Path) -> list[str]:
    return log.read_text("utf-8").splitlines() if log.exists() else []


@task(cache_policy=NO_CACHE)
def register_result(plan: SitePlan) -> str:
    """Register the federation's meta-model at this site, unless it is; return its version.

    Raises:
        UserError: the result is none that this version can use.
    """
    s, arrays, key = settings(), load_file(plan.kit / RESULT), _key(plan)
    done = registry.find_by_key(s, key)
    if done is not None:
        return done.version
    try:
        found = check_result(arrays, plan.family)
    except ValueError as error:
        raise UserError(str(error)) from error
    recipe = RECIPES[plan.family].with_learners(tuple(found.weights))
    domains = plan.domains()
    piles = load_piles(s, domains, recipe, may_hold_out_nothing=True)
    learners = {}
    for name, weights in found.weights.items():
        learners[name] = make(name, piles.dim, None, piles.last)
        learners[name].load_state_dict(weights)
    said = about_of(arrays)
    about = {
        "sources": dict(piles.hashes),
        "trained_on": {p.name: sorted(p.classes) for p in piles.train},
        "prior_learned_on": {p.name: sorted(p.classes) for p in piles.prior},
        "federation": said,
    }
    shape = plan.family, encoder_identity(plan.family), piles.dim, None
    model = MetaModel(*shape, learners, found.prior, about, piles.last)
    folder = save_new(model, s.home_path / "checkpoints" / key / "meta_model")
    tags = {"key": key, "family": plan.family, "revision": plan.revision, "steps": "", "learners": ",".join(learners)}
    tags |= {"sources": "all", "for": "", **{f"federation.{k}": v for k, v in said.items()}}
    tags |= code_and_packages() | run_tags()
    return registry.log_meta_model(s, plan.family, folder, {"domains": len(domains)}, {}, tags)


@task(cache_policy=NO_CACHE)
def judge_result(plan: SitePlan, version: str) -> Decision | None:
    """Let the site's own gate decide, on the site's own held-out examples, and promote what passes."""
    mine = replace(meta.plan_meta_training.fn(plan.family, plan.revision, None), key=_key(plan))
    mine = replace(mine, folder=settings().home_path / "checkpoints" / mine.key)
    try:
        decision = meta.judge.fn(mine, version, True)
    except UserError as error:  # nothing is held out here
        reason = f"it cannot be compared at this site: {error}; acclimate models promote puts it into service"
        decision = Decision(False, reason, None)
        word = {"decision": decision.word, "reason": decision.reason, "decided": utc_now()}
        registry.tag(settings(), registry.meta_name(plan.family), version, word)
        say(f"version {version} {decision.word}: {decision.reason}")
    meta.put_into_service.fn(mine, version, decision)
    return decision


def _key(plan: SitePlan) -> str:
    digest = hashlib.sha256((plan.kit / RESULT).read_bytes())
    digest.update(plan.revision.encode())
    return digest.hexdigest()[:16]
