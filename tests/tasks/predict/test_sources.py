"""What of a folder of the project is one input, and what is an input a file."""

import numpy as np
import pytest

from tasks.predict.sources import find_inputs


@pytest.mark.parametrize(
    ("family", "files", "inputs"),
    [
        ("text", {"may.csv": b"", "june.xlsx": b"", "notes.md": b""}, ["june.xlsx", "may.csv"]),
        ("text", {"may.csv": b"", "vectors.npz": b""}, ["may.csv"]),
        ("text", {"a.txt": b"fine", "b.txt": b"bad"}, [""]),
        ("vision", {"a.png": b"", "b.csv": b""}, [""]),
        ("vision", {"may.zip": b"", "june.npz": b"", "july.tar.gz": b""}, ["july.tar.gz", "june.npz", "may.zip"]),
        ("vision", {"IM0001": bytes(128) + b"DICM", "IM0002": b""}, [""]),
        ("vision", {"IM0001": b"no scan"}, []),
        ("market", {"prices.csv": b"", "readme.txt": b""}, ["prices.csv"]),
    ],
)
def test_a_folder_is_one_input_where_its_files_are_examples(settings, family, files, inputs):
    folder = settings.root_path / "inbox"
    folder.mkdir()
    for name, content in files.items():
        (folder / name).write_bytes(content)
    assert [each.name for each in find_inputs(settings, family, "inbox")] == [
        f"inbox/{name}".rstrip("/") for name in inputs
    ]


def test_a_file_is_one_input(settings):
    np.savez(settings.root_path / "new.npz", images=np.zeros((2, 9, 9), np.uint8))
    assert [each.name for each in find_inputs(settings, "vision", "new.npz")] == ["new.npz"]
