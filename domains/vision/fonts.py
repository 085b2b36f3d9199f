"""The fonts that matplotlib installs, pinned, and which characters each of them can draw."""

from functools import cache
from pathlib import Path

from PIL import ImageFont

from domains.fetch import package_file

#: sha256 of the font files, by name.
FONTS = {
    "DejaVuSans": "3fdf69cabf06049ea70a00b5919340e2ce1e6d02b0cc3c4b44fb6801bd1e0d22",
    "DejaVuSans-Bold": "b184b89e3c1075f22f6b71575b6fc20d4972b3cfd3b23322ca6fd596dcaef167",
    "DejaVuSans-Oblique": "ccdf74b350f11fd3dd5774de50e5e6346a1a5da1f5b7d5fb83590665e97a5213",
    "DejaVuSans-BoldOblique": "6edf0283160186af451cbee71e7b845f2e4cabf264bb992ce668c83c25465e6f",
    "DejaVuSansMono": "602ec86b8948cfcd956482fe64f94c36c867770149ef2f791d4613f443bcecb3",
    "DejaVuSansMono-Bold": "baada9a5172fe20886251aff0433fc38461912d5daf07287e7bee56620a8da96",
    "DejaVuSansMono-Oblique": "28052813f7a709fc89f52d192dc995ef4f0fdc5c3d7b73a49d6849b1916d0cd0",
    "DejaVuSansMono-BoldOblique": "a69081c15c76c827e0a27a5a7f5c74b6135c843499955495ffa8c20d3a98288b",
    "DejaVuSerif": "107244956e9962b9e96faccdc551825e0ae0898ae13737133e1b921a2fd35ffa",
    "DejaVuSerif-Bold": "c3753f2ed6bc673f15846dc45addbeb3b9c872f32fb18fd53a21f1bef1ed7676",
    "DejaVuSerif-Italic": "3e7994fbc54fa10ce3352a42d548fadd7d9cadb69cb1109bc9d960f6dac57f04",
    "DejaVuSerif-BoldItalic": "d93efec7a9d2e826768d1a2ee95b95870e15e29599a84f3484af1de1cec2e181",
    "STIXGeneral": "167378031e2dddc6216d67819c9260e9a06ffc4c478e4e23cb98a6fd44b183c2",
    "STIXGeneralBol": "e8533dc7083fa346bda1933d60ea4a83b67d0945bceaf1b3541f82b4a0e2c6a0",
    "STIXGeneralItalic": "6cfcb333d22b7c3c623bdfd40174f14c85c3d6731ca6166c1edc80140eae8527",
    "STIXGeneralBolIta": "98788fd4ba48dfbb2bd026c0e20a247a8b06c7372879628b7a6bb0d5bb09736c",
    "cmr10": "4dd9761b058c009db9b2145f55ee6617d093c273dd3d6c5b3e43ff6110fa9bf6",
    "cmb10": "074497b50c43ea57597181591f9893d38fc12a87e95104f5657fc2481f61a23a",
    "cmss10": "7df91a83d05b2e471ec638cb0b435a360a3c792b09fc42a7da67e91f2e79115a",
    "cmti10": "f9f1f9f654308ae82f7be4441ae89b080896b34cc220bbea173c5e9adcfe3ef7",
    "cmtt10": "6211f09ae93599991afda970c24669dad1a77e253d915624fbf212f702f071d7",
}
#: The TeX fonts use the places above ASCII for glyphs of their own.
ASCII_ONLY = ("cmr10", "cmb10", "cmss10", "cmti10", "cmtt10")


@cache
def font_file(name: str) -> Path:
    """Return the path of a font file whose sha256 is the pinned one."""
    return package_file("matplotlib", f"mpl-data/fonts/ttf/{name}.ttf", FONTS[name])


@cache
def font_characters(name: str) -> frozenset[str]:
    """Return the characters that a font has a glyph for, so that none is drawn as the box for "missing"."""
    from matplotlib.ft2font import FT2Font

    found = frozenset(map(chr, FT2Font(str(font_file(name))).get_charmap()))
    return frozenset(c for c in found if c.isascii()) if name in ASCII_ONLY else found


@cache
def load_font(name: str, size: int) -> ImageFont.FreeTypeFont:
    """Return a font at a size in pixels, with the plain layout engine, which every Pillow has."""
    return ImageFont.truetype(font_file(name), size, layout_engine=ImageFont.Layout.BASIC)


def fonts_with(character: str) -> list[str]:
    """Return the names of the fonts that have a glyph for the character, in a fixed order."""
    return [name for name in FONTS if character in font_characters(name)]
