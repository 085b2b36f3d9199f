"""The built-in vision sources: real digits, and glyphs that every machine draws alike."""

import hashlib
import io
from itertools import combinations

import numpy as np
from PIL import Image

from domains.fetch import Fetch
from domains.reading.png import to_png
from domains.vision import digits, glyphs, mnist
from domains.vision.fonts import fonts_with, load_font

#: What the pinned fonts, Pillow and numpy draw. A machine that draws anything else would build other data.
SHA256_OF_SHIN = "802b92ad82b865a3569dcc571a30d3886541e20c32ffe42c72ec44ea705bb11a"


def pixels(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png)))


def test_a_png_gives_back_its_pixels_and_is_not_deflated() -> None:
    image = np.random.default_rng(0).integers(0, 256, (28, 28), dtype=np.uint8)
    assert (pixels(to_png(image)) == image).all()
    assert len(to_png(np.zeros((28, 28), np.uint8))) == len(to_png(image))


def test_digits_are_8x8_and_use_the_whole_range(fetch: Fetch) -> None:
    frame = digits.read(fetch)
    images = np.stack([pixels(png) for png in frame["image"]])
    assert images.shape == (1797, 8, 8)
    assert (images.min(), images.max(), len(np.unique(images))) == (0, 255, 17)
    assert sorted(set(frame["label"])) == list("0123456789")
    assert frame["label"].head(10).tolist() == list("0123456789")


def test_mnist_is_balanced_and_white_on_black(fetch: Fetch) -> None:
    frame = mnist.read(fetch)
    images = np.stack([pixels(png) for png in frame["image"]])
    assert images.shape == (5000, 28, 28)
    assert images[:, 0].max() == 0
    assert images.max() == 255
    assert frame["label"].value_counts().to_dict() == dict.fromkeys("0123456789", 500)


def test_a_class_of_glyphs_is_the_same_to_the_byte() -> None:
    drawn = glyphs.draw_class("ש")
    assert drawn.shape == (glyphs.IMAGES, glyphs.SIDE, glyphs.SIDE)
    assert hashlib.sha256(drawn.tobytes()).hexdigest() == SHA256_OF_SHIN


def test_every_character_has_a_glyph_in_two_fonts_or_more() -> None:
    few = [c for characters in glyphs.SCRIPTS.values() for c in characters if len(fonts_with(c)) < 2]
    assert few == []


def test_no_script_has_a_character_twice() -> None:
    assert all(len(set(characters)) == len(characters) for characters in glyphs.SCRIPTS.values())


def silhouette(character: str) -> np.ndarray:
    """Return a character in its first font, scaled to a box of 32x32 in a wide frame."""
    ink = Image.fromarray(glyphs.draw_ink(character, fonts_with(character)[0])[1:-1, 1:-1]).convert("L")
    width, height = (max(1, 32 * side // max(ink.size)) for side in ink.size)
    left, top = 18 - width // 2, 18 - height // 2
    shape = np.zeros((36, 36), bool)
    shape[top : top + height, left : left + width] = np.asarray(ink.resize((width, height))) > 127
    return shape


def unlike(one: np.ndarray, other: np.ndarray) -> int:
    """Return how many pixels of either shape have none of the other beside them."""
    return int((one & ~glyphs.thicken(other, 1)).sum() + (other & ~glyphs.thicken(one, 1)).sum())


def test_letters_of_one_shape_count_as_alike() -> None:
    assert all(unlike(silhouette(one), silhouette(other)) <= 2 for one, other in ("Ww", "Il"))


def test_no_two_characters_of_a_script_are_alike() -> None:
    for characters in glyphs.SCRIPTS.values():
        shapes = {character: silhouette(character) for character in characters}
        assert [pair for pair in combinations(characters, 2) if unlike(*map(shapes.get, pair)) <= 2] == []


def test_a_classifier_tells_the_glyphs_of_a_script_apart(fetch: Fetch) -> None:
    frame = glyphs.read(fetch, glyphs.SCRIPTS["nko"])
    images = np.stack([pixels(png) for png in frame["image"]]).reshape(-1, glyphs.IMAGES, 28 * 28) / 255
    half = glyphs.IMAGES // 2
    means = images[:, :half].mean(1)
    distance = ((images[:, half:, None] - means) ** 2).sum(-1)
    right = distance.argmin(-1) == np.arange(len(images))[:, None]
    assert right.mean() > 0.5  # chance is 1 in 40


def test_glyphs_are_white_on_black_and_differ_within_their_class() -> None:
    drawn = glyphs.draw_class("R")
    assert drawn[:, :2].mean() < 10
    assert (drawn.max((1, 2)) > 200).all()
    assert len({image.tobytes() for image in drawn}) == glyphs.IMAGES


def test_no_glyph_is_cut_off_by_its_canvas() -> None:
    pairs = [(c, name) for characters in glyphs.SCRIPTS.values() for c in characters for name in fonts_with(c)]
    boxes = {(c, name): load_font(name, glyphs.EM).getbbox(c, anchor="mm") for c, name in pairs}
    assert [at for at, box in boxes.items() if max(map(abs, box)) >= glyphs.EM] == []


def test_thickening_adds_ink_around_and_thinning_takes_it_away() -> None:
    dot = np.zeros((5, 5), bool)
    dot[2, 2] = True
    cross = glyphs.thicken(dot, 1)
    assert cross.sum() == 5
    assert (glyphs.thicken(cross, -1) == dot).all()
    assert (glyphs.thicken(dot, 0) == dot).all()
