"""Raw images of the classical few-shot benchmarks: read whole and in order, or refused in one line."""

import errno
import hashlib
import io
import os
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZIP_STORED, ZipFile

import numpy as np
import pytest
from PIL import Image

from domains.errors import UserError
from domains.fetch import Fetch
from domains.reading import archives
from domains.reading.archives import ClassImages, ImageArchive, content_sha256
from domains.vision import miniimagenet, omniglot
from domains.vision.miniimagenet import SPLIT, load_miniimagenet
from domains.vision.omniglot import add_rotations, load_omniglot, omniglot_split
from tasks.base.settings import settings

BODY = b"what the address gives"
SHA256 = hashlib.sha256(BODY).hexdigest()
SOME = [("Greek", 2), ("Latin", 1)]  # alphabets of the small Omniglot, and how many characters they have
FIRST_OF_VALIDATION = [11, 22, 27, 39, 43]  # of seed 0: results are comparable only over one split


def encoded(image: Image.Image, format: str = "png") -> bytes:
    out = io.BytesIO()
    image.save(out, format)
    return out.getvalue()


def drawing(seed: int) -> bytes:
    """Return a PNG of one bit: a black box on white paper, the lower right quarter empty."""
    pixels = np.ones((105, 105), bool)
    pixels[10 : 40 + seed, 10:50] = False
    return encoded(Image.fromarray(pixels))


def packed(path: Path, members: dict[str, bytes], compression: int = ZIP_STORED) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with ZipFile(path, "w", compression) as archive:
        for name, body in members.items():
            archive.writestr(name, body)
    return path


def one_line(error: pytest.ExceptionInfo[UserError]) -> bool:
    return "\n" not in str(error.value)


@pytest.fixture
def fetch(tmp_path: Path) -> Fetch:
    """A mirror and a cache of this test's own."""
    (tmp_path / "mirror").mkdir()
    return Fetch(cache=tmp_path / "cache", mirror=tmp_path / "mirror")


# Fetching a file by address


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of a small server in this process that has one file, ``file.bin``."""
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "file.bin").write_bytes(BODY)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(SimpleHTTPRequestHandler, "log_message", lambda *_: None)
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(SimpleHTTPRequestHandler, directory=tmp_path / "site"))
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_a_file_is_downloaded_once_and_kept(fetch: Fetch, site: str, tmp_path: Path) -> None:
    path = fetch.file("file.bin", "vision", f"{site}/file.bin", SHA256)
    assert path == fetch.cache / "file.bin"
    (tmp_path / "site" / "file.bin").unlink()
    assert fetch.file("file.bin", "vision", f"{site}/file.bin", SHA256).read_bytes() == BODY
    assert os.listdir(fetch.cache) == ["file.bin"]


def test_a_damaged_file_in_the_cache_is_downloaded_again(fetch: Fetch, site: str) -> None:
    fetch.file("file.bin", "vision", f"{site}/file.bin", SHA256).write_bytes(b"cut off")
    assert fetch.file("file.bin", "vision", f"{site}/file.bin", SHA256).read_bytes() == BODY


@pytest.mark.parametrize("place", ["vision/file.bin", "file.bin"])
def test_the_mirror_is_searched_by_family_and_at_its_top(fetch: Fetch, tmp_path: Path, place: str) -> None:
    path = tmp_path / "mirror" / place
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(BODY)
    assert fetch.file("file.bin", "vision", "http://127.0.0.1:9/", SHA256) == path
    path.write_bytes(b"something else")
    with pytest.raises(UserError, match=f"{place}: content has sha256 .*, pinned is {SHA256}; replace") as caught:
        fetch.file("file.bin", "vision", "http://127.0.0.1:9/", SHA256)
    assert one_line(caught)


def test_a_download_that_is_not_the_pinned_one_is_not_kept(fetch: Fetch, site: str) -> None:
    with pytest.raises(UserError, match=r"^file\.bin: .* pinned is 0+; do not use it.*ACCLIMATE_MIRROR") as caught:
        fetch.file("file.bin", "vision", f"{site}/file.bin", "0" * 64)
    assert one_line(caught)
    assert os.listdir(fetch.cache) == []


def test_a_download_without_end_is_cut_off(fetch: Fetch, site: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("domains.fetch.MOST_BYTES", len(BODY) - 1)
    with pytest.raises(UserError, match="gives more than 21 bytes"):
        fetch.file("file.bin", "vision", f"{site}/file.bin", SHA256)


def test_no_network_and_no_such_page_are_said_in_one_line(fetch: Fetch, site: str) -> None:
    with pytest.raises(UserError, match=r"cannot download .*absent\.bin \(HTTP Error 404.*ACCLIMATE_MIRROR") as caught:
        fetch.file("absent.bin", "vision", f"{site}/absent.bin", SHA256)
    assert one_line(caught)
    with pytest.raises(UserError, match=r"cannot download .*refused.*ACCLIMATE_MIRROR") as caught:
        fetch.file("file.bin", "vision", "http://127.0.0.1:9/file.bin", SHA256)  # nobody listens there
    assert one_line(caught)
    assert not fetch.cache.exists()


def test_a_full_disk_leaves_nothing(fetch: Fetch, site: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(UserError, match=r"cannot keep file\.bin .*No space left on device"):
        fetch.file("file.bin", "vision", f"{site}/file.bin", SHA256)
    assert os.listdir(fetch.cache) == []


# Archives


def test_content_is_the_same_however_it_is_packed_and_differs_with_any_byte_or_name(tmp_path: Path) -> None:
    members = {"b.png": b"two", "a.png": b"one", "notes.txt": b"not an image", "__MACOSX/._a.png": b"attributes"}
    sha256 = content_sha256(packed(tmp_path / "one.zip", members))
    again = {name: members[name] for name in ("a.png", "b.png")}
    assert content_sha256(packed(tmp_path / "two.zip", again, ZIP_DEFLATED)) == sha256
    for changed in ({**again, "a.png": b"oen"}, {"a.png": b"one", "c.png": b"two"}, {"a.png": b"one"}):
        assert content_sha256(packed(tmp_path / "other.zip", changed)) != sha256


@pytest.mark.parametrize("name", ["../up.png", "a/../../up.png", "/root.png", "..\\up.png", "C:\\root.png"])
def test_a_member_that_leads_out_of_the_archive_is_refused(tmp_path: Path, name: str) -> None:
    path = packed(tmp_path / "bad.zip", {"a/good.png": drawing(0), name: drawing(0)})
    with pytest.raises(UserError, match=r"bad\.zip: member .* leads out of the archive") as caught:
        ImageArchive(path)
    assert one_line(caught)


@pytest.mark.parametrize("limit", ["MOST_BYTES", "MOST_IN_MEMBER"])
def test_an_archive_that_unpacks_to_too_much_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str
) -> None:
    path = packed(tmp_path / "bomb.zip", {"a/1.png": bytes(600), "a/2.png": bytes(600)}, ZIP_DEFLATED)
    monkeypatch.setattr(archives, limit, 1000)
    if limit == "MOST_BYTES":
        with pytest.raises(UserError, match=r"bomb\.zip: unpacks to more .*reached at 'a/2\.png'") as caught:
            ImageArchive(path)
        assert one_line(caught)
    else:
        ImageArchive(path)
        monkeypatch.setattr(archives, limit, 599)
        with pytest.raises(UserError, match=r"bomb\.zip: unpacks to more .*reached at 'a/1\.png'"):
            ImageArchive(path)


def test_a_member_that_unpacks_to_more_than_its_header_says_is_damaged(tmp_path: Path) -> None:
    path = packed(tmp_path / "liar.zip", {"a.png": bytes(4321)}, ZIP_DEFLATED)
    path.write_bytes(path.read_bytes().replace((4321).to_bytes(4, "little"), (100).to_bytes(4, "little")))
    with ImageArchive(path) as archive, pytest.raises(UserError, match=r"liar\.zip: cannot read a\.png") as caught:
        archive.read("a.png")
    assert one_line(caught)


def test_an_image_of_too_many_pixels_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "MOST_PIXELS", 105 * 105 - 1)
    path = packed(tmp_path / "large.zip", {"a.png": drawing(0)})
    with ImageArchive(path) as archive, pytest.raises(UserError, match=r"a\.png is not a readable image"):
        archive.pixels("a.png", "L", 28)


@pytest.mark.parametrize("body", [b"", b"no image", drawing(0)[:60], drawing(0)[:-30]])
def test_a_damaged_image_is_named(tmp_path: Path, body: bytes) -> None:
    path = packed(tmp_path / "some.zip", {"a/bad.png": body})
    with ImageArchive(path) as archive, pytest.raises(UserError, match=r"a/bad\.png is not a readable") as caught:
        archive.pixels("a/bad.png", "L", 28)
    assert one_line(caught)


def test_a_damaged_archive_is_named(tmp_path: Path) -> None:
    whole = packed(tmp_path / "some.zip", {"a/1.png": drawing(0)}).read_bytes()
    (tmp_path / "half.zip").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match=r"half\.zip: not a readable zip archive") as caught:
        ImageArchive(tmp_path / "half.zip")
    assert one_line(caught)
    (tmp_path / "flipped.zip").write_bytes(whole[:60] + bytes([whole[60] ^ 255]) + whole[61:])
    with pytest.raises(UserError, match=r"flipped\.zip: cannot read a/1\.png") as caught:
        content_sha256(tmp_path / "flipped.zip")
    assert one_line(caught)


# Omniglot


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A mirror with an Omniglot of three characters in two archives, its content pinned."""
    for (alphabet, characters), file in zip(SOME, omniglot.CONTENT_SHA256, strict=True):
        members = {
            f"{file[:-4]}/{alphabet}/character{c:02}/{c:04}_{drawer:02}.png": drawing(drawer)
            for c in reversed(range(1, characters + 1))
            for drawer in (2, 1, 3)
        }
        path = packed(tmp_path / "mirror" / "vision" / file, members, ZIP_DEFLATED)
        monkeypatch.setitem(omniglot.CONTENT_SHA256, file, content_sha256(path))
    return tmp_path / "mirror" / "vision"


def test_omniglot_is_grouped_by_character_and_ordered_by_drawer(fetch: Fetch, small: Path) -> None:
    images = load_omniglot(fetch)
    assert images.names == ("Greek/character01", "Greek/character02", "Latin/character01")
    assert images.y.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert (images.x.dtype, images.y.dtype, images.x.shape) == (np.uint8, np.int64, (9, 1, 28, 28))
    ink = images.x.reshape(3, 3, -1).sum(-1, dtype=int)
    assert (np.diff(ink, axis=1) > 0).all()  # a drawer's box is taller than the one's before


def test_omniglot_is_white_on_black_and_grey_at_the_edges(fetch: Fetch, small: Path) -> None:
    images = load_omniglot(fetch).x
    assert (images[:, :, 16:, 16:] == 0).all()
    assert (images[:, :, 5:9, 5:11] > 240).all()
    assert ((images > 0) & (images < 255)).any()
    full = load_omniglot(fetch, pixels=105).x
    assert full.shape == (9, 1, 105, 105)
    assert set(np.unique(full)) == {0, 255}
    assert abs(full.mean() - images.mean()) < 1  # resizing keeps the amount of ink


def test_omniglot_with_another_image_is_refused(fetch: Fetch, small: Path) -> None:
    file = small / "images_evaluation.zip"
    with ZipFile(file, "a") as archive:
        archive.writestr("images_evaluation/Latin/character02/0002_01.png", drawing(1))
    with pytest.raises(UserError, match=r"images_evaluation\.zip: content has sha256 .* replace or remove") as caught:
        load_omniglot(fetch)
    assert one_line(caught)


def test_an_absent_omniglot_is_downloaded_and_its_content_checked(
    fetch: Fetch, small: Path, site: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(omniglot, "URL", site)
    for file in omniglot.CONTENT_SHA256:
        os.replace(small / file, tmp_path / "site" / file)
    assert len(load_omniglot(fetch).names) == 3
    assert sorted(os.listdir(fetch.cache)) == sorted(omniglot.CONTENT_SHA256)

    (fetch.cache / "images_evaluation.zip").write_bytes(b"cut off")
    (tmp_path / "site" / "images_evaluation.zip").write_text("<html>Please log in</html>")
    with pytest.raises(UserError, match=r"images_evaluation\.zip: http.* gave content with sha256 none") as caught:
        load_omniglot(fetch)
    assert one_line(caught)


def test_an_omniglot_that_cannot_be_downloaded_says_where_to_put_it(
    fetch: Fetch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(omniglot, "URL", "http://127.0.0.1:9")
    with pytest.raises(UserError, match=r"put images_background\.zip into a folder and set ACCLIMATE_MIRROR"):
        load_omniglot(fetch)


def test_the_split_of_omniglot_holds_every_character_once_and_depends_on_the_seed_only() -> None:
    parts = omniglot_split(seed=1)
    assert [len(part) for part in parts] == [1100, 100, 423]
    assert sorted(np.concatenate(parts).tolist()) == list(range(1623))
    np.random.seed(0)  # whatever numpy's global generator is at
    for one, again, other in zip(parts, omniglot_split(seed=1), omniglot_split(seed=2), strict=True):
        assert one.dtype == np.int64
        assert (one == again).all()
        assert (one != other).any()
    assert omniglot_split()[1][:5].tolist() == FIRST_OF_VALIDATION


def test_every_class_and_its_rotations_are_classes_of_their_own() -> None:
    x = np.random.default_rng(0).integers(0, 256, (5, 1, 4, 4), dtype=np.uint8)
    turned = add_rotations(ClassImages(("a", "a1"), x, np.array([0, 0, 1, 1, 1])))
    assert turned.names == ("a", "a1", "a1@180", "a1@270", "a1@90", "a@180", "a@270", "a@90")
    assert turned.names == tuple(sorted(turned.names))
    assert (turned.x.dtype, turned.y.dtype, turned.x.shape) == (np.uint8, np.int64, (20, 1, 4, 4))
    assert np.bincount(turned.y).tolist() == [2, 3, 3, 3, 3, 2, 2, 2]
    assert (np.diff(turned.y) >= 0).all()
    by_name = {name: turned.x[turned.y == c] for c, name in enumerate(turned.names)}
    assert (by_name["a1"] == x[2:]).all()
    assert (by_name["a@180"] == x[:2, :, ::-1, ::-1]).all()
    assert (by_name["a1@90"] == x[2:].swapaxes(2, 3)[:, :, ::-1]).all()  # the right edge comes to the top
    assert (by_name["a1@270"] == x[2:].swapaxes(2, 3)[:, :, :, ::-1]).all()


def test_chosen_classes_are_counted_from_0_and_keep_their_images() -> None:
    x = np.arange(6, dtype=np.uint8).reshape(6, 1, 1, 1)
    some = ClassImages(("a", "b", "c"), x, np.array([0, 0, 1, 2, 2, 2])).take(np.array([2, 0]))
    assert some.names == ("a", "c")
    assert some.y.tolist() == [0, 0, 1, 1, 1]
    assert some.x.ravel().tolist() == [0, 1, 3, 4, 5]


# miniImageNet


def tiny(path: Path, without: str = "", folder: str = "") -> Path:
    """Pack one JPEG of 8x8 for each class, two for the first of every split, each class in a colour of its own."""
    members = {}
    for wnids in SPLIT.values():
        for c, wnid in enumerate(wnids):
            for i in range(2 if c == 0 else 1):
                members[f"{folder}{wnid}/{wnid}_{i}.JPEG"] = encoded(Image.new("RGB", (8, 6), (4 * c, 0, 200)), "jpeg")
    return packed(path, {name: body for name, body in members.items() if not without or without not in name})


@pytest.mark.parametrize("folder", ["", "mini/images/"])
def test_miniimagenet_has_three_parts_whose_classes_may_differ_in_size(fetch: Fetch, folder: str) -> None:
    tiny(fetch.cache / "miniimagenet.zip", folder=folder)
    parts = load_miniimagenet(fetch, pixels=16)
    assert {part: images.names for part, images in parts.items()} == SPLIT
    for images in parts.values():
        assert images.x.shape == (len(images.names) + 1, 3, 16, 16)
        assert (images.x.dtype, images.y.dtype) == (np.uint8, np.int64)
        assert images.y.tolist() == [0, *range(len(images.names))]
        assert np.abs(images.x[-1].mean((1, 2)) - [4 * (len(images.names) - 1), 0, 200]).max() < 4


def test_a_class_that_miniimagenet_lacks_is_named(fetch: Fetch, tmp_path: Path) -> None:
    tiny(tmp_path / "mirror" / "miniimagenet.zip", without="n03980874")
    with pytest.raises(UserError, match=r"no images of class n03980874 \(1 of 100 are missing\)") as caught:
        load_miniimagenet(fetch)
    assert one_line(caught)


def test_an_absent_miniimagenet_says_what_to_put_where(fetch: Fetch) -> None:
    for nothing in (fetch, Fetch(cache=fetch.cache)):
        with pytest.raises(UserError, match=r"no miniimagenet\.zip.*JPEGs.*set ACCLIMATE_MIRROR") as caught:
            load_miniimagenet(nothing)
        assert one_line(caught)


def test_the_split_of_miniimagenet_is_64_16_and_20_classes_sorted_and_disjoint() -> None:
    assert {part: len(wnids) for part, wnids in SPLIT.items()} == {"train": 64, "validation": 16, "test": 20}
    assert all(list(wnids) == sorted(wnids) for wnids in SPLIT.values())
    assert len({wnid for wnids in SPLIT.values() for wnid in wnids}) == 100


# Real data


def mirrored(name: str) -> Fetch:
    """Return a fetch that has a file in the user's mirror, or skip the test."""
    mirror = settings().mirror
    if mirror is None:
        pytest.skip("ACCLIMATE_MIRROR is not set")
    fetch = Fetch(cache=Path("nowhere"), mirror=mirror)
    if fetch.local(name, "vision") is None:
        pytest.skip(f"ACCLIMATE_MIRROR has no {name}")
    return fetch


def test_the_real_omniglot_is_whole() -> None:
    for file in omniglot.CONTENT_SHA256:
        fetch = mirrored(file)
    images = load_omniglot(fetch)
    assert images.x.shape == (32460, 1, 28, 28)
    assert images.y.tolist() == [c for c in range(1623) for _ in range(20)]
    assert images.names == tuple(sorted(images.names))
    assert len({name.split("/")[0] for name in images.names}) == 50
    assert images.names[0] == "Alphabet_of_the_Magi/character01"
    assert (images.x.max((1, 2, 3)) > 100).all()
    assert 10 < images.x.mean() < 40  # strokes are few and bright
    train, _, _ = omniglot_split()
    assert len(add_rotations(images.take(train)).names) == 4400


def test_the_real_miniimagenet_is_whole() -> None:
    parts = load_miniimagenet(mirrored(miniimagenet.FILE))
    assert {part: images.names for part, images in parts.items()} == SPLIT
    for images in parts.values():
        assert images.x.shape[1:] == (3, 84, 84)
        assert np.bincount(images.y).min() >= 16  # one shot and 15 queries at least
        assert (np.diff(images.y) >= 0).all()
        assert 80 < images.x.mean() < 160


@pytest.mark.parametrize(("part", "short"), [("train", "train"), ("validation", "val"), ("test", "test")])
def test_the_split_of_miniimagenet_is_the_published_one(part: str, short: str) -> None:
    name = f"miniimagenet_{short}_classes.txt"
    path = mirrored(name).local(name, "vision")
    assert path is not None
    assert tuple(sorted(path.read_text("utf-8").split())) == SPLIT[part]
