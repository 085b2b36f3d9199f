"""Fetch pinned files: first from a mirror folder, then from the cache, then from the package index or an address."""

import hashlib
import http.client
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from domains.errors import UnreachableError, UserError

DOWNLOAD_SECONDS = 3600.0  # that one file may take
#: What one download by address may have: it is held in memory once.
MOST_BYTES = 2**28


@dataclass(frozen=True)
class Wheel:
    """A PyPI wheel used as an archive: it is downloaded and read, never installed. ``size`` is in bytes."""

    project: str
    version: str
    file: str
    sha256: str
    size: int = 0


def sha256_of(path: Path) -> str:
    """Return the sha256 of a file in hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


@dataclass(frozen=True)
class PinnedFile:
    """A file that is read from a mirror or, where it has an address, from there.

    Args:
        path: its path below the mirror, ``<family>/<file>``.
        sha256: what ``digest`` must give.
        size: of the file, in bytes.
        url: where it is downloaded from; empty if the user has to bring it.
        digest: returns the sha256 of what counts in the file, by default of all its bytes.
    """

    path: str
    sha256: str
    size: int
    url: str = ""
    digest: Callable[[Path], str] = sha256_of


@dataclass(frozen=True)
class Fetch:
    """Where fetched files are looked for and kept.

    Args:
        cache: folder that keeps downloads, named by file.
        mirror: folder searched first (setting ``ACCLIMATE_MIRROR``), or None.
    """

    cache: Path
    mirror: Path | None = None

    def wheel(self, wheel: Wheel) -> Path:
        """Return the local path of a wheel whose sha256 was just checked.

        Raises:
            UserError: the download failed, its bytes are not the pinned ones, or the disk is full.
        """
        with self._one_line_disk_errors(wheel.file):
            for folder in filter(None, (self.mirror, self.cache)):
                path = folder / wheel.file
                if path.exists():
                    if sha256_of(path) == wheel.sha256:
                        return path
                    if folder == self.mirror:
                        raise UserError(f"{path}: sha256 is not the pinned {wheel.sha256}; replace or remove it")
            return self._download(wheel)

    def member(self, wheel: Wheel, name: str) -> bytes:
        """Return one file out of a wheel."""
        with zipfile.ZipFile(self.wheel(wheel)) as archive:
            return archive.read(name)

    def local(self, name: str, family: str) -> Path | None:
        """Return a file, unchecked, of the mirror (``<family>/<name>`` or ``<name>``) or the cache, or None."""
        mirrored = [self.mirror / family / name, self.mirror / name] if self.mirror else []
        return next((path for path in (*mirrored, self.cache / name) if path.is_file()), None)

    def file(self, name: str, family: str, url: str, sha256: str, digest: Callable[[Path], str] | None = None) -> Path:
        """Return the local path of a file whose digest was just checked; where it is not local, download it.

        Args:
            family: folder of the mirror that is searched before the mirror itself.
            url: where the file is downloaded from.
            sha256: what ``digest`` must give.
            digest: sha256 of what counts in the file, by default of all its bytes; may raise UserError.

        Raises:
            UserError: the download failed, what counts is not the pinned, or the disk is full.
        """
        digest = digest or sha256_of
        with self._one_line_disk_errors(name):
            path = self.local(name, family)
            if path and path != self.cache / name:
                if (got := digest(path)) != sha256:
                    raise UserError(f"{path}: content has sha256 {got}, pinned is {sha256}; replace or remove it")
                return path
            with suppress(UserError):  # a damaged download is fetched again
                if path and digest(path) == sha256:
                    return path
            if not url:
                raise UserError(f"{path}: content does not have the pinned sha256 {sha256}; replace or remove it")
            body = _body(name, url)
            self.cache.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=self.cache) as folder:
                new = Path(folder) / name
                new.write_bytes(body)
                got = "none that can be read"
                with suppress(UserError):
                    got = digest(new)
                if got != sha256:
                    raise UserError(
                        f"{name}: {url} gave content with sha256 {got}, pinned is {sha256}; do not use it, "
                        "try again, or put the file into a folder and set ACCLIMATE_MIRROR to it"
                    )
                os.replace(new, self.cache / name)
                return self.cache / name

    def has(self, file: PinnedFile) -> bool:
        """Whether a file is here, unchecked, or has an address to download it from."""
        family, _, name = file.path.partition("/")
        return bool(file.url) or self.local(name, family) is not None

    def pinned_file(self, file: PinnedFile) -> Path:
        """Return the local path of a file whose digest was just checked.

        Raises:
            UserError: it is not here and has no address, or as ``file``.
        """
        family, _, name = file.path.partition("/")
        if not self.has(file):
            if self.mirror is None:
                raise UserError(
                    f"{name} is read from a mirror: put {file.path} into a folder and set ACCLIMATE_MIRROR to it"
                )
            raise UserError(
                f"no {file.path} in {self.mirror}; put it there, or set ACCLIMATE_MIRROR to a folder that has it"
            )
        return self.file(name, family, file.url, file.sha256, file.digest)

    @contextmanager
    def _one_line_disk_errors(self, name: str) -> Iterator[None]:
        """Turn whatever the disk refuses into one line that says that a file cannot be kept."""
        try:
            yield
        except OSError as error:
            reason = error.strerror or error
            raise UserError(
                f"cannot keep {name} in {self.cache}: {reason}; free some space or change the rights"
            ) from error

    def _download(self, wheel: Wheel) -> Path:
        self.cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self.cache) as folder:
            command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
            command += ["--disable-pip-version-check", "--retries", "2", "--dest", folder]
            command.append(f"{wheel.project}=={wheel.version}")
            try:
                done = subprocess.run(command, capture_output=True, text=True, timeout=DOWNLOAD_SECONDS)
                reason = (done.stderr.strip().splitlines() or ["no such file"])[-1] if done.returncode else ""
            except subprocess.TimeoutExpired:
                reason = f"no end within {DOWNLOAD_SECONDS:g} s"
            got = Path(folder) / wheel.file
            if reason or not got.exists():
                reason = reason or "no such file"
                raise UnreachableError(
                    f"cannot download {wheel.project}=={wheel.version} ({reason}); check the network and the "
                    f"disk, or put {wheel.file} into a folder and set ACCLIMATE_MIRROR to it"
                )
            if sha256_of(got) != wheel.sha256:
                raise UserError(
                    f"{wheel.file}: downloaded bytes have sha256 {sha256_of(got)}, pinned is {wheel.sha256}; "
                    "the package index gave something else: do not use it, try again or use another index"
                )
            target = self.cache / wheel.file
            os.replace(got, target)
            return target


def _body(name: str, url: str) -> bytes:
    """Return what an address gives, ``MOST_BYTES`` at most, or raise UserError."""
    try:
        with urllib.request.urlopen(url, timeout=60) as response:
            body = _read(response)
    except (OSError, http.client.HTTPException) as error:
        reason = str(error).strip("<>") or type(error).__name__
        raise UnreachableError(
            f"cannot download {url} ({reason}); check the network, or put {name} into a folder and set "
            "ACCLIMATE_MIRROR to it"
        ) from error
    if len(body) > MOST_BYTES:
        raise UserError(f"{url} gives more than {MOST_BYTES} bytes, which {name} cannot have; do not use it")
    return body


def _read(response: Any) -> bytes:
    """Return what an answer has, but for what is beyond ``MOST_BYTES``.

    Raises:
        OSError: it takes too long, however steadily it comes; http.client.IncompleteRead: it ends too early.
    """
    body, deadline = bytearray(), time.monotonic() + DOWNLOAD_SECONDS
    while len(body) <= MOST_BYTES and (part := response.read1(2**20)):
        body += part
        if time.monotonic() > deadline:
            raise TimeoutError(f"no end within {DOWNLOAD_SECONDS:g} s")
    left = getattr(response, "length", None)
    if left and len(body) <= MOST_BYTES:
        raise http.client.IncompleteRead(bytes(body), left)
    return bytes(body)


def package_file(package: str, name: str, sha256: str) -> Path:
    """Return the path of a file of an installed package, without importing the package.

    Raises:
        UserError: the package or the file is missing, or the file is not the pinned one.
    """
    spec = find_spec(package)
    path = Path(((spec and spec.submodule_search_locations) or [package])[0]) / name
    if not path.is_file() or sha256_of(path) != sha256:
        raise UserError(f"{path}: not the file with sha256 {sha256}; install the versions in constraints.txt")
    return path
