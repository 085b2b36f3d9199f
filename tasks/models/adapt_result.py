"""What an adaptation reports, to programs (``--json``), tables and the registry alike."""

from pathlib import Path

from pydantic import BaseModel, Field

FILE = "result.json"


class Score(BaseModel):
    """One method on one domain: means over support draws, and the half-width of accuracy's 95 % interval.

    Of one draw there is no interval.
    """

    accuracy: float
    ci95: float | None
    log_loss: float
    ece: float


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


class AdaptResult(BaseModel):
    """One adaptation of one domain.

    ``scores`` holds a row a method: ``acclimate`` is the portfolio, the others are methods on their own. The
    challenger that the gate judged is the portfolio's first support draw. ``sets`` is None where models have none.
    ``warnings`` say what is wrong with the domain's examples, a line each.
    """

    domain: str
    family: str
    revision: str
    content_hash: str
    strategy: str
    k: int
    draws: int
    pool: int
    test: int
    scores: dict[str, Score]
    seconds: dict[str, float]
    sets: SetScore | None = None
    decision: str = ""
    reason: str = ""
    model_version: str = ""
    meta_version: str = ""
    champion_before: str | None = None
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
    def best_baseline(self) -> str:
        """The plain baseline with the highest mean accuracy."""
        return max(self.baselines, key=lambda name: self.scores[name].accuracy)
