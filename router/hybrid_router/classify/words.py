"""What of a prompt tells its intent: the words where people put instructions, and a few marks.

Words count whole, by their first letters (which stands in for a stemmer in every language), and in
pairs. Scripts that write without spaces, or with particles at the words as Korean does, count by
pairs of characters.
"""

from __future__ import annotations

import re
import struct
from itertools import pairwise
from typing import TYPE_CHECKING, Final, TypeVar

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mypy_extensions import i64

HEAD: Final = 260
TAIL: Final = 140
"""Characters of a turn in which words count: a pasted document does not speak for its reader."""
STEM: Final = 5
"""Letters of a word that count as its stem."""
PAIRS: Final = 16
"""Words at either end that count in pairs."""
UNIT: Final = 100
LANE: Final = 32
"""Of log-odds in a vote; bits of a vote."""

_LETTERS: Final = bytes(i if chr(i).isalpha() else ord(" ") for i in range(128)) + bytes(128)
"""ASCII with a space for all that is no letter."""
_WORD: Final = re.compile(r"[^\W\d_]+")
_SPACELESS: Final = re.compile(r"[\u0e00-\u0e7f\u3040-\u30ff\u3400-\u9fff\uac00-\ud7a3]")
_CODE: Final[tuple[str, ...]] = (
    "```", ";\n", "{\n", "()", "def ", "=>", "==", "return ", "#include", "import os", "const ",
)  # fmt: skip
_SHORT: Final = 40
_LONG: Final = 600

_PLACES: Final = 1 << 16
_MOST_VOTES: Final = 1 << 15
_MARK: Final = (1 << 17) - 1
_START: Final = 0x811C9DC5
_PRIME: Final = 0x01000193
_MIX: Final = 0x7FEB352D
_BESIDE: Final = 0x5851F42D
"""Odd and below 2^31, so that products with 32 bits keep within 63."""
_STEM: Final = 0x9E3779B9
"""Tells the hash of a stem from that of a word."""
_FIRST: Final = 1
"""What stands in pair with a turn's first word."""
_SPACE: Final = 32
_T = TypeVar("_T")


def instructions(turn: str) -> str:
    """Return the parts of a turn in which people write what they want."""
    if len(turn) <= HEAD + TAIL:
        return turn
    return f"{turn[:HEAD]}\n{turn[-TAIL:]}"


class Said(msgspec.Struct, frozen=True):
    """The words of a turn, as they count."""

    low: str
    """The part of the turn in which words count, in lower case."""
    spaced: bytes
    """Its words in UTF-8, with spaces before, between and after them."""
    marks: list[bytes]
    """What the shape says, such as `#code`."""

    def tokens(self) -> set[str]:
        """Return all that counts, so that no two kinds are mistaken for each other."""
        words = self.spaced.decode().split()
        pairs = map(" ".join, pairwise(_ends(words)))
        first = [f"^{word}" for word in words[:1]]
        stems = [f"{word[:STEM]}*" for word in words if len(word) > STEM]
        return {*words, *stems, *pairs, *first, *map(bytes.decode, self.marks)}


def said(turn: str, length: int = 0) -> Said:
    """Return what speaks for an intent; `length` is that of the whole turn."""
    text = instructions(turn)
    low = text.lower()
    if low.isascii():
        spaced = b" %b " % low.encode().translate(_LETTERS)
    else:
        spaced = f" {' '.join(_words(low))} ".encode()
    return Said(low, spaced, _marks(text, max(length, len(turn))))


def _ends(words: list[_T]) -> list[_T]:
    """Return the words that count in pairs."""
    return words if len(words) <= 2 * PAIRS else [*words[:PAIRS], *words[-PAIRS:]]


class Lexicon:
    """What words say of intents, added up as one integer with a lane of 32 bits for each intent.

    A table with open addressing in one piece of memory, by hashes that are made while a text is
    read: tokens as keys of a dict take ten times the memory, and a request that comes after others
    finds none of it in the processor's cache. A place is four bytes: 15 bits for the number of
    the weights, 0 where the place is free, and 17 of the hash. A word that is not in it is taken
    for one that is once in a hundred thousand times.

    Raises:
        ValueError: there are more tokens, or more different weights, than a table holds.
    """

    def __init__(self, words: Mapping[str, Sequence[tuple[int, float]]]) -> None:
        votes = {
            token: sum(round(weight * UNIT) << (LANE * lane) for lane, weight in weights)
            for token, weights in words.items()
        }
        self._votes = [0, *sorted(set(votes.values()))]
        if len(self._votes) > _MOST_VOTES or len(votes) > _PLACES * 3 // 4:
            raise ValueError(f"{len(votes)} tokens are more than a lexicon holds")
        numbers = {vote: number for number, vote in enumerate(self._votes)}
        table = [0] * _PLACES
        for token, vote in votes.items():
            mixed = _key(token) * _MIX
            at = mixed >> 31 & _PLACES - 1
            while table[at]:
                at = at + 1 & _PLACES - 1
            table[at] = (mixed >> 14 & _MARK) << 15 | numbers[vote]
        self._table = struct.pack(f"<{_PLACES}I", *table)

    def votes(self, found: Said) -> int:
        """Return the lanes: `UNIT` times the log-odds of each intent; a token counts once."""
        text, places, keys = found.spaced, {0}, []
        key: i64 = _START
        letters: i64 = 0
        index: i64
        for index in range(len(text)):
            byte: i64 = text[index]
            if byte != _SPACE:
                if byte & 0xC0 != 0x80:  # noqa: PLR2004  where a character begins
                    letters += 1
                    if letters == STEM + 1:
                        self._find(key ^ _STEM, places)
                key = (key ^ byte) * _PRIME & 0xFFFFFFFF
            elif letters:
                self._find(key, places)
                keys.append(key)
                key, letters = _START, 0
        before: i64 = _FIRST
        for word in _ends(keys):
            self._find(_pair(before, word), places)
            before = word
        for mark in found.marks:
            self._find(_hash(mark), places)
        return sum([self._votes[number >> 16] for number in places])

    def _find(self, key: i64, places: set[int]) -> None:
        """Note the place of a token and the number of its weights; nothing if it is not there."""
        table = self._table
        mixed: i64 = key * _MIX
        at: i64 = mixed >> 31 & _PLACES - 1
        mark: i64 = mixed >> 14 & _MARK
        while True:
            a: i64 = table[4 * at]
            b: i64 = table[4 * at + 1]
            number: i64 = a | (b & 0x7F) << 8
            if not number:
                return
            c: i64 = table[4 * at + 2]
            d: i64 = table[4 * at + 3]
            if (b >> 7 | c << 1 | d << 9) == mark:
                places.add(number << 16 | at)
                return
            at = at + 1 & _PLACES - 1


def _key(token: str) -> int:
    """Return the hash of a token as `Said.tokens` writes it."""
    first, _, second = token.partition(" ")
    if second:
        return _pair(_hash(first.encode()), _hash(second.encode()))
    if token[0] == "^":
        return _pair(_FIRST, _hash(token[1:].encode()))
    if token[-1] == "*":
        return _hash(token[:-1].encode()) ^ _STEM
    return _hash(token.encode())


def _hash(token: bytes) -> i64:
    """Return FNV-1a of 32 bits (http://www.isthe.com/chongo/tech/comp/fnv/)."""
    key: i64 = _START
    for byte in token:
        key = (key ^ byte) * _PRIME & 0xFFFFFFFF
    return key


def _pair(first: i64, second: i64) -> i64:
    return first * _BESIDE + second & 0xFFFFFFFF


def _words(low: str) -> list[str]:
    words: list[str] = []
    for word in _WORD.findall(low):
        if _SPACELESS.match(word):
            words.extend([word[i : i + 2] for i in range(len(word) - 1)] or [word])
        else:
            words.append(word)
    return words


def _marks(text: str, length: int) -> list[bytes]:
    """Return what the shape says: code, an object, a question, figures, options, length."""
    found: list[bytes] = []
    if any([mark in text for mark in _CODE]):  # noqa: C419  a list is faster
        found.append(b"#code")
    if '{"' in text or "[{" in text:
        found.append(b"#object")
    if text[-2:].strip().endswith(("?", "\uff1f", "\u061f")):
        found.append(b"#asks")
    if "\nA. " in text or "\nC. " in text:
        found.append(b"#options")
    if "rror" in text or "xception" in text:
        found.append(b"#error")
    if "=" in text or "^" in text or "+" in text or "\u221a" in text:
        found.append(b"#formula")
    found.append(b"#short" if length < _SHORT else b"#long" if length > _LONG else b"#middle")
    return found
