"""What an adaptation reports, to programs (``--json``), tables and the registry alike."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, Field

from domains.objective import ACCURACY, Objective

#: Decisions of the gate; the last is a person's to take.
PROMOTED, REFUSED, AWAITING = "promoted", "refused", "awaiting approval"

FILE = "result.json"
ALL = "all"  # in place of K where all labels are used

Interval = Literal["support draws", "test examples", "labelled examples"]


class Score(BaseModel):
    """One method on one domain: means over support draws, and the half-width of accuracy's 95 % interval.

    Formulas are in ``learners/metrics.py``; balanced accuracy and macro-F1 are None in results of before 0.11.
    ``AdaptResult.interval`` says what the interval is over. Over support draws there is none of one draw.

    Attributes:
        in_use: accuracy where classes are as frequent as in the pool; None where the pool shows no other frequencies
            than the labels have.
    """

    accuracy: float
    ci95: float | None
    log_loss: float
    ece: float
    balanced_accuracy: float | None = None
    macro_f1: float | None = None
    in_use: float | None = None


class ClassScore(BaseModel):
    """How well a label is predicted on the test examples, of which ``support`` have it.

    Precision is None where it is never predicted, recall where no test example has it, F1 where both hold.
    """

    label: str
    precision: float | None
    recall: float | None
    f1: float | None
    support: int


class NewClasses(BaseModel):
    """Classes that the champion does not know, and how the examples of the others fared beside it.

    Attributes:
        classes: the challenger's scores of each new class, ``support`` 0 where none of its examples is scored.
        examples: how many scored examples are of classes that both know.
        objective: what is compared on these: balanced accuracy in place of macro-F1, which asks for examples of all.
        challenger, champion: its value for the two; low, high: 95 % interval of the difference.
    """

    classes: list[ClassScore]
    examples: int
    objective: Objective
    challenger: float
    champion: float
    low: float
    high: float


class SetScore(BaseModel):
    """Prediction sets of the portfolio's models on the test examples, means over support draws.

    Attributes:
        coverage: share of examples whose set holds the true label; ``learners.choice.conformal.COVERAGE`` is meant.
        size: labels in a set.
        asked: share of examples that a person would be asked about.
    """

    coverage: float
    size: float
    asked: float


class CurveScore(BaseModel):
    """Accuracy after adaptation to some of the labels, with the half-width of its 95 % interval.

    Attributes:
        k: at most so many labels a class; None: all, or a forecast.
        labels: how many labels these are in all.
        forecast: nothing was adapted to so many labels; ``ci95`` is then half of a 90 % interval.
    """

    k: int | None
    labels: int
    accuracy: float
    ci95: float | None
    forecast: bool = False


class AdaptResult(BaseModel):
    """One adaptation of one domain.

    ``scores`` holds a row a method: ``acclimate`` is the portfolio, the others are methods on their own. The
    challenger that the gate judged is the portfolio's first support draw. ``sets`` is None where models have none.
    ``warnings`` say what is wrong with the domain's examples, a line each. ``classes`` are the challenger's scores of
    each label, in the domain's order; results of before 0.11 have none. ``new_classes`` is there where the champion
    does not know all of them. ``curve`` is there where all labels were used: accuracy by the number of labels, the
    fewest first, and what twice as many would give.

    Attributes:
        k: at most so many labels a class were used; None: all, in one support set.
        objective: what the model was adapted to be best in, and the gate judged it by.
        encoders: those that the challenger needs, by identity; [] of markets, and in results of before 0.12.
        labels: labelled examples that the challenger was adapted to; None in results of before 0.11.
        interval: what ``Score.ci95`` is over. Support draws: how much accuracy depends on which K examples a class have
            labels, by Student's t. Test examples: how much it depends on which examples are in the test, by Wilson's
            interval.
    """

    domain: str
    family: str
    revision: str
    content_hash: str
    strategy: str
    k: int | None
    draws: int
    pool: int
    test: int
    labels: int | None = None
    interval: Interval = "support draws"
    objective: Objective = ACCURACY
    encoders: list[str] = Field(default_factory=list)
    scores: dict[str, Score]
    seconds: dict[str, float]
    classes: list[ClassScore] = Field(default_factory=list)
    new_classes: NewClasses | None = None
    curve: list[CurveScore] = Field(default_factory=list)
    sets: SetScore | None = None
    decision: str = ""
    reason: str = ""
    model_version: str = ""
    meta_version: str = ""
    champion_before: str | None = None
    in_service: str | None = None
    key: str = ""
    reused: bool = False
    baselines: list[str] = Field(default_factory=list)
    warnings: list[str] = Field(default_factory=list)

    def write(self, folder: Path) -> None:
        (folder / FILE).write_text(self.model_dump_json(indent=1), "utf-8")

    @classmethod
    def read(cls, folder: Path) -> "AdaptResult":
        return cls.model_validate_json((folder / FILE).read_text("utf-8"))

    @property
    def labels_used(self) -> str:
        """How many labels were used, in words that hold whatever the sizes of the classes."""
        if self.k is None:
            return f"all {self.labels:,} labels"
        most = f"at most {self.k} labels a class"
        return most if self.labels is None else f"{most}, {self.labels:,} in all"

    @property
    def best_baseline(self) -> str:
        """The plain baseline that is best in the objective."""
        return max(self.baselines, key=lambda name: self.value_of(name)[0])

    def value_of(self, method: str) -> tuple[float, float | None]:
        """Return a method's mean in the objective, and the half-width of its interval where that is known."""
        score = self.scores[method]
        value = getattr(score, self.objective)
        return (math.nan if value is None else value), (score.ci95 if self.objective == ACCURACY else None)


def k_param(k: int | None) -> str:
    """Return K as a parameter of a registered model."""
    return ALL if k is None else str(k)


def k_of(params: Mapping[str, str]) -> int | None:
    """Return K by the parameters of a registered model; None: all labels."""
    k = params.get("k", "10")  # as it was where none was recorded
    return None if k == ALL else int(k)


def k_cell(params: Mapping[str, str]) -> str:
    """Return K for a table by the parameters of a registered model: ``5``, or ``all 1622`` labels."""
    k = params.get("k", "")
    return f"{ALL} {params.get('labels', '')}".rstrip() if k == ALL else k
