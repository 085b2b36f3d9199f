"""The Prefect tasks of the flow ``meta_train``. They hand on paths and names; tensors stay inside."""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

from prefect import task
from prefect.cache_policies import NO_CACHE
from safetensors.torch import load_file, save_file

from domains.domain import FAMILIES, Domain, Family
from domains.errors import UserError, check_known
from learners import make
from learners.meta_model import MetaModel
from learners.meta_train import History
from tasks.base import assets
from tasks.base.device import torch_device
from tasks.base.flow_runs import link_to_model, run_tags
from tasks.base.progress import progress, say
from tasks.base.retries import RETRIES
from tasks.base.settings import settings
from tasks.meta_train.domain_map import examples_read, family_domains, make_map, nearest_sources
from tasks.meta_train.gate import (
    EPISODES,
    Comparison,
    Decision,
    UnusableError,
    compare,
    decide,
    load_incumbent,
)
from tasks.meta_train.pages import show_comparison, show_map, show_meta_training
from tasks.meta_train.recipes import RECIPES, Recipe, training_key
from tasks.meta_train.training import assemble, divide_rows, load_piles, save_new, train_learner
from tasks.models import registry
from tasks.models.lineage import code_and_packages
from tasks.models.registry import Registered
from tasks.models.smoke_test import smoke_test_for
from tasks.models.verdicts import WITHDRAWN, decision_on, utc_now
from tasks.versions.revisions import data_revision
from tasks.versions.snapshots import snapshot, snapshots


@dataclass(frozen=True)
class Plan:
    """One meta-training to do.

    Attributes:
        revision: the commit whose data is read.
        sources: all source domains of the family; domains: those that are trained on.
        folder: for checkpoints.
        options: what the command that does it again says beside them: ``steps``, ``learners``, ``sources``, ``for``.
    """

    family: Family
    revision: str
    sources: tuple[Domain, ...]
    domains: tuple[Domain, ...]
    recipe: Recipe
    key: str
    folder: Path
    options: Mapping[str, str] = field(default_factory=dict)

    @property
    def experiment(self) -> str:
        """The options by which this is not the family's recipe on all its sources; empty: it is that."""
        if self.recipe == RECIPES[self.family] and len(self.domains) == len(self.sources):
            return ""
        said = {"steps": self.options["steps"], "learner": self.options["learners"]}
        said |= {"sources": self.options["sources"].removeprefix("all")}
        return " ".join(f"--{name} {value}" for name, values in said.items() for value in values.split(",") if value)


@task(cache_policy=NO_CACHE, **RETRIES)
def plan_meta_training(family: str, revision: str, steps: int | None, learners: Sequence[str] = ()) -> Plan:
    """Resolve the revision, the source domains of a family and the recipe."""
    check_known([family], FAMILIES, "family")
    if steps is not None and steps < 1:
        raise UserError(f"steps = {steps}: at least 1 is needed")
    s = settings()
    commit = data_revision(s.root_path, revision).commit
    every = snapshots(s.root_path, s.home_path, commit)
    domains = tuple(d for d in every if d.family == family and d.role == "source")
    recipe = RECIPES[family].with_learners(learners).with_steps(steps)  # type: ignore[index]
    key = training_key(domains, family, recipe)  # type: ignore[arg-type]
    options = {"steps": "" if steps is None else str(steps), "learners": ",".join(learners)}
    options |= {"sources": "all", "for": ""}
    folder = s.home_path / "checkpoints" / key
    return Plan(family, commit, domains, domains, recipe, key, folder, options)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Nearest:
    """Meta-train on the ``k`` sources that lie nearest to domain ``target`` only."""

    k: int
    target: str

    @classmethod
    def parse(cls, sources: str, target: str) -> "Nearest | None":
        """Read ``all`` (None) or ``nearest:K`` with a domain that they are nearest to.

        Raises:
            UserError: it is neither, or the one is given without the other.
        """
        if sources == "all":
            if target:
                raise UserError(f"--for {target}: say how many sources too, as in --sources nearest:8")
            return None
        kind, _, number = sources.partition(":")
        if kind != "nearest" or not number.isascii() or not number.isdigit() or int(number) < 1:
            raise UserError(f"sources {sources!r}: they are all, or nearest:K with K of 1 or more, as in nearest:8")
        if not target:
            raise UserError(f"sources {sources}: nearest to which domain? Say --for DOMAIN")
        return cls(int(number), target)

    def domain(self, plan: Plan) -> Domain:
        """Return the domain that sources are to be near to.

        Raises:
            UserError: as ``snapshot``; it is of another family, or has no labelled examples.
        """
        s = settings()
        found = snapshot(s.root_path, s.home_path, self.target, plan.revision)
        if found.family != plan.family:
            raise UserError(f"domain {found.name} is of family {found.family}, not {plan.family}; choose another")
        if not found.counts.get("train"):
            raise UserError(f"domain {found.name} has no labelled examples to compare it by; label some")
        return found


@task(cache_policy=NO_CACHE, **RETRIES)
def choose_sources(plan: Plan, near: Nearest | None) -> Plan:
    """Leave the plan as it is, or keep only the sources nearest to a domain."""
    if near is None:
        return plan
    s, target = settings(), near.domain(plan)
    with progress(f"compare {plan.family} sources", examples_read([target, *plan.domains])) as advance:
        domains = nearest_sources(s, plan.domains, target, near.k, advance)
    key = training_key(domains, plan.family, plan.recipe)
    options = {**plan.options, "sources": f"nearest:{near.k}", "for": near.target}
    return replace(plan, domains=domains, key=key, folder=s.home_path / "checkpoints" / key, options=options)


class AnyPlan(Protocol):
    """What the plans of all meta-trainings have."""

    @property
    def family(self) -> str: ...
    @property
    def key(self) -> str: ...
    @property
    def folder(self) -> Path: ...


@task(cache_policy=NO_CACHE, **RETRIES)
def find_finished(plan: AnyPlan) -> str | None:
    """Return the version of an equal meta-model, if there is one."""
    done = registry.find_by_key(settings(), plan.key)
    return None if done is None else done.version


@task(cache_policy=NO_CACHE, **RETRIES)
def encode_sources(plan: Plan) -> int:
    """Encode the source examples that were never encoded before; return how many are used."""
    total = divide_rows(plan.domains, plan.recipe).size
    with progress(f"encode {plan.family} sources", total) as advance:
        load_piles(settings(), plan.domains, plan.recipe, advance)
    return total


@task(cache_policy=NO_CACHE, task_run_name="meta-train {name}")
def train(plan: Plan, name: str) -> History:
    """Meta-train one learner, from its last checkpoint if it was interrupted."""
    piles, training = load_piles(settings(), plan.domains, plan.recipe), plan.recipe.training[name]
    with progress(f"meta-train {plan.family} {name}", training.steps) as advance:
        learner, history = train_learner(
            name, piles, training, plan.folder / f"{name}.checkpoint", advance, torch_device()
        )
    save_file(learner.state_dict(), plan.folder / f"{name}.trained")
    return history


@task(cache_policy=NO_CACHE)
def register(plan: Plan, histories: dict[str, History]) -> str:
    """Compare the strategies on source episodes that learners have not seen, and register the meta-model."""
    s, piles = settings(), load_piles(settings(), plan.domains, plan.recipe)
    learners = {}
    for name in histories:
        learners[name] = make(name, piles.dim, piles.ways, piles.last)
        learners[name].load_state_dict(load_file(plan.folder / f"{name}.trained"))
    with progress(f"compare {plan.family} strategies", plan.recipe.compared) as advance:
        model = assemble(plan.family, piles, learners, histories, plan.recipe, advance)
    folder = save_new(model, plan.folder / "meta_model")
    best = {f"{name}_accuracy": max(h.validation_accuracy) for name, h in histories.items()}
    tags = {
        "key": plan.key,
        "family": plan.family,
        "revision": plan.revision,
        **plan.options,
        **code_and_packages(),
        **run_tags(),
    }
    return registry.log_meta_model(s, plan.family, folder, {"domains": len(plan.domains)}, best, tags)


@task(cache_policy=NO_CACHE, **RETRIES)
def judge(plan: Plan, version: str, asked: bool = False) -> Decision | None:
    """Let the gate decide on a version, and write its word on it; None where there is nothing to decide.

    There is nothing where the version is in service, or a person took it out. A comparison with the same incumbent is
    made once.

    Args:
        asked: a person wants the version promoted though it is an experiment, if it passes.
    """
    s, name = settings(), registry.meta_name(plan.family)
    model, incumbent = registry.get(s, name, version), registry.champion(s, name)
    if WITHDRAWN in model.tags or (incumbent is not None and incumbent.version == version):
        return None
    decision, comparison = _ask_gate(plan, model, incumbent, asked)
    show_comparison(plan.family, version, decision, comparison)
    say(f"{name} {version} {decision.word}: {decision.reason}")
    word = {"decision": decision.word, "reason": decision.reason}
    if word.items() - model.tags.items():
        compared = None if comparison is None else comparison.to_json()
        written_by_a_person = {"replaced": None, "gate": None}
        registry.tag(s, name, version, word | written_by_a_person | {"decided": utc_now(), "comparison": compared})
    return decision


def _ask_gate(
    plan: Plan, model: Registered, incumbent: Registered | None, asked: bool
) -> tuple[Decision, Comparison | None]:
    if incumbent is None:
        return Decision(True, "no meta-model was in service", None), None
    known = Comparison.from_json(model.tags["comparison"]) if "comparison" in model.tags else None
    if known is not None and known.against == incumbent.version:
        return decide(known, plan.experiment, asked), known
    recipe, episodes = RECIPES[plan.family], EPISODES[plan.family]
    challenger, piles = MetaModel.load(model.folder), load_piles(settings(), plan.sources, recipe)
    try:
        theirs = load_incumbent(incumbent, plan.family)
        with progress(f"compare with {incumbent.name} {incumbent.version}", 2 * episodes) as advance:
            comparison = compare(challenger, theirs, incumbent.version, piles, recipe, episodes, advance)
    except UnusableError as error:
        return Decision(True, f"version {incumbent.version} in service {error}", incumbent.version), None
    except ValueError as error:
        return Decision(False, f"it cannot adapt to held-out source episodes ({error})", incumbent.version), None
    return decide(comparison, plan.experiment, asked), comparison


@task(cache_policy=NO_CACHE)
def put_into_service(plan: AnyPlan, version: str, decision: Decision | None = None) -> str:
    """Put the meta-model into service, unless the gate or a person says no, and clear its checkpoints away."""
    s, name = settings(), registry.meta_name(plan.family)
    model = registry.get(s, name, version)
    if WITHDRAWN in model.tags:
        say(f"a person took {name} {version} out of service; acclimate models promote {name} {version} puts it back")
    elif decision is None or decision.promote:
        expected = registry.ANY if decision is None else decision.incumbent
        registry.promote(s, name, version, smoke_test_for(s, model), expected)
        key, sources = assets.meta_model_asset(plan.family), assets.data_asset(f"sources/{plan.family}")
        assets.made(key, f"meta-model of {plan.family}", sources, version=version, work=plan.key)
    shutil.rmtree(plan.folder, ignore_errors=True)
    return version


@task(cache_policy=NO_CACHE, **RETRIES)
def map_domains(plan: Plan) -> int:
    """Leave the map of the family's domains as artifacts; return how many there are.

    Targets are encoded here as far as they were not; adapting finds them encoded.
    """
    domains = family_domains(settings(), plan.family, plan.revision)
    with progress(f"map {plan.family} domains", examples_read(domains)) as advance:
        show_map(make_map(settings(), domains, advance))
    return len(domains)


@task(cache_policy=NO_CACHE)
def report(plan: Plan, version: str) -> str:
    """Leave artifacts: learning curves, and what each strategy gained on held-out source episodes."""
    done = registry.get(settings(), registry.meta_name(plan.family), version)
    show_meta_training(MetaModel.load(done.folder), decision_on(done))
    link_to_model(settings().tracking_uri, done.name, version)
    return version
