"""What was freed, by kind, and how a file or folder goes: out of sight first."""

import os
import shutil
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

GOING = ".deleting-"  # begins the name of what is being deleted


@dataclass(frozen=True)
class Freed:
    """So many items of a kind, and the bytes that came back (0 where they lie on another machine)."""

    kind: str
    items: int
    bytes: int = 0

    @property
    def row(self) -> dict[str, str]:
        """Return it as people read it."""
        return {"what": self.kind, "deleted": f"{self.items:,}", "freed": size_text(self.bytes)}


def size_text(size: float) -> str:
    """Return bytes in their largest sensible unit."""
    for unit in ("B", "kB", "MB"):
        if size < 1000:
            return f"{size:.0f} {unit}"
        size /= 1000
    return f"{size:.1f} GB"


def size_of(path: Path) -> int:
    """Return the bytes that deleting a file or folder gives back; a file that has another name too gives none."""
    files = [path] if not path.is_dir() or path.is_symlink() else list(path.rglob("*"))
    total = 0
    for file in files:
        with suppress(OSError):
            about = file.lstat()
            total += about.st_size if about.st_nlink == 1 else 0
    return total


def newest(path: Path) -> float:
    """Return when a file, or anything in a folder, was last written, as a Unix time; 0 where it is gone."""
    found = [0.0]
    for each in (path, *path.rglob("*")):
        with suppress(OSError):
            found.append(each.lstat().st_mtime)
    return max(found)


def remove(kind: str, paths: Iterable[Path], dry_run: bool) -> Freed:
    """Delete files and folders, each out of sight in one step before; links are deleted, never what they lead to."""
    items = size = 0
    for path in paths:
        size += size_of(path)
        items += 1
        if dry_run:
            continue
        going = path if path.name.startswith(GOING) else path.with_name(f"{GOING}{path.name}.{os.getpid()}")
        with suppress(OSError):  # another clean was faster
            if going != path:
                path.rename(going)
            if going.is_dir() and not going.is_symlink():
                shutil.rmtree(going)
            else:
                going.unlink()
    return Freed(kind, items, size)
