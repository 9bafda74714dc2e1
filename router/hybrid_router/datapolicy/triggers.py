"""Where detectors have to look, by one pass of an automaton over all their triggers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from hybrid_router.datapolicy.automaton import Automaton
from hybrid_router.datapolicy.detector import LONGEST_RUN, RUN

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hybrid_router.datapolicy.budget import Budget


class Triggers:
    """Triggers in one automaton; equal ones are looked for once.

    Args:
        triggers: of which detector, the expression, and whether case is ignored.
        types: what is not found without them.
        once: expressions of which one place is enough.
        runs: of each detector that `RUN` is a trigger of, the lengths.
    """

    def __init__(
        self,
        triggers: Sequence[tuple[int, bytes, bool]],
        types: Sequence[str],
        once: Sequence[bytes] = (),
        runs: Mapping[int, Sequence[int]] | None = None,
    ) -> None:
        owners: dict[tuple[bytes, bool], list[int]] = {}
        for index, expression, ignore_case in triggers:
            owners.setdefault((expression, ignore_case), []).append(index)
        self._owners: Final = list(owners.values())
        self._types: Final = types
        self._automaton: Final = Automaton(list(owners), once) if owners else None
        self._run: Final = [*owners].index((RUN, False)) if (RUN, False) in owners else -1
        self._by_length: Final[dict[int, list[int]]] = {}
        for owner, lengths in (runs or {}).items():
            for length in lengths:
                self._by_length.setdefault(length, []).append(owner)

    def note(self, data: bytes, budget: Budget, places: dict[int, list[int]]) -> None:
        """Add to `places` where the triggers of each detector end."""
        if self._automaton is None:
            return
        found = budget.ends(self._automaton, data, self._types)
        if not found:
            return
        by_id: dict[int, list[int]] = {}
        for end, id_ in found:
            ends = by_id.get(id_)
            if ends is None:
                by_id[id_] = [end]
            else:
                ends.append(end)
        for id_, ends in by_id.items():
            if id_ == self._run:
                self._note_runs(data, ends, places)
                continue
            for owner in self._owners[id_]:
                places.setdefault(owner, []).extend(ends)

    def _note_runs(self, data: bytes, ends: list[int], places: dict[int, list[int]]) -> None:
        """Add runs of digits to the places of those that look for digits of that number."""
        for end in ends:
            run = data[max(0, end - 1 - LONGEST_RUN) : end - 1]
            for owner in self._by_length.get(len(run) - len(run.rstrip(b"0")), ()):
                places.setdefault(owner, []).append(end)


def windows(ends: list[int], back: int, ahead: int) -> list[tuple[int, int, int]]:
    """Return (low, high, end of the last trigger) of what is looked at around `ends`.

    Triggers that stand close together, as in a log of numbers, share a window, so that a form
    passes over each byte once.

    Args:
        ends: of one detector's triggers, in order; not empty.
        back: bytes that are looked at before each of them.
        ahead: bytes behind each.
    """
    found: list[tuple[int, int, int]] = []
    last = ends[0]
    low, high = max(0, last - back), last + ahead
    for end in ends:
        if end - back > high:
            found.append((low, high, last))
            low = end - back
        high, last = end + ahead, end
    found.append((low, high, last))
    return found
