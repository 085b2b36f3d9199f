"""Read images: which cannot be read or say little, and the small pictures by which near duplicates are found."""

import io

import numpy as np
import pandas as pd
from PIL import Image

from domains.checks.finding import Finding, Kind
from domains.checks.scan import Parts
from domains.reading.archives import MOST_PIXELS, UNDECODABLE
from domains.same_example import content_key

CORRUPT = Kind(
    "corrupt-image",
    "error",
    "an image that cannot be decoded to its end",
    "save the image again from its original, or remove it",
)
HUGE = Kind("huge-image", "error", f"an image of more than {MOST_PIXELS:,} pixels", "scale the image down")
TINY = Kind(
    "tiny-image",
    "warning",
    "an image of fewer than 8 pixels on a side",
    "take the original if there is a larger one, or remove it",
)
BLANK = Kind("blank-image", "warning", "an image of one colour", "remove it if it should show something")
DEPTH = Kind(
    "deep-image",
    "warning",
    "an image that is not 8 bits of grey or colour (16 bits, floats, CMYK): what is read of it may be clipped",
    "convert it to 8-bit grey or RGB, scaled as you mean it",
)
MOVING = Kind("moving-image", "warning", "an image of several frames, of which the first is read", "keep one frame")
KINDS = (CORRUPT, HUGE, TINY, BLANK, DEPTH, MOVING)

SMALLEST = 8
READ_AS_IT_IS = {"1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "La", "RGBa"}

#: Pixels on a side of the small picture that is remembered.
SIDE = 16


class Images:
    """Reads images.

    Parts: ``key``, ``excerpt``, ``hash`` uint64 (difference hash) and ``small`` uint8 [n, SIDE * SIDE * 3].
    """

    def look(self, frame: pd.DataFrame, file: str) -> tuple[Parts, list[Finding]]:
        """Return the parts of a batch, and which images are not good."""
        n, found = len(frame), []
        good, excerpts = np.zeros(n, bool), np.full(n, "", object)
        keys, steps = np.zeros(n, np.uint64), np.zeros((n, 8, 9), np.uint8)
        small = np.zeros((n, SIDE * SIDE * 3), np.uint8)
        for i, (row, raw) in enumerate(zip(frame.index.tolist(), frame["image"], strict=True)):
            try:
                with Image.open(io.BytesIO(raw)) as image:
                    excerpts[i] = f"{image.format} of {image.width} x {image.height}, {len(raw):,} bytes"
                    found += [Finding(kind, file, excerpts[i], row, about) for kind, about in image_faults(image)]
                    if image.width * image.height > MOST_PIXELS:
                        continue
                    image.draft("RGB", (4 * SIDE, 4 * SIDE))
                    colour = image.convert("RGB")
            except UNDECODABLE as error:
                about = " ".join(str(error).split())[:80].replace(str(raw[:40]), "")
                found.append(Finding(CORRUPT, file, f"{len(raw):,} bytes", row, about))
                continue
            good[i], keys[i] = True, content_key(raw)
            small[i] = np.asarray(colour.resize((SIDE, SIDE), Image.Resampling.BOX)).ravel()
            steps[i] = np.asarray(colour.convert("L").resize((9, 8), Image.Resampling.BILINEAR))
            if np.ptp(np.asarray(colour), axis=(0, 1)).max() == 0:
                found.append(Finding(BLANK, file, excerpts[i], row, f"colour {tuple(small[i][:3].tolist())}"))
        bits = np.packbits((steps[:, :, 1:] > steps[:, :, :-1]).reshape(n, 64), axis=1)
        parts = {"key": keys, "excerpt": excerpts, "hash": bits.view(np.uint64)[:, 0], "small": small, "good": good}
        return parts, found


def image_faults(image: Image.Image) -> list[tuple[Kind, str]]:
    """Return what is wrong with an image whose pixels are not decoded yet, each with what else to say."""
    found = []
    if image.width * image.height > MOST_PIXELS:
        found.append((HUGE, ""))
    if min(image.size) < SMALLEST:
        found.append((TINY, ""))
    if image.mode not in READ_AS_IT_IS:
        found.append((DEPTH, f"mode {image.mode}"))
    if getattr(image, "n_frames", 1) > 1:
        found.append((MOVING, f"{getattr(image, 'n_frames', 1)} frames"))
    return found
