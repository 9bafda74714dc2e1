"""Which quotes of a JSON text end a string."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from mypy_extensions import i64

_BACKSLASH: Final = 0x5C


def escaped(text: bytes, quote: int, since: int) -> bool:
    """Return whether the quote at a place is escaped: behind an odd number of backslashes.

    Args:
        text: JSON.
        quote: place of a quote.
        since: where the string begins, or earlier: nothing before it is read.
    """
    at: i64 = quote
    first: i64 = since
    while at > first and text[at - 1] == _BACKSLASH:
        at -= 1
    return bool((quote - at) & 1)
