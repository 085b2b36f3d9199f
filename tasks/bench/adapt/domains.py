"""The domains of the benchmark of adaptation: which are adapted to, and what may be meta-trained on before."""

from dataclasses import dataclass, replace

from domains.catalogue import find_source, overlaps
from domains.domain import Family
from domains.errors import UserError, check_known
from domains.labelled_examples import LabelledExamples, to_examples
from domains.mirror import FileReader, read_mirror
from tasks.base.downloads import fetcher
from tasks.base.settings import Settings

NON_MEDICAL, ALL = "non-medical", "all"


@dataclass(frozen=True)
class Corpus:
    """A domain as the benchmark reads it.

    Args:
        built_in: it is a domain of the quick start, else a file of the mirror.
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


def corpus(name: str) -> Corpus:
    """Return a domain of the catalogue as the benchmark reads it: of a file in the mirror, any version."""
    entry = find_source(name)
    if not isinstance(entry.read, FileReader):
        return Corpus(name, entry.medical, built_in=True)
    read = entry.read
    return Corpus(
        read.stem, entry.medical, False, read.label, read.group, entry.medical_labels, tuple(overlaps(entry.name))
    )


def corpora(names: str) -> tuple[Corpus, ...]:
    return tuple(map(corpus, names.split()))


TARGETS: dict[Family, tuple[Corpus, ...]] = {
    "text": corpora("ohsumed23 stc2_biomedical medical_abstracts chemprot hpo drugreviews"),
    "vision": corpora("chula_rbc pbc_blood ham10000 digits"),
}

GLYPHS = "latin greek cyrillic armenian georgian asomtavruli nuskhuri hebrew arabic lao nko tifinagh syllabics ipa"
GLYPHS += " fraktur calligraphic math arrows shapes symbols"
_GLYPHS = tuple(corpus(f"glyphs-{script}") for script in GLYPHS.split())

#: Each corpus once: where the mirror and the quick start both have one, the mirror's. The order counts: some are held
#: out to choose checkpoints on, others for the prior (see ``divide_piles``).
SOURCES: dict[Family, tuple[Corpus, ...]] = {
    "text": corpora(
        "20newsgroups huffpost clinc150 agnews trec50 hwu64 stc2_stackoverflow reuters31 sst5 amazon_products mag "
        "banking77 stc2_searchsnippets snips tweeteval_emotion bbc"
    ),
    "vision": (
        *corpora("miniimagenet omniglot-background"),  # of Omniglot, a class is alphabet and character
        *_GLYPHS[:16],
        corpus("mnist"),
        *_GLYPHS[16:],
        corpus("gtsrb"),
    ),
}

#: Sources besides, where medical ones are allowed; no target overlaps with them.
MEDICAL_SOURCES: dict[Family, tuple[Corpus, ...]] = {
    "text": corpora("medquad_question_type"),
    "vision": corpora("mednist"),
}


def targets(family: Family, names: tuple[str, ...] = ()) -> tuple[Corpus, ...]:
    """Return the targets of a family, or those named.

    Raises:
        UserError: a name is unknown.
    """
    known = {corpus.name: corpus for corpus in TARGETS[family]}
    check_known(names, known, "target", " in this benchmark")
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


def all_examples(settings: Settings, family: Family, corpus: Corpus) -> LabelledExamples:
    """Return all examples of a corpus.

    Raises:
        UserError: its file is neither in the mirror nor to be had; it says what to do.
    """
    if corpus.built_in:
        return to_examples(corpus.name, family, find_source(corpus.name).read(fetcher(settings)), corpus.without)
    return read_mirror(settings.mirror, family, corpus.name, corpus.label, corpus.group, corpus.without)
