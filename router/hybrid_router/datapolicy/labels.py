"""Words that say what the number behind them is, in ten languages and a few more.

Where a type has no check digit, or a weak one, the words around it decide. The nearest label wins:
one of the type itself, one of another type, or one of the things that only look like data about
people (orders, versions, hashes). Languages: English, German, French, Spanish, Italian, Dutch,
Polish, Portuguese, Vietnamese, and Japanese, Chinese, Korean, Russian, Turkish for phones.
"""

from __future__ import annotations

import re
import tomllib
from importlib import resources
from typing import Final

import msgspec

from hybrid_router.datapolicy.automaton import Automaton

WINDOW: Final = 72
"""Bytes before a candidate in which a label counts."""
AFTER: Final = 20
"""Bytes behind it; only for a label of the very type, as in `123-45-6789 (SSN)`."""
VETO: Final = 36
"""Bytes from the end of a label of another kind to the candidate, at most."""


def _read() -> list[tuple[frozenset[str], bytes, bool]]:
    """Return (types, expression, whether a neighbour is part of the match) of every word."""
    text = resources.files(__package__).joinpath("data/labels.toml").read_text(encoding="utf-8")
    found = []
    for group in tomllib.loads(text).values():
        types = frozenset(group["types"])
        for word in group["words"]:
            alone = word[0] == "<"
            expression = re.escape(word[1:-1] if alone else word).encode()
            found.append((types, b"[^a-z]%s[^a-z]" % expression if alone else expression, alone))
    return found


_known: Final = _read()
_types: Final = [types for types, _, _ in _known]
_alone: Final = [alone for _, _, alone in _known]
_automaton: Final = Automaton([(expression, False) for _, expression, _ in _known])
_aside: Final = re.compile(rb"\s*[(\[,\-/]|\s+\w{2,5}\W")
"""What joins a label to the number before it: `123-45-6789 (SSN)`, `0612345678, mobile`."""
_apart: Final = re.compile(rb"\d[\d.]{3}|\n|[.!?;] [A-Za-z\x80-\xff]|\x00[^\x00]*\x00|\xe3\x80\x82")
"""Another number, or the end of a line or sentence: what stands before it vetoes nothing."""


class Label(msgspec.Struct, frozen=True):
    """The nearest label before a candidate."""

    types: frozenset[str]
    """What it names; empty for things that are none of ours."""
    vetoes: bool
    """It stands near enough, on the same line, and no other number lies between."""


def _labels(text: bytes) -> list[tuple[int, int]]:
    """Return (end, word) of the labels in `text`, in order."""
    return sorted((end - _alone[id_], id_) for end, id_ in _automaton.ends(text))


def before(buffer: bytes, start: int) -> Label | None:
    """Return the nearest label before `start`."""
    window = buffer[max(0, start - WINDOW) : start].decode(errors="ignore").lower()
    text = f" {window} ".encode()
    found = _labels(text)
    if not found:
        return None
    end, id_ = found[-1]
    between = text[end:-1]
    near = len(between) <= VETO and not _apart.search(between)
    return Label(_types[id_], near)


def named_after(buffer: bytes, end: int, type_: str) -> bool:
    """Return whether a label of the type itself follows closely, on the same line."""
    window = buffer[end : end + AFTER].decode(errors="ignore").lower().partition("\n")[0]
    text = f" {window} ".encode()
    if not _aside.match(text):
        return False
    found = _labels(text)
    return bool(found) and type_ in _types[found[0][1]]
