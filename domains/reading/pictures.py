"""Turn an image file into what is stored: the file itself if every reader takes it alike, else a plain PNG."""

import io
import warnings
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageOps, features

from domains.errors import UserError
from domains.reading.archives import UNDECODABLE
from domains.reading.dicom import DICOM, DICOM_ENDINGS, is_dicom, read_dicom, stretched
from domains.reading.png import to_png

try:
    from pillow_heif import register_heif_opener
except ImportError:
    HEIF = False
else:
    register_heif_opener()
    HEIF = True

HEIF_ENDINGS = {".heic", ".heif", ".hif"}  # what phones write
AVIF = features.check("avif")

#: What is opened; Pillow's others are rare, or start programs.
FORMATS = (
    *("PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP", "PPM"),
    *(("AVIF",) if AVIF else ()),
    *(("HEIF",) if HEIF else ()),
)

#: How the names of such files end, in lower case.
IMAGE_ENDINGS = {
    *(".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".jif", ".bmp", ".gif", ".tif", ".tiff", ".webp"),
    *(".ppm", ".pgm", ".pbm", ".pnm"),
    *((".avif",) if AVIF else ()),
    *(HEIF_ENDINGS if HEIF else ()),
    *(DICOM_ENDINGS if DICOM else ()),
}

#: What needs a package that is not installed: the endings, and what they are called, by its name.
ABSENT = {
    **({} if HEIF else {"pillow-heif": ("HEIC image", HEIF_ENDINGS)}),
    **({} if DICOM else {"pydicom": ("DICOM image", DICOM_ENDINGS)}),
}

MOST_BYTES = 2**26  # of a file
MOST_PIXELS = 2**26  # of an image
MOST_SIDE = 256  # pixels; a longer side is scaled down to this, as encoders read 128

ORIENTATION = 0x0112  # of EXIF


@dataclass(frozen=True)
class Picture:
    """The bytes that are stored, and the changes that were made for them, in words."""

    content: bytes
    changes: tuple[str, ...]


def to_picture(raw: bytes) -> Picture:
    """Return an image as it is stored: a grey or RGB PNG or JPEG of at most MOST_SIDE as it is, others as RGB PNG.

    The first frame of an animation is taken, EXIF's orientation is applied, more than 8 bits are stretched between the
    darkest and the brightest value of the image, and transparent pixels are laid on white.

    Raises:
        ValueError: the file is empty, cut off, no image, or too large to decode.
    """
    if not raw:
        raise ValueError("0 bytes")
    if len(raw) > MOST_BYTES:
        raise ValueError(f"{len(raw):,} bytes, at most {MOST_BYTES:,}")
    if is_dicom(raw):
        return of_dicom(read_dicom(raw, MOST_PIXELS))
    try:
        with warnings.catch_warnings(), Image.open(io.BytesIO(raw), formats=FORMATS) as image:
            warnings.simplefilter("ignore")
            if image.width * image.height > MOST_PIXELS:
                raise PictureTooLarge(f"{image.width} x {image.height} pixels, at most {MOST_PIXELS:,} in all")
            return convert(image, raw)
    except PictureTooLarge:
        raise
    except Image.DecompressionBombError:
        raise ValueError(f"more than {MOST_PIXELS:,} pixels") from None
    except UNDECODABLE:
        raise ValueError("not a whole image") from None


def read_image(content: bytes, name: str) -> bytes:
    """Return an encoded image as it is stored, which is how encoders read it.

    Raises:
        UserError: it cannot be read; ``name`` says which image.
    """
    try:
        return to_picture(content).content
    except (OSError, ValueError) as error:
        raise UserError(f"{name}: not a readable image ({error}); remove it or save it again as PNG") from error


class PictureTooLarge(ValueError):
    """An image of more pixels than are decoded."""


def convert(image: Image.Image, raw: bytes) -> Picture:
    """Decode an open image, and return what is stored."""
    changes = []
    kind, mode = image.format or "", image.mode
    if getattr(image, "n_frames", 1) > 1 and kind != "MPO":  # a photo with its preview
        changes.append("animated or of several pages: the first is taken")
    turned = image.getexif().get(ORIENTATION, 1) not in (0, 1)
    large = is_large(image)
    if large and kind in ("JPEG", "MPO"):
        image.draft(mode, (MOST_SIDE, MOST_SIDE))  # decodes a part of the resolution, all of the file
    image.load()
    if not changes and not turned and not large and kind in ("PNG", "JPEG") and mode in ("L", "RGB"):
        return Picture(raw, ())
    if turned:
        image = ImageOps.exif_transpose(image)
        changes.append("turned as EXIF says")
    if mode.startswith(("I", "F")):
        image = stretch(image)
        changes.append("of more than 8 bits: stretched between darkest and brightest")
    elif mode == "CMYK":
        changes.append("CMYK: converted to RGB")
    if "A" in image.getbands() or "transparency" in image.info:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image)
        changes.append("transparent: laid on white")
    image = image.convert("RGB")
    if large:
        changes.append(scale_down(image))
    if kind not in ("PNG", "JPEG", "MPO"):
        changes.append("of another format than PNG or JPEG: converted")
    return Picture(to_png(np.asarray(image)), tuple(changes))


def of_dicom(image: Image.Image) -> Picture:
    """Return the first frame of a DICOM file as it is stored."""
    changes = ["of DICOM: only the pixels are kept"]
    if is_large(image):
        changes.append(scale_down(image))
    return Picture(to_png(np.asarray(image.convert("RGB"))), tuple(changes))


def is_large(image: Image.Image) -> bool:
    return max(image.size) > MOST_SIDE


def scale_down(image: Image.Image) -> str:
    """Scale an image down in place, and return what was done in words."""
    image.thumbnail((MOST_SIDE, MOST_SIDE), Image.Resampling.LANCZOS)
    return f"scaled down to {MOST_SIDE} pixels"


def stretch(image: Image.Image) -> Image.Image:
    """Return a grey image of many bits as one of 8."""
    values = np.asarray(image).astype(np.float64)
    if not np.isfinite(values).all():
        raise ValueError("not all its values are numbers")
    return Image.fromarray(stretched(values))
