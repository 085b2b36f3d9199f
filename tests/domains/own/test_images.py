"""Folders and archives of images: what is kept as it is, what is converted, and what is refused by name."""

import io
import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from domains.domain import Domain
from domains.errors import UserError
from domains.new_examples import read_examples
from domains.own.writing import write_domain
from domains.reading import archives, folders, pictures
from domains.reading.pictures import to_picture
from tests.domains.own.inputs import understand


def noise(seed: int, size: tuple[int, int] = (9, 7)) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), np.uint8))


def encoded(image: Image.Image, kind: str = "PNG", **how: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **how)
    return out.getvalue()


@pytest.fixture
def parts(tmp_path: Path) -> Path:
    """Ten images of each of two classes, and four without."""
    for c, (folder, count) in enumerate((("ok", 10), ("scratched", 10), ("unlabelled", 4))):
        (tmp_path / "parts" / folder / "deep").mkdir(parents=True)
        for i in range(count):
            place = tmp_path / "parts" / folder / ("deep" if i % 2 else "")
            (place / f"{i}.png").write_bytes(encoded(noise(100 * c + i)))
    return tmp_path / "parts"


def opened(content: bytes) -> Image.Image:
    return Image.open(io.BytesIO(content))


def test_class_folders_become_labels_and_plain_images_stay_as_they_are(parts: Path, tmp_path: Path) -> None:
    domain = Domain.read(write_domain(understand(parts), "mine", tmp_path / "data", lambda n: None))
    assert (domain.family, domain.labels) == ("vision", ("ok", "scratched"))
    assert domain.counts == {"pool": 4, "test": 6, "train": 14}
    stored = {image for split in ("train", "pool", "test") for image in domain.column(split)}  # type: ignore[arg-type]
    assert stored == {path.read_bytes() for path in parts.rglob("*.png")}
    assert domain.split("test")[0]["image"].size == (9, 7)


def test_a_zip_of_the_folder_is_the_same_domain(parts: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "parts.zip", "w") as archive:
        for path in parts.rglob("*.png"):
            archive.write(path, path.relative_to(tmp_path))
    folder, packed = understand(parts), understand(tmp_path / "parts.zip")
    assert (packed.labels, packed.counts, packed.classes) == (folder.labels, folder.counts, folder.classes)
    assert list(packed.rows()) == list(folder.rows())


def test_cmyk_16_bit_animated_and_turned_images_are_stored_as_rgb_png_and_it_is_said(parts: Path) -> None:
    odd = {
        "cmyk.jpg": encoded(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "JPEG"),
        "deep.png": encoded(Image.fromarray(np.arange(64, dtype=np.uint16).reshape(8, 8) * 60)),
        "moving.gif": encoded(
            Image.new("RGB", (8, 8), "blue"), "GIF", save_all=True, append_images=[Image.new("RGB", (8, 8), "red")]
        ),
        "page.tiff": encoded(noise(7), "TIFF"),
        "clear.png": encoded(Image.new("RGBA", (8, 8), (0, 0, 0, 0))),
        "large.png": encoded(noise(8, (600, 300))),
    }
    for name, content in odd.items():
        (parts / "ok" / name).write_bytes(content)
    said = "\n".join(understand(parts).warnings)
    for part in (
        "1 image CMYK: converted to RGB, the first is ok/cmyk.jpg",
        "1 image of more than 8 bits: stretched between darkest and brightest, the first is ok/deep.png",
        "1 image animated or of several pages: the first is taken, the first is ok/moving.gif",
        "1 image transparent: laid on white, the first is ok/clear.png",
        "1 image scaled down to 256 pixels, the first is ok/large.png",
    ):
        assert part in said
    made = {name: opened(to_picture(content).content) for name, content in odd.items()}
    assert {(image.format, image.mode) for image in made.values()} == {("PNG", "RGB")}
    assert np.asarray(made["cmyk.jpg"])[0, 0, 0] > 200  # red
    assert (np.asarray(made["deep.png"]).min(), np.asarray(made["deep.png"]).max()) == (0, 255)
    assert np.asarray(made["moving.gif"])[0, 0].tolist() == [0, 0, 255]
    assert np.asarray(made["clear.png"])[0, 0].tolist() == [255, 255, 255]
    assert made["large.png"].size == (256, 128)


def test_a_scan_of_floats_between_0_and_1_is_stretched_and_one_of_one_value_is_black() -> None:
    scan = np.linspace(0.2, 0.8, 64, dtype=np.float32).reshape(8, 8)
    made = np.asarray(opened(to_picture(encoded(Image.fromarray(scan), "TIFF")).content))
    assert (made.min(), made.max()) == (0, 255)
    flat = to_picture(encoded(Image.fromarray(np.full((8, 8), 0.5, np.float32)), "TIFF"))
    assert not np.asarray(opened(flat.content)).any()


def test_orientation_is_applied() -> None:
    image = noise(1, (8, 4))
    exif = image.getexif()
    exif[0x0112] = 6  # to be turned by a quarter
    made = to_picture(encoded(image, exif=exif.tobytes()))
    assert opened(made.content).size == (4, 8)
    assert made.changes == ("turned as EXIF says",)


def test_a_large_photo_is_stored_small() -> None:
    made = to_picture(encoded(noise(2).resize((2000, 1500)), "JPEG"))
    assert opened(made.content).size == (256, 192)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "0 bytes"),
        (b"text", "not a whole image"),
        (encoded(noise(3, (64, 64)))[:2000], "not a whole image"),
        (encoded(noise(3, (64, 64)), "JPEG")[:1000], "not a whole image"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n", "not a whole image"),
    ],
)
def test_what_is_no_whole_image_is_refused_by_name_or_left_out_on_demand(
    parts: Path, content: bytes, reason: str
) -> None:
    (parts / "ok" / "bad.png").write_bytes(content)
    with pytest.raises(UserError, match=rf"parts: 1 unreadable image: ok/bad\.png \({reason}\); replace or remove"):
        understand(parts)
    found = understand(parts, skip_unreadable=True)
    assert sum(found.counts.values()) == 24
    assert f"1 unreadable image left out: ok/bad.png ({reason})" in found.warnings


def test_a_decompression_bomb_is_refused_before_it_is_decoded(parts: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "MOST_PIXELS", 100)
    (parts / "ok" / "bomb.png").write_bytes(encoded(Image.new("RGB", (20, 20))))
    with pytest.raises(UserError, match=r"ok/bomb\.png \(20 x 20 pixels, at most 100 in all\)"):
        understand(parts)


def test_a_file_that_is_too_large_is_refused_without_being_read(parts: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (pictures, folders):
        monkeypatch.setattr(module, "MOST_BYTES", 400)
    (parts / "ok" / "huge.png").write_bytes(encoded(noise(5, (40, 40))))
    with pytest.raises(UserError, match=r"ok/huge\.png \(401 bytes, at most 400\)"):
        understand(parts)


def test_a_zip_bomb_is_refused(parts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("ok/a.png", b"\0" * (archives.MOST_IN_MEMBER + 1))
    with pytest.raises(UserError, match="unpacks to more than an image archive may have"):
        understand(tmp_path / "a.zip")


def test_a_zip_that_leads_out_or_is_none_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("../a.png", encoded(noise(1)))
    with pytest.raises(UserError, match=r"'\.\./a\.png' leads out of the archive"):
        understand(tmp_path / "a.zip")
    (tmp_path / "b.zip").write_bytes(b"PK\3\4 and no more")
    with pytest.raises(UserError, match="not a readable zip archive"):
        understand(tmp_path / "b.zip")


def test_a_link_out_of_the_folder_is_refused_and_one_inside_is_read(parts: Path, tmp_path: Path) -> None:
    (tmp_path / "secret.png").write_bytes(encoded(noise(9)))
    os.symlink(parts / "ok" / "0.png", parts / "ok" / "again.png")
    assert any("1 copy of other examples" in line for line in understand(parts).warnings)
    os.symlink(tmp_path / "secret.png", parts / "ok" / "link.png")
    with pytest.raises(UserError, match=r"ok/link\.png is a link out of the folder; copy the file there instead"):
        understand(parts)
    (parts / "ok" / "link.png").unlink()
    os.symlink(tmp_path, parts / "more")
    with pytest.raises(UserError, match="more is a link out of the folder"):
        understand(parts)
    (parts / "more").unlink()
    os.symlink(parts / "nowhere", parts / "dead")
    with pytest.raises(UserError, match="dead is a link that leads nowhere"):
        understand(parts)


def test_one_class_is_not_enough_and_halves_of_a_split_are_no_classes(tmp_path: Path) -> None:
    for name in ("train", "test", "one/ok"):
        (tmp_path / name).mkdir(parents=True)
        for i in range(4):
            (tmp_path / name / f"{i}.png").write_bytes(encoded(noise(i)))
    (tmp_path / "one").rename(tmp_path.parent / f"{tmp_path.name}-one")
    with pytest.raises(UserError, match=r"1 label \('ok'\)|0 labels"):
        understand(tmp_path.parent / f"{tmp_path.name}-one")
    with pytest.raises(UserError, match="its folders are test, train, which are not classes"):
        understand(tmp_path)


def test_a_folder_without_images_and_options_of_tables_are_refused(parts: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "notes.pdf").write_text("x")
    with pytest.raises(UserError, match="no examples in it; put images"):
        understand(tmp_path / "empty")
    with pytest.raises(UserError, match=r"no column 'x' \(--label-column\) in a table that names its files"):
        understand(parts, label_column=("x",))


def test_prediction_reads_an_image_as_it_was_learned(tmp_path: Path) -> None:
    content = encoded(Image.fromarray(np.arange(64, dtype=np.uint16).reshape(8, 8)))
    (tmp_path / "a.png").write_bytes(content)
    assert list(read_examples("vision", tmp_path / "a.png").examples) == [to_picture(content).content]
