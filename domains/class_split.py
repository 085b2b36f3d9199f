"""One domain as three with no class in common, as few-shot benchmarks divide it: to train, to validate, to test."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from domains.mirror import Stored
from domains.source import Source

#: How many examples a build of each part has.
Sizes = tuple[int, int, int]


def class_split(whole: Source, parts: Mapping[str, Sequence[str]], examples: Sizes, by: str) -> tuple[Source, ...]:
    """Return ``<name>-train`` and ``<name>-validation``, both sources, and ``<name>-test``, a target.

    Every class of a part is there, the medical ones too; a part that has one is medical.

    Args:
        parts: labels of ``train``, ``validation`` and ``test``.
        by: whose split it is.
    """
    assert isinstance(whole.read, Stored)
    return tuple(
        replace(
            whole,
            name=f"{whole.name}-{part}",
            role="target" if part == "test" else "source",
            title=f"{whole.title}; {part} classes of {by}",
            read=replace(whole.read, only=tuple(labels), without=()),
            medical=whole.medical or bool(set(labels) & set(whole.medical_labels)),
            medical_labels=(),
            overlaps=(whole.name, *whole.overlaps),
            classes=len(labels),
            examples=count,
        )
        for (part, labels), count in zip(parts.items(), examples, strict=True)
    )
