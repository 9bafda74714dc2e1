"""All triggers in one automaton: Hyperscan passes over a text once, in linear time.

Measured on this project's triggers and 64 KB of text: Hyperscan 0.14 ms, RE2's set 0.6 ms, RE2's
alternation 1.6 ms, Python's `re` 75 ms (`make bench-datapolicy`).
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import hyperscan

if TYPE_CHECKING:
    from collections.abc import Container, Sequence


class AutomatonError(ValueError):
    """An expression that Hyperscan does not take; the message holds its words."""


class Automaton:
    """Expressions, compiled together.

    Args:
        expressions: each with whether case is ignored; its index is its id.
        once: those of which one match is enough; they are much cheaper.
    """

    def __init__(
        self, expressions: Sequence[tuple[bytes, bool]], once: Container[bytes] = ()
    ) -> None:
        self._database = hyperscan.Database()
        self._lock = threading.Lock()
        flags = [
            hyperscan.HS_FLAG_DOTALL
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

    def ends(self, data: bytes) -> list[tuple[int, int]]:
        """Return (end, id) of every place where an expression ends, in order.

        One thread at a time: the automaton has one working memory.
        """
        found: list[tuple[int, int]] = []
        add = found.append

        def report(id_: int, _start: int, end: int, _flags: int, _context: object) -> None:
            add((end, id_))

        with self._lock:
            self._database.scan(data, match_event_handler=report)
        found.sort()
        return found
