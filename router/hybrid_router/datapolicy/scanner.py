"""From text to spans: one pass of the automata, then the forms, then the words around them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hybrid_router.datapolicy import contact, credentials, identity, labels
from hybrid_router.datapolicy.automaton import Automaton
from hybrid_router.datapolicy.detector import Detector, Strength, shape

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

BUILT_IN: tuple[Detector, ...] = (
    *identity.DETECTORS,
    *contact.DETECTORS,
    *credentials.DETECTORS,
)


@dataclass(frozen=True, slots=True)
class Span:
    """A finding. Offsets in bytes of the buffer that was scanned."""

    type: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class _Candidate:
    type: str
    start: int
    end: int
    rank: int
    """The higher, the surer."""


_LABELLED, _SURE, _PLAUSIBLE = 3, 2, 1


class Forms:
    """The built-in detectors of some types.

    Args:
        types: those to find.
    """

    def __init__(self, types: Iterable[str]) -> None:
        wanted = set(types)
        self._detectors = [d for d in BUILT_IN if d.type in wanted]
        self._shapes = _Triggers([(d.shapes, False) for d in self._detectors])
        self._words = _Triggers([(d.words, d.ignore_case) for d in self._detectors])

    def find(self, buffer: bytes) -> list[Span]:
        """Return the spans of `buffer`, in order and without overlaps.

        `buffer` is UTF-8 and begins and ends with a byte that belongs to no word.
        """
        hits = self._words.hits(buffer)
        if self._shapes:
            hits += self._shapes.hits(shape(buffer))
        if not hits:
            return []
        hits.sort()
        return _resolve(self._candidates(buffer, hits))

    def _candidates(self, buffer: bytes, hits: list[tuple[int, int]]) -> list[_Candidate]:
        found: list[_Candidate] = []
        known: dict[int, labels.Label | None] = {}
        previous, reached = -1, 0
        for index, end in hits:
            detector = self._detectors[index]
            if index != previous:
                previous, reached = index, 0
            low = max(reached, end - detector.back)
            for match in detector.form.finditer(buffer, low, end + detector.ahead):
                start, stop = match.span("v" if "v" in detector.form.groupindex else 0)
                reached = match.end()
                text = buffer[start:stop].decode(errors="replace")
                strength = detector.judge(text, buffer, start, stop)
                if strength is Strength.NONE:
                    continue
                rank = _rank(detector.type, strength, buffer, (start, stop), known)
                if rank:
                    found.append(_Candidate(detector.type, start, stop, rank))
        return found


class _Triggers:
    """The triggers of many detectors in one automaton; equal ones are looked for once."""

    def __init__(self, triggers: Sequence[tuple[tuple[bytes, ...], bool]]) -> None:
        self._owners: dict[tuple[bytes, bool], list[int]] = {}
        for index, (expressions, ignore_case) in enumerate(triggers):
            for expression in expressions:
                self._owners.setdefault((expression, ignore_case), []).append(index)
        self._by_id = list(self._owners.values())
        self._automaton = Automaton(list(self._owners)) if self._owners else None

    def __bool__(self) -> bool:
        return self._automaton is not None

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
    start, end = span
    if strength is Strength.STRONG and type_ not in labels.LABELLED:
        return _SURE
    if start not in known:
        known[start] = labels.before(buffer, start)
    label = known[start]
    if label is not None and type_ in label.types:
        return _LABELLED
    if strength is Strength.STRONG:
        return _SURE
    if labels.named_after(buffer, end, type_):
        return _LABELLED
    if strength is Strength.WEAK or (label is not None and label.vetoes):
        return 0
    return _PLAUSIBLE


def _resolve(candidates: list[_Candidate]) -> list[Span]:
    """Return the surest ones that do not overlap; of equals the longest."""
    if len(candidates) > 1:
        candidates.sort(key=lambda c: (-c.rank, c.start - c.end, c.start))
    taken: list[_Candidate] = []
    for each in candidates:
        if not any(each.start < t.end and t.start < each.end for t in taken):
            taken.append(each)
    return [Span(t.type, t.start, t.end) for t in sorted(taken, key=lambda t: t.start)]
