"""Which domains are like which: class means kept on disk, and the map of a family."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from domains.domain import Domain, Family
from domains.errors import UserError
from domains.whole_file import write_whole
from learners.shift import similarity
from tasks.base.settings import Settings
from tasks.features.encoders import encoder_identity, last_layer
from tasks.features.encoding import encode
from tasks.meta_train.recipes import RECIPES, rows_used
from tasks.versions.snapshots import domains_at, snapshot, snapshots

SHOWN = 5  # sources that are named for a domain


@dataclass(frozen=True)
class Map:
    """The domains of a family, and how far each lies from each.

    Attributes:
        names, roles: [n] of the domains.
        apart: [n, n] distances, 0 to 2; see ``learners.shift.similarity.distances``.
    """

    family: Family
    names: tuple[str, ...]
    roles: tuple[str, ...]
    apart: np.ndarray

    @cached_property
    def layout(self) -> tuple[np.ndarray, float]:
        """Places [n, 2], and the share of the distances' variation that they show."""
        return similarity.layout(self.apart)

    def nearest_sources(self, name: str, k: int | None = SHOWN) -> dict[str, float]:
        """Return the sources that lie nearest to a domain and how far, nearest first."""
        me, sources = self.names.index(name), [i for i, role in enumerate(self.roles) if role == "source"]
        return {self.names[i]: float(self.apart[me, i]) for i in similarity.nearest(self.apart, me, sources, k)}

    def rows(self) -> list[dict[str, Any]]:
        """Return a row a domain, targets first, for a table."""
        found = []
        for name, role in sorted(zip(self.names, self.roles, strict=True), key=lambda row: row[1] != "target"):
            near = self.nearest_sources(name, 3)
            found.append(
                {"domain": name, "role": role, "nearest sources": ", ".join(f"{n} {d:.2f}" for n, d in near.items())}
            )
        return found

    def to_json(self) -> dict[str, Any]:
        """Return places, and distances to the sources, by domain."""
        places, share = self.layout
        return {
            "family": self.family,
            "variation_shown": round(share, 4),
            "domains": [
                {
                    "domain": name,
                    "role": role,
                    "place": [round(float(v), 5) for v in place],
                    "nearest_sources": {n: round(d, 5) for n, d in self.nearest_sources(name, None).items()},
                }
                for name, role, place in zip(self.names, self.roles, places, strict=True)
            ],
        }


def family_domains(settings: Settings, family: Family, revision: str = "HEAD") -> list[Domain]:
    """Return the domains of a family at a revision that have labelled examples, sources and targets.

    Raises:
        UserError: as ``snapshot``; or there are fewer than two.
    """
    every = snapshots(settings.root_path, settings.home_path, revision)
    found = [domain for domain in every if domain.family == family and domain.counts.get("train")]
    if len(found) < 2:
        raise UserError(
            f"family {family} has {len(found)} domains with labels at revision {revision}; a map needs two: "
            "see `acclimate domains list`, then build and commit"
        )
    return found


def examples_read(domains: Sequence[Domain]) -> int:
    """Return how many examples a map of domains encodes, those left out whose class means are known or not."""
    return sum(len(rows_used(domain, RECIPES[domain.family])) for domain in domains)


def make_map(settings: Settings, domains: Sequence[Domain], advance: Callable[[int], None] = lambda n: None) -> Map:
    """Return the map of domains of one family, encoding what no map and no meta-training has read before."""
    return _map(domains, [_class_means(settings, domain, advance) for domain in domains])


def known_map(settings: Settings, domain: Domain) -> Map | None:
    """Return the map of a domain among the sources of its family at HEAD as far as it is known; nothing is encoded.

    None where the domain's own class means are not known as it is at HEAD, or no source's are.
    """
    try:
        hashes = domains_at(settings.root_path)
        found, means = [], []
        for name in hashes:
            path = _path(settings, domain.family, hashes[name])
            if path.exists():
                other = snapshot(settings.root_path, settings.home_path, name)
                if name == domain.name or other.role == "source":
                    found.append(other)
                    means.append(_read(path))
    except UserError:  # no data is committed, or it is not here: `show` tells of what is in data/
        return None
    names = [other.name for other in found]
    return _map(found, means) if domain.name in names and len(names) > 1 else None


def known_nearest(settings: Settings, domain: Domain) -> dict[str, float] | str:
    """Return the sources nearest to a domain and how far they lie, as far as is known; else say what finds that out."""
    known = known_map(settings, domain)
    if known is None:
        return f"unknown until meta-training or `acclimate domains map --family {domain.family}` has read them"
    return {name: round(apart, 3) for name, apart in known.nearest_sources(domain.name).items()}


def nearest_sources(
    settings: Settings, sources: Sequence[Domain], target: Domain, k: int, advance: Callable[[int], None]
) -> tuple[Domain, ...]:
    """Return the ``k`` sources that lie nearest to a domain, in the order given; itself never.

    Raises:
        UserError: there is no source besides it.
    """
    others = [domain for domain in sources if domain.name != target.name]
    if not others:
        raise UserError(f"no source of family {target.family} besides {target.name}; build some: acclimate data build")
    near = make_map(settings, [target, *others], advance).nearest_sources(target.name, k)
    return tuple(domain for domain in others if domain.name in near)


def _map(domains: Sequence[Domain], means: Sequence[Tensor]) -> Map:
    family = domains[0].family
    apart = similarity.domain_distances(means, standardise=family == "market")
    return Map(family, tuple(d.name for d in domains), tuple(d.role for d in domains), apart)


def _class_means(settings: Settings, domain: Domain, advance: Callable[[int], None]) -> Tensor:
    """Return class means [C, D] of the examples that meta-training would read, from disk where they are."""
    path, rows = _path(settings, domain.family, domain.content_hash), rows_used(domain, RECIPES[domain.family])
    if path.exists():
        advance(len(rows))
        return _read(path)
    column, y = domain.column("train"), torch.tensor(domain.targets("train"))[rows]
    x = encode(settings, domain.family, [column[row] for row in rows], advance)
    means = similarity.class_means(x[:, : last_layer(domain.family)], y, unit=domain.family != "market")
    _write(path, means)
    return means


def _path(settings: Settings, family: Family, content_hash: str) -> Path:
    recipe = RECIPES[family]
    which = f"{encoder_identity(family)}-{recipe.per_class}-{recipe.classes}-{recipe.seed}"
    return settings.home_path / "class-means" / which / f"{content_hash}.safetensors"


def _read(path: Path) -> Tensor:
    try:
        return load_file(path)["means"]
    except (SafetensorError, OSError, KeyError) as error:
        raise UserError(f"{path}: damaged ({error}); remove it, it will be made again") from error


def _write(path: Path, means: Tensor) -> None:
    """Keep class means, written whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, save({"means": means.contiguous()}))
