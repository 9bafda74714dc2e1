"""What a mistyped name of a catalogue was meant to be."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


def nearest(name: str, names: Iterable[str], most: int = 2) -> list[str]:
    """Return up to `most` names that begin with `name`, else those that are spelled most alike."""
    known = list(names)
    longer = [each for each in known if each.startswith(name)]
    return longer[:most] or get_close_matches(name, known, n=most, cutoff=0.5)
