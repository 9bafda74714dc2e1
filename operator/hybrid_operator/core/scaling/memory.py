"""The levels' long memory as a short text, so that it outlives the process: pure.

A number becomes 16 bits of its logarithm, good to 0.05 %; nothing that is decided depends on more.
The text begins with what the numbers mean: another release whose levels remember something else
reads none of it, and starts anew.
"""

from __future__ import annotations

import base64
import binascii
import math
import struct
import zlib
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from hybrid_operator.core.scaling.levels import NOTHING, Level, Levels

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

T = TypeVar("T")

SMALLEST, LARGEST = 1e-12, 1e12
"""Beyond them a number counts as 0, or as infinite."""
_CODES = 0xFFFF
_STEP = math.log(LARGEST / SMALLEST) / (_CODES - 2)


class Memory(NamedTuple):
    """What is kept of one model's window."""

    levels: Levels = NOTHING
    usd_per_work: float = 0.0
    """See `Window`; 0: unknown."""


def pack(memory: Memory, limit: int) -> str:
    """Return the text; at most `limit` characters, for which the highest levels are left out.

    "" where there is nothing to remember, or no room for one level.
    """
    levels = memory.levels.levels
    rows = [_numbers(level) for level in levels]
    head = [memory.usd_per_work, *_numbers(memory.levels._replace(levels=()))]
    while rows:
        text = _text([*head, *(number for row in rows for number in row)])
        if len(text) <= limit:
            return text
        del rows[min(len(rows) - 1, len(rows) * limit // len(text)) :]
    return ""


def unpack(text: str) -> Memory:
    """Return what a text says; nothing where it is none of ours, or of another release."""
    try:
        data = zlib.decompress(base64.b64decode(text, validate=True))
    except (binascii.Error, ValueError, zlib.error):
        return Memory()
    whole, rest = divmod(len(data) - len(_FORM), 2)
    if not data.startswith(_FORM) or rest:
        return Memory()
    numbers = [_number(code) for code in struct.unpack(f">{whole}H", data[len(_FORM) :])]
    head = 1 + len(_numbers(NOTHING))
    count, rest = divmod(len(numbers) - head, len(_numbers(Level())))
    if count < 0 or rest:
        return Memory()
    left = iter(numbers)
    usd = next(left)
    levels = _like(NOTHING, left)
    return Memory(levels._replace(levels=tuple(_like(Level(), left) for _ in range(count))), usd)


def _text(numbers: Sequence[float]) -> str:
    data = _FORM + struct.pack(f">{len(numbers)}H", *map(_code, numbers))
    return base64.b64encode(zlib.compress(data, 9)).decode()


def _code(number: float) -> int:
    if not number >= SMALLEST:
        return 0
    if number > LARGEST:
        return _CODES
    return 1 + round(math.log(number / SMALLEST) / _STEP)


def _number(code: int) -> float:
    if code == 0:
        return 0.0
    return math.inf if code == _CODES else SMALLEST * math.exp((code - 1) * _STEP)


def _numbers(value: tuple[object, ...] | float) -> list[float]:
    """Return all numbers in a tuple of tuples, in order."""
    if not isinstance(value, tuple):
        return [float(value)]
    return [number for each in value for number in _numbers(each)]  # type: ignore[arg-type]


def _like(template: T, numbers: Iterator[float]) -> T:
    """Return a value of the template's form with the next numbers in it."""
    kind: Callable[..., T] = type(template)
    if isinstance(template, int):
        return kind(round(next(numbers)))
    if not isinstance(template, tuple):
        return kind(next(numbers))
    parts = [_like(each, numbers) for each in template]
    return kind(*parts) if hasattr(template, "_fields") else kind(parts)


def _form() -> bytes:
    names = [(*kind._fields, len(_numbers(kind()))) for kind in (Levels, Level)]
    return struct.pack(">I", zlib.crc32(repr(names).encode()))


_FORM = _form()
