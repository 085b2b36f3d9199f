"""DICOM, the format of hospitals' scanners, read by pydicom where it is installed. Of a file only the pixels are kept.

The first frame is taken, as a screen would show it: values go through the modality and the VOI (window) transforms of
PS3.3 C.7.6.16 and C.11, MONOCHROME1 is inverted, palettes and YBR become RGB.
"""

import io
import warnings
from importlib.util import find_spec

import numpy as np
from PIL import Image

DICOM = find_spec("pydicom") is not None
DICOM_ENDINGS = {".dcm", ".dicom"}
PREFIX = slice(128, 132)  # where "DICM" stands


def is_dicom(raw: bytes) -> bool:
    return raw[PREFIX] == b"DICM"


def patient_of(raw: bytes) -> str:
    """Return the PatientID of a file; the empty text where there is none."""
    from pydicom import dcmread

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return str(dcmread(io.BytesIO(raw), stop_before_pixels=True).get("PatientID") or "").strip()
        except Exception:  # of many kinds; the image is refused when it is read
            return ""


def read_dicom(raw: bytes, most_pixels: int) -> Image.Image:
    """Return the first frame as a grey (``L``) or ``RGB`` image; other numbers of bits are stretched to 8.

    Raises:
        ValueError: pydicom is not installed or lacks a decoder, the file has no image or more than ``most_pixels``,
            or is damaged.
    """
    if not DICOM:
        raise ValueError("DICOM, which needs a package to be read: pip install pydicom")
    from pydicom import dcmread

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            dataset = dcmread(io.BytesIO(raw))
            rows, columns = int(dataset.get("Rows") or 0), int(dataset.get("Columns") or 0)
        except Exception:  # of many kinds, as a file may hold anything
            raise ValueError("not a whole DICOM file") from None
        if "PixelData" not in dataset or rows * columns == 0:
            raise ValueError("DICOM without an image")
        if rows * columns > most_pixels:
            raise ValueError(f"{rows} x {columns} pixels, at most {most_pixels:,} in all")
        try:
            return to_image(dataset)
        except RuntimeError:
            syntax = dataset.file_meta.TransferSyntaxUID
            kind = syntax.name if syntax.is_transfer_syntax else "an unknown form"
            raise ValueError(
                f"DICOM in {kind} that cannot be decoded; unless it is damaged: pip install 'pylibjpeg[all]'"
            ) from None
        except Exception:
            raise ValueError("DICOM whose pixels cannot be read") from None


def to_image(dataset) -> Image.Image:  # type: ignore[no-untyped-def]  # pydicom's, which need not be installed
    """Return the first frame of a data set as an image of 8 bits."""
    from pydicom.pixels import apply_color_lut, apply_modality_lut, apply_voi_lut, pixel_array

    values = pixel_array(dataset, index=0)  # YBR as RGB
    kind = str(dataset.PhotometricInterpretation)
    if kind == "PALETTE COLOR":
        values = apply_color_lut(values, dataset)
    elif values.ndim == 2:
        values = apply_voi_lut(apply_modality_lut(values, dataset), dataset)
    eight = values.dtype == np.uint8 and dataset.BitsStored == 8
    scaled = values if eight else stretched(values)
    return Image.fromarray(255 - scaled if kind == "MONOCHROME1" else scaled)


def stretched(values: np.ndarray) -> np.ndarray:
    """Return values between their least and largest as 0 to 255."""
    low, high = float(values.min()), float(values.max())
    return np.rint((values.astype(np.float64) - low) * (255 / (high - low or 1))).astype(np.uint8)
