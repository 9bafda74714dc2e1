"""How much a scan does: whatever a text holds, it ends.

Everything that takes longer than a pass over the text begins at a place that was reported. So these
are counted, and a text that has too many counts as holding what is not looked for to the end.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hybrid_router.datapolicy.automaton import Automaton

FEW: Final = 256
"""Places that are looked at on the event loop, some milliseconds; with more, a thread does it."""
MOST: Final = 50_000
"""Places that are looked at at all. A log with an address in every line has that many in 3 MB."""


class Work:
    """What a scan may still do.

    Args:
        most: places that are looked at, in all.

    Attributes:
        left: of these.
        unfinished: types that were not looked for to the end.
    """

    __slots__ = ("left", "unfinished")

    def __init__(self, most: int = MOST) -> None:
        self.left = most
        self.unfinished: set[str] = set()

    def ends(
        self, automaton: Automaton, data: bytes, types: Sequence[str]
    ) -> list[tuple[int, int]]:
        """Return (end, id) of the places that an automaton reports, in order.

        Where they are more than are left, none, and `types` are not looked for.
        """
        found = automaton.ends(data, self.left)
        return found if not found or self.spend(len(found), types) else []

    def spend(self, places: int, types: Sequence[str]) -> bool:
        """Take places from what is left; False, and `types` stay unfinished, where it is less."""
        if places <= self.left:
            self.left -= places
            return True
        self.left = 0
        self.unfinished.update(types)
        return False
