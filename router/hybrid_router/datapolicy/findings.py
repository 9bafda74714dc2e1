"""What was found in a body, by the text in which it stands."""

from __future__ import annotations

import bisect
from itertools import accumulate
from typing import TYPE_CHECKING, Final

import msgspec

from hybrid_router.datapolicy.work import MOST

if TYPE_CHECKING:
    from hybrid_router.datapolicy.document import Document
    from hybrid_router.datapolicy.scanner import Scanner, Span

BETWEEN: Final = "\x00"
"""Between two texts of a document: no finding reaches over it."""
SEAM: Final = 96
"""Characters on both sides of a seam that are read as one."""
_APART: Final = "\n" * 384
"""Between a document and its seams: more than a detector looks around itself for."""

_Seam = tuple[int, int, str]
"""Indices of a text and of the one that follows it, and what a reader puts between them."""

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


def findings(scanner: Scanner, document: Document, most: int = MOST) -> list[Finding]:
    """Return everything that a scanner finds in a document; its seams are scanned with it.

    Args:
        scanner: to look with.
        document: to look at.
        most: places in it that are looked at.
    """
    texts = document.texts
    pieces = [*texts, *document.numbers]
    seams = _seams(document)
    size = 0
    if seams:
        size = sum(map(len, pieces)) + len(pieces) - 1 + len(_APART)
        pieces[-1] = f"{pieces[-1]}{_APART}{_joined(texts, seams)}"
    spans = scanner.scan(BETWEEN.join(pieces), most)
    if not spans:
        return []
    if not seams:
        return _by_text(spans, texts)
    found = _by_text([span for span in spans if span.start < size], texts)
    return found + _across([span for span in spans if span.start >= size], texts, seams, size)


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


def _seams(document: Document) -> list[_Seam]:
    """Return the seams of texts that are not empty; twice where groups of digits may meet."""
    texts = document.texts
    found = [(a, b, "") for a, b in document.seams if texts[a] and texts[b]]
    return found + [
        (a, b, "\n") for a, b, _ in found if texts[a][-1].isdigit() and texts[b][0].isdigit()
    ]


def _joined(texts: list[str], seams: list[_Seam]) -> str:
    return BETWEEN.join([texts[a][-SEAM:] + gap + texts[b][:SEAM] for a, b, gap in seams])


def _across(spans: list[Span], texts: list[str], seams: list[_Seam], begin: int) -> list[Finding]:
    """Return what is only found when two neighbouring texts are read as one."""
    found: list[Finding] = []
    if not spans:
        return found
    sizes = [(min(len(texts[a]), SEAM), min(len(texts[b]), SEAM), len(g)) for a, b, g in seams]
    starts = [0, *accumulate([head + tail + gap + 1 for head, tail, gap in sizes])]
    for span in spans:
        index = bisect.bisect_right(starts, span.start - begin) - 1
        left, right = seams[index][0], seams[index][1]
        start, end = span.start - begin - starts[index], span.end - begin - starts[index]
        size, gap = sizes[index][0], sizes[index][2]
        if start < size and size + gap < end:
            at = len(texts[left]) - size
            found.append(Finding(span.type, left, at + start, at + size))
            found.append(Finding(span.type, right, 0, end - size - gap))
    return found
