"""Divide one domain into three with no class in common, as few-shot benchmarks do: train, validation and test."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from domains.mirror import FileReader
from domains.source import Source

#: How many examples a build of each part has.
Sizes = tuple[int, int, int]


def class_split(whole: Source, parts: Mapping[str, Sequence[str]], examples: Sizes, by: str) -> tuple[Source, ...]:
    """Return ``<name>-train`` and ``<name>-validation``, both sources, and ``<name>-test``, a target.

    All classes are there, the medical ones too; a domain that has one of those is medical.

    Args:
        parts: labels of ``train``, ``validation`` and ``test``.
        examples: the number of examples of each.
        by: the authors of the split.
    """
    assert isinstance(whole.read, FileReader)
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
