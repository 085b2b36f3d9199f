"""The domains of the benchmark of adaptation: which are adapted to, and what may be meta-trained on before."""

from dataclasses import dataclass, replace

from domains.catalogue import source
from domains.domain import Family
from domains.errors import UserError
from domains.labelled import Labelled, labelled
from domains.mirror import read_mirror
from tasks.encoding import fetcher
from tasks.settings import Settings

NON_MEDICAL, ALL = "non-medical", "all"


@dataclass(frozen=True)
class Corpus:
    """A domain as the benchmark reads it.

    Args:
        built_in: it is a built-in domain (``domains/catalogue.py``), else a file of the mirror.
        label: the column of the labels, of a table; group: the field of an image's file name that says its group.
        without: its medical labels, left out where no source may be medical.
        overlaps: targets that it shares examples with, so that it is never a source for them.
    """

    name: str
    medical: bool = False
    built_in: bool = False
    label: str = "label"
    group: int | None = None
    without: tuple[str, ...] = ()
    overlaps: tuple[str, ...] = ()


TARGETS: dict[Family, tuple[Corpus, ...]] = {
    "text": (
        Corpus("ohsumed23", medical=True, overlaps=("medical_abstracts",)),
        Corpus("stc2_biomedical", medical=True),
        Corpus("medical_abstracts", medical=True, overlaps=("ohsumed23",)),
        Corpus("chemprot", medical=True),
        Corpus("hpo", medical=True, built_in=True),
        Corpus("drugreviews", medical=True, built_in=True),
    ),
    "vision": (
        Corpus("chula_rbc", medical=True, group=0),  # <class>/<smear>_<x>_<y>.png
        Corpus("pbc_blood", medical=True),
        Corpus("ham10000", medical=True),
        Corpus("digits", built_in=True),
    ),
}

GLYPHS = "latin greek cyrillic armenian georgian asomtavruli nuskhuri hebrew arabic lao nko tifinagh syllabics ipa"
GLYPHS += " fraktur calligraphic math arrows shapes symbols"
_GLYPHS = tuple(Corpus(f"glyphs-{script}", built_in=True) for script in GLYPHS.split())

#: Each corpus once: where the mirror and the built-in domains both have one, the mirror's. The order counts: every
#: fifth from the last on is held out for validation and for the portfolio's prior (``tasks.training.divide``).
SOURCES: dict[Family, tuple[Corpus, ...]] = {
    "text": (
        Corpus("20news", without=("sci.med",)),
        Corpus("huffpost", without=("01_WELLNESS", "06_HEALTHY LIVING")),
        Corpus("clinc150"),
        Corpus("agnews"),
        Corpus("trec", without=("ENTY:dismed", "ENTY:body")),
        Corpus("hwu64"),
        Corpus("stc2_stackoverflow"),
        Corpus("reuters31"),
        Corpus("sst5"),
        Corpus("amazon_sentiment", label="domain", without=("health_personal_care",)),
        Corpus("mag", without=("medicine",)),
        Corpus("banking77"),
        Corpus("stc2_searchsnippets", without=("6",)),  # Health
        Corpus("snips"),
        Corpus("tweeteval_emotion"),
        Corpus("bbc", built_in=True),
    ),
    "vision": (
        Corpus("miniimagenet"),
        Corpus("images_background"),  # Omniglot: a class is alphabet and character
        *_GLYPHS[:16],
        Corpus("mnist", built_in=True),
        *_GLYPHS[16:],
        Corpus("gtsrb"),
    ),
}

#: Sources besides, where medical ones are allowed; no target overlaps with them.
MEDICAL_SOURCES: dict[Family, tuple[Corpus, ...]] = {
    "text": (Corpus("medquad_question_type", medical=True),),
    "vision": (Corpus("mednist", medical=True),),
}


def targets(family: Family, names: tuple[str, ...] = ()) -> tuple[Corpus, ...]:
    """Return the targets of a family, or those named.

    Raises:
        UserError: a name is unknown.
    """
    known = {corpus.name: corpus for corpus in TARGETS[family]}
    for name in names:
        if name not in known:
            raise UserError(f"no target {name!r} in this benchmark; there are: {', '.join(known)}")
    return tuple(known[name] for name in names or known)


def sources(family: Family, target: Corpus, which: str = NON_MEDICAL) -> tuple[Corpus, ...]:
    """Return what may be meta-trained on before a target is adapted to.

    ``non-medical``: nothing medical, the same for every target. ``all``: medical sources too, and the other medical
    targets that do not overlap with this one.

    Raises:
        UserError: ``which`` is neither.
    """
    if which not in (NON_MEDICAL, ALL):
        raise UserError(f"sources = {which!r}: they are {NON_MEDICAL} or {ALL}")
    if which == NON_MEDICAL:
        return SOURCES[family]
    others = [
        other
        for other in TARGETS[family]
        if other.medical and other != target and other.name not in target.overlaps and target.name not in other.overlaps
    ]
    return (*MEDICAL_SOURCES[family], *others, *(replace(corpus, without=()) for corpus in SOURCES[family]))


def read(settings: Settings, family: Family, corpus: Corpus) -> Labelled:
    """Return all examples of a corpus.

    Raises:
        UserError: its file is neither in the mirror nor to be had; it says what to do.
    """
    if corpus.built_in:
        return labelled(corpus.name, family, source(corpus.name).read(fetcher(settings)), corpus.without)
    return read_mirror(settings.mirror, family, corpus.name, corpus.label, corpus.group, corpus.without)
