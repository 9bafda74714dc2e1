r"""Detectors of payment cards and bank accounts, in the spellings that people and documents use.

Between two groups of a number stands a joint: spaces, tabs, a line break (as such or as `\n`), a
dash, the border of a table's cell, signs of markup. A card's check digit is right for one number in
ten, and people write columns of four-digit numbers. So each group may begin a card, and how the
groups stand among other groups says how sure that is.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from hybrid_router.datapolicy import checks
from hybrid_router.datapolicy.detector import LEFT, Detector, Strength, form

_JOINT: Final = rb"(?:[ \t\r\n\-._*|/+`]|\\[nrt]){1,6}"
# The same in a shape, where `\n` is `\A`: one class, which is two thirds of the automaton's work.
_SHAPE_JOINT: Final = rb"[ \t\r\n\-._*|/+`\\A]{1,6}"
_joint: Final = re.compile(_JOINT)
_blank: Final = re.compile(rb"(?:[ \t\r\n*`]|\\[nrt])+")
_wide: Final = re.compile(rb"[\t\r\n]|  |\\[nrt]")
"""What columns and lines are set apart by."""
_BREAKS: Final = (b"\n", b"\\n", b"\r", b"\\r")
_SPACE: Final = b" "
_IN_LINE: Final = frozenset({_SPACE, b"-", b".", b"_", b"/"})
"""Joints within a line of text, each group next to the other."""
_APART: Final = frozenset({b"|", b"+"})
"""Joints between things that may have nothing to do with each other: cells, summands."""

_START: Final = rb"(?:(?<![0-9A-Za-z\\])|(?<=\\[nrt]))"
_STOP: Final = rb"(?![0-9A-Za-z])"
_next: Final = re.compile(rb"(" + _JOINT + rb")(\d{4})" + _STOP)
_previous: Final = re.compile(_START + rb"(\d{4})(" + _JOINT + rb")$")
_head: Final = re.compile(rb"(?<![0-9A-Za-z])[A-Za-z]{2}\d\d(?=" + _JOINT + rb")")
_DIGITS: Final = 16
"""Digits of a card in four groups of four."""
_FEW: Final = 8
"""Digits beside it that make no series of four-digit numbers: a year and an amount."""
_FEW_CELLS: Final = 4
"""The same where each group has a line, a column or a cell of its own."""
_FAR: Final = 2 * _DIGITS
"""Digits beside a card that are looked at, on each side."""


@lru_cache(maxsize=256)
def _kind(joint: bytes) -> bytes:
    """Return what a joint comes to without white space and markup."""
    if not joint.strip(b"_"):
        return b"_"
    return _blank.sub(b"", joint).strip(b"_") or _SPACE


@lru_cache(maxsize=256)
def _breaks(joint: bytes) -> bool:
    return any(each in joint for each in _BREAKS)


def _bare_card(text: str, buffer: bytes, start: int, end: int) -> Strength:
    """Judge digits without joints; a fraction, a version or a part of a name is no card."""
    if not checks.payment_card(text):
        return Strength.NONE
    before, after = buffer[max(0, start - 2) : start], buffer[end : end + 2]
    left = before[:1].isdigit() if before[-1:] == b"." else before[:1].isalnum()
    if before[-1:] in {b".", b"-", b"/"} and left:
        return Strength.NONE
    right = (after[:1] == b"." and after[1:].isdigit()) or (
        after[:1] == b"-" and after[1:].isalnum()
    )
    return Strength.NONE if right else Strength.STRONG


def _card(text: str, buffer: bytes, start: int, end: int) -> Strength:
    """Judge digits in groups by their joints, and by what they are joined to."""
    if not checks.payment_card("".join(filter(str.isdigit, text))):
        return Strength.NONE
    joints = _joint.findall(buffer, start, end)
    kinds = {_kind(each) for each in joints}
    kind = kinds.pop()
    if kinds:
        return Strength.WEAK
    if kind not in _IN_LINE and kind not in _APART:
        return Strength.NONE
    table = kind in _APART or any(_wide.search(each) for each in joints)
    return _among_others(buffer, (start, end), kind, table=table)


def _among_others(buffer: bytes, span: tuple[int, int], kind: bytes, *, table: bool) -> Strength:
    """Judge the digits of a card by the groups beside them; in a table there are many."""
    start, end = span
    line = _beside(buffer, start, end, {kind}, breaks=False)
    if _part_of_a_name(buffer, start, end, kind, line):
        return Strength.NONE
    if _in_an_iban(buffer, start):
        return Strength.WEAK
    if not table and not any(line):
        return Strength.STRONG
    left, right = _beside(buffer, start, end, {kind, kind + kind}, breaks=True)
    odd = len(left) % _DIGITS, len(right) % _DIGITS
    cards = _are_cards(left[odd[0] :]) and _are_cards(right[: len(right) - odd[1]])
    few = _FEW_CELLS if table else _FEW
    return Strength.STRONG if cards and sum(odd) <= few else Strength.WEAK


def _are_cards(digits: bytes) -> bool:
    """Return whether digits are numbers of cards, one behind the other."""
    return all(
        checks.payment_card(digits[at : at + _DIGITS].decode())
        for at in range(0, len(digits), _DIGITS)
    )


def _beside(
    buffer: bytes, start: int, end: int, kinds: set[bytes], *, breaks: bool
) -> tuple[bytes, bytes]:
    """Return the digits of the groups of four on both sides that joints lead to, eight at most.

    Args:
        buffer: where they stand.
        start: of the card.
        end: of the card.
        kinds: of joint.
        breaks: whether it may lead to another line.
    """
    left = right = b""
    while len(left) < _FAR and (match := _previous.search(buffer[max(0, start - 12) : start])):
        if _kind(match[2]) not in kinds or (_breaks(match[2]) and not breaks):
            break
        left = match[1] + left
        start -= len(match[0])
    while len(right) < _FAR and (match := _next.match(buffer, end)):
        if _kind(match[1]) not in kinds or (_breaks(match[1]) and not breaks):
            break
        right += match[2]
        end = match.end()
    return left, right


def _part_of_a_name(
    buffer: bytes, start: int, end: int, kind: bytes, beside: tuple[bytes, bytes]
) -> bool:
    """Return whether the groups' own joint leads to letters or to digits that are no group."""
    before, after = buffer[max(0, start - 2) : start], buffer[end : end + 2]
    if kind not in {b"-", b".", b"_", b"/"}:
        return False
    if not beside[0] and before[-1:] == kind and before[:1].isalnum():
        return True
    joined = after[1:].isalnum() if kind == b"-" else after[1:].isdigit()
    return not beside[1] and kind != b"/" and after[:1] == kind and joined


def _in_an_iban(buffer: bytes, start: int) -> bool:
    """Return whether a place lies in what is written as an IBAN, right or not."""
    return any(
        (match := _iban_form.match(buffer, head.start())) is not None and match.end() > start
        for head in _head.finditer(buffer, max(0, start - 64), start)
    )


def _iban(text: str, buffer: bytes, start: int, end: int) -> Strength:
    if not checks.iban("".join(filter(str.isalnum, _unescaped(text))).upper()):
        return Strength.NONE
    kinds = {_kind(each) for each in _joint.findall(buffer, start, end)}
    if kinds <= {_SPACE} or kinds == {b"-"}:
        return Strength.STRONG
    groups = _joint.sub(b" ", buffer[start:end]).split()
    in_fours = all(len(group) == 4 for group in groups[:-1])  # noqa: PLR2004  as they are printed
    return Strength.STRONG if len(kinds) == 1 and in_fours else Strength.NONE


def _unescaped(text: str) -> str:
    return re.sub(r"\\[nrt]", " ", text)


def _ibans() -> bytes:
    """Return the expression of an IBAN; what begins like none is not held against each country."""
    countries: dict[int, list[bytes]] = {}
    for country, length in checks.IBAN_LENGTHS.items():
        countries.setdefault(length, []).append(country.encode())
    each = (
        b"(?:%s)..(?:(?:%s)?[A-Z0-9]){%d}" % (b"|".join(names), _JOINT, length - 4)
        for length, names in countries.items()
    )
    return rb"(?=[A-Z]{2}\d\d)(?:" + b"|".join(each) + b")"


_iban_form: Final = form(_ibans(), ignore_case=True)


def _in_groups(groups: bytes) -> re.Pattern[bytes]:
    """Compile a form of which each group may be the beginning, also within another one."""
    joined = groups.replace(b" ", _JOINT)
    return re.compile(_START + rb"(?=(?P<v>" + joined + rb")" + _STOP + rb")")


# Each apart: where both are one expression, a text full of longer numbers takes twice as long.
_BEFORE: Final = (rb"[^0A]", rb"\\A")
_FOURS: Final = _SHAPE_JOINT.join((b"0000", b"0000", b"0000", b"0"))
_FOUR_SIX: Final = _SHAPE_JOINT.join((b"0000", b"000000", b"0000"))

# Before those of national ids: of two readings that are equally sure and long, the first stays.
DETECTORS: tuple[Detector, ...] = (
    Detector(
        "payment-card",
        re.compile(_START + rb"[2-6]\d{12,18}" + _STOP),
        _bare_card,
        runs=tuple(range(13, 20)),
        back=22,
    ),
    Detector(
        "payment-card",
        _in_groups(rb"[2-6]\d{3} \d{4} \d{4} \d{1,7}|3\d{3} \d{6} \d{4,5}"),
        _card,
        shapes=tuple(before + groups for before in _BEFORE for groups in (_FOURS, _FOUR_SIX)),
        back=34,
        ahead=8,
    ),
    Detector(  # also where the first four groups could be a card of their own
        "payment-card",
        _in_groups(rb"[2-6]\d{3} \d{4} \d{4} \d{4} \d{3}"),
        _card,
        shapes=tuple(before + _FOURS for before in _BEFORE),
        back=34,
        ahead=14,
    ),
    Detector(
        "iban",
        _iban_form,
        _iban,
        shapes=tuple(
            LEFT + b"AA00" + joint + group
            for joint in (b"", _SHAPE_JOINT)
            for group in (b"0000", b"AAAA", b"A000", b"000A", b"AA00", b"A00A")
        ),
        back=16,
        ahead=72,
    ),
)
