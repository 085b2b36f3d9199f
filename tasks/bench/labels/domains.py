"""The domains of the benchmark over the number of labels, at their own frequencies."""

from collections.abc import Callable, Collection
from dataclasses import replace

import numpy as np
import pandas as pd

from domains.catalogue import catalogue, find_source, overlaps, quick_start
from domains.domain import EXAMPLE_COLUMN
from domains.errors import UserError
from domains.labelled_examples import LabelledExamples, to_examples
from domains.mirror import find_file
from tasks.base.settings import Settings
from tasks.bench.adapt.domains import all_examples, corpus
from tasks.features.encoders import BUILT_IN
from tasks.versions.snapshots import snapshot

MIRRORED = ("ohsumed23", "hwu64", "trec50", "huffpost", "banking77")
BESIDE = ("reuters",)  # of the quick start, with a long tail
MOST = 3000  # examples of a domain


def default_domains(settings: Settings, say: Callable[[str], None]) -> tuple[str, ...]:
    """Return the text and image targets of the quick start and, where there is a mirror, what it has of MIRRORED."""
    quick = [name for name, entry in quick_start().items() if entry.role == "target" and BUILT_IN[entry.family]]
    if settings.mirror is None:
        return tuple(quick)
    there = []
    for name in MIRRORED:
        try:
            find_file(settings.mirror, "text", find_source(name).read.stem)
            there.append(name)
        except UserError as error:
            say(f"{name} is left out: {error}")
    return (*quick, *there, *BESIDE)


def read_domain(settings: Settings, name: str) -> LabelledExamples:
    """Return at most MOST examples, drawn uniformly, of a domain of the catalogue, or else of ``data/``.

    Raises:
        UserError: there is no such domain, its file cannot be had, or nobody labels its examples.
    """
    if name in catalogue():
        family = find_source(name).family
        check_labelled_by_people(name, family)
        found = all_examples(settings, family, replace(corpus(name), without=()))
    else:
        domain = snapshot(settings.root_path, settings.home_path, name)
        check_labelled_by_people(name, domain.family)
        parts = [
            pd.DataFrame(
                {
                    EXAMPLE_COLUMN[domain.family]: list(domain.column(split)),
                    "label": [domain.labels[i] for i in domain.targets(split)],
                }
            )
            for split in ("train", "test")
            if domain.has(split)
        ]
        if not parts:
            raise UserError(f"domain {name} has no labelled examples; see `acclimate domains show {name}`")
        found = to_examples(name, domain.family, pd.concat(parts, ignore_index=True))
    return replace(found.take(uniform_rows(len(found.y), MOST, settings.seed)), name=name)


def check_labelled_by_people(name: str, family: str) -> None:
    """Raise UserError for a market: its labels follow from prices."""
    if not BUILT_IN[family]:
        raise UserError(f"domain {name} is of family {family}, whose labels cost nothing; name one of texts or images")


def uniform_rows(n: int, most: int, seed: int) -> list[int]:
    """Return at most so many of n rows, in order, each as likely as another."""
    return np.sort(np.random.default_rng(seed).permutation(n)[:most]).tolist()


def is_known_to(name: str, sources: Collection[str]) -> bool:
    """Whether a domain is one of the sources of a meta-model, or shares examples or a file with one."""
    if name in sources:
        return True
    if name not in catalogue():
        return False
    files = {file.path for file in find_source(name).files}
    return any(
        other in sources and (other in overlaps(name) or files & {file.path for file in entry.files})
        for other, entry in catalogue().items()
    )
