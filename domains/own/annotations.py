"""Exports of annotation tools as tables: Label Studio, doccano, Prodigy and Argilla, known by their structure."""

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import PurePosixPath
from typing import Any, TypeGuard

from domains.errors import UserError
from domains.own.agreement import Panel
from domains.own.columns import ROWS, Profile, label_columns
from domains.own.options import AddOptions
from domains.reading.cells import as_text
from domains.reading.column_names import LABELS
from domains.reading.pictures import IMAGE_ENDINGS
from domains.reading.tables import Cells, Table, unnested
from domains.words import quantity, some

Row = dict[str, Any]

HEAD = 200  # rows that show whether a table is an export
ANSWERS = {"accept", "reject", "ignore"}  # of Prodigy
#: What Label Studio writes beside the data and the choices.
STUDIO = {
    "id",
    "annotation_id",
    "annotator",
    "created_at",
    "updated_at",
    "lead_time",
    "inner_id",
    "cancelled_annotations",
}


@dataclass(frozen=True)
class Example:
    """An example of an export: its cells that are single values, and its labels."""

    cells: Row
    labels: tuple[str, ...]


@dataclass
class Export:
    """All that an export says.

    Attributes:
        tool: what wrote it.
        label: the name of the question that is answered by labels.
        panel: how the annotators agree.
        notes: a line for all that is not used.
    """

    tool: str
    label: str
    examples: list[Example] = field(default_factory=list)
    panel: Panel = field(default_factory=Panel)
    notes: list[str] = field(default_factory=list)


def read_annotations(table: Table, options: AddOptions) -> tuple[Table, AddOptions]:
    """Return a table, objects in its cells as columns; an export as a table of its texts and labels.

    The options then name its label.

    Raises:
        UserError: its annotations are not classes, or several questions could be the label.
    """
    head = [dict(zip(table.columns, row, strict=True)) for row in islice(table.read(table.columns), HEAD)]
    reader = next((reader for known, reader in FORMS if head and known(head)), None)
    if reader is read_listed and not set(options.label_column) <= {*lists_of(head)}:
        reader = None
    if reader is None:
        return unnested(table), options
    rows = [dict(zip(table.columns, row, strict=True)) for row in table.read(table.columns)]
    return table_of_export(table, reader(rows, table, options), options)


def table_of_export(table: Table, export: Export, options: AddOptions) -> tuple[Table, AddOptions]:
    """Return the examples of an export as a table, and the options with its label column."""
    columns = tuple(dict.fromkeys(name for example in export.examples for name in example.cells))
    label = export.label
    while label in columns:
        label += " (annotated)"
    check_texts(table, columns, export)
    notes = [*export.notes, *export.panel.lines()]
    rows = [{**example.cells, label: list(example.labels)} for example in export.examples]
    if not any(row[label] for row in rows):
        raise UserError(f"{table.path}: {export.tool}: no example has a label ({'; '.join(notes) or 'none is given'})")

    def read(wanted: Sequence[str]) -> Iterator[Cells]:
        yield from (tuple(row.get(name) for name in wanted) for row in rows)

    made = replace(
        table,
        kind=f"{export.tool}, {table.kind}",
        columns=(*columns, label),
        size=len(rows),
        read=read,
        warnings=(*table.warnings, *notes),
    )
    return made, replace(options, label_column=(label,))


def check_texts(table: Table, columns: Sequence[str], export: Export) -> None:
    """Raise UserError if the examples are images that lie elsewhere."""
    for name in columns:
        cells = [str(example.cells.get(name) or "") for example in export.examples]
        if cells and all(PurePosixPath(cell.split("?")[0]).suffix.lower() in IMAGE_ENDINGS for cell in cells):
            raise UserError(
                f"{table.path}: its examples are images at addresses such as {cells[0]}; put the images into a folder "
                "with a table of two columns, file and label, and give the folder"
            )


def flat(row: Mapping[str, Any], without: Sequence[str] = ()) -> Row:
    """Return the cells of a row that are single values; those of a dictionary by ``name.key``."""
    cells: Row = {}
    for name, value in row.items():
        if name in without or name.startswith("_"):
            continue
        if isinstance(value, dict):
            cells |= {f"{name}.{key}": inner for key, inner in value.items() if as_text(inner) is not None}
        elif as_text(value) is not None:
            cells[name] = value
    return cells


def as_labels(value: Any, where: str) -> tuple[str, ...]:
    """Return a label or a list of them as texts.

    Raises:
        UserError: it marks a part of the text.
    """
    values = value if isinstance(value, list | tuple) else [value]
    texts = [as_text(part) for part in values]
    if None in texts:
        raise no_classes(where)
    return tuple(dict.fromkeys(text.strip() for text in texts if text is not None and text.strip()))


def no_classes(where: str) -> UserError:
    return UserError(f"{where}: annotations of spans or other parts are not classes; export labels of whole texts")


def choose(table: Table, names: Sequence[str], options: AddOptions) -> str:
    """Return the question that the user names, or the only one.

    Raises:
        UserError: there is no such question, or there are several.
    """
    if options.label_column:
        if len(options.label_column) == 1 and options.label_column[0] in names:
            return options.label_column[0]
        wanted = ", ".join(options.label_column)
        raise UserError(f"{table.path}: no question {wanted!r} (--label-column); it has {some(names)}")
    if len(names) > 1:
        raise UserError(f"{table.path}: which question is the label? It has {some(names)}; say --label-column")
    return names[0]


# Label Studio


def is_studio(head: Sequence[Row]) -> bool:
    return all(isinstance(row.get("data"), dict) and studio_annotations(row) is not None for row in head)


def studio_annotations(row: Row) -> list[Row] | None:
    """Return the annotations of a task that were not cancelled; the true ones alone, where some are marked so."""
    found = row.get("annotations", row.get("completions"))
    if not isinstance(found, list):
        return None
    kept = [a for a in found if isinstance(a, dict) and not (a.get("was_cancelled") or a.get("skipped"))]
    return [a for a in kept if a.get("ground_truth")] or kept


def read_studio(rows: Sequence[Row], table: Table, options: AddOptions) -> Export:
    """Read tasks with all their annotations; predictions and drafts are no labels."""
    kinds: dict[str, None] = {}
    others: Counter[str] = Counter()
    for row in rows:
        for result in (r for a in studio_annotations(row) or [] for r in a.get("result") or []):
            if is_choice(result):
                kinds[str(result.get("from_name", "choice"))] = None
            else:
                others[str(result.get("type"))] += 1
    if not kinds and others:
        raise UserError(
            f"{table.path}: Label Studio: its annotations are {some(sorted(others))}; only choices for whole texts are "
            "classes"
        )
    export = Export("Label Studio", choose(table, list(kinds) or ["choice"], options))
    cancelled = 0
    for row in rows:
        annotations = studio_annotations(row) or []
        cancelled += len(row.get("annotations", row.get("completions")) or []) > len(annotations) == 0
        votes = {}
        for i, annotation in enumerate(annotations):
            given = [
                label
                for result in annotation.get("result") or []
                if is_choice(result) and str(result.get("from_name", "choice")) == export.label
                for label in result["value"]["choices"]
            ]
            by = annotation.get("completed_by")
            by = by.get("email", by.get("id")) if isinstance(by, dict) else by
            votes[f"{by}" if by is not None else f"annotation {i}"] = as_labels(given, str(table.path))
        extra = {name: value for name, value in row.items() if name in ("id", "meta")}
        export.examples.append(Example(flat({**extra, **row["data"]}), export.panel.settle(votes)))
    if cancelled:
        export.notes.append(f"{quantity(cancelled, 'task')} with cancelled annotations alone: without a label")
    if predicted := sum(bool(row.get("predictions")) for row in rows):
        export.notes.append(f"{quantity(predicted, 'task')} with predictions, which are no labels")
    if others:
        named = some([f"{kind} ({count:,})" for kind, count in others.items()])
        export.notes.append(f"annotations that are no choices are not used: {named}")
    return export


def is_choice(result: Any) -> bool:
    """Whether a result chooses for the whole example, not for a part."""
    value = result.get("value") if isinstance(result, dict) else None
    return isinstance(value, dict) and isinstance(value.get("choices"), list) and "start" not in value


def is_studio_table(head: Sequence[Row]) -> bool:
    return {"annotation_id", "annotator"} <= head[0].keys() or {"annotation_id", "lead_time"} <= head[0].keys()


def read_studio_table(rows: Sequence[Row], table: Table, options: AddOptions) -> Export:
    """Read JSON-MIN and CSV: a row for each annotation."""
    raw, rows = rows, [{name: unpacked(value) for name, value in row.items()} for row in rows]
    names = [name for name in table.columns if name not in STUDIO]
    chosen = [name for name in names if any(isinstance(row[name], dict) and "choices" in row[name] for row in rows)]
    marked = [name for name in names if any(isinstance(row[name], list) for row in rows)]
    if chosen or options.label_column:
        label = choose(table, names if options.label_column else chosen, options)
    else:
        profiles = {name: Profile.of([row[name] for row in rows[:ROWS]]) for name in names}
        try:
            within, texts = replace(table, columns=tuple(names)), text_columns(profiles)
            label = choose(table, label_columns(within, profiles, texts, (), sorted(texts)), options)
        except UserError:
            if marked:
                raise no_classes(f"{table.path}: Label Studio, column {marked[0]}") from None
            raise
    export = Export("Label Studio", label)
    tasks: dict[str, list[int]] = defaultdict(list)
    for i, row in enumerate(rows):
        tasks[as_text(row.get("id")) or f"row {i}"].append(i)
    for of in tasks.values():
        votes = {}
        for i in of:
            row, value = rows[i], rows[i][label]
            value = value["choices"] if isinstance(value, dict) and "choices" in value else value
            by = as_text(row.get("annotator")) or f"annotation {i}"
            votes[by] = as_labels(value, f"{table.path}: column {label}")
        cells = {name: value for name, value in raw[of[0]].items() if name in names and name != label}
        export.examples.append(Example(flat(cells), export.panel.settle(votes)))
    return export


def text_columns(profiles: Mapping[str, Profile]) -> set[str]:
    """Return the column with the most words, which is no label."""
    return {max(profiles, key=lambda name: profiles[name].words)} if profiles else set()


def unpacked(value: Any) -> Any:
    """Return what a cell holds as JSON, if it is a list or an object."""
    if isinstance(value, str) and value[:1] in ("{", "["):
        try:
            return json.loads(value)
        except (ValueError, RecursionError):
            return value
    return value


# Prodigy


#: How the interfaces of Prodigy are called in which parts of an example are marked.
PARTS = ("ner", "spans", "relations", "dep", "pos", "image_manual", "audio_manual")


def is_prodigy(head: Sequence[Row]) -> bool:
    answers = {row.get("answer") for row in head} - {None, ""}
    return bool(answers) and answers <= ANSWERS and bool(head[0].keys() & {"label", "accept", "options", "spans"})


def read_prodigy(rows: Sequence[Row], table: Table, options: AddOptions) -> Export:
    """Read answers: a label that was rejected or ignored is none; of a choice, ``accept`` holds what was chosen."""
    if wrong := set(options.label_column) - {"label", "accept"}:
        raise UserError(
            f"{table.path}: Prodigy: labels are in label or accept, not in {min(wrong)}; leave out --label-column"
        )
    choice = any(isinstance(row.get("accept"), list) for row in rows)
    of_parts = any(str(row.get("_view_id") or "").startswith(PARTS) for row in rows)
    if of_parts or (not choice and not any(row.get("label") for row in rows)):
        raise no_classes(f"{table.path}: Prodigy")
    export = Export("Prodigy", "label")
    counts = Counter(str(row.get("answer")) for row in rows)
    key = next((name for name in ("text", "html", "image", "_input_hash") if name in table.columns), table.columns[0])
    by_text: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        by_text[str(row.get(key))].append(row)
    for of in by_text.values():
        votes: dict[str, dict[str, tuple[str, ...]]] = defaultdict(dict)  # by label that was asked for, and annotator
        for row in of:
            by = str(row.get("_annotator_id") or row.get("_session_id") or "")
            asked = "" if choice else str(row.get("label") or "")
            if row.get("answer") == "accept":
                named = chosen_names(row) if choice else as_labels(row.get("label"), f"{table.path}: column label")
                votes[asked][by] = tuple(dict.fromkeys((*votes[asked].get(by, ()), *named)))
            elif row.get("answer") == "reject":
                votes[asked].setdefault(by, ())
        labels = [label for of_label in votes.values() for label in export.panel.settle(of_label)]
        cells = flat(of[0], ("label", "accept", "answer", "options", "spans", "tokens", "config"))
        export.examples.append(Example(cells, tuple(dict.fromkeys(labels))))
    if refused := counts["reject"] + counts["ignore"]:
        said = [f"{answer} ({counts[answer]:,})" for answer in ("reject", "ignore") if counts[answer]]
        export.notes.append(f"{quantity(refused, 'answer')} {' or '.join(said)}: no label")
    if (repeated := len(rows) - len(by_text)) and not export.panel.units:
        export.notes.append(f"{quantity(repeated, 'answer')} for a text with an answer already: taken together")
    names = {label for example in export.examples for label in example.labels}
    if len(names) == 1:
        raise UserError(
            f"{table.path}: Prodigy: {min(names)!r} is the only label that was accepted; what is rejected has no label "
            "of its own: write one (a table of two columns, text and label), or export a choice of two"
        )
    return export


def chosen_names(row: Row) -> tuple[str, ...]:
    """Return the texts of the options that were chosen; their ids where they have none."""
    texts = {
        str(option["id"]): str(option.get("text") or option["id"])
        for option in row.get("options") or []
        if isinstance(option, dict) and "id" in option
    }
    return tuple(dict.fromkeys(texts.get(str(chosen), str(chosen)) for chosen in row.get("accept") or []))


# Argilla

RESPONSES = ".responses"


def is_argilla(head: Sequence[Row]) -> bool:
    if all(isinstance(row.get("fields"), dict) and isinstance(row.get("responses"), dict | list) for row in head):
        return True
    flattened = any(f"{name}.users" in head[0] for name in head[0] if name.endswith(RESPONSES))
    return flattened or any(is_answer(value) for row in head for value in row.values())


def is_answer(value: Any) -> bool:
    """Whether a cell holds responses, as version 1 writes them for ``datasets``."""
    answers = value if isinstance(value, list) else []
    return bool(answers) and all(isinstance(one, dict) and {"value", "user_id"} <= one.keys() for one in answers)


def read_argilla(rows: Sequence[Row], table: Table, options: AddOptions) -> Export:
    """Read records: responses that were submitted are labels; suggestions, drafts and what was discarded are not."""
    answers = [argilla_answers(row) for row in rows]
    names = list(dict.fromkeys(name for of in answers for name in of))
    if not names:
        raise UserError(f"{table.path}: Argilla: no record has a response; suggestions are not labels")
    export = Export("Argilla", choose(table, names, options))
    unsubmitted, suggested = 0, 0
    for row, of in zip(rows, answers, strict=True):
        votes = {}
        for i, (value, user, status) in enumerate(of.get(export.label, ())):
            if status not in (None, "submitted"):
                unsubmitted += 1
                continue
            where = f"{table.path}: Argilla, question {export.label}"
            votes[user or f"response {i}"] = as_labels(value, where)
        nested = {name: inner for part in ("fields", "metadata") for name, inner in (row.get(part) or {}).items()}
        rest = {name: value for name, value in row.items() if "." not in name and name in ("id", "external_id")}
        if "fields" not in row:
            rest |= {name: value for name, value in row.items() if "." not in name}
        suggested += bool(
            row.get("suggestions") or row.get(f"{export.label}.suggestion") or row.get(f"{export.label}-suggestion")
        )
        export.examples.append(Example(flat({**rest, **nested}), export.panel.settle(votes)))
    if unsubmitted:
        export.notes.append(f"{quantity(unsubmitted, 'response')} not submitted (draft, discarded): no label")
    if suggested:
        export.notes.append(f"{quantity(suggested, 'record')} with suggestions, which are no labels")
    return export


def argilla_answers(row: Row) -> dict[str, list[tuple[Any, str, str | None]]]:
    """Return the responses of a record as (value, user, status), by question."""
    found: dict[str, list[tuple[Any, str, str | None]]] = defaultdict(list)
    responses = row.get("responses")
    if isinstance(responses, dict):
        for name, of in responses.items():
            found[name] += [(r.get("value"), str(r.get("user_id") or ""), r.get("status")) for r in of or []]
    for response in responses if isinstance(responses, list) else ():  # of version 1
        for name, value in (response.get("values") or {}).items():
            value = value.get("value") if isinstance(value, dict) else value
            found[name].append((value, str(response.get("user_id") or ""), response.get("status")))
    for name in (name for name in row if is_answer(row[name])):
        found[name] += [(one["value"], str(one["user_id"] or ""), one.get("status")) for one in row[name]]
    for name in (name for name in row if name.endswith(RESPONSES)):  # flattened
        values = unpacked(row[name]) or []
        users = unpacked(row.get(f"{name}.users")) or [""] * len(values)
        status = unpacked(row.get(f"{name}.status")) or [None] * len(values)
        found[name.removesuffix(RESPONSES)] += list(zip(values, users, status, strict=False))
    return found


def is_argilla_text(head: Sequence[Row]) -> bool:
    return {"annotation", "prediction", "status"} <= head[0].keys() and bool(head[0].keys() & {"text", "inputs"})


def read_argilla_text(rows: Sequence[Row], table: Table, options: AddOptions) -> Export:
    """Read records of version 1 for texts: an annotation that was validated is the label, a prediction never is."""
    export = Export("Argilla", "annotation")
    for row in rows:
        valid = row.get("status") in (None, "", "Validated")
        labels = as_labels(row.get("annotation") if valid else None, f"{table.path}: Argilla, annotation")
        text = {"text": row["text"]} if as_text(row.get("text")) else dict(row.get("inputs") or {})
        export.examples.append(Example(flat({**(row.get("metadata") or {}), **text}), labels))
    if predicted := sum(bool(row.get("prediction")) for row in rows):
        export.notes.append(f"{quantity(predicted, 'record')} with predictions, which are no labels")
    return export


# doccano, and other tables with a list of labels


def lists_of(head: Sequence[Row]) -> list[str]:
    """Return the columns of labels that hold lists, or shares; those of annotations where no column has a label."""

    def lists(names: Sequence[str]) -> list[str]:
        return [name for name in names if any(isinstance(v := row.get(name), list) or are_shares(v) for row in head)]

    names = list(dict.fromkeys(("label", "labels", "cats", *LABELS)))
    plain = any(as_text(row.get(name)) for row in head for name in names)
    return lists(names) or ([] if plain else lists(("annotations", "entities")))


def are_shares(value: Any) -> TypeGuard[dict[str, float]]:
    """Whether a value says of several labels how far they hold, 0 to 1, as spaCy writes ``cats``."""
    if not isinstance(value, dict) or len(value) < 2:
        return False
    return all(isinstance(share, bool | int | float) and 0 <= share <= 1 for share in value.values())


def is_listed(head: Sequence[Row]) -> bool:
    return bool(lists_of(head))


def read_listed(rows: Sequence[Row], table: Table, options: AddOptions) -> Export:
    """Read texts with lists of labels: an empty list is no label; old exports have one for each annotator."""
    names = lists_of(rows)
    export = Export("lists of labels", choose(table, names, options))
    where = f"{table.path}: column {export.label}"
    for row in rows:
        value = row.get(export.label) or []
        votes: dict[str, tuple[str, ...]] = {}
        if isinstance(value, list) and value and all(isinstance(v, dict) and "label" in v for v in value):
            if any("start_offset" in v for v in value):
                raise no_classes(where)
            for v in value:
                by = str(v.get("user", ""))
                votes[by] = (*votes.get(by, ()), *as_labels(v["label"], where))
        else:
            held = [name for name, share in value.items() if share >= 0.5] if are_shares(value) else value
            votes[""] = as_labels(held, where)
        export.examples.append(Example(flat(row, (*names, "Comments")), export.panel.settle(votes)))
    return export


def is_joined(head: Sequence[Row]) -> bool:
    """Whether it is the CSV of doccano, which joins several labels by ``#``."""
    return {"label", "Comments"} <= head[0].keys() and bool(head[0].keys() & {"text", "data"})


def read_joined(rows: Sequence[Row], table: Table, options: AddOptions) -> Export:
    export = Export("doccano", "label")
    for row in rows:
        parts = str(row["label"] or "").split("#")
        labels = parts if all(part.strip() for part in parts) else [str(row["label"] or "")]
        export.examples.append(Example(flat(row, ("label", "Comments")), as_labels(labels, str(table.path))))
    return export


Known = Callable[[Sequence[Row]], bool]
Reader = Callable[[Sequence[Row], Table, AddOptions], Export]

#: How each form is known by its first rows, and read.
FORMS: tuple[tuple[Known, Reader], ...] = (
    (is_studio, read_studio),
    (is_studio_table, read_studio_table),
    (is_argilla, read_argilla),
    (is_argilla_text, read_argilla_text),
    (is_prodigy, read_prodigy),
    (is_listed, read_listed),
    (is_joined, read_joined),
)
