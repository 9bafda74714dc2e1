"""Texts that are made to be dear: what a detector looks for, or nearly, over and over."""

from __future__ import annotations

import string
from functools import cache
from random import Random
from re import _parser  # type: ignore[attr-defined]
from typing import TYPE_CHECKING, Any

from hybrid_router.datapolicy import views
from hybrid_router.datapolicy.scanner import BUILT_IN

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

BETWEEN = ("", " ", "\n", ".", "-", "\\n", ",", '"')
OTHERS = {
    "keys that begin and never end": f"{'-' * 5}BEGIN PRIVATE KEY{'-' * 5}\nMIIE",
    "lines of base64": "MIIEvQIBADANBgkqhkiG9w0BAQEFAASC\n",
    "dashes": "-----",
    "the beginnings of a token in base64": "-eyJhbGciOiJI",
    "bearers": "bearer aaaa",
    "digits and full stops": "1.",
    "addresses of machines": "1.2.3.4 ",
    "years": "2024 1999 ",
    "groups of three": "764 ",
    "groups of four": "4111 ",
    "columns": "4111|5500\t\n",
    "full width": "４１１１ ",
    "look-alikes": "раypаl ",
    "invisible": "4\u200b1",
    "percents": "%20%40",
    "escapes": "\\u0040\\x41",
    "entities": "&#64;",
    "base64 of a number": "IDQxMTEgMTExMSAxMTExIDExMTEgNDExMQ== ",
    "long words": "abcdefghijklmnopqrstuvwxyz",
    "ats": "a@b",
    "Greek ats": "αβγδεζηθ@",
    "schemes": "://a:b",
    "colons": "::1 ",
    "quotes": '\\"',
    "brackets": "[{",
}


def units(seed: int = 0) -> Iterator[tuple[str, str]]:
    """Return (name, what is repeated): for each detector what it takes, and pieces of that."""
    r = Random(seed)
    for index, detector in enumerate(BUILT_IN):
        expressions = [(detector.form.pattern, False), *((each, False) for each in detector.words)]
        expressions += [(each, True) for each in detector.shapes]
        expressions += [(b"0{%d}" % each, True) for each in detector.runs]
        for expression, shaped in expressions:
            for made in _drawn(expression, r, shaped=shaped):
                for piece in _pieces(made, r):
                    yield f"{detector.type} {index}", piece + r.choice(BETWEEN)
    for expression in (*views.ESCAPES, *views.FOLDS, views.BASE64):
        for made in _drawn(expression, r, shaped=False):
            yield "views", made + r.choice(BETWEEN)
    yield from OTHERS.items()


def flood(unit: str, size: int) -> str:
    """Return `unit` over and over, up to `size` bytes."""
    made = unit * (size // len(unit.encode()) + 1)
    return made.encode()[:size].decode(errors="ignore")


def _pieces(made: str, r: Random) -> list[str]:
    if len(made) < 2:
        return [made]
    cut, begin = r.randrange(1, len(made)), r.randrange(len(made) - 1)
    return [made, made[:cut], made[begin : r.randrange(begin + 1, len(made)) + 1]]


def _drawn(expression: bytes, r: Random, *, shaped: bool) -> list[str]:
    """Return texts that an expression matches: as short as may be, long, and any."""
    parsed = _parsed(expression)
    made = [_Drawing(r, more).of(parsed) for more in (0, 30, 4)]
    if shaped:
        made = [bytes(_unshaped(b, r) for b in data) for data in made]
    return [text for data in made if (text := data.decode(errors="ignore"))]


@cache
def _parsed(expression: bytes) -> Any:
    return _parser.parse(expression, 0)


def _unshaped(byte: int, r: Random) -> int:
    letters = {ord("0"): b"0123456789", ord("A"): b"abcdefABCDEF"}
    return r.choice(letters.get(byte, bytes([byte])))


class _Drawing:
    """Draws a text that an expression matches; what it looks at beside itself is passed over.

    Args:
        r: what is drawn from.
        more: how much oftener than it must what may be repeated is, at most.
    """

    def __init__(self, r: Random, more: int) -> None:
        self._r = r
        self._more = more
        self._groups: dict[int | None, bytes] = {}

    def of(self, tree: Any) -> bytes:
        return b"".join(self._one(str(op), value) for op, value in tree)

    def _one(self, op: str, value: Any) -> bytes:
        made = b""
        match op:
            case "LITERAL":
                made = bytes([value])
            case "IN":
                made = bytes([self._r.choice(_class(value))])
            case "ANY":
                made = b"x"
            case "MAX_REPEAT" | "MIN_REPEAT" | "POSSESSIVE_REPEAT":
                low, high, inner = value
                count = min(int(high), low + self._r.randint(0, self._more))
                made = b"".join(self.of(inner) for _ in range(count))
            case "SUBPATTERN":
                made = self._groups[value[0]] = self.of(value[3])
            case "BRANCH":
                made = self.of(self._r.choice(value[1]))
            case "GROUPREF":
                made = self._groups.get(value, b"")
            case "AT" | "ASSERT" | "ASSERT_NOT":
                pass
            case _:
                raise AssertionError(op)
        return made


def _class(members: Any) -> bytes:
    """Return the bytes of a class; of one that excludes some a letter, if it may be, or a sign."""
    found = {byte for op, value in members for byte in _members(str(op), value)}
    if str(members[0][0]) != "NEGATE":
        return bytes(sorted(found))
    return bytes(byte for byte in string.printable.encode() if byte not in found)[:1]


def _members(op: str, value: Any) -> Iterable[int]:
    match op:
        case "RANGE":
            return range(value[0], value[1] + 1)
        case "LITERAL":
            return [value]
        case "NEGATE":
            return []
    return {"CATEGORY_DIGIT": b"0123456789", "CATEGORY_SPACE": b" "}.get(str(value), b"x")
