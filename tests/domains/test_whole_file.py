"""A file that is written whole or not at all."""

import errno
import os
from pathlib import Path

import pytest

from domains.errors import UserError
from domains.whole_file import write_whole


def test_a_file_is_replaced_whole_and_links_stay(tmp_path: Path) -> None:
    real = tmp_path / "real.csv"
    real.write_text("old")
    (tmp_path / "link.csv").symlink_to(real)
    write_whole(tmp_path / "link.csv", "näw\r\n")
    assert real.read_bytes() == "näw\r\n".encode()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link.csv", "real.csv"]


def test_a_full_disk_leaves_the_old_file_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "out.csv"
    path.write_text("old")

    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(UserError, match=r"out\.csv: No space left on device; choose another path"):
        write_whole(path, "new")
    assert [p.name for p in tmp_path.iterdir()] == ["out.csv"]
    assert path.read_text() == "old"


def test_a_folder_that_is_not_there_is_said_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"cannot write .*: No such file or directory; choose another path"):
        write_whole(tmp_path / "nowhere" / "out.csv", "new")
