"""Events of a stream that say nothing but the next piece of its text.

They are alike but for that piece. Once one has been looked at in full, the next ones are recognised
by what stands before and behind it, where a search for every word that would need attention takes
six passes over the event.
"""

from __future__ import annotations

import re
from typing import Final

_opening: Final = re.compile(rb'(?:"delta": ?\{"(?:content|reasoning(?:_content)?)|"text)": ?"')
piece: Final = re.compile(rb'[^"\\\x00-\x1f]*(?:\\[^\x00-\x1f][^"\\\x00-\x1f]*)*')
"""What may stand between the quotes of a JSON string. Nothing in it can be taken for the event's
structure, or for the end of the event."""
_special: Final = re.compile(rb'["\\\x00-\x1f]')


def is_piece(data: bytes, start: int, end: int) -> bool:
    """Return whether that part of `data` is a `piece`; most hold nothing that is special."""
    return (
        _special.search(data, start, end) is None or piece.fullmatch(data, start, end) is not None
    )


class Plain:
    """What the text events of one stream have in common, around the text.

    Args:
        before: from the event's beginning to the quote that opens the text.
        behind: from the quote that closes it to the blank line.
    """

    __slots__ = ("before", "behind")

    def __init__(self, before: bytes, behind: bytes) -> None:
        self.before = before
        self.behind = behind

    def holds(self, data: bytes) -> bool:
        """Return whether `data` is one such event."""
        start, end = len(self.before), len(data) - len(self.behind)
        return (
            start <= end
            and data[:start] == self.before
            and data[end:] == self.behind
            and is_piece(data, start, end)
        )


def plain(event: bytes) -> Plain | None:
    """Return what events like this one have in common; None if it carries no piece of text."""
    opening = _opening.search(event)
    if opening is None:
        return None
    start = opening.end()
    text = piece.match(event, start)
    end = text.end() if text is not None else start
    return Plain(event[:start], event[end:]) if event[end : end + 1] == b'"' else None
