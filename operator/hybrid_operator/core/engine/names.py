"""What a mistyped name of a catalogue was meant to be."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_MOST = 2


def nearest(name: str, names: Iterable[str], *, alike: float = 0.5) -> list[str]:
    """Return up to two names that begin with `name`, else those that are spelled most alike.

    `alike` is the least share of letters that they have in common.
    """
    known = list(names)
    longer = [each for each in known if each.startswith(name)]
    return longer[:_MOST] or get_close_matches(name, known, n=_MOST, cutoff=alike)
