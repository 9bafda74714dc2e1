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
MOST_BYTES = 2**16
"""Of what a text may unfold to: a thousand replicas' levels are half of it."""
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
    data = unfolded(text)
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
    found = tuple(_like(Level(), left) for _ in range(count))
    return Memory(levels._replace(levels=found), usd) if all(map(_sound, found)) else Memory()


def unfolded(text: str) -> bytes:
    """Return what was compressed to a text, up to `MOST_BYTES`; nothing where that cannot be."""
    folded = zlib.decompressobj()
    try:
        data = folded.decompress(base64.b64decode(text, validate=True), MOST_BYTES)
    except (binascii.Error, ValueError, zlib.error):
        return b""
    return data if folded.eof else b""


def _sound(level: Level) -> bool:
    """Whether a level can be gone on from, whoever wrote it."""
    return level.rule < len(level.costs) and all(
        map(math.isfinite, (*level.means, *level.costs, *level.running))
    )


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
