"""Write predictions while they are made: a CSV file, or CSV or JSON to the terminal."""

import json
import sys
from collections.abc import Iterator
from typing import IO

import pandas as pd


def write_predictions(frames: Iterator[pd.DataFrame], file: IO[bytes] | None, as_json: bool) -> int:
    """Write frames as CSV to a file; print them, as JSON records if that is wanted, else as CSV where there is no file.

    Returns:
        the number of rows.
    """
    count = 0
    for frame in frames:
        if file is not None:
            frame.to_csv(file, index=False, header=count == 0)
        if as_json:
            for record in frame.to_dict("records"):
                sys.stdout.write("[\n" if count == 0 else ",\n")
                sys.stdout.write(json.dumps(record, indent=1, ensure_ascii=False, default=str))
                count += 1
        else:
            if file is None:
                frame.to_csv(sys.stdout, index=False, header=count == 0)
            count += len(frame)
    if as_json:
        sys.stdout.write("\n]\n" if count else "[]\n")
    return count
