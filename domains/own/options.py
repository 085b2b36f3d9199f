"""The options of ``acclimate domains add``."""

from dataclasses import dataclass

from domains.domain import ROLES, Family, Role
from domains.errors import UserError, check_known
from domains.objective import Objective
from domains.own.labels import SEVERAL, LabelRules
from domains.reading.price_options import PriceOptions
from domains.reading.tables import TableOptions

#: Share of the labelled examples that become test, and the most of a class.
TEST_SHARE, TEST_MOST = 0.2, 200

FOLDERS = ("classes", "groups", "inner", "names")

#: Seed of the one shuffle that divides a domain.
SEED = 0


@dataclass(frozen=True)
class AddOptions:
    """What the user says about a domain to add; None where it is inferred, or a default holds.

    Args:
        family: ``text``, ``vision`` or ``market``.
        text_column: columns of a table that make the text together, or the column of images.
        label_column: the column of labels, or the columns that hold 0 or 1 for a class each.
        group_column: no value of it lies on both sides of the split (a patient, a slide).
        time_column: makes a temporal split, with the newest examples as the test.
        encoding: of a text file; by default UTF-8, else it is detected.
        test_share: the share of the labelled examples that becomes test, above 0 and under 1.
        test_most: the most test examples of a class.
        keep_case: whether labels that differ only by case stay apart.
        skip_unreadable: whether images that cannot be read are left out instead of refused.
        objective: what models of the domain are to be best in.
        encoders: by the names of what reads its examples; () for the usual ones.
        several: what becomes of several labels at one example, ``first`` or ``combine``.
        unlabelled: label values, or names of folders, that mean not labelled.
        keep_labels: whether each value or folder is a label as it stands.
        header: whether the first row of a table names its columns.
        sheet: of an Excel file.
        folders: what the first folders are: ``classes``, ``groups``, or neither (``inner``: those in them are classes);
            ``names``: files are named by their label and a number.
        role: ``target`` (adapted to), or ``source`` (meta-trained on, so that all that is labelled is train).
        start, end: ISO dates between which prices are used; by default the latest year.
        date_order, decimal, time_zone, price_column, asset_column: of prices, as ``PriceOptions`` has them.
    """

    family: Family | None = None
    text_column: tuple[str, ...] = ()
    label_column: tuple[str, ...] = ()
    group_column: str | None = None
    time_column: str | None = None
    encoding: str | None = None
    test_share: float | None = None
    test_most: int | None = None
    keep_case: bool = False
    skip_unreadable: bool = False
    objective: Objective | None = None
    encoders: tuple[str, ...] = ()
    several: str | None = None
    unlabelled: tuple[str, ...] = ()
    keep_labels: bool = False
    header: bool | None = None
    sheet: str | None = None
    folders: str | None = None
    role: Role = "target"
    start: str | None = None
    end: str | None = None
    date_order: str | None = None
    decimal: str | None = None
    time_zone: str | None = None
    price_column: str | None = None
    asset_column: str | None = None

    def __post_init__(self) -> None:
        if self.test_share is not None and not 0 < self.test_share < 1:
            raise UserError(f"--test-share {self.test_share:g}: give a share above 0 and under 1, such as 0.2")
        if self.test_most is not None and self.test_most < 1:
            raise UserError(f"--test-most {self.test_most}: give 1 or more")
        check_known([self.several] if self.several else [], SEVERAL, "choice", " for --several")
        check_known([self.role], ROLES, "role")
        check_known([self.folders] if self.folders else [], FOLDERS, "choice", " for --folders")
        if self.unlabelled and self.keep_labels:
            raise UserError(
                "--unlabelled and --keep-labels: some values mean not labelled, or none does; leave one out"
            )
        if self.group_column is not None and self.time_column is not None:
            raise UserError("--group-column and --time-column: the split follows one of them; leave one out")

    @property
    def share_of_test(self) -> float:
        return TEST_SHARE if self.test_share is None else self.test_share

    @property
    def most_test(self) -> int:
        return TEST_MOST if self.test_most is None else self.test_most

    @property
    def table(self) -> TableOptions:
        return TableOptions(self.encoding, self.header, self.sheet)

    @property
    def label_rules(self) -> LabelRules:
        return LabelRules(self.keep_case, self.several, self.unlabelled, self.keep_labels)

    @property
    def prices(self) -> PriceOptions:
        return PriceOptions(
            *(self.date_order, self.decimal, self.time_zone, self.time_column, self.price_column, self.asset_column),
            sheet=self.sheet,
        )

    def refuse(self, what: str, *options: str) -> None:
        """Raise UserError for options that were given and mean nothing for such input."""
        for option in options:
            if getattr(self, option) != getattr(AddOptions, option):
                raise UserError(f"--{option.replace('_', '-')} does not apply to {what}; leave it out")
