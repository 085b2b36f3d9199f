"""What a user says about a file of prices where the file alone does not tell."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any
from zoneinfo import ZoneInfo

from domains.errors import UserError

ORDERS = ("dmy", "mdy", "ymd")


@dataclass(frozen=True)
class PriceOptions:
    """Options of reading prices; None where the file tells.

    Args:
        date_order: of numeric dates: ``dmy``, ``mdy`` or ``ymd``.
        decimal: what stands before the decimals, ``,`` or ``.``; the other parts thousands.
        time_zone: of the exchange, by IANA name; days are those there.
        date_column, price_column, asset_column: columns by name.
        sheet: of an Excel file.
    """

    date_order: str | None = None
    decimal: str | None = None
    time_zone: str | None = None
    date_column: str | None = None
    price_column: str | None = None
    asset_column: str | None = None
    sheet: str | None = None

    @classmethod
    def of_domain(cls, meta: Mapping[str, Any]) -> "PriceOptions":
        """Return what ``domain.yaml`` keeps of the options with which a domain was added."""
        kept = meta.get("price_options")
        return cls(**{f.name: str(kept[f.name]) for f in fields(cls) if f.name in kept}) if kept else cls()

    def to_keep(self) -> dict[str, str]:
        """Return the options that hold for other files of the domain too."""
        return {name: value for name, value in vars(self).items() if value is not None and name != "sheet"}

    def __post_init__(self) -> None:
        if self.date_order is not None and self.date_order not in ORDERS:
            raise UserError(f"--date-order {self.date_order!r}: give one of {', '.join(ORDERS)}")
        if self.decimal is not None and self.decimal not in (",", "."):
            raise UserError(f"--decimal {self.decimal!r}: give , or .")
        if self.time_zone is not None:
            zone_named(self.time_zone)

    def named_columns(self) -> dict[str, str]:
        """Return the columns that were named, by option."""
        named: dict[str, Any] = {
            "--time-column": self.date_column,
            "--price-column": self.price_column,
            "--asset-column": self.asset_column,
        }
        return {option: column for option, column in named.items() if column is not None}


def zone_named(name: str) -> ZoneInfo:
    """Return a time zone by its IANA name, or raise UserError."""
    try:
        return ZoneInfo(name)
    except (ValueError, OSError, KeyError):  # also what leads out of the folder of zones
        raise UserError(f"--time-zone {name!r}: no such time zone; give a name such as Europe/Berlin") from None
