"""Glyphs: the letters of many scripts, drawn from fonts as if by different hands.

A class is a character. Its images differ in font, rotation, shear, scale, shift, thickness and noise. All of
that is done on integers, so that no rounding can make two machines draw different pixels.
"""

from functools import partial

import numpy as np
import pandas as pd
from PIL import Image, ImageDraw

from domains.fetch import Fetch
from domains.reading.png import to_png
from domains.source import Source
from domains.vision.fonts import fonts_with, load_font

IMAGES = 20  # a class, as many as Omniglot has
SIDE = 28  # pixels
FINE = 4  # samples a pixel, in each direction
BOX = 20 * FINE  # samples that the longer side of an undistorted glyph spans, as in MNIST
EM = 128  # pixels, of the font that glyphs are drawn with before they are distorted
UNIT = 64  # what stands for 1 in the integer matrices

#: The classes of each domain. Left out are characters that differ from another of their script in size only
#: (c beside C), by nothing that so few pixels show, or that fewer than two of the fonts have.
SCRIPTS = {
    "latin": "ABCDEFGHIJKLMNOPQRSTUVWXYZabdefghijkmnqrty",
    "greek": "ΑΒΓΔΕΖΗΘΙΚΛΜΝΞΟΠΡΣΤΥΦΧΨΩαβγδεζηιλμνξπρςστυφχωϑϖϰ",
    "cyrillic": "АБВГДЕЖЗИЙКЛМНОПРСТУФХЦЧШЩЪЫЬЭЮЯабеЂЄЉЊЋЏђћҐҖҰҲҺӘӨ",
    "armenian": "ԱԲԳԴԵԶԷԸԹԺԻԽԾԿՀՁՃՄՅՆՇՈՉՊՋՌՍՎՏՐՑՒՓՔՕՖաբգդեզըթիլխծկհձղճմյնշչպջսվտրցւփքֆ",
    "georgian": "აბგდევზთიკლმნოპჟრსტუფქღყშჩცძწჭხჯჰ",
    "asomtavruli": "ႠႡႢႣႤႥႦႧႨႩႪႫႬႭႮႯႰႱႲႴႵႶႷႸႹႺႻႼႽႾႿჁჂჃჄჅ",
    "nuskhuri": "ⴀⴁⴂⴃⴄⴅⴆⴇⴈⴉⴊⴋⴌⴍⴎⴏⴐⴑⴒⴓⴔⴕⴖⴗⴘⴙⴚⴛⴜⴝⴞⴟⴡⴢⴣⴤⴥ",
    "hebrew": "אבגדהוזחטיךכלםמנסעףפץצקרשת",
    "arabic": "ءابتثجحخدذرزسشصضطظعغفقكلمنهويچڈگھ",
    "lao": "ກຂຄງຈຊຍດຕຖທນບປຜຝພຟມຢຣລວສຫອຮ໐໑໒໓໔໕໖໗໘໙",
    "nko": "ߊߋߌߍߎߏߐߑߒߓߔߕߖߗߘߙߚߛߜߝߞߟߠߡߢߣߤߥߦߧ߀߁߂߃߄߅߆߇߈߉",
    "tifinagh": "ⴰⴱⴲⴳⴴⴵⴶⴷⴸⴹⴺⴻⴼⴽⴾⴿⵁⵃⵄⵅⵆⵇⵈⵉⵊⵋⵌⵍⵎⵏⵐⵑⵒⵓⵔⵕⵖⵗⵘⵚⵛⵜⵝⵞⵠⵡⵢⵣⵤⵥ",
    "syllabics": "ᐁᐃᐅᐊᐯᐱᐳᐸᑌᑎᑐᑕᑫᑭᑯᑲᒉᒋᒍᒐᒣᒥᒧᒪᓀᓂᓄᓇᓓᓕᓗᓚᓭᓯᓱᓴᔐᔑᔓᔕᔦᔨᔪᔭᕃᕆᕈᕋᕓᕕᕙᕞᕧᕴᕼᖊᖋᖍᖏᖑᖓᖠᖢᖤᖨᖬᗞᗡᙆᙇᙯᙰᙳ",
    "ipa": "ɐɑɒɓɔɕɖɗɘəɚɛɜɝɞɟɠɡɢɤɥɧɨɩɪɬɭɮɯɰɲɳɴɵɶɷɸɹɻɼɾɿʀʁʂʃʄʅʆʇʉʊʋʌʍʎʏʐʑʒʖʗʘʙʚʛʝʞʟʡʢʣʤʦʧʨʩʪʫʬʭʮ",
    "fraktur": "𝕬𝕭𝕮𝕯𝕰𝕱𝕲𝕳𝕴𝕵𝕶𝕷𝕸𝕹𝕺𝕻𝕼𝕽𝕾𝕿𝖀𝖁𝖂𝖃𝖄𝖅𝖆𝖇𝖈𝖉𝖊𝖋𝖌𝖍𝖎𝖏𝖐𝖑𝖒𝖓𝖔𝖕𝖖𝖗𝖘𝖙𝖚𝖛𝖜𝖝𝖞𝖟",
    "calligraphic": "𝓐𝓑𝓒𝓓𝓔𝓕𝓖𝓗𝓘𝓙𝓚𝓛𝓜𝓝𝓞𝓟𝓠𝓢𝓣𝓤𝓥𝓦𝓧𝓨𝓩𝓪𝓫𝓬𝓭𝓮𝓯𝓰𝓱𝓲𝓳𝓵𝓶𝓷𝓸𝓹𝓺𝓻𝓼𝓽𝓾𝓿𝔀𝔁𝔂𝔃",
    "math": "∀∁∂∃∄∅∆∇∉∋∌∏∐∑∓∔∘√∛∝∞∟∠∡∢∤∥∧∨∩∪∫∬∭∮∯∰∴∵∷∹∺∻∼∾∿≀≂≃≄≅≈≉≌≍≎≏≐≑≔≕≖≙≚≜≝≞≟≠≣≤≥≦≧≪≫≬≮≯≶≷≺≻"
    "⊂⊃⊆⊇⊕⊖⊗⊙⊚⊞⊟⊠⊢⊣⊤⊥⊧⊩⊪⊬⊲⊳⊴⊵⊸⊹⊺⊻⊼⋄⋆⋇⋈⋉⋊⋏⋐⋑⋔⋮⋯⋰⋱",
    "arrows": "←↑→↓↔↕↖↗↘↙↚↛↜↝↞↟↠↡↢↣↥↦↧↨↩↪↫↬↮↯↰↱↲↳↴↵↶↷↸↹↺↻↼↽↾↿⇀⇁⇄⇅⇆⇇⇈⇉⇊⇋⇌⇍⇎⇏⇐⇑⇒⇓⇔⇕⇖⇗⇘⇙⇚⇛⇝⇞⇠⇤⇥⇦⇨⇩⇫⇯⇱⇲⇴⇶⇷⇻",
    "shapes": "□▢▣▤▥▦▧▩▬▭▮▯▰▱▲△▶▷►▻▼▽◀◁◄◅◆◇◉◊○◍◎●◐◑◒◓◔◕◖◗◘◙◚◛◜◝◞◟◠◡◢◣◤◥◧◨◩◪◫◬◭◮◰◱◲◳◴◵◶◷◸◹◺◼◿",
    "symbols": "☀☁☂☃☄★☇☈☉☊☋☌☎☏☐☑☒☕☙☚☛☜☝☞☟☠☡☢☣☤☥☦☧☨☩☪☫☬☭☮☯☰☱☲☴☶☷☹☺☻☼☽☾☿♀♁♂♃♄♅♆♇♈♉♊♋♌♍♎♏♐♑♒♓"
    "♔♕♗♘♙♚♛♜♝♞♟♠♡♢♣♤♥♧♨♩♫♬♭♮♯♲♾⚀⚁⚂⚃⚐⚑⚒⚓⚔⚕⚖⚗⚘⚙⚚⚛⚜⚠⚡⚢⚣⚤⚥",
}


def read(fetch: Fetch, characters: str) -> pd.DataFrame:
    """Return ``IMAGES`` images of every character; nothing is fetched."""
    rows = [(to_png(image), character) for character in characters for image in draw_class(character)]
    return pd.DataFrame(rows, columns=["image", "label"])


def draw_class(character: str) -> np.ndarray:
    """Return uint8 images [IMAGES, SIDE, SIDE] of a character, white on black, fonts taken in turn.

    The generator is seeded by the character, so a class does not depend on the others of its script.
    """
    rng = np.random.default_rng(ord(character))
    names = fonts_with(character)
    order = rng.permutation(len(names))
    fine = np.stack([distort(draw_ink(character, names[order[i % len(names)]]), rng) for i in range(IMAGES)])
    grey = fine.reshape(IMAGES, SIDE, FINE, SIDE, FINE).sum((2, 4)) * 255 // FINE**2
    return np.clip(grey + rng.integers(-16, 17, grey.shape), 0, 255).astype(np.uint8)


def draw_ink(character: str, name: str) -> np.ndarray:
    """Return a large drawing of a character: True where ink covers more than half of a pixel.

    It is cut to the ink and a frame, one pixel wide, of paper.
    """
    canvas = Image.new("L", (2 * EM, 2 * EM))
    ImageDraw.Draw(canvas).text((EM, EM), character, fill=255, font=load_font(name, EM), anchor="mm")
    left, top, right, bottom = canvas.getbbox() or (0, 0, 0, 0)
    return np.asarray(canvas.crop((left - 1, top - 1, right + 1, bottom + 1))) > 127


def distort(drawing: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return a drawing under a random affine map and pen, as booleans [SIDE * FINE, SIDE * FINE].

    Every sample (u, v) of the result looks up the one drawing pixel (x, y) = R S D (u, v) that it falls on,
    with R a rotation, S a shear and D a change of scale, all in multiples of 1 / UNIT. What falls outside
    looks up the frame.
    """
    turn, lean = rng.integers(-12, 13), rng.integers(-12, 13)
    rotation, shear = np.array([[UNIT, -turn], [turn, UNIT]]), np.array([[UNIT, lean], [0, UNIT]])
    scale = np.diag(rng.integers(UNIT - 6, UNIT + 14, 2))
    matrix = rotation @ shear @ scale * max(drawing.shape) // (BOX * UNIT**2)
    samples = np.arange(SIDE * FINE) - SIDE * FINE // 2
    u, v = samples - rng.integers(-2 * FINE, 2 * FINE + 1, (2, 1))
    height, width = drawing.shape
    x = np.add.outer(matrix[0, 1] * v, matrix[0, 0] * u) // UNIT + width // 2
    y = np.add.outer(matrix[1, 1] * v, matrix[1, 0] * u) // UNIT + height // 2
    drawn = drawing.ravel().take(y.clip(0, height - 1) * width + x.clip(0, width - 1))
    return thicken(drawn, int(rng.integers(-1, 4)))


def thicken(drawn: np.ndarray, samples: int) -> np.ndarray:
    """Return strokes that are thicker by so many samples on every side, or thinner if it is negative."""
    if samples < 0:
        return ~thicken(~drawn, -samples)
    for _ in range(samples):
        across = drawn.copy()
        across[1:] |= drawn[:-1]
        across[:-1] |= drawn[1:]
        across[:, 1:] |= drawn[:, :-1]
        across[:, :-1] |= drawn[:, 1:]
        drawn = across
    return drawn


SOURCES = tuple(
    Source(
        name=f"glyphs-{script}",
        family="vision",
        role="source",
        title=f"Glyphs drawn from fonts: {script}",
        read=partial(read, characters=characters),
        licence=(
            "fonts: DejaVu (Bitstream Vera and Arev licences), STIX (SIL Open Font License 1.1) and "
            "Computer Modern (BaKoMa licence); images drawn at run time"
        ),
        citation=(
            "J. D. Hunter. Matplotlib: A 2D Graphics Environment. Computing in Science & Engineering 9 (3), 2007, 90-95"
        ),
        where="font files of the installed matplotlib",
        classes=len(characters),
        examples=IMAGES * len(characters),
    )
    for script, characters in SCRIPTS.items()
)
