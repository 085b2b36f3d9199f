"""What folders say of the files in them: their class, their split, or the group that they come from."""

import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from domains.errors import UserError
from domains.own.options import AddOptions
from domains.words import quantity, some

#: By what one word of a folder's name is known for a split: ``seg_train``, ``training_set``, ``Test``, ``dev``.
SPLIT_WORDS = {
    **dict.fromkeys(("train", "training", "trainset", "trn"), "train"),
    **dict.fromkeys(("test", "testing", "testset", "tst", "heldout", "holdout", "eval", "evaluation"), "test"),
    **dict.fromkeys(("val", "valid", "validation", "valset", "dev", "devel"), "validation"),
}
#: Names of folders whose files have no label, and of those of which nobody knows.
UNLABELLED = re.compile(r"(un|not?[-_ ]?)(label+ed|annotated|sup|supervised)|pool", re.IGNORECASE)
DOUBTFUL = re.compile(
    r"un(sorted|known|classified|categori[sz]ed|assigned|tagged|sure|decided|reviewed|checked)|todo|inbox|pending|"
    r"to[-_ ]?(do|label|sort|review|check|annotate|predict)|unk|unseen|pred(s|ict|iction|ictions)?|submissions?",
    re.IGNORECASE,
)


#: A file's name that is a label and a number: ``cat.7``, ``american_bulldog_12``, ``benign (1)``.
NUMBERED = re.compile(r"([^\W\d_].*?)[ ._-]*\(?\d+\)?")


@dataclass(frozen=True)
class Place:
    """What its folders say of a file; empty where they say nothing."""

    label: str = ""
    split: str = ""
    group: str = ""


@dataclass(frozen=True)
class Layout:
    """What folders say of all files, and how they are read in words.

    Attributes:
        places: by the name of a file.
        question: what has to be asked if nothing but the folders can tell labels; empty where they do.
        warnings: a line for each inference and doubt.
    """

    places: Mapping[str, Place]
    question: str = ""
    warnings: tuple[str, ...] = ()

    @property
    def labels(self) -> set[str]:
        return {place.label for place in self.places.values()} - {""}


def split_of(name: str) -> str:
    """Return the split that a name stands for, by one of its words; or the empty text.

    A folder called ``train_test`` is of neither.
    """
    words = re.split(r"[^a-z]+", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).lower())
    found = {SPLIT_WORDS[word] for word in words if word in SPLIT_WORDS}
    return found.pop() if len(found) == 1 else ""


def read_layout(path: Path, names: Sequence[str], options: AddOptions) -> Layout:
    """Return what the folders of some files say, or their own names if the options say so."""
    if options.folders == "names":
        return layout_of_names(path, names)
    layout = layout_of(path, {name: name.split("/") for name in names}, options)
    return replace(layout, places={name: layout.places.get(name, Place()) for name in names})


def layout_of(path: Path, parts: Mapping[str, list[str]], options: AddOptions) -> Layout:
    """Return what folders say of files, given the folders and the name of each as parts."""
    while 2 * sum(len(part) > 2 for part in parts.values()) > len(parts):
        if len({part[0] for part in parts.values() if len(part) > 1}) > 1:
            break
        parts = {name: part[1:] if len(part) > 1 else part for name, part in parts.items()}
    below: dict[str, dict[str, list[str]]] = defaultdict(dict)
    for name, part in parts.items():
        if len(part) > 1:
            below[part[0]][name] = part[1:]
    below = {folder: unwrap(folder, rest) for folder, rest in below.items()}
    deep = [folder for folder, rest in below.items() if 2 * sum(len(part) > 1 for part in rest.values()) > len(rest)]
    flat = [folder for folder in below if folder not in deep]
    splits = {folder: split_of(folder) or ("pool" if is_pool(folder) else "") for folder in below}
    named = all(splits[folder] for folder in deep) and any(splits[folder] != "pool" for folder in deep)
    if named and (len(deep) > 1 or all(splits[folder] for folder in flat)):
        return layout_of_splits(path, below, {folder: splits[folder] for folder in sorted(deep)}, options)
    if options.folders in ("groups", "inner"):
        return Layout(
            {
                name: Place(part[0] if len(part) > 1 else "", group=folder if options.folders == "groups" else "")
                for folder, rest in below.items()
                for name, part in rest.items()
            }
        )
    if options.folders == "classes" or not deep:
        return flat_layout(path, below, options.folders == "classes")
    return deep_layout(path, below, deep)


def layout_of_names(path: Path, names: Sequence[str]) -> Layout:
    """Return files with a label of each name, ``cat.7.jpg``, in the split that a folder around it is called."""
    places = {
        name: Place(label_of_name(name), next(filter(None, map(split_of, reversed(name.split("/")[:-1]))), ""))
        for name in names
    }
    bare = [name for name, place in places.items() if not place.label]
    said = (f"{quantity(len(bare), 'file')} without a label in its name: {some(bare)}",) if bare else ()
    question = f"{path}: no file is called like cat.7.jpg; leave out --folders names" if len(bare) == len(names) else ""
    return Layout(places, question, said)


def label_of_name(name: str) -> str:
    """Return what stands before the number at the end of a file's name, the empty text where nothing does."""
    found = NUMBERED.fullmatch(Path(name).stem)
    return found[1] if found else ""


def hint_of_names(names: Sequence[str]) -> str:
    """Return what may be said where the names of files look like labels and numbers; else the empty text."""
    labels = Counter(map(label_of_name, names))
    if labels[""] or len(labels) < 2 or min(labels.values()) < 2:
        return ""
    return f"; or say --folders names if the names of the files begin with their labels ({some(sorted(labels), 3)})"


def layout_of_splits(
    path: Path, below: Mapping[str, Mapping[str, list[str]]], splits: Mapping[str, str], options: AddOptions
) -> Layout:
    """Return what is said of files in splits: by the folders in each split, which mean the same in all.

    Args:
        splits: of the folders that hold others; the files of those that hold none have no label.
    """
    within = {name: part for folder, split in splits.items() if split != "pool" for name, part in below[folder].items()}
    inner = layout_of(path, within, options)
    places = {
        name: replace(inner.places.get(name, Place()), split=splits.get(folder, "pool"))
        for folder, rest in below.items()
        for name in rest
    }
    said = [f"folders are read as splits: {', '.join(f'{folder} is {split}' for folder, split in splits.items())}"]
    if flat := sorted(set(below) - set(splits)):
        said.append(f"{some(flat)}: no folder a class in it, so its files have no label")
    return Layout(places, inner.question, (*said, *inner.warnings))


def unwrap(folder: str, rest: dict[str, list[str]]) -> dict[str, list[str]]:
    """Drop a folder that only repeats the one around it, or that holds nothing but folders."""
    while all(len(part) > 1 for part in rest.values()) and len({part[0] for part in rest.values()}) == 1:
        inner = next(iter(rest.values()))[0]
        again = inner.lower() == folder.lower() or (split_of(folder) and split_of(inner) == split_of(folder))
        if not again and not all(len(part) > 2 for part in rest.values()):
            break
        rest = {name: part[1:] for name, part in rest.items()}
    return rest


def flat_layout(path: Path, below: Mapping[str, Mapping[str, list[str]]], certain: bool) -> Layout:
    """Return first-level folders as classes, with all that is in them."""
    splits = {folder: split_of(folder) for folder in below}
    found = {split for split in splits.values() if split}
    if not certain and len(found) > 1:  # a class train may be, but not train and test
        places = {name: Place(split=splits[folder]) for folder, rest in below.items() for name in rest}
        return Layout(
            places,
            f"{path}: its folders are {some(sorted(below))}, which are not classes; put a folder per class into them, "
            "or a table that names the files and their labels beside them",
        )
    places = {name: Place(folder) for folder, rest in below.items() for name in rest}
    inner = Counter(part[0] for rest in below.values() for part in rest.values() if len(part) > 1)
    named = some([f"{folder} ({quantity(count, 'file')})" for folder, count in inner.most_common()])
    return Layout(places, warnings=(f"folders inside of classes count as their class: {named}",) if inner else ())


def deep_layout(path: Path, below: Mapping[str, Mapping[str, list[str]]], deep: Sequence[str]) -> Layout:
    """Return what two levels of folders say: classes of splits; else a question."""
    inner = Counter(name for folder in deep for name in {part[0] for part in below[folder].values() if len(part) > 1})
    repeated = [name for name, count in inner.items() if count > 1]
    flat = [folder for folder in below if folder not in deep]
    splits = {folder: split_of(folder) for folder in below}
    known = [folder for folder in sorted(deep) if splits[folder]]
    if not flat and repeated and all(split_of(name) for name in inner):
        places = {
            name: Place(folder, split_of(part[0]) if len(part) > 1 else "pool")
            for folder, rest in below.items()
            for name, part in rest.items()
        }
        return Layout(places, warnings=(f"folders are read as classes that hold splits: {some(sorted(inner))}",))
    first, second = some(sorted(below), 3), some(sorted(inner), 3)
    if known and repeated:
        others = some([folder for folder in sorted(below) if not splits[folder]])
        question = (
            f"{some(known)} are splits, but what is {others} beside them? Move it out, or give it a name with train, "
            "validation, test or unlabelled in it"
        )
    elif 2 * len(repeated) > len(inner):
        question = (
            f"its folders {first} hold the same folders {second}: say --folders groups if {second} are the classes and "
            f"{min(below)} and the others are groups (patients, cameras), of which none may be in train and test; "
            f"--folders inner if it may; --folders classes if {first} are the classes"
        )
    else:
        question = (
            f"its folders {first} hold folders {second}: say --folders classes if {first} are the classes, or "
            f"--folders inner if {second} are"
        )
    places = {name: Place(split=splits[folder]) for folder, rest in below.items() for name in rest}
    return Layout(places, f"{path}: {question}")


def is_pool(name: str) -> bool:
    """Whether a folder's name says that its files have no label."""
    return UNLABELLED.fullmatch(name.strip("_- ")) is not None


def mark_unlabelled(path: Path, layout: Layout, options: AddOptions) -> Layout:
    """Take the labels from files of folders that are known, or said, to hold unlabelled ones.

    Raises:
        UserError: a named folder is not there, or one may be a class or not, and no option says which.
    """
    labels, said = layout.labels, set(options.unlabelled)
    if absent := said - labels:
        raise UserError(f"{path}: --unlabelled {min(absent)}: no folder of that name; there are {some(sorted(labels))}")
    if not options.unlabelled and not options.keep_labels:
        said = {label for label in labels if UNLABELLED.fullmatch(label.strip("_- "))}
        marked = {label for label in labels if label.startswith("_")}
        marked = marked if 2 * len(marked) < len(labels) else set()
        marked |= {label for label in labels if DOUBTFUL.fullmatch(label.strip("_- ")) or split_of(label)}
        doubtful = sorted(marked - said)
        if doubtful:
            said_so = " ".join(f"--unlabelled {name}" for name in doubtful)
            raise UserError(
                f"{path}: is folder {', '.join(doubtful)} a class? Say {said_so} if its files have no label yet, or "
                f"--keep-labels if it is one{hint_of_names([*layout.places]) if labels == {*doubtful} else ''}"
            )
    if not said:
        return layout
    places = {name: replace(p, label="", split="pool") if p.label in said else p for name, p in layout.places.items()}
    count = sum(place.label in said for place in layout.places.values())
    line = f"{quantity(count, 'file')} of {some(sorted(said))} without a label"
    return replace(layout, places=places, warnings=(*layout.warnings, line))
