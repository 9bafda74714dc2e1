r"""Text that says something other than its bytes do, read the way a model would read it.

Escapes (`\u0040`, `%40`, `&#64;`), zero-width characters, full-width and other scripts' digits,
letters that look like Latin ones, and base64. Each view knows where its characters come from, so
that a finding has its place in the original. Only the surroundings of something suspicious are
read again: plain text costs nothing.
"""

from __future__ import annotations

import base64
import binascii
import html
import re
import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

ESCAPES = (
    rb"\\u(?:00[2-7][0-9a-f]|ff[12][0-9a-f]|(?:00a0|00ad|20[016][0-9a-f]|202f|2212|3000|feff)[0-9(])",
    rb"\\x[2-7][0-9a-f]",
    rb"%(?:40|2b|20)",
    rb"&(?:#64|#x40|commat|#43|#x2b);",
    rb"\[at\]|\(at\)",
)
"""Where one of them ends, escapes are resolved nearby; case does not matter."""

_INVISIBLE = (
    rb"(?:\xe2\x80[\x8b-\x8f\xaa-\xae]|\xe2\x81[\xa0-\xaf]|\xef\xbb\xbf|\xc2\xad|\xcd\x8f|"
    rb"\xe1\xa0\x8e|\xef\xb8[\x80-\x8f])"
)
_SEPARATOR = (
    rb"(?:\xc2\xa0|\xe2\x80[\x80-\x8a\x90-\x95\xaf]|\xe2\x88\x92|\xef\xbc\x8d|\xe3\x80\x80)"
)
_LOOKALIKE = rb"(?:[\xd0\xd1][\x80-\xbf]|[\xce\xcf][\x80-\xbf])"
FOLDS = (
    rb"[0-9A-Za-z@.+\-]" + _INVISIBLE + rb"{1,8}[0-9A-Za-z@.+\-]",
    rb"\xef\xbc[\x8b\x90-\x99\xa0-\xba]|\xef\xbd[\x81-\x9a]",  # full width
    rb"\xd9[\xa0-\xa9]|\xdb[\xb0-\xb9]|\xe0\xa5[\xa6-\xaf]|\xe0\xa7[\xa6-\xaf]|\xe0\xb9[\x90-\x99]",
    rb"\xf0\x9d[\x90-\x9f]|\xe2\x91[\xa0-\xa8]|\xe2\x82[\x80-\x89]|\xe2\x81[\xb0-\xb9]|\xf0\x9f\x84[\x80-\x8a]",
    rb"[0-9A-Za-z@]" + _LOOKALIKE + rb"|" + _LOOKALIKE + rb"[0-9A-Za-z@]",
    rb"[0-9)] ?" + _SEPARATOR + rb"{1,4} ?[0-9(]",
    rb"[0-9A-Za-z]\xe2\x80[\x90\x91][0-9A-Za-z]",
    rb"[0-9]\xcc[\x80-\xbf]",
)
"""Where one of them ends, characters are folded nearby."""

LONG_WORD = rb"[A-Za-z0-9+/]{24,}"
"""Without one there is no base64 worth unwrapping; cheap, and reported once at most."""
BASE64 = rb"[A-Za-z0-9+/_\-]{24}={0,2}[^A-Za-z0-9+/_\-=]"
"""The end of what may be base64."""

NEARBY = 160
"""Bytes on both sides of something suspicious that are read again."""

_escape = re.compile(
    r"\\u([0-9a-fA-F]{4})|\\x([0-9a-fA-F]{2})|%([2-7][0-9a-fA-F])|(&(?:#\d{2,3}|#x[0-9a-fA-F]{2}|commat);)"
    r"|\\([nrt])|( ?[\[(]at[\])] ?)|( ?[\[(]dot[\])] ?)",
    re.IGNORECASE,
)
_LATIN: Mapping[str, str] = dict(
    zip(
        "АВЕЅІЈКМНОРСТХУаеорсухіјѕԁһԛԝΑΒΕΖΗΙΚΜΝΟΡΤΥΧανορ",  # noqa: RUF001  that is the point
        "ABESIJKMHOPCTXYaeopcyxijsdhqwABEZHIKMNOPTYXavop",
        strict=True,
    )
)
"""Cyrillic and Greek letters that look like Latin ones (Unicode's confusables, the common part)."""

_hex = re.compile(rb"[0-9a-fA-F\-]+")
MAX_BASE64_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True)
class View:
    """Text as it reads, and where its characters come from.

    Attributes:
        text: as it reads.
        starts: of each character's source, offsets in the original, in characters.
        ends: likewise.
    """

    text: str
    starts: list[int]
    ends: list[int]

    def source(self, start: int, end: int) -> tuple[int, int]:
        """Return where the characters from `start` to `end`, or the text's end, come from."""
        return self.starts[start], self.ends[min(end, len(self.ends)) - 1]


def read(text: str) -> View:
    """Resolve escapes and fold characters."""
    parts: list[str] = []
    starts: list[int] = []
    ends: list[int] = []
    at = 0
    for match in _escape.finditer(text):
        start, end = match.span()
        parts += text[at:start], _resolved(match) or _NOTHING
        starts += range(at, start + 1)
        ends += range(at + 1, start + 1)
        ends.append(end)
        at = end
    parts.append(text[at:])
    starts += range(at, len(text))
    ends += range(at + 1, len(text) + 1)
    read_as = "".join(parts).translate(_folded)
    if _NOTHING in read_as:  # some are invisible
        kept = [index for index, char in enumerate(read_as) if char != _NOTHING]
        starts, ends = [starts[i] for i in kept], [ends[i] for i in kept]
        read_as = read_as.replace(_NOTHING, "")
    return View(read_as, starts, ends)


_NOTHING = "\ue000"
"""Stands for an invisible character until its place is known: one of those for private use."""


class _Folded(dict[int, str]):
    """What characters read as, by their number, filled as they are met."""

    def __missing__(self, point: int) -> str:
        folded = fold(chr(point)) or _NOTHING
        if len(self) < _REMEMBERED:
            self[point] = folded
        return folded


_REMEMBERED = 4096
_folded = _Folded({point: chr(point) for point in range(128)})


def _resolved(match: re.Match[str]) -> str:
    for group in (1, 2, 3):
        if match[group]:
            return chr(int(match[group], 16))
    if match[4]:
        return html.unescape(match[4])
    if match[5]:
        return "\n"
    return "@" if match[6] else "."


_CATEGORIES: Mapping[str, str] = {"Cf": "", "Mn": "", "Me": "", "Zs": " ", "Pd": "-"}
"""What Unicode's categories read as: invisible, a space, a dash."""


def fold(char: str) -> str:
    """Return the ASCII character that one reads as, itself where it is none, "" if invisible."""
    if char.isascii():
        return char
    latin = "-" if char == "\u2212" else _LATIN.get(char)
    if latin is not None:
        return latin
    kind = _CATEGORIES.get(unicodedata.category(char))
    if kind is not None:
        return kind
    digit = unicodedata.digit(char, None)
    plain = unicodedata.normalize("NFKC", char)
    if digit is not None:
        return str(digit)
    return plain if len(plain) == 1 and plain.isascii() else char


def token(data: bytes, end: int) -> tuple[int, int]:
    """Return the place of what may be base64 and ends just before `end`."""
    stop = end - 1
    size = 256
    while True:
        chunk = data[max(0, stop - size) : stop]
        left = len(chunk.rstrip(b"=").rstrip(_ALPHABET))
        if left or size >= MAX_BASE64_BYTES or size > stop:
            return stop - len(chunk) + left, stop
        size *= 8


_ALPHABET = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/_-"


def decoded(data: bytes) -> bytes | None:
    """Return the text that base64 stands for; None where it stands for none."""
    if _hex.fullmatch(data):
        return None
    stem = data.rstrip(b"=").translate(bytes.maketrans(b"-_", b"+/"))
    try:
        raw = base64.b64decode(stem + b"=" * (-len(stem) % 4), validate=True)
        text = raw.decode()
    except (binascii.Error, ValueError):
        return None
    return (
        raw if text.isprintable() or all(c.isprintable() or c in "\r\n\t" for c in text) else None
    )
