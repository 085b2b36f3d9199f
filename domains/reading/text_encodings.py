"""Find the encoding of a text file by reading it once; its sha256 is taken on the way."""

import codecs
import hashlib
import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, TextIO

from domains.errors import UserError, first_line
from domains.reading.packed import DAMAGED, MOST_BYTES, RawFile

BLOCK = 2**20  # bytes

#: Latin letters are mostly ASCII; where more of the letters are not, a guess of an encoding for them would be blind.
MOST_FOREIGN = 0.2

ASCII = bytes(range(128))
NO_LETTERS = bytes(c for c in range(256) if not (chr(c).isascii() and chr(c).isalpha()))
OR_SAY = ", or say --encoding"  # ends what is said; only adding has that option
UNDEFINED = bytes((0x81, 0x8D, 0x8F, 0x90, 0x9D))  # in Windows-1252


@dataclass(frozen=True)
class TextFile:
    """What one reading of a text file tells: its sha256 (unpacked), encoding, number of line ends, and warnings."""

    path: Path
    bytes: Callable[[], IO[Any]]
    sha256: str
    encoding: str
    lines: int
    warnings: tuple[str, ...] = ()

    def open(self, newline: str | None = None) -> TextIO:
        """Open it as text, unpacked."""
        return io.TextIOWrapper(self.bytes(), encoding=self.encoding, newline=newline)


def inspect(file: RawFile, encoding: str | None = None) -> TextFile:
    """Find the encoding of a text file: the one that is named, else UTF-16 by its mark, else UTF-8 with or without one.

    A file that is in none of these and can be Windows-1252 is read as that, with a warning, for it is a guess.

    Raises:
        UserError: the file is in none of them, or not in the one that is named; or what it is packed in is damaged.
    """
    try:
        return inspect_unpacked(file, encoding)
    except DAMAGED as error:
        raise UserError(f"{file.path}: cannot be unpacked ({first_line(error)}); write or copy it again") from error


def inspect_unpacked(file: RawFile, encoding: str | None) -> TextFile:
    """Do what ``inspect`` does; errors of unpacking pass."""
    path = file.path
    with file.open() as stream:
        marked = stream.read(2) in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
    read_as = encoding or ("utf-16" if marked else "utf-8-sig")
    try:
        decoder = codecs.getincrementaldecoder(read_as)()
        io.TextIOWrapper(io.BytesIO(), encoding=read_as).close()  # refuses codecs that are not of texts
    except LookupError:
        raise UserError(f"--encoding {read_as}: no such encoding; try utf-8, cp1252, latin-1 or utf-16") from None
    whole, lines, letters, foreign, impossible, at, wrong = hashlib.sha256(), 0, 0, 0, False, 0, -1
    zero = -1
    with file.open() as stream:
        while block := stream.read(BLOCK):
            whole.update(block)
            lines += block.count(b"\n")
            letters += len(block.translate(None, NO_LETTERS))
            foreign += len(block.translate(None, ASCII))
            impossible = impossible or any(byte in block for byte in UNDEFINED)
            if zero < 0 and b"\0" in block:
                zero = at + block.index(b"\0")
            if wrong < 0:
                pending = len(decoder.getstate()[0])
                try:
                    decoder.decode(block)
                except UnicodeError as error:
                    wrong = at - pending + getattr(error, "start", 0)
            at += len(block)
            if file.packed and at > MOST_BYTES:
                raise UserError(f"{path}: unpacks to more than {MOST_BYTES:,} bytes; unpack and divide it")
    try:
        if wrong < 0:
            decoder.decode(b"", final=True)
    except UnicodeError:
        wrong = at
    if zero >= 0 and not read_as.lower().startswith(("utf-16", "utf_16", "utf-32", "utf_32")):
        raise UserError(f"{path}: has a zero byte at {zero}, so it is not a text file; save it as UTF-8 text")
    if wrong < 0:
        return TextFile(path, file.open, whole.hexdigest(), read_as, lines)
    if encoding or marked:
        raise UserError(f"{path}: not {read_as} at byte {wrong}; save it as UTF-8{OR_SAY}")
    if impossible or foreign > MOST_FOREIGN * (letters + foreign):
        raise UserError(f"{path}: not UTF-8 at byte {wrong}; save it as UTF-8{OR_SAY}")
    guessed = f"not UTF-8 ({text_around(file, wrong)}); read as cp1252: if that is wrong save it as UTF-8{OR_SAY}"
    return TextFile(path, file.open, whole.hexdigest(), "cp1252", lines, (guessed,))


def text_around(file: RawFile, at: int) -> str:
    """Return the text around a byte, read as Windows-1252, with its place."""
    with file.open() as stream:
        stream.seek(max(0, at - 12))
        around = stream.read(24).decode("cp1252", "replace")
    return f"byte {at}: {' '.join(around.split())!r}"


def decode(content: bytes, encoding: str | None = None) -> tuple[str, tuple[str, ...]]:
    """Return a whole file as text by the rules of ``inspect``, and in words what was guessed for that.

    Raises:
        UserError: there is no such encoding.
        ValueError: it is no text in it.
    """
    marked = content[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
    read_as = encoding or ("utf-16" if marked else "utf-8-sig")
    try:
        text, guess = content.decode(read_as), tuple[str, ...]()
    except LookupError:
        raise UserError(f"--encoding {read_as}: no such encoding; try utf-8, cp1252, latin-1 or utf-16") from None
    except UnicodeError as error:
        foreign, letters = len(content.translate(None, ASCII)), len(content.translate(None, NO_LETTERS))
        blind = any(byte in content for byte in UNDEFINED) or foreign > MOST_FOREIGN * (letters + foreign)
        if encoding or marked or blind:
            raise ValueError(f"not {read_as.removesuffix('-sig')} at byte {getattr(error, 'start', 0)}") from None
        text, guess = content.decode("cp1252"), ("not UTF-8: read as cp1252",)
    if "\0" in text:
        raise ValueError("has a zero byte, so it is not text")
    return text, guess
