r"""What a detector is: when to look, what to look for, and how sure that is by itself.

A detector has triggers and a form. The triggers of all detectors are compiled into an automaton
that passes over a text once; only where one of them ends is the form, an ordinary regular
expression, tried, on a few dozen bytes. So the time for a text without findings hardly depends on
the number of detectors, and no text can make the expressions take more than linear time.

Numbers are looked for in the text's shape: every digit is written `0` there and every letter `A`,
so that `\d{3}-\d{2}-\d{4}` becomes the literal `000-00-0000`. Automata find literals several
times faster than classes.
"""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

# In a shape: what may stand before and after a number, so that it is no part of a longer word.
# After the escape of a line end (`\n`, in JSON within JSON) a word begins.
LEFT = rb"(?:[^0A_]|\\A)"
RIGHT = rb"[^0A_]"
# Digits without a separator: one expression for all lengths, which are counted where it ends.
LONGEST_RUN = 19
RUN = rb"(?:[^0A]|\\A)0{9,%d}[^0A]" % LONGEST_RUN
# The same in front of and behind a form, without taking the neighbour in.
BEGIN = rb"(?:(?<![0-9A-Za-z_\\])|(?<=\\[nrt]))"
END = rb"(?![0-9A-Za-z_])"

_SHAPE = bytes(
    48 if 48 <= b <= 57 else 65 if 65 <= b <= 90 or 97 <= b <= 122 else b  # noqa: PLR2004  ASCII
    for b in range(256)
)


def shape(data: bytes) -> bytes:
    """Return a text's shape: digits as `0`, letters as `A`, everything else as it is."""
    return data.translate(_SHAPE)


class Strength(enum.IntEnum):
    """How sure a form is by itself, without the words around it."""

    NONE = 0
    WEAK = 1
    """Counts only where a word nearby names the type."""
    MEDIUM = 2
    """Counts unless a word nearby names something else."""
    STRONG = 3
    """Counts."""


@dataclass(frozen=True, slots=True)
class Detector:
    """How one type of data is found.

    Attributes:
        type: the name of what is found.
        shapes: expressions for the shape; where one ends, `form` is looked for in the text.
        runs: how many digits without a separator have the same effect, 9 to 19.
        words: the same for the text itself.
        form: what is found; its group `v`, where it has one, is the finding.
        judge: is given the finding as text and its place in the buffer (buffer, start, end).
        back: how many bytes before the end of a trigger the finding begins at the earliest.
        ahead: how many bytes after it the finding ends at the latest.
        ignore_case: of `words`.
    """

    type: str
    form: re.Pattern[bytes]
    judge: Callable[[str, bytes, int, int], Strength]
    shapes: tuple[bytes, ...] = ()
    runs: tuple[int, ...] = ()
    words: tuple[bytes, ...] = ()
    back: int = 64
    ahead: int = 6
    ignore_case: bool = False


def form(expression: bytes, *, ignore_case: bool = False) -> re.Pattern[bytes]:
    """Compile a form between its boundaries."""
    return re.compile(BEGIN + b"(?:" + expression + b")" + END, re.IGNORECASE if ignore_case else 0)


def always(strength: Strength) -> Callable[[str, bytes, int, int], Strength]:
    """Return the judge of a form that says it all."""

    def judge(_text: str, _buffer: bytes, _start: int, _end: int) -> Strength:
        return strength

    return judge


def compact(text: str, separators: str = " -./") -> str:
    """Return a number without what stands between its groups; most have nothing there."""
    return text if text.isalnum() else text.translate(str.maketrans("", "", separators))


def checked(
    check: Callable[[str], bool], strength: Strength, separators: str = " -./"
) -> Callable[[str, bytes, int, int], Strength]:
    """Return the judge of a form with a check digit; the check gets it without separators."""

    def judge(text: str, _buffer: bytes, _start: int, _end: int) -> Strength:
        return strength if check(compact(text, separators).upper()) else Strength.NONE

    return judge


def glued(buffer: bytes, start: int, end: int) -> bool:
    """Return whether a number is part of something longer, joined by `-`, `.` or `/`."""
    before, after = buffer[start - 2 : start], buffer[end : end + 2]
    left = before[-1:] in b"-./" and before[:1].isalnum()
    return left or (after[:1] in b"-./" and after[1:].isalnum())
