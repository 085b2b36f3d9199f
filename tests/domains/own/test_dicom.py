"""Images of scanners: what is seen of them, what is kept, and what is refused."""

import io
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from domains.domain import Domain
from domains.new_examples import read_examples
from domains.own.writing import write_domain
from domains.reading import dicom
from domains.reading.dicom import read_dicom
from domains.reading.pictures import to_picture
from tests.domains.own.inputs import refused, understand

pydicom = pytest.importorskip("pydicom")
MOST = 2**20  # pixels


def encoded(values: np.ndarray, kind: str = "MONOCHROME2", **more: Any) -> bytes:
    """Return a file of one image as a scanner writes it, with a patient's name in it."""
    dataset = pydicom.dataset.Dataset()
    dataset.file_meta = pydicom.dataset.FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID = pydicom.uid.SecondaryCaptureImageStorage
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID = pydicom.uid.generate_uid()
    dataset.PatientName = "Doe^Jane"
    dataset.Rows, dataset.Columns = values.shape[:2]
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 3 if values.ndim == 3 else 1, kind
    dataset.PlanarConfiguration = 0
    dataset.BitsAllocated = dataset.BitsStored = 8 * values.dtype.itemsize
    dataset.HighBit, dataset.PixelRepresentation = dataset.BitsStored - 1, int(values.dtype.kind == "i")
    for name, value in more.items():
        setattr(dataset, name, value)
    dataset.PixelData = values.tobytes()
    out = io.BytesIO()
    dataset.save_as(out, enforce_file_format=True)
    return out.getvalue()


def seen(raw: bytes) -> np.ndarray:
    return np.asarray(read_dicom(raw, MOST))


def shipped(name: str) -> bytes:
    """Return a file that pydicom brings for its own tests."""
    return (Path(pydicom.__file__).parent / "data" / "test_files" / f"{name}.dcm").read_bytes()


def test_8_bits_are_kept_and_monochrome1_is_inverted() -> None:
    values = np.arange(48, dtype=np.uint8).reshape(6, 8)
    assert (seen(encoded(values)) == values).all()
    assert (seen(encoded(values, "MONOCHROME1")) == 255 - values).all()
    colours = np.arange(144, dtype=np.uint8).reshape(6, 8, 3)
    assert (seen(encoded(colours, "RGB")) == colours).all()


def test_the_window_of_a_scan_decides_what_is_black_and_white() -> None:
    hounsfield = np.linspace(-1000, 1000, 64).round().astype(np.int16).reshape(8, 8)
    stored = (hounsfield + 1024).astype(np.uint16)
    raw = encoded(stored, RescaleSlope="1", RescaleIntercept="-1024", WindowCenter="40", WindowWidth="400")
    low, high = 40 - 0.5 - 399 / 2, 40 - 0.5 + 399 / 2  # PS3.3 C.11.2.1.2.1
    wanted = np.clip((hounsfield - low) / (high - low), 0, 1) * 255
    assert np.abs(seen(raw).astype(float) - wanted).max() <= 1


def test_without_a_window_values_are_stretched() -> None:
    values = np.array([[100, 1100], [2100, 4100]], np.uint16)
    assert seen(encoded(values)).tolist() == [[0, 64], [128, 255]]
    assert seen(encoded(np.full((2, 2), 7, np.uint16))).tolist() == [[0, 0], [0, 0]]


@pytest.mark.parametrize(
    ("name", "mode", "size"),
    [
        ("CT_small", "L", (128, 128)),
        ("MR_small_RLE", "L", (64, 64)),
        ("MR_small_bigendian", "L", (64, 64)),
        ("MR_small_jp2klossless", "L", (64, 64)),
        ("examples_palette", "RGB", (800, 350)),
        ("examples_ybr_color", "RGB", (320, 240)),  # of 30 frames
        ("SC_rgb_jpeg_dcmtk", "RGB", (100, 100)),
        ("SC_rgb_rle_16bit_2frame", "RGB", (100, 100)),
        ("liver_1frame", "L", (512, 512)),  # of 1 bit
    ],
)
def test_files_of_real_devices_are_read(name: str, mode: str, size: tuple[int, int]) -> None:
    image = read_dicom(shipped(name), MOST)
    assert (image.mode, image.size) == (mode, size)
    assert np.asarray(image).std() > 5


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (shipped("rtplan"), "without an image"),
        (shipped("MR_truncated"), "cannot be read"),
        (shipped("JPEGLSNearLossless_08"), "pip install 'pylibjpeg[all]'"),
        (bytes(128) + b"DICM" + b"\xff" * 500, "DICOM"),
        (shipped("CT_small")[:400], "DICOM"),
        (encoded(np.zeros((1025, 1024), np.uint8)), "at most 1,048,576"),
    ],
)
def test_what_holds_no_image_is_refused_in_a_line(raw: bytes, said: str) -> None:
    with pytest.raises(ValueError, match=r"DICOM|pixels") as caught:
        read_dicom(raw, MOST)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_without_the_package_the_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dicom, "DICOM", False)
    with pytest.raises(ValueError, match="pip install pydicom"):
        to_picture(shipped("CT_small"))


def test_of_a_folder_of_scans_only_the_pixels_are_kept(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for label in ("effusion", "normal"):
        (tmp_path / "scans" / label).mkdir(parents=True)
        for i in range(10):
            raw = encoded(rng.integers(0, 4000, (300, 20), np.uint16))
            (tmp_path / "scans" / label / f"{i}.dcm").write_bytes(raw)
    made = understand(tmp_path / "scans")
    assert (made.labels, made.counts) == (("effusion", "normal"), {"train": 14, "test": 6})
    assert "20 images of DICOM: only the pixels are kept, the first is effusion/0.dcm" in made.warnings
    assert "20 images scaled down to 256 pixels, the first is effusion/0.dcm" in made.warnings
    folder = write_domain(made, "scans", tmp_path / "data", lambda n: None)
    assert not any(b"Doe" in path.read_bytes() for path in folder.rglob("*") if path.is_file())
    images = [Image.open(io.BytesIO(image)) for image in Domain.read(folder).column("train")]  # type: ignore[arg-type]
    assert {(image.format, image.mode, image.size) for image in images} == {("PNG", "RGB", (17, 256))}
    (tmp_path / "scans" / "normal" / "10.dcm").write_bytes(shipped("rtplan"))
    assert "1 unreadable image: normal/10.dcm (DICOM without an image)" in refused(tmp_path / "scans")


def test_images_of_a_patient_are_kept_together_where_that_is_asked_for(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for i in range(60):
        label = ("effusion", "normal")[i % 2]
        (tmp_path / "scans" / label).mkdir(parents=True, exist_ok=True)
        raw = encoded(rng.integers(0, 255, (12, 12), np.uint8), PatientID=f"secret-{i // 6}")
        (tmp_path / "scans" / label / f"{i}.dcm").write_bytes(raw)
    said = "10 patients in 60 images: one may be in train and test; --group-column PatientID keeps them apart"
    assert said in understand(tmp_path / "scans").warnings
    made = understand(tmp_path / "scans", group_column="PatientID")
    assert said not in made.warnings
    assert (made.counts["train"] % 6, made.counts["test"] % 6) == (0, 0)
    assert (sum(made.counts.values()), made.columns["group"]) == (60, "PatientID")
    folder = write_domain(made, "scans", tmp_path / "data", lambda n: None)
    assert "secret" not in (folder / "domain.yaml").read_text()
    assert "no column 'Patient' (--group-column)" in refused(tmp_path / "scans", group_column="Patient")


def test_scans_without_an_ending_are_known_by_their_content(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for i in range(20):
        name = tmp_path / "scans" / ("effusion", "normal")[i % 2] / (f"IM{i:04}" if i < 10 else f"1.2.840.{i}")
        name.parent.mkdir(parents=True, exist_ok=True)
        name.write_bytes(encoded(rng.integers(0, 255, (12, 12), np.uint8), PatientID=str(i // 2)))
    (tmp_path / "scans" / "DICOMDIR").write_bytes(bytes(128) + b"DICM")
    archive = Path(shutil.make_archive(str(tmp_path / "packed"), "zip", tmp_path / "scans"))
    for path in (tmp_path / "scans", archive):
        made = understand(path)
        assert (made.family, made.labels, sum(made.counts.values())) == ("vision", ("effusion", "normal"), 20)
        assert any(line.startswith("10 patients in 20 images") for line in made.warnings)
        assert len(read_examples("vision", path).examples) == 20
