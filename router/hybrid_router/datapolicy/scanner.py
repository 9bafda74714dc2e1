"""From text to spans: one pass of the automata, then the forms, then the words around them."""

from __future__ import annotations

from bisect import bisect_right
from functools import lru_cache
from typing import TYPE_CHECKING, Final

import msgspec

from hybrid_router.datapolicy import contact, credentials, identity, labels, payment, views
from hybrid_router.datapolicy.automaton import Automaton
from hybrid_router.datapolicy.detector import LEFT, Detector, Strength, shape

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from hybrid_router.datapolicy.custom import Custom

BUILT_IN: Final[tuple[Detector, ...]] = (
    *payment.DETECTORS,
    *identity.DETECTORS,
    *contact.DETECTORS,
    *credentials.DETECTORS,
)


class Span(msgspec.Struct, frozen=True):
    """A finding: its type, and where it begins and ends."""

    type: str
    start: int
    end: int


class _Candidate(msgspec.Struct, frozen=True):
    type: str
    start: int
    end: int
    rank: int
    """The higher, the surer."""


_SURE: Final = 3
_LABELLED: Final = 2
_PLAUSIBLE: Final = 1


class Forms:
    """The built-in detectors of some types.

    Args:
        types: those to find.
    """

    def __init__(self, types: Iterable[str]) -> None:
        wanted = set(types)
        self._detectors = [d for d in BUILT_IN if d.type in wanted]
        count = len(self._detectors)
        self._escape, self._fold, self._base64 = count, count + 1, count + 2
        shapes = [
            (index, each, False) for index, d in enumerate(self._detectors) for each in d.shapes
        ]
        self._codes = _Triggers([trigger for trigger in shapes if _code(trigger[1])])
        self._figures = _Triggers([trigger for trigger in shapes if not _code(trigger[1])])
        words = [
            (index, each, d.ignore_case)
            for index, d in enumerate(self._detectors)
            for each in d.words
        ]
        self._words = _Triggers([*words, *((self._escape, each, True) for each in views.ESCAPES)])
        self._folds = _Triggers([(self._fold, each, False) for each in views.FOLDS])
        self._long_words = _Triggers([(self._base64, views.LONG_WORD, False)])
        self._tokens = Automaton([(views.BASE64, False)])

    def find(self, buffer: bytes, *, depth: int = 1) -> list[Span]:
        """Return the spans of `buffer` in bytes, in order and without overlaps.

        Args:
            buffer: UTF-8 that begins and ends with a byte that belongs to no word.
            depth: how often something may be unwrapped: escapes, look-alikes, base64.
        """
        shaped = shape(buffer)
        hits = self._words.hits(buffer) + self._long_words.hits(buffer)
        hits += self._figures.hits(shaped) + self._codes.hits(shaped)
        if not buffer.isascii():
            hits += self._folds.hits(buffer)
        if not hits:
            return []
        hits.sort()
        count = len(self._detectors)
        found = self._candidates(buffer, [hit for hit in hits if hit[0] < count])
        if depth and hits[-1][0] >= count:
            found += self._unwrapped(buffer, [hit for hit in hits if hit[0] >= count], depth - 1)
        return _resolve(found)

    def _unwrapped(
        self, buffer: bytes, marks: list[tuple[int, int]], depth: int
    ) -> list[_Candidate]:
        """Return what is found when suspicious places are read as they are meant."""
        found: list[_Candidate] = []
        for low, high in _regions([end for kind, end in marks if kind != self._base64], buffer):
            text = buffer[low:high].decode(errors="replace")
            view = views.read(text)
            padded = f"\n{view.text}\n".encode(errors="replace")
            at, start = 0, low
            for span in _in_characters(self.find(padded, depth=depth), padded):
                first, last = view.source(span.start - 1, span.end - 1)
                start += len(text[at:first].encode())
                at = first
                end = start + len(text[first:last].encode())
                found.append(_Candidate(span.type, start, end, _SURE))
        seen = -1
        long_words = marks[-1][0] == self._base64
        for end, _ in self._tokens.ends(buffer) if long_words else ():
            if end <= seen:
                continue
            place = views.token(buffer, end)
            seen = place[1]
            raw = views.decoded(buffer[place[0] : place[1]])
            if raw is not None:
                inner = self.find(b"\n%s\n" % raw, depth=depth)
                found += [_Candidate(span.type, *place, _PLAUSIBLE) for span in inner]
        return found

    def _candidates(self, buffer: bytes, hits: list[tuple[int, int]]) -> list[_Candidate]:
        found: list[_Candidate] = []
        known: dict[int, labels.Label | None] = {}
        for index, low, high, last in _windows(hits, self._detectors):
            detector = self._detectors[index]
            for match in detector.form.finditer(buffer, low, high):
                if match.start() > last:
                    break  # it has a trigger of its own, and the window may cut it short
                start, stop = match.span("v" if "v" in detector.form.groupindex else 0)
                text = buffer[start:stop].decode(errors="replace")
                strength = detector.judge(text, buffer, start, stop)
                if strength is Strength.NONE:
                    continue
                rank = _rank(detector.type, strength, buffer, (start, stop), known)
                if rank:
                    found.append(_Candidate(detector.type, start, stop, rank))
        return found


def _windows(
    hits: list[tuple[int, int]], detectors: Sequence[Detector]
) -> list[tuple[int, int, int, int]]:
    """Return (detector, low, high, end of the last trigger) of what is looked at, from `hits`.

    Where triggers stand close together, as in a log of numbers, their surroundings are one window:
    a form passes over each place once.
    """
    windows: list[tuple[int, int, int, int]] = []
    current = -1
    low = high = last = back = ahead = 0
    for index, end in hits:
        if index == current and end - back <= high:
            high, last = end + ahead, end
            continue
        if current >= 0:
            windows.append((current, low, high, last))
        current, last = index, end
        back, ahead = detectors[index].back, detectors[index].ahead
        low, high = max(0, end - back), end + ahead
    if current >= 0:
        windows.append((current, low, high, last))
    return windows


def _code(expression: bytes) -> bool:
    """Return whether a shape is a word's beginning with letters before figures, as IBANs have.

    Apart from the others, and the folds and long words likewise: in one automaton all take two to
    three times as long, for then their common part is everywhere in prose.
    """
    return expression.startswith(LEFT) and b"AA00" in expression


class _Triggers:
    """Triggers in one automaton; equal ones are looked for once.

    Args:
        triggers: of which detector, the expression, and whether case is ignored.
    """

    def __init__(self, triggers: Sequence[tuple[int, bytes, bool]]) -> None:
        self._owners: dict[tuple[bytes, bool], list[int]] = {}
        for index, expression, ignore_case in triggers:
            self._owners.setdefault((expression, ignore_case), []).append(index)
        self._by_id = list(self._owners.values())
        self._automaton = (
            Automaton(list(self._owners), (views.LONG_WORD,)) if self._owners else None
        )

    def hits(self, data: bytes) -> list[tuple[int, int]]:
        """Return (detector, end) of every trigger."""
        if self._automaton is None:
            return []
        owners = self._by_id
        return [(i, end) for end, id_ in self._automaton.ends(data) for i in owners[id_]]


def _rank(
    type_: str,
    strength: Strength,
    buffer: bytes,
    span: tuple[int, int],
    known: dict[int, labels.Label | None],
) -> int:
    """Return how sure a candidate is with the words around it; 0 if it is none."""
    if strength is Strength.STRONG:
        return _SURE
    start, end = span
    if start not in known:
        known[start] = labels.before(buffer, start)
    label = known[start]
    if label is not None and type_ in label.types:
        return _LABELLED
    if labels.named_after(buffer, end, type_):
        return _LABELLED
    if strength is Strength.WEAK or (label is not None and label.vetoes):
        return 0
    return _PLAUSIBLE


def _resolve(candidates: list[_Candidate]) -> list[Span]:
    """Return the surest ones that do not overlap; of equals the longest."""
    candidates.sort(key=lambda c: c.start)
    taken: list[_Candidate] = []
    first, end = 0, 0
    for index, each in enumerate(candidates):
        if each.start >= end:
            taken += _surest(candidates[first:index])
            first = index
        end = max(end, each.end)
    taken += _surest(candidates[first:])
    return [Span(t.type, t.start, t.end) for t in taken]


def _surest(candidates: list[_Candidate]) -> list[_Candidate]:
    """Return the same of candidates that hang together, in order."""
    if len(candidates) < 2:  # noqa: PLR2004  nothing to choose
        return candidates
    taken: list[_Candidate] = []
    for each in sorted(candidates, key=lambda c: (-c.rank, c.start - c.end, c.start)):
        at = bisect_right(taken, each.start, key=lambda c: c.start)
        after_end = at and taken[at - 1].end > each.start
        if not after_end and (at == len(taken) or taken[at].start >= each.end):
            taken.insert(at, each)
    return taken


def _regions(ends: list[int], buffer: bytes) -> list[tuple[int, int]]:
    """Return the surroundings of `ends`, joined where they touch, without cut characters."""
    regions: list[tuple[int, int]] = []
    for end in sorted(ends):
        low, high = max(0, end - views.NEARBY), min(len(buffer), end + views.NEARBY)
        while low and buffer[low] & 0xC0 == 0x80:  # noqa: PLR2004  inside a character of UTF-8
            low -= 1
        while high < len(buffer) and buffer[high] & 0xC0 == 0x80:  # noqa: PLR2004  the same
            high += 1
        if regions and low <= regions[-1][1]:
            regions[-1] = (regions[-1][0], high)
        else:
            regions.append((low, high))
    return regions


def _in_characters(spans: list[Span], buffer: bytes) -> list[Span]:
    """Return spans in characters for spans in bytes; `spans` are in order."""
    if not spans or buffer.isascii():
        return spans
    converted, at, characters = [], 0, 0
    for span in spans:
        characters += len(buffer[at : span.start].decode(errors="replace"))
        length = len(buffer[span.start : span.end].decode(errors="replace"))
        converted.append(Span(span.type, characters, characters + length))
        characters, at = characters + length, span.end
    return converted


@lru_cache(maxsize=4)
def _forms(types: frozenset[str]) -> Forms:
    """Return the detectors of some types: compiling them takes 0.3 s, so the last ones are kept."""
    return Forms(types)


class Scanner:
    """Finds what a policy names: built-in types, own patterns and words.

    Args:
        types: built-in types.
        custom: own patterns and lists of words.
    """

    def __init__(self, types: Iterable[str], custom: Custom | None = None) -> None:
        self._forms = _forms(frozenset(types))
        self._custom = custom

    def scan(self, text: str) -> list[Span]:
        """Return the findings, in characters, in order.

        Built-in types do not overlap each other; own patterns may overlap anything.
        """
        buffer = f"\n{text}\n".encode(errors="replace")
        spans = [
            Span(span.type, span.start - 1, min(span.end - 1, len(text)))
            for span in _in_characters(self._forms.find(buffer), buffer)
        ]
        if self._custom is not None:
            spans = sorted(spans + self._custom.find(text), key=lambda s: (s.start, s.end))
        return spans
