"""What somebody meant who wrote a name that is not there."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

FEW = 8
"""Names that are all told, where none is alike."""
LEAST_PART = 3
"""Characters of a name's part that say which name was meant (`sql` of `text-to-sql`)."""


def nearest(word: str, known: Iterable[str]) -> str | None:
    """Return the name that is most alike, or the only one that shares a part with `word`."""
    import difflib  # noqa: PLC0415  only where something is wrong

    spelled = {each.lower(): each for each in known}
    written = word.lower()
    near = difflib.get_close_matches(written, spelled, 1)
    if not near:
        near = [each for each in spelled if _alike(written, each)]
    return spelled[near[0]] if len(near) == 1 else None


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return the end of a sentence that asks whether another name was meant; empty for none."""
    near = nearest(word, known)
    return f"; did you mean {near}?" if near else ""


def none_of(name: str, known: Iterable[str]) -> str:
    """Return the end of a sentence about a name that is none of those that it could be."""
    names = list(known)
    there = f"; there is {', '.join(names)}" if 0 < len(names) <= FEW else ""
    return f"; {name!r} is none{did_you_mean(name, names) or there}"


def _alike(written: str, name: str) -> bool:
    return any(len(part) >= LEAST_PART and part in written for part in name.split("-"))
