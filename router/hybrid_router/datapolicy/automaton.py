"""Many expressions in one automaton: Hyperscan passes over a text once, in linear time."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final, cast

import hyperscan

from hybrid_router.datapolicy.budget import MOST_PLACES

if TYPE_CHECKING:
    from collections.abc import Container, Sequence


class AutomatonError(ValueError):
    """An expression that Hyperscan does not take; the message holds its words."""


class Automaton:
    """Expressions, compiled together.

    Args:
        expressions: each with whether case is ignored; its index is its id.
        once: those of which one match is enough; they are much cheaper.
        unicode: case is ignored in all scripts; the data must be valid UTF-8.
    """

    def __init__(
        self,
        expressions: Sequence[tuple[bytes, bool]],
        once: Container[bytes] = (),
        *,
        unicode: bool = False,
    ) -> None:
        self._database = hyperscan.Database()
        self._own = threading.local()
        flags = [
            (hyperscan.HS_FLAG_UTF8 | hyperscan.HS_FLAG_UCP if unicode else 0)
            | hyperscan.HS_FLAG_DOTALL
            | (hyperscan.HS_FLAG_CASELESS if caseless else 0)
            | (hyperscan.HS_FLAG_SINGLEMATCH if expression in once else 0)
            for expression, caseless in expressions
        ]
        try:
            self._database.compile(
                expressions=[expression for expression, _ in expressions],
                ids=list(range(len(expressions))),
                elements=len(expressions),
                flags=flags,
            )
        except hyperscan.error as error:
            raise AutomatonError(str(error)) from None

    def ends(self, data: bytes, most: int = MOST_PLACES) -> list[tuple[int, int]]:
        """Return (end, id) of the places where an expression ends, in order.

        Any number of threads at a time: each has a working memory of its own.

        Args:
            data: to pass over.
            most: places at which to stop; `most + 1` of them say that there may be more.
        """
        found = _Found(most)
        try:
            scratch = self._own.scratch
        except AttributeError:
            scratch = self._own.scratch = hyperscan.Scratch(self._database)
        try:  # noqa: SIM105  four times a request
            self._database.scan(data, _report, context=found, scratch=scratch)
        except hyperscan.ScanTerminated:
            pass
        places = found.places
        if len(places) > 1:
            places.sort()
        return places


class _Found:
    """What was reported so far."""

    __slots__ = ("most", "places")

    def __init__(self, most: int) -> None:
        self.most: Final = most
        self.places: list[tuple[int, int]] = []


def _report(id_: int, _start: int, end: int, _flags: int, context: object) -> bool:
    """Note a place; return whether that is enough."""
    found = cast("_Found", context)
    found.places.append((end, id_))
    return len(found.places) > found.most
