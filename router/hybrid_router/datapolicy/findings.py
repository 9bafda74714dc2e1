"""What was found in a body, by the text in which it stands."""

from __future__ import annotations

import bisect
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hybrid_router.datapolicy.document import Document
    from hybrid_router.datapolicy.scanner import Scanner, Span

BETWEEN = "\x00"
"""Between two texts of a document: no finding reaches over it."""
SEAM = 96
"""Characters on both sides of a seam that are read as one."""


@dataclass(frozen=True, slots=True)
class Finding:
    """A finding in one text of a document.

    Attributes:
        text: index in `Document.texts`; -1 for a number.
        start: characters.
        end: characters.
    """

    type: str
    text: int
    start: int
    end: int


def findings(scanner: Scanner, document: Document) -> list[Finding]:
    """Return everything that a scanner finds in a document."""
    texts = document.texts
    numbers = document.numbers
    whole = BETWEEN.join([*texts, *numbers]) if numbers else BETWEEN.join(texts)
    spans = scanner.scan(whole)
    found = _by_text(spans, texts) if spans else []
    if document.seams:
        found += _across(scanner, document)
    return found


def _by_text(spans: list[Span], texts: list[str]) -> list[Finding]:
    starts = [0, *accumulate(len(text) + 1 for text in texts)]
    found = []
    for span in spans:
        index = bisect.bisect_right(starts, span.start) - 1
        if index >= len(texts):
            found.append(Finding(span.type, -1, 0, 0))
            continue
        first = starts[index]
        end = min(span.end - first, len(texts[index]))
        found.append(Finding(span.type, index, span.start - first, end))
    return found


def _across(scanner: Scanner, document: Document) -> list[Finding]:
    """Return what is only found when two neighbouring texts are read as one."""
    texts = document.texts
    pieces: list[str] = []
    places: list[tuple[int, int, int]] = []
    at = 0
    for left, right in document.seams:
        head, tail = texts[left][-SEAM:], texts[right][:SEAM]
        if head and tail:
            places.append((at + len(head), left, right))
            pieces.append(head + tail)
            at += len(head) + len(tail) + 1
    found: list[Finding] = []
    whole = BETWEEN.join(pieces)
    for span in scanner.scan(whole) if pieces else ():
        index = bisect.bisect_right(places, (span.start, len(texts), 0))
        if index < len(places) and span.start < places[index][0] < span.end:
            middle, left, right = places[index]
            size = len(texts[left])
            start = size - (middle - span.start)
            found.append(Finding(span.type, left, start, size))
            found.append(Finding(span.type, right, 0, span.end - middle))
    return found
