"""What the two ends of a federation read from disk: FLARE starts them as processes of their own."""

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from safetensors.numpy import load_file, save_file

from domains.domain import Domain, Family
from domains.errors import UserError
from domains.whole_file import write_whole
from learners import make, strategies
from learners.federated import messages
from learners.federated.averaging import Update, wrong
from learners.federated.federation import Outcome
from learners.federated.messages import Arrays
from learners.federated.sealed_site import SealedSite
from learners.federated.server import Plan
from learners.federated.site import Identity, Site
from tasks.base.settings import settings
from tasks.features.encoders import encoder_identity, first_encoder, last_layer
from tasks.federate.keys import read_key
from tasks.meta_train.recipes import RECIPES, Recipe, prior_shapes
from tasks.meta_train.training import load_piles
from tasks.versions.snapshots import snapshots

FAMILIES: tuple[Family, ...] = ("text", "vision")
MODEL = "model"
QUESTIONS = ("hello", "scale", "round", "validate", "prior", "thresholds", MODEL)
LOG = "federation.log"
PLAN, CHECKPOINT, SEGMENTS = "plan.json", "server.checkpoint", "segments"
OUTCOME, DELIVERED = "outcome.safetensors", "delivered.json"
SITE, NAMED, RESULT, REFUSED = "site.json", "learners.json", "result.safetensors", "refused"
SHARES = ("learners", "prior")


class SegmentEnd(Exception):
    """The rounds of one job of FLARE are over; the next one has the sites that came in the meantime."""


@dataclass(frozen=True)
class ServerPlan:
    """A federation as its server has to know it.

    Args:
        rounds, steps, noise, clip: see ``learners.federated.server.Plan``.
        encrypted: sites seal what is added up (``learners.federated.sealed_federation``).
        segment: rounds of one job of FLARE; a site that comes late joins the next one.
        least: answers after which others are waited for only ``patience`` seconds; longest: seconds a question may
            take.
    """

    folder: Path
    name: str
    family: Family
    sites: tuple[str, ...]
    learners: tuple[str, ...]
    rounds: int
    steps: int
    noise: float = 0.0
    clip: float | None = None
    delta: float = 1e-5
    segment: int = 10
    least: int = 1
    patience: int = 30
    longest: int = 3600
    encrypted: bool = False

    @property
    def recipe(self) -> Recipe:
        """The family's recipe with the learners asked for."""
        return RECIPES[self.family].with_learners(self.learners)

    @property
    def how(self) -> Plan:
        """How learners are trained."""
        every = max(1, self.rounds // 8)
        return Plan(self.recipe.training, self.rounds, self.steps, len(self.sites), every, self.noise, self.clip)

    @property
    def identity(self) -> Identity:
        """What every site has to have in common with the server."""
        return identity_of(self.family, self.recipe)

    @property
    def dim(self) -> int:
        """The length of a feature vector."""
        spec = first_encoder(self.family)
        assert spec is not None
        return spec.dim

    @property
    def last(self) -> int | None:
        """How many features are of the encoder's last layer."""
        return last_layer(self.family)

    @property
    def episodes(self) -> int:
        """Episodes of the prior, over all sites."""
        return self.recipe.prior_episodes

    @property
    def checkpoint(self) -> Path:
        """Where the state after every round is kept."""
        return self.folder / CHECKPOINT

    def write(self) -> None:
        """Keep the plan.

        Raises:
            UserError: the folder has the plan of another federation.
        """
        mine = asdict(self) | {"folder": str(self.folder)}
        path = self.folder / PLAN
        text = json.dumps(mine, indent=1)
        if path.exists() and json.loads(path.read_text("utf-8")) != json.loads(text):
            raise UserError(f"{self.name} was begun with other options ({path}); give the same, or another --name")
        write_whole(path, text)

    @classmethod
    def read(cls, folder: Path) -> "ServerPlan":
        """Return the plan in a folder."""
        known = json.loads((folder / PLAN).read_text("utf-8"))
        return cls(**known | {"folder": Path(folder)} | {n: tuple(known[n]) for n in ("sites", "learners")})

    def log(self, line: str) -> None:
        """Add a line to what people read."""
        add_line(self.folder / LOG, line)

    def segments(self) -> int:
        """Return how many segments have ended."""
        path = self.folder / SEGMENTS
        return int(path.read_text("utf-8")) if path.exists() else 0

    def end_segment(self) -> None:
        """Note that a segment ended."""
        write_whole(self.folder / SEGMENTS, str(self.segments() + 1))

    def keep(self, found: Outcome) -> None:
        """Keep the result."""
        _save(found.arrays(), self.folder / OUTCOME)

    def outcome(self) -> Outcome | None:
        """Return the result, where there is one."""
        path = self.folder / OUTCOME
        return Outcome.of(load_file(path)) if path.exists() else None

    def result(self) -> Arrays:
        """Return what sites are handed: the result, and what it is of."""
        lineage = {"federation": self.name, "sites": ",".join(self.sites), "rounds": str(self.rounds)}
        lineage |= {"noise": str(self.noise), "encryption": "CKKS" if self.encrypted else "none"}
        about = {f"about/{k}": messages.words(v) for k, v in lineage.items()}
        return load_file(self.folder / OUTCOME) | self.identity.arrays() | about


@dataclass(frozen=True)
class SitePlan:
    """A site as its own side knows it; the server sends none of this.

    Args:
        key: path of the key that it shares with the other sites; empty where the federation is not encrypted.
    """

    kit: Path
    family: Family
    revision: str
    share: tuple[str, ...] = SHARES
    key: str = ""

    def write(self) -> None:
        """Keep the plan in the kit."""
        write_whole(self.kit / SITE, json.dumps(asdict(self) | {"kit": str(self.kit)}, indent=1))

    def log(self, line: str) -> None:
        """Add a line to what people read: everything that leaves is in it."""
        add_line(self.kit / LOG, line)

    def refuse(self, why: str) -> None:
        """Note why the site cannot take part."""
        write_whole(self.kit / REFUSED, why)

    def domains(self) -> list[Domain]:
        """Return the site's source domains."""
        s = settings()
        every = snapshots(s.root_path, s.home_path, self.revision)
        return [d for d in every if d.family == self.family and d.role == "source"]

    def open(self, hello: Arrays | None) -> Site:
        """Return the site, with the learners that the server named, or named last.

        Raises:
            ValueError: the server names a learner that this version does not know.
        """
        path = self.kit / NAMED
        if hello is not None:
            names = [n for n in messages.read_words(hello.get("learners")).partition(" ")[0].split(",") if n]
            write_whole(path, json.dumps(names))
        recipe = RECIPES[self.family].with_learners(json.loads(path.read_text("utf-8")))
        piles = load_piles(settings(), self.domains(), recipe, may_hold_out_nothing=True)
        given = identity_of(self.family, recipe), *piles.parts, recipe.training, prior_shapes(recipe.shape)
        rest = recipe.seed, piles.last, self.share, self.log
        return SealedSite(*given, *rest, key=read_key(Path(self.key))) if self.key else Site(*given, *rest)

    def keep_result(self, told: Arrays) -> None:
        """Keep the result, if it is one that this version can use.

        Raises:
            ValueError: it is none.
        """
        check_result(told, self.family)
        _save(told, self.kit / RESULT)


def read_site(kit: Path) -> SitePlan:
    """Return the plan of the site whose kit this is."""
    known = json.loads((kit / SITE).read_text("utf-8"))
    return SitePlan(**known | {"kit": kit, "share": tuple(known["share"])})


def identity_of(family: Family, recipe: Recipe) -> Identity:
    """Return what has to be the same at all sites of a family and recipe."""
    digest = hashlib.sha256(json.dumps(asdict(recipe), sort_keys=True).encode()).hexdigest()[:8]
    return Identity(encoder_identity(family), version("acclimate"), f"{','.join(recipe.training)} recipe {digest}")


def check_result(arrays: Arrays, family: Family) -> Outcome:
    """Return a result that a server handed over.

    Raises:
        ValueError: weights are not those of the learners they are named after, or the prior's sums are none.
    """
    found = Outcome.of(messages.check(dict(arrays)))
    spec = first_encoder(family)
    assert spec is not None
    learners = {name: make(name, spec.dim, None, spec.last) for name in found.weights}
    for name, weights in found.weights.items():
        if why := wrong(Update(weights, 1), learners[name].state_dict()):
            raise ValueError(f"the result is not used: {name}: {why}")
    known = strategies(learners, spec.dim, spec.last)
    for name, sums in found.sums.items():
        if name not in known:
            raise ValueError(f"the result is not used: no strategy {name[:40]!r}")
        if why := sums.wrong(len(sums.episodes) - 2, 10**6, bounded=True):
            raise ValueError(f"the result is not used: prior of {name}: {why}")
    return found


def about_of(arrays: Mapping[str, Any]) -> dict[str, str]:
    """Return what a result says that it is of, each at most a line."""
    return {k.partition("/")[2]: messages.read_words(v) for k, v in arrays.items() if k.startswith("about/")}


def read_delivered(folder: Path) -> set[str]:
    """Return the sites that have the result."""
    path = folder / DELIVERED
    return set(json.loads(path.read_text("utf-8"))) if path.exists() else set()


def add_delivered(folder: Path, site: str) -> None:
    """Note that a site has the result."""
    write_whole(folder / DELIVERED, json.dumps(sorted(read_delivered(folder) | {site})))


def add_line(log: Path, line: str) -> None:
    """Add a line with the time to a log that people read."""
    with log.open("a", encoding="utf-8") as stream:
        stream.write(f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} {line}\n")


def _save(arrays: Arrays, path: Path) -> None:
    new = path.with_suffix(".new")
    save_file({name: value.copy() for name, value in arrays.items()}, new)
    os.replace(new, path)
