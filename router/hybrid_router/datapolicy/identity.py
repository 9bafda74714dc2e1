"""Detectors of national ids."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hybrid_router.datapolicy import checks
from hybrid_router.datapolicy.detector import (
    LEFT,
    RIGHT,
    Detector,
    Strength,
    checked,
    compact,
    form,
    glued,
)

if TYPE_CHECKING:
    from collections.abc import Callable


def _bare_or_grouped(
    check: Callable[[str], bool], bare: Strength, grouped: Strength
) -> Callable[[str, bytes, int, int], Strength]:
    """Return a judge that trusts digits written in groups more than bare ones."""

    def judge(text: str, buffer: bytes, start: int, end: int) -> Strength:
        digits = compact(text).upper()
        if glued(buffer, start, end) or not check(digits):
            return Strength.NONE
        return bare if len(digits) == len(text) else grouped

    return judge


def _nino(text: str, _buffer: bytes, _start: int, _end: int) -> Strength:
    if not checks.uk_nino(compact(text).upper()):
        return Strength.NONE
    return Strength.MEDIUM if text[:2].isupper() else Strength.WEAK


def _dni(text: str, buffer: bytes, start: int, end: int) -> Strength:
    number = compact(text).upper()
    check = checks.es_nie if number[0] in "XYZ" else checks.es_dni
    if not check(number) or glued(buffer, start, end):
        return Strength.NONE
    return Strength.MEDIUM if text[-1].isupper() else Strength.WEAK


def _ssn(text: str, buffer: bytes, start: int, end: int) -> Strength:
    if not checks.us_ssn(compact(text)) or glued(buffer, start, end):
        return Strength.NONE
    return Strength.MEDIUM if text[3] == "-" else Strength.WEAK


def _bsn(text: str, buffer: bytes, start: int, end: int) -> Strength:
    if not checks.nl_bsn(compact(text)) or glued(buffer, start, end):
        return Strength.NONE
    return Strength.MEDIUM if len(text) > 9 and text[4] == "." else Strength.WEAK  # noqa: PLR2004


# Shapes that several types share.
TRIPLES = rb"000[ .\-/]000" + RIGHT
"""The end of 12 345 678 901, of 123.456.789, and of many phone numbers."""
SPACED_FIVE = tuple(
    LEFT + b"0" * count + joint + b"00000"
    for count in (2, 3, 4, 5)
    for joint in (b" ", b"-", b"/", b"\\) ?", b" [-/] ")
)
"""An area code, and five digits or more behind it."""

DETECTORS: tuple[Detector, ...] = (
    Detector(
        "us-ssn",
        form(rb"\d{3}-\d{2}-\d{4}|\d{3} \d{2} \d{4}|\d{3}\.\d{2}\.\d{4}|\d{9}"),
        _ssn,
        shapes=(
            rb"000-00-0000" + RIGHT,
            rb"000 00 0000" + RIGHT,
            rb"000\.00\.0000" + RIGHT,
        ),
        runs=(9,),
        back=14,
    ),
    Detector(
        "uk-nino",
        form(
            rb"[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z]([ \-]?)\d{2}([ \-]?)\d{2}\2\d{2}([ \-]?)[A-D]",
            ignore_case=True,
        ),
        _nino,
        shapes=tuple(
            LEFT + written + RIGHT
            for written in (
                rb"AA000000A",
                rb"AA 00 00 00 A",
                rb"AA-00-00-00-A",
                rb"AA 000000 A",
                rb"AA-000000-A",
                rb"AA00 00 00A",
                rb"AA00 00 00 A",
                rb"AA 000000A",
            )
        ),
        back=18,
    ),
    Detector(
        "de-steuer-id",
        form(rb"[1-9]\d([ /.]?)\d{3}\1\d{3}\1\d{3}"),
        _bare_or_grouped(checks.de_steuer_id, Strength.MEDIUM, Strength.STRONG),
        shapes=(TRIPLES,),
        runs=(11,),
        back=18,
    ),
    Detector(
        "fr-nir",
        form(
            rb"[1-478]([ \-.]?)\d{2}\1\d{2}\1\d[0-9AB]\1\d{3}\1\d{3}(?: ?[/\-|] ?|\1| ?)\d{2}",
            ignore_case=True,
        ),
        checked(checks.fr_nir, Strength.STRONG, " -./|"),
        shapes=(
            TRIPLES,
            rb"0 00 00 0A 000 ",
            rb"0{6}A0{8}" + RIGHT,
            rb"0{13}[ \-/]00" + RIGHT,
        ),
        runs=tuple(range(13, 20)),
        back=28,
        ahead=12,
    ),
    Detector(
        "es-dni",
        form(
            rb"(?:\d{8}|\d{1,2}\.\d{3}\.\d{3}|[XYZ][ \-]?(?:\d{7}|\d\.\d{3}\.\d{3}))[ \-]?[A-Z]",
            ignore_case=True,
        ),
        _dni,
        shapes=tuple(
            digits + letter + RIGHT
            for digits in (LEFT + rb"00000000", rb"A0000000", rb"A[ \-]0000000", rb"\.000\.000")
            for letter in (b"A", b"-A", b" A")
        ),
        back=18,
    ),
    Detector(
        "it-codice-fiscale",
        form(
            rb"[A-Z]{3}([ \-]?)[A-Z]{3}\1[0-9L-V]{2}[A-EHLMPRST][0-9L-V]{2}\1[A-Z][0-9L-V]{3}"
            rb"[ \-]?[A-Z]",
            ignore_case=True,
        ),
        checked(checks.it_codice_fiscale, Strength.STRONG),
        shapes=(
            LEFT + rb"A{6}00A00A000A" + RIGHT,
            rb"AAA AAA 00A00 A000 ?A" + RIGHT,
            rb"AAA-AAA-00A00-A000-?A" + RIGHT,
            *(  # digits replaced by letters where two people would share a number
                LEFT + rb"AAAAAA" + rest + RIGHT
                for rest in (rb"00A00A00AA", rb"00A00A0AAA", rb"00A00AAAAA", rb"00A0AAAAAA")
            ),
        ),
        back=24,
    ),
    Detector(
        "nl-bsn",
        form(rb"\d{9}|\d{4}\.\d{2}\.\d{3}|\d{4} \d{2} \d{3}|\d{3}([ .\-])\d{3}\1\d{3}"),
        _bsn,
        shapes=(TRIPLES, rb"0000\.00\.000" + RIGHT, rb"0000 00 000" + RIGHT),
        runs=(9,),
        back=14,
    ),
    Detector(
        "pl-pesel",
        form(rb"\d{6}[ \-]?\d{5}"),
        _bare_or_grouped(checks.pl_pesel, Strength.MEDIUM, Strength.MEDIUM),
        shapes=(LEFT + rb"000000[ \-]00000" + RIGHT,),
        runs=(11,),
        back=16,
    ),
    Detector(
        "br-cpf",
        form(rb"\d{3}([. ])\d{3}\1\d{3}[\-/ ]\d{2}|\d{9}-?\d{2}"),
        _bare_or_grouped(checks.br_cpf, Strength.MEDIUM, Strength.STRONG),
        shapes=(TRIPLES, rb"000000000-00" + RIGHT),
        runs=(11,),
        back=18,
    ),
    Detector(
        "vn-cccd",
        form(rb"0\d{2}([ .\-]?)\d{3}\1\d{3}\1\d{3}"),
        _bare_or_grouped(checks.vn_cccd, Strength.WEAK, Strength.WEAK),
        shapes=(TRIPLES,),
        runs=(12,),
        back=19,
        ahead=6,
    ),
)
