"""What of a prompt tells its intent: the words where people put instructions, and a few marks.

Words count whole, by their first letters (which stands in for a stemmer in every language), and in
pairs. Scripts that write without spaces, or with particles at the words as Korean does, count by
pairs of characters.
"""

from __future__ import annotations

import re
from itertools import pairwise
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

HEAD, TAIL = 260, 140
"""Characters of a turn in which words count: a pasted document does not speak for its reader."""
STEM = 5
"""Letters of a word that count as its stem."""
PAIRS = 16
"""Words at either end that count in pairs."""
UNIT, LANE = 100, 32
"""Of log-odds in a vote; bits of a vote."""

_LETTERS = bytes(i if chr(i).isalpha() else ord(" ") for i in range(128)) + bytes(128)
"""ASCII with a space for all that is no letter."""
_WORD = re.compile(r"[^\W\d_]+")
_SPACELESS = re.compile(r"[\u0e00-\u0e7f\u3040-\u30ff\u3400-\u9fff\uac00-\ud7a3]")
_CODE = (
    "```", ";\n", "{\n", "()", "def ", "=>", "==", "return ", "#include", "import os", "const ",
)  # fmt: skip
_SHORT, _LONG = 40, 600


def instructions(turn: str) -> str:
    """Return the parts of a turn in which people write what they want."""
    if len(turn) <= HEAD + TAIL:
        return turn
    return f"{turn[:HEAD]}\n{turn[-TAIL:]}"


class Said(msgspec.Struct, frozen=True):
    """The words of a turn, as they count."""

    low: str
    """The part of the turn in which words count, in lower case."""
    words: set[str]
    stems: set[str]
    """First letters of the longer words."""
    others: list[str]
    """Pairs of words, `^` and the first word, `#` and a mark."""

    def tokens(self) -> set[str]:
        """Return all of them, so that no two kinds are mistaken for each other."""
        return {*self.words, *(f"{stem}*" for stem in self.stems), *self.others}


def said(turn: str, length: int = 0) -> Said:
    """Return what speaks for an intent; `length` is that of the whole turn."""
    text = instructions(turn)
    low = text.lower()
    words = _ascii_words(low) if low.isascii() else _words(low)
    ends = words if len(words) <= 2 * PAIRS else [*words[:PAIRS], *words[-PAIRS:]]
    others = [*{*map(" ".join, pairwise(ends))}]
    if words:
        others.append(f"^{words[0]}")
    _marks(text, max(length, len(turn)), others)
    return Said(low, set(words), {word[:STEM] for word in words if len(word) > STEM}, others)


class Lexicon:
    """What words say of intents, added up as one integer with a lane of 32 bits for each intent.

    `sum(map(get, ...))` runs in C, and integers add up to the same in any order. Equal weights are
    one object: what lies in a cache of the processor more often is found there.
    """

    def __init__(self, words: Mapping[str, Sequence[tuple[int, float]]]) -> None:
        self._words: dict[str, int] = {}
        self._stems: dict[str, int] = {}
        self._others: dict[str, int] = {}
        known: dict[int, int] = {}
        for token, weights in words.items():
            if token[0] in "^#" or " " in token:
                kind, key = self._others, token
            elif token[-1] == "*":
                kind, key = self._stems, token[:-1]
            else:
                kind, key = self._words, token
            vote = sum(round(weight * UNIT) << (LANE * lane) for lane, weight in weights)
            kind[key] = known.setdefault(vote, vote)

    def votes(self, found: Said) -> int:
        """Return the lanes: `UNIT` times the log-odds of each intent."""
        return (
            sum(filter(None, map(self._words.get, found.words)))
            + sum(filter(None, map(self._stems.get, found.stems)))
            + sum(filter(None, map(self._others.get, found.others)))
        )


def _ascii_words(low: str) -> list[str]:
    return low.encode().translate(_LETTERS).decode().split()  # str.translate takes twice as long


def _words(low: str) -> list[str]:
    words: list[str] = []
    for word in _WORD.findall(low):
        if _SPACELESS.match(word):
            words.extend([word[i : i + 2] for i in range(len(word) - 1)] or [word])
        else:
            words.append(word)
    return words


def _marks(text: str, length: int, found: list[str]) -> None:
    """Add what the shape says: code, an object, a question, figures, options, length."""
    if any([mark in text for mark in _CODE]):  # noqa: C419  a list is faster
        found.append("#code")
    if '{"' in text or "[{" in text:
        found.append("#object")
    if text[-2:].strip().endswith(("?", "\uff1f", "\u061f")):
        found.append("#asks")
    if "\nA. " in text or "\nC. " in text:
        found.append("#options")
    if "rror" in text or "xception" in text:
        found.append("#error")
    if "=" in text or "^" in text or "+" in text or "\u221a" in text:
        found.append("#formula")
    found.append("#short" if length < _SHORT else "#long" if length > _LONG else "#middle")
