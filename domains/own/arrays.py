"""Images in a ``.npz`` as a domain: which arrays are images, which are their labels, and which split they are of."""

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from domains.errors import UserError
from domains.fetch import sha256_of
from domains.own.folders import split_of
from domains.own.options import AddOptions
from domains.own.survey import Item, Items
from domains.reading.arrays import StoredArray, image_arrays
from domains.reading.pictures import to_picture
from domains.reading.png import to_png
from domains.words import quantity, some


def items_of_arrays(path: Path, options: AddOptions) -> Items:
    """Return the images of a ``.npz``. Splits are told by names (``train_images``, ``x_test``), labels by their length.

    Raises:
        UserError: there are no images, or nothing tells which array has their labels.
    """
    options.refuse(
        "arrays of images", "text_column", "group_column", "time_column", "encoding", "header", "sheet", "folders"
    )
    images, others = image_arrays(path)
    splits = [split_of(array.name) for array in images]
    if len(set(splits)) < len(images):
        raise UserError(
            f"{path}: several arrays of images, {some([array.name for array in images])}, and their names do not tell "
            "train from test; save those to be learned from in a file of their own"
        )
    labels = [labels_of(array, others, options) for array in images]
    told = {array.name for array in labels if array}
    warnings = [
        f"{array.name} is {split or 'all of it'}, with {'labels of ' + of.name if of else 'no labels'}"
        for array, split, of in zip(images, splits, labels, strict=True)
    ]
    if rest := [array.name for array in others if array.name not in told]:
        warnings.append(f"{quantity(len(rest), 'other array')} left out: {some(rest)}")
    places = [(array, i) for array in images for i in range(array.shape[0])]

    def every() -> Iterator[Item]:
        for array, split, of in zip(images, splits, labels, strict=True):
            names = names_of(of) if of else [""] * array.shape[0]
            for image, name in zip(array.images(), names, strict=True):
                yield Item(to_png(image), name, split=split if name else "pool")

    def prepare(raw: bytes) -> tuple[bytes, tuple[str, ...]]:
        made = to_picture(raw)
        return made.content, made.changes

    return Items(
        family="vision",
        kind="arrays of images",
        file=path.resolve().name,
        size=len(places),
        read=every,
        where=lambda i: f"{places[i][0].name}[{places[i][1]}]",
        prepare=prepare,
        sha256=partial(sha256_of, path),
        columns={"label": ", ".join(sorted(told))} if told else {},
        warnings=tuple(warnings),
    )


def labels_of(images: StoredArray, others: Sequence[StoredArray], options: AddOptions) -> StoredArray | None:
    """Return the array with the labels of some images: as long as they are, and of their split; None if there is none.

    Raises:
        UserError: there are several, and ``--label-column`` names none of them.
    """
    fitting = [
        array
        for array in others
        if len(array.shape) in (1, 2)
        and array.shape[0] == images.shape[0]
        and split_of(array.name) == split_of(images.name)
    ]
    chosen = [array for array in fitting if array.name in options.label_column]
    if options.label_column and fitting and not chosen:
        raise UserError(f"{images.path}: --label-column: {images.name} has {some([a.name for a in fitting])}")
    if len(chosen or fitting) > 1:
        raise UserError(
            f"{images.path}: which array has the labels of {images.name}: {some([a.name for a in fitting])}? Say "
            f"--label-column {fitting[0].name}"
        )
    return next(iter(chosen or fitting), None)


def names_of(labels: StoredArray) -> list[str]:
    """Return labels [n], [n, 1] or, a column a class, [n, classes] as they stand: of several classes as ``0|2``.

    Raises:
        UserError: a table of several columns has other values than 0 and 1.
    """
    y = labels.whole()
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    if y.ndim == 2:
        if y.dtype.kind not in "buif" or not np.isin(y, (0, 1)).all():
            raise UserError(
                f"{labels.path}: {labels.name} has {y.shape[1]} columns that are no classes of 0 and 1; save one"
            )
        return ["|".join(str(c) for c in np.flatnonzero(row)) for row in y]
    if y.dtype.kind == "f" and (y[np.isfinite(y)] % 1 == 0).all():
        return [str(int(value)) if np.isfinite(value) else "" for value in y]
    return [value.decode(errors="replace") if isinstance(value, bytes) else str(value) for value in y.tolist()]
