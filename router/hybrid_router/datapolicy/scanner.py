"""From text to spans: one pass of the automata, then the forms, then the words around them."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Final

import msgspec

from hybrid_router.datapolicy import contact, credentials, identity, labels, payment, views
from hybrid_router.datapolicy.automaton import Automaton
from hybrid_router.datapolicy.budget import MOST_PLACES, Budget
from hybrid_router.datapolicy.detector import LEFT, RUN, Detector, Strength, shape
from hybrid_router.datapolicy.overlaps import Candidate, resolved
from hybrid_router.datapolicy.triggers import Triggers, windows

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hybrid_router.datapolicy.custom import Custom

BUILT_IN: Final[tuple[Detector, ...]] = (
    *payment.DETECTORS,
    *identity.DETECTORS,
    *contact.DETECTORS,
    *credentials.DETECTORS,
)


class Span(msgspec.Struct, frozen=True):
    """A finding: its type, and where it begins and ends.

    One at -1 is nowhere: there was too much to look at, so that the type counts as found.
    """

    type: str
    start: int
    end: int


_SURE: Final = 3
_LABELLED: Final = 2
_PLAUSIBLE: Final = 1


class Found:
    """What one pass over a buffer tells.

    Attributes:
        spans: in bytes, in order and without overlaps.
        readings: what reads as something else than it is: where it begins, as it is written, as it
            is read.
        contents: base64 that stands for text: its place, and the text.
    """

    __slots__ = ("contents", "readings", "spans")

    def __init__(
        self,
        spans: list[Span],
        readings: list[tuple[int, str, views.View]],
        contents: list[tuple[tuple[int, int], bytes]],
    ) -> None:
        self.spans = spans
        self.readings = readings
        self.contents = contents


class Forms:
    """The built-in detectors of some types.

    Args:
        types: those to find.
    """

    def __init__(self, types: Iterable[str]) -> None:
        wanted = set(types)
        self._types = sorted(wanted)
        self._detectors = [d for d in BUILT_IN if d.type in wanted]
        count = len(self._detectors)
        self._escape, self._fold, self._base64 = count, count + 1, count + 2
        shapes = [
            (index, each, False) for index, d in enumerate(self._detectors) for each in d.shapes
        ]
        runs = {index: d.runs for index, d in enumerate(self._detectors) if d.runs}
        shapes += [(index, RUN, False) for index in runs]
        words = [
            (index, each, d.ignore_case)
            for index, d in enumerate(self._detectors)
            for each in d.words
        ]
        escapes = [(self._escape, each, True) for each in views.ESCAPES]
        folds = [(self._fold, each, False) for each in views.FOLDS]
        self._codes = self._triggers([each for each in shapes if _code(each[1])])
        self._figures = self._triggers([each for each in shapes if not _code(each[1])], runs)
        self._words = self._triggers(words)
        self._folds = self._triggers(folds)
        self._odd = self._triggers([*escapes, (self._base64, views.LONG_WORD, False)])
        self._tokens = Automaton([(views.BASE64, False)])

    def _triggers(
        self,
        triggers: list[tuple[int, bytes, bool]],
        runs: dict[int, tuple[int, ...]] | None = None,
    ) -> Triggers:
        """Return triggers and what depends on them: of what only looks odd, everything."""
        owners = {index for index, _, _ in triggers}
        types = {d.type for index, d in enumerate(self._detectors) if index in owners}
        odd = any(index >= len(self._detectors) for index in owners)
        return Triggers(triggers, self._types if odd else sorted(types), (views.LONG_WORD,), runs)

    def find(self, buffer: bytes, budget: Budget, *, ascii_only: bool, depth: int = 1) -> Found:
        """Return what is found in `buffer`.

        Args:
            buffer: UTF-8 that begins and ends with a byte that belongs to no word.
            budget: what may be looked at; says afterwards what was left out.
            ascii_only: what the text knows of itself, so that nobody has to look.
            depth: how often something may be unwrapped: escapes, look-alikes, base64.
        """
        places: dict[int, list[int]] = {}
        self._words.note(buffer, budget, places)
        self._odd.note(buffer, budget, places)
        shaped = shape(buffer)
        self._figures.note(shaped, budget, places)
        self._codes.note(shaped, budget, places)
        if not ascii_only:
            self._folds.note(buffer, budget, places)
        if not places:
            return Found([], [], [])
        odd = sorted(places.pop(self._escape, []) + places.pop(self._fold, []))
        long_words = places.pop(self._base64, None) is not None
        found = self._candidates(buffer, places)
        readings = _readings(buffer, odd) if depth and odd else []
        found += self._read_again(readings, budget, depth - 1)
        contents = self._contents(buffer, budget) if depth and long_words else []
        found += self._unwrapped(contents, budget, depth - 1)
        spans = [Span(each.type, each.start, each.end) for each in resolved(found)]
        return Found(spans, readings, contents)

    def _read_again(
        self, readings: list[tuple[int, str, views.View]], budget: Budget, depth: int
    ) -> list[Candidate]:
        """Return what is found when suspicious places are read as they are meant."""
        found: list[Candidate] = []
        for low, text, view in readings:
            padded = f"\n{view.text}\n".encode(errors="replace")
            within = self.find(padded, budget, ascii_only=view.text.isascii(), depth=depth).spans
            inner = _in_characters(within, padded)
            inner = [Span(span.type, span.start - 1, span.end - 1) for span in inner]
            spans = _in_bytes(inner, low, text, view)
            found += [Candidate(span.type, span.start, span.end, _SURE) for span in spans]
        return found

    def _unwrapped(
        self, contents: list[tuple[tuple[int, int], bytes]], budget: Budget, depth: int
    ) -> list[Candidate]:
        """Return what is found in base64."""
        found: list[Candidate] = []
        for place, raw in contents:
            padded = b"\n%s\n" % raw
            inner = self.find(padded, budget, ascii_only=raw.isascii(), depth=depth).spans
            found += [Candidate(span.type, *place, _PLAUSIBLE) for span in inner]
        return found

    def _contents(self, buffer: bytes, budget: Budget) -> list[tuple[tuple[int, int], bytes]]:
        """Return the place of each base64 that stands for text, and that text."""
        found: list[tuple[tuple[int, int], bytes]] = []
        seen = -1
        for end, _ in budget.ends(self._tokens, buffer, self._types):
            if end <= seen:
                continue
            place = views.token(buffer, end)
            seen = place[1]
            raw = views.decoded(buffer[place[0] : place[1]])
            if raw is not None:
                found.append((place, raw))
        return found

    def _candidates(self, buffer: bytes, places: dict[int, list[int]]) -> list[Candidate]:
        found: list[Candidate] = []
        known: dict[int, labels.Label | None] = {}
        for index in sorted(places):
            detector = self._detectors[index]
            ends = sorted(places[index])
            group = "v" if "v" in detector.form.groupindex else 0
            for low, high, last in windows(ends, detector.back, detector.ahead):
                for match in detector.form.finditer(buffer, low, high):
                    if match.start() > last:
                        break  # it has a trigger of its own, and the window may cut it short
                    start, stop = match.span(group)
                    if start >= 0:  # else it was only to be passed over
                        rank = _judged(detector, buffer, (start, stop), known)
                        if rank:
                            found.append(Candidate(detector.type, start, stop, rank))
                    if match.end() > last:
                        break  # so would the next one
        return found


def _code(expression: bytes) -> bool:
    """Return whether a shape is a word's beginning with letters before figures, as IBANs have.

    Apart from the others, and the folds and long words likewise: in one automaton all take two to
    three times as long, for then their common part is everywhere in prose.
    """
    return expression.startswith(LEFT) and b"AA00" in expression


def _judged(
    detector: Detector,
    buffer: bytes,
    span: tuple[int, int],
    known: dict[int, labels.Label | None],
) -> int:
    """Return how sure a candidate is with the words around it; 0 if it is none."""
    start, end = span
    text = buffer[start:end].decode(errors="replace")
    strength = detector.judge(text, buffer, start, end)
    if strength is Strength.NONE:
        return 0
    if strength is Strength.STRONG:
        return _SURE
    type_ = detector.type
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


def _readings(buffer: bytes, odd: list[int]) -> list[tuple[int, str, views.View]]:
    """Return suspicious places: where each begins, as it is written, and as it is meant."""
    found = []
    for low, high in _regions(odd, buffer):
        text = buffer[low:high].decode(errors="replace")
        found.append((low, text, views.read(text)))
    return found


def _in_bytes(spans: list[Span], low: int, text: str, view: views.View) -> list[Span]:
    """Return spans of a view as those of the buffer in which its text begins at `low`."""
    converted, at, start = [], 0, low
    for span in sorted(spans, key=lambda span: span.start):
        first, last = view.source(span.start, span.end)
        start += len(text[at:first].encode())
        at = first
        converted.append(Span(span.type, start, start + len(text[first:last].encode())))
    return converted


def _in_characters(spans: list[Span], buffer: bytes) -> list[Span]:
    """Return spans in characters for spans in bytes; `spans` are in order, and may overlap."""
    if not spans or buffer.isascii():
        return spans
    converted, at, characters = [], 0, 0
    for span in spans:
        characters += len(buffer[at : span.start].decode(errors="replace"))
        at = span.start
        length = len(buffer[at : span.end].decode(errors="replace"))
        converted.append(Span(span.type, characters, characters + length))
    return converted


@lru_cache(maxsize=4)
def _forms(types: frozenset[str]) -> Forms:
    """Return the detectors of some types: compiling them takes 0.3 s, so the last ones are kept."""
    return Forms(types)


def _within(spans: list[Span], text: str) -> list[Span]:
    """Return spans of a text between two bytes as those of the text."""
    return [Span(each.type, each.start - 1, min(each.end - 1, len(text))) for each in spans]


class Scanner:
    """Finds what a policy names: built-in types, own patterns and words.

    Args:
        types: built-in types.
        custom: own patterns and lists of words.
    """

    def __init__(self, types: Iterable[str], custom: Custom | None = None) -> None:
        self._forms = _forms(frozenset(types))
        self._custom = custom

    def scan(self, text: str, most: int = MOST_PLACES) -> list[Span]:
        """Return the findings, in characters, in order; first those that are nowhere.

        Built-in types do not overlap each other; own patterns may overlap anything.

        Args:
            text: to be scanned.
            most: places in it that are looked at.
        """
        buffer = f"\n{text}\n".encode(errors="replace")
        budget = Budget(most)
        found = self._forms.find(buffer, budget, ascii_only=text.isascii())
        spans = _within(_in_characters(found.spans, buffer), text)
        if self._custom is not None:
            hidden = _hidden(self._custom, found, budget)
            spans += self._custom.find(text, budget)
            spans += _within(_in_characters(hidden, buffer), text)
            spans.sort(key=lambda s: (s.start, s.end))
        if budget.unfinished:
            return [*(Span(type_, -1, -1) for type_ in sorted(budget.unfinished)), *spans]
        return spans


def _hidden(custom: Custom, found: Found, budget: Budget) -> list[Span]:
    """Return own classes, in bytes and in order, in what reads as something else than it is."""
    hidden: list[Span] = []
    for low, text, view in found.readings:
        hidden += _in_bytes(custom.find(view.text, budget), low, text, view)
    for place, raw in found.contents:
        hidden += [Span(span.type, *place) for span in custom.find(raw.decode(), budget)]
    return sorted(hidden, key=lambda span: span.start)
