"""Read a table whole into memory, as a frame."""

from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from domains.errors import UserError, first_line
from domains.reading.tables import ENDINGS, TableOptions, open_table
from domains.reading.text_encodings import OR_SAY


def read_table(path: Path, options: TableOptions | None = None) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Read a table by its ending, and return it with a line for each doubt.

    Cells are text where the format has no types.

    Raises:
        UserError: the ending is unknown, or the content is not what the ending says.
    """
    try:
        if path.is_dir():
            raise UserError(f"{path}: is a folder; give one file ({', '.join(ENDINGS)})")
        if path.suffix.lower() == ".parquet":
            table, warnings = parquet_frame(pq.read_table(path)), tuple[str, ...]()
        else:
            found = open_table(path, options)
            table = pd.DataFrame(found.read(found.columns), columns=list(found.columns))
            warnings = found.warnings
    except UserError as error:
        raise UserError(str(error).removesuffix(OR_SAY)) from error
    except (ValueError, OSError) as error:
        raise UserError(f"{path}: cannot be read as a table ({first_line(error)}); use {', '.join(ENDINGS)}") from error
    if table.empty:
        raise UserError(f"{path}: no examples in it")
    if not table.columns.is_unique:
        twice = table.columns[table.columns.duplicated()][0]
        raise UserError(f"{path}: two columns are called {twice}; rename one of them")
    return table, tuple(warning.removesuffix(OR_SAY) for warning in warnings)


def parquet_frame(table: pa.Table) -> pd.DataFrame:
    """Return a table of Parquet as a frame, with the index that pandas wrote of it; without, where that is made up."""
    try:
        return table.to_pandas()
    except (LookupError, TypeError, AttributeError, ValueError):
        return table.replace_schema_metadata(None).to_pandas()
