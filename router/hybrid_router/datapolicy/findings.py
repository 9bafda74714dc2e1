"""What was found in a body, by the text in which it stands."""

from __future__ import annotations

import bisect
from itertools import accumulate
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

if TYPE_CHECKING:
    from hybrid_router.datapolicy.document import Document
    from hybrid_router.datapolicy.scanner import Scanner, Span

BETWEEN: Final = "\x00"
"""Between two texts of a document: no finding reaches over it."""
SEAM: Final = 96
"""Characters on both sides of a seam that are read as one."""
_APART: Final = "\n" * 384
"""Between a document and its seams: more than a detector looks around itself for."""


class Finding(msgspec.Struct, frozen=True):
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
    """Return everything that a scanner finds in a document; its seams are scanned with it."""
    pieces = [*document.texts, *document.numbers]
    seams = _seams(document)
    size = 0
    if seams:
        size = sum(map(len, pieces)) + len(pieces) - 1 + len(_APART)
        pieces[-1] = f"{pieces[-1]}{_APART}{BETWEEN.join([h + t for h, t, _, _ in seams])}"
    spans = scanner.scan(BETWEEN.join(pieces))
    if not spans:
        return []
    if not seams:
        return _by_text(spans, document.texts)
    found = _by_text([span for span in spans if span.start < size], document.texts)
    return found + _across([span for span in spans if span.start >= size], seams, size)


def _by_text(spans: list[Span], texts: list[str]) -> list[Finding]:
    starts = [0, *accumulate([len(text) + 1 for text in texts])]
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


class _Seam(NamedTuple):
    """Where one text ends and the next begins."""

    head: str
    """The end of the first text."""
    tail: str
    """The beginning of the second one."""
    at: int
    """Where `head` begins in the first text."""
    texts: tuple[int, int]


def _seams(document: Document) -> list[_Seam]:
    texts = document.texts
    found: list[_Seam] = []
    for pair in document.seams:
        left, right = texts[pair[0]], texts[pair[1]]
        if left and right:
            head = left[-SEAM:]
            found.append(_Seam(head, right[:SEAM], len(left) - len(head), pair))
    return found


def _across(spans: list[Span], seams: list[_Seam], begin: int) -> list[Finding]:
    """Return what is only found when two neighbouring texts are read as one."""
    found: list[Finding] = []
    starts = [0, *accumulate([len(s.head) + len(s.tail) + 1 for s in seams])]
    for span in spans:
        index = bisect.bisect_right(starts, span.start - begin) - 1
        seam = seams[index]
        start, end = span.start - begin - starts[index], span.end - begin - starts[index]
        size = len(seam.head)
        if start < size < end:
            left, right = seam.texts
            found.append(Finding(span.type, left, seam.at + start, seam.at + size))
            found.append(Finding(span.type, right, 0, end - size))
    return found
