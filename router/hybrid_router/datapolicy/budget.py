"""How much a scan may look at: whatever a text holds, it ends.

Everything that takes longer than a pass over the text begins at a place that an automaton reports.
So places are counted, and where they are too many, what depends on them counts as found.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hybrid_router.datapolicy.automaton import Automaton

FEW_PLACES: Final = 256
"""That are looked at on the event loop, in some milliseconds; with more, a thread does it."""
MOST_PLACES: Final = 50_000
"""That are looked at in all. A log with an address in every line has that many in 3 MB."""


class Budget:
    """What a scan may still look at.

    Attributes:
        left: places.
        unfinished: types that were not looked for to the end.
    """

    __slots__ = ("left", "unfinished")

    def __init__(self, most: int = MOST_PLACES) -> None:
        self.left = most
        self.unfinished: set[str] = set()

    def ends(
        self, automaton: Automaton, data: bytes, types: Sequence[str]
    ) -> list[tuple[int, int]]:
        """Return (end, id) of the places that an automaton reports, in order.

        None where they are more than are left: `types` are then unfinished.
        """
        found = automaton.ends(data, self.left)
        return found if not found or self.spend(len(found), types) else []

    def spend(self, places: int, types: Sequence[str]) -> bool:
        """Take places from what is left; where it is less, return False: `types` are unfinished."""
        if places <= self.left:
            self.left -= places
            return True
        self.left = 0
        self.unfinished.update(types)
        return False
