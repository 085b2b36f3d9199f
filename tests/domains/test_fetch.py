"""Fetching pinned wheels: with a real pip, against a folder of its own or no index at all."""

import errno
import os
import socket
import time
import zipfile
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

import domains.fetch
from domains.errors import UnreachableError, UserError
from domains.fetch import Fetch, Wheel, package_file, sha256_of

FILE = "made_up-1.0-py3-none-any.whl"
METADATA = "Metadata-Version: 2.1\nName: made-up\nVersion: 1.0\n"
TAGS = "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with one wheel, the only place where pip looks."""
    folder = tmp_path / "index"
    folder.mkdir()
    with zipfile.ZipFile(folder / FILE, "w") as archive:
        archive.writestr("made_up/data.txt", "payload")
        archive.writestr("made_up-1.0.dist-info/METADATA", METADATA)
        archive.writestr("made_up-1.0.dist-info/WHEEL", TAGS)
        archive.writestr("made_up-1.0.dist-info/RECORD", "")
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


@pytest.fixture
def wheel(index: Path) -> Wheel:
    return Wheel("made-up", "1.0", FILE, sha256_of(index / FILE))


@pytest.fixture
def fetch(tmp_path: Path) -> Fetch:
    return Fetch(cache=tmp_path / "cache")


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_wheel_is_downloaded_once_and_read_without_being_installed(fetch: Fetch, wheel: Wheel, index: Path) -> None:
    assert fetch.member(wheel, "made_up/data.txt") == b"payload"
    (index / FILE).unlink()
    assert fetch.wheel(wheel) == fetch.cache / FILE
    assert names(fetch.cache) == [FILE]


def test_bytes_that_are_not_the_pinned_ones_are_refused_by_name_and_not_kept(fetch: Fetch, wheel: Wheel) -> None:
    pinned = Wheel(wheel.project, wheel.version, wheel.file, "0" * 64)
    with pytest.raises(UserError, match=f"^{FILE}: downloaded bytes have sha256 {wheel.sha256}, pinned is 0+"):
        fetch.wheel(pinned)
    assert names(fetch.cache) == []


def test_a_damaged_download_is_fetched_again(fetch: Fetch, wheel: Wheel) -> None:
    fetch.wheel(wheel).write_bytes(b"cut off")
    assert fetch.member(wheel, "made_up/data.txt") == b"payload"


def test_a_mirror_is_searched_first(tmp_path: Path, wheel: Wheel, index: Path) -> None:
    assert Fetch(cache=tmp_path / "cache", mirror=index).wheel(wheel) == index / FILE
    assert not (tmp_path / "cache").exists()


def test_a_wrong_file_in_the_mirror_is_named(tmp_path: Path, wheel: Wheel) -> None:
    mirror = tmp_path / "mirror"
    mirror.mkdir()
    (mirror / FILE).write_bytes(b"something else")
    with pytest.raises(UserError, match=f"mirror/{FILE}: sha256 is not the pinned"):
        Fetch(cache=tmp_path / "cache", mirror=mirror).wheel(wheel)


def test_no_network_is_said_in_one_line_with_what_to_do(
    fetch: Fetch, wheel: Wheel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.delenv("PIP_FIND_LINKS")
    monkeypatch.delenv("PIP_EXTRA_INDEX_URL", raising=False)
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")  # the port that discards: nobody listens
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with pytest.raises(UserError, match=r"cannot download made-up==1\.0 .*ACCLIMATE_MIRROR") as caught:
        fetch.wheel(wheel)
    assert "\n" not in str(caught.value)
    assert names(fetch.cache) == []


def test_a_version_that_the_index_lacks_is_said_in_one_line(fetch: Fetch, index: Path) -> None:
    with pytest.raises(UserError, match=r"cannot download made-up==2\.0 .*No matching distribution") as caught:
        fetch.wheel(Wheel("made-up", "2.0", "made_up-2.0-py3-none-any.whl", "0" * 64))
    assert "\n" not in str(caught.value)


def test_a_full_disk_is_said_in_one_line_and_leaves_nothing(
    fetch: Fetch, wheel: Wheel, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(UserError, match=f"cannot keep {FILE} .*No space left on device") as caught:
        fetch.wheel(wheel)
    assert "\n" not in str(caught.value)
    assert names(fetch.cache) == []


def test_a_file_of_an_installed_package_is_checked_too() -> None:
    name = "mpl-data/fonts/ttf/DejaVuSans.ttf"
    with pytest.raises(UserError, match=f"{name}: not the file with sha256 0+; install the versions"):
        package_file("matplotlib", name, "0" * 64)
    with pytest.raises(UserError, match=r"no_such_package/data\.csv"):
        package_file("no_such_package", "data.csv", "0" * 64)


def test_a_download_that_has_no_end_is_one_line(fetch: Fetch, wheel: Wheel, monkeypatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setattr(domains.fetch, "DOWNLOAD_SECONDS", 1.0)
        monkeypatch.delenv("PIP_NO_INDEX")
        monkeypatch.setenv("PIP_INDEX_URL", f"http://127.0.0.1:{server.getsockname()[1]}")
        monkeypatch.setenv("PIP_FIND_LINKS", "")
        with pytest.raises(UnreachableError, match=r"^cannot download made-up==1.0 \(no end within 1 s\); check"):
            fetch.wheel(wheel)


class Trickle(BaseHTTPRequestHandler):
    """Gives a byte now and then, or the half of what it promised."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "1000000")
        self.end_headers()
        with suppress(OSError):
            for _ in range(3 if self.path == "/half" else 1000):
                self.wfile.write(b"x")
                self.wfile.flush()
                time.sleep(0.01)

    def log_message(self, *_: object) -> None: ...


@pytest.mark.parametrize(
    ("path", "said"), [("slow", "no end within 0.05 s"), ("half", "IncompleteRead.3 bytes read, 99")]
)
def test_an_address_that_gives_little_at_a_time_has_a_limit_and_half_a_file_is_told(
    path, said, fetch, monkeypatch
) -> None:
    monkeypatch.setattr(domains.fetch, "DOWNLOAD_SECONDS", 0.05 if path == "slow" else 60)
    with ThreadingHTTPServer(("127.0.0.1", 0), Trickle) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        with pytest.raises(UnreachableError, match=said):
            fetch.file("x.bin", "text", f"http://127.0.0.1:{server.server_port}/{path}", "0" * 64)
        server.shutdown()
