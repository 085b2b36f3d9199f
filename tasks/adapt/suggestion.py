"""Which pool examples of a domain to label next, and what twice the labels would give."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from domains.domain import EXAMPLE_COLUMN, Domain, Split
from domains.errors import UserError
from domains.own.label_file import GUESS, LABEL
from domains.same_example import content_key
from domains.whole_file import write_whole
from learners.choice.all_labels import adapt_to_all_labels
from learners.choice.forecast import FEWEST, SHARES, Forecast, forecast, learning_curve
from learners.choice.suggest import suggest
from learners.classifier import Classifier
from learners.examples import join_views, select_rows
from learners.meta_model import MetaModel
from tasks.adapt.adaptation import Adaptation, Encoded, model_for, shuffle_rows, support_of
from tasks.adapt.plan import Plan, encode_plan
from tasks.base.settings import Settings, settings
from tasks.features.encoding import encode
from tasks.features.spec import EncoderSpec
from tasks.models import registry
from tasks.models.adapt_result import AdaptResult
from tasks.models.lookup import input_of

CURVES = 5  # support draws behind a forecast
JPEG = b"\xff\xd8"  # how such a file begins
RIVAL = 0.5  # a second label at least so probable, relative to the first, is named beside it


def check_suggestions(domain: Domain, output: Path) -> None:
    """Raise UserError for a domain of which no example can be suggested, or where they cannot be written."""
    if not output.resolve().parent.is_dir() or output.is_dir():
        raise UserError(f"cannot write {output}: not a file in a folder that is there; choose another path")
    if domain.family == "market":
        raise UserError(
            f"domain {domain.name}: market states follow from prices; nobody labels them, leave out --suggest"
        )
    if not domain.counts.get("pool", 0):
        raise UserError(
            f"domain {domain.name} has no pool: add unlabelled examples as pool.parquet to data/{domain.name}, "
            "then `acclimate data commit`"
        )


def suggestions(
    domain: Domain, data: Encoded, model: Classifier, how: Adaptation, n: int, tuned: Sequence[EncoderSpec] = ()
) -> pd.DataFrame:
    """Return n rows, best first: the example, ``label``, ``guess``, ``probability``, ``why`` and ``row``.

    ``label`` is for a person to fill in, ``guess`` what the model says, ``row`` the row in pool.parquet. Examples with
    a label are those of the support that the model was adapted to.

    Args:
        tuned: encoders that the model reads beside those of the data.
    """
    assert data.pool_x is not None
    labelled = data.train_x[support_of(data, how, 0)[0]] if data.fold is None else data.labelled.x
    found = suggest(data.pool_x, labelled, n)
    rows = [data.pool_rows[i] for i in found.rows.tolist()]
    x = data.pool_x[found.rows]
    if tuned:
        said = encode(settings(), domain.family, domain.column("pool", rows), encoders=tuned)
        x = torch.cat([x, said], 1)
    p = model.in_use().predict_proba(join_views(x, select_rows(data.pool_ngrams, found.rows))).numpy()
    best = model.name(p)
    return pd.DataFrame(
        {
            EXAMPLE_COLUMN[domain.family]: readable_examples(domain, rows),
            LABEL: "",
            GUESS: [model.labels[i] for i in best],
            "probability": np.round(p[np.arange(len(p)), best], 4),
            "why": [
                suggestion_reason(int(count), each, model.labels)
                for count, each in zip(found.stands_for, p, strict=True)
            ],
            "row": rows,
        }
    )


def readable_examples(domain: Domain, rows: Sequence[int], split: Split = "pool") -> list[str]:
    """Return texts of a shard as they are, or the file names of images, empty where they have none."""
    import pyarrow.parquet as pq

    column = EXAMPLE_COLUMN[domain.family]
    values = pq.read_table(domain.path / f"{split}.parquet", columns=[column])[0].take(rows).to_pylist()
    return values if domain.family == "text" else [Path(value.get("path") or "").name for value in values]


def write_to_label(domain: Domain, rows: pd.DataFrame, output: Path) -> Path | None:
    """Write what a person is to label as a CSV for ``acclimate domains label``.

    Images without a file name are written too, so that a person can look at them, into a folder beside the CSV, which
    is returned. Their names there are made of their content: no other image ever has the same.

    Args:
        rows: the example and its ``row``, in the shard that a column ``split`` names, or else in the pool.

    Raises:
        UserError: they cannot be written.
    """
    column, folder = EXAMPLE_COLUMN[domain.family], output.with_name(f"{output.stem}-images")
    names = rows[column].tolist()
    splits: list[Split] = rows["split"].tolist() if "split" in rows else ["pool"] * len(rows)
    unnamed = [i for i, name in enumerate(names) if domain.family == "vision" and not name]
    if unnamed:
        try:
            folder.mkdir(exist_ok=True)
        except OSError as error:
            raise UserError(f"cannot write {folder}: {error.strerror or error}; choose another --output") from error
    for split in {splits[i] for i in unnamed}:
        own = [i for i in unnamed if splits[i] == split]
        for i, image in zip(own, domain.column(split, rows["row"].iloc[own].tolist()), strict=True):
            name = f"{content_key(image):016x}{'.jpg' if image.startswith(JPEG) else '.png'}"
            write_whole(folder / name, image)
            names[i] = f"{folder.name}/{name}"
    write_whole(output, rows.assign(**{column: names}).to_csv(index=False))
    return folder if unnamed else None


def suggestion_reason(count: int, p: np.ndarray, labels: Sequence[str]) -> str:
    """Return why an example helps: how much of the pool it stands for, and what the model cannot decide."""
    first, second = np.argsort(-p)[:2]
    many = f"typical of {count} examples that no label is near" if count > 1 else "unlike any labelled example"
    return f"{many}; {labels[first]} or {labels[second]}?" if p[second] >= RIVAL * p[first] else many


def forecast_at_twice(model: MetaModel, strategy: str, data: Encoded, how: Adaptation) -> Forecast | None:
    """Return the accuracy to expect from a strategy at twice the labels; None where that is unknown.

    The curve is measured on the test examples, at up to K labels a class or, of all labels, at shares of them as
    frequent as they are; it decides nothing. Sizes are then of all classes together.
    """
    labels = how.k or len(data.train_y) / len(data.train_y.unique())
    if labels < FEWEST:
        return None

    accuracy = accuracy_by_rows(model, strategy, data)
    generator = torch.Generator().manual_seed(how.seed)
    with torch.no_grad():
        if how.k is None:
            sizes, accuracies = natural_curve(accuracy, data.train_y.numpy(), how.seed)
        else:
            sizes, accuracies = learning_curve(accuracy, data.train_y, how.k, CURVES, generator)
    return forecast(sizes, accuracies, len(data.test_y))


def accuracy_by_rows(model: MetaModel, strategy: str, data: Encoded) -> Callable[[torch.Tensor], float]:
    """Return what gives the accuracy of a strategy on the test examples, after adaptation to some rows of train."""

    def accuracy(rows: torch.Tensor) -> float:
        first = data.support(rows).of_encoder(0)
        classifier = first.reading(adapt_to_all_labels(model.strategies[strategy], first))
        return float((classifier.logits(data.test_x).argmax(1) == data.test_y).float().mean())

    return accuracy


def natural_curve(score: Callable[[torch.Tensor], float], y: np.ndarray, seed: int) -> tuple[list[int], torch.Tensor]:
    """Return sizes [m] in labels of all classes together, and accuracies [CURVES, m] from nested random parts of y [n].

    The smallest part has an example of each class; otherwise classes are as frequent as they are.

    Args:
        score: takes rows; returns the accuracy, on other examples, of what is adapted to them.
    """
    fewest = len(np.unique(y))
    sizes = sorted({max(fewest, round(share * len(y))) for share in SHARES})
    curves = []
    for number in range(CURVES):
        rows = torch.from_numpy(shuffle_rows(y, seed * 1000 + number))
        curves.append([score(rows[:size]) for size in sizes])
    return sizes, torch.tensor(curves)


def forecast_line(found: Forecast | None, how: Adaptation) -> str:
    """Return a forecast in one line."""
    if found is None:
        return f"accuracy at twice the labels: unknown; it takes {FEWEST} labels a class to forecast"
    low, high = round(100 * found.low), round(100 * found.high)
    size = f"{found.size:,}" if how.k is None else f"{found.size} a class"
    return f"accuracy at twice the labels ({size}): about {100 * found.accuracy:.0f} %, {low} to {high} %"


@dataclass(frozen=True)
class Advice:
    """What to label, as in :func:`suggestions`, and a line on what twice the labels would give."""

    rows: pd.DataFrame
    line: str


def advise(settings: Settings, plan: Plan, result: AdaptResult, n: int) -> Advice:
    """Return what to label after an adaptation, by its model."""
    data = encode_plan(plan)
    if data.pool_x is None:
        raise UserError(f"no example in the pool of domain {plan.domain.name} can be used; see acclimate domains check")
    version = registry.get(settings, plan.domain.name, result.model_version)
    tuned = [spec for spec in input_of(version).encoders if spec.opinions]
    rows = suggestions(plan.domain, data, Classifier.load(version.folder), plan.how, n, tuned)
    model_then = model_for(plan.load_meta_model(), data.encoders)
    ahead = forecast_at_twice(model_then, result.strategy, data, plan.how)
    return Advice(rows, forecast_line(ahead, plan.how))
