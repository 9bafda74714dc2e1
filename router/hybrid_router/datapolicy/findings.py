"""What was found in a body, by the text in which it stands."""

from __future__ import annotations

import bisect
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, Final

import msgspec

from hybrid_router.datapolicy.budget import MOST_PLACES

if TYPE_CHECKING:
    from hybrid_router.datapolicy.document import Document
    from hybrid_router.datapolicy.scanner import Scanner, Span

BETWEEN: Final = "\x00"
"""Between two texts of a document: no finding reaches over it."""
SEAM: Final = 96
"""Characters at the ends of two texts that are read as one; a shorter text is read with both."""
_APART: Final = "\n" * 384
"""Between a document and its seams: more than a detector looks around itself for."""

_Row = tuple[list[int], list[str], list[str]]
"""Of texts that are read as one: indices, what is read of each, and the same with what a reader
puts before it."""

NUMBER: Final = -1
"""In the place of a text's index: it is a number."""
NOWHERE: Final = -2
"""Likewise: there was too much to look at, so that the type counts as found."""


class Finding(msgspec.Struct, frozen=True):
    """A finding in one text of a document.

    Attributes:
        text: index in `Document.texts`; `NUMBER` or `NOWHERE` for what has no place in one.
        start: characters.
        end: characters.
    """

    type: str
    text: int
    start: int
    end: int


def findings(scanner: Scanner, document: Document, most: int = MOST_PLACES) -> list[Finding]:
    """Return everything that a scanner finds in a document; its seams are scanned with it.

    Args:
        scanner: to look with.
        document: to look at.
        most: places in it that are looked at.
    """
    texts = document.texts
    pieces = [*texts, *document.numbers]
    rows = _rows(document)
    size = 0
    if rows:
        size = sum(map(len, pieces)) + len(pieces) - 1 + len(_APART)
        pieces[-1] = f"{pieces[-1]}{_APART}{BETWEEN.join([''.join(row[2]) for row in rows])}"
    spans = scanner.scan(BETWEEN.join(pieces), most)
    if not spans:
        return []
    if not rows:
        return _by_text(spans, texts)
    found = _by_text([span for span in spans if span.start < size], texts)
    return found + _across([span for span in spans if span.start >= size], texts, rows, size)


def _by_text(spans: list[Span], texts: list[str]) -> list[Finding]:
    starts = [0, *accumulate([len(text) + 1 for text in texts])]
    found = []
    for span in spans:
        index = bisect.bisect_right(starts, span.start) - 1
        if span.start < 0 or index >= len(texts):
            found.append(Finding(span.type, NOWHERE if span.start < 0 else NUMBER, 0, 0))
            continue
        first = starts[index]
        end = min(span.end - first, len(texts[index]))
        found.append(Finding(span.type, index, span.start - first, end))
    return found


def _rows(document: Document) -> list[_Row]:
    """Return the texts that follow each other; twice where groups of digits may meet."""
    texts = document.texts
    rows: list[list[int]] = []
    meeting: set[int] = set()
    last = -1
    for left, right in document.seams:
        before, after = texts[left], texts[right]
        if not before or not after:
            continue
        if left == last and len(before) < SEAM:
            rows[-1].append(right)
        else:
            rows.append([left, right])
        last = right
        if after[0].isdigit() and before[-1].isdigit():
            meeting.add(len(rows) - 1)
    found: list[_Row] = []
    for number, row in enumerate(rows):
        read = [texts[row[0]][-SEAM:], texts[row[-1]][:SEAM]]
        if len(row) > 2:  # noqa: PLR2004  texts between the first and the last
            read[1:1] = [texts[index] for index in row[1:-1]]
        found.append((row, read, read))
        if number in meeting:
            found.append((row, read, _apart(read)))
    return found


def _apart(texts: list[str]) -> list[str]:
    """Return texts with a line's end before each where digits would run into one another."""
    return texts[:1] + [
        f"\n{after}" if after[0].isdigit() and before[-1].isdigit() else after
        for before, after in pairwise(texts)
    ]


def _across(spans: list[Span], texts: list[str], rows: list[_Row], begin: int) -> list[Finding]:
    """Return what is only found when texts that follow each other are read as one."""
    found: list[Finding] = []
    if not spans:
        return found
    starts: list[int] = []
    places: list[tuple[int, int, int]] = []
    at = begin
    for row, read, apart in rows:
        for index, text, whole in zip(row, read, apart, strict=True):
            at += len(whole) - len(text)
            starts.append(at)
            cut = len(texts[index]) - len(text) if index == row[0] else 0
            places.append((index, cut, len(text)))
            at += len(text)
        at += 1
    for span in spans:
        first = bisect.bisect_right(starts, span.start) - 1
        beyond = bisect.bisect_left(starts, span.end)
        if beyond - first < 2:  # noqa: PLR2004  it is in one text, and found there
            continue
        for start, (index, cut, size) in zip(
            starts[first:beyond], places[first:beyond], strict=True
        ):
            low, high = max(span.start - start, 0), min(span.end - start, size)
            if low < high:
                found.append(Finding(span.type, index, cut + low, cut + high))
    return found
