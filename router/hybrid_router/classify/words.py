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

_WORD: Final = re.compile(r"[^\W\d_]+")
_SPACELESS: Final = re.compile(r"[\u0e00-\u0e7f\u3040-\u30ff\u3400-\u9fff\uac00-\ud7a3]")
_GAP: Final = 0
_LETTER: Final = 1
_APART: Final = 2
"""Kinds of characters: between words, of a word, and of a script that takes the long way."""
_KNOWN: Final = 0x3000
"""Characters below have their kind in a table: of the scripts with spaces nearly all."""


def _kind(char: str) -> int:
    if _SPACELESS.match(char):
        return _APART
    return _LETTER if char.isalnum() and not char.isdecimal() else _GAP


_KINDS: Final = bytes(map(_kind, map(chr, range(_KNOWN))))
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
    keys: list[int]
    """The hashes of its words, in their order."""
    stems: list[int]
    """The keys of the beginnings of long words."""
    marks: list[bytes]
    """What the shape says, such as `#code`."""

    def tokens(self) -> set[str]:
        """Return all that counts, so that no two kinds are mistaken for each other."""
        words = written(self.low)
        pairs = map(" ".join, pairwise(_ends(words)))
        first = [f"^{word}" for word in words[:1]]
        stems = [f"{word[:STEM]}*" for word in words if len(word) > STEM]
        return {*words, *stems, *pairs, *first, *map(bytes.decode, self.marks)}


def said(turn: str, length: int = 0) -> Said:
    """Return what speaks for an intent; `length` is that of the whole turn."""
    text = instructions(turn)
    low = text.lower()
    keys: list[int] = []
    stems: list[int] = []
    if not _read(low.encode(errors="replace") + b" ", keys, stems):
        words = written(low)
        keys = list(map(key, words))
        stems = [key(word[:STEM]) ^ _STEM for word in words if len(word) > STEM]
    return Said(low, keys, stems, _marks(text, max(length, len(turn))))


def _read(text: bytes, keys: list[int], stems: list[int]) -> bool:
    """Hash the words of UTF-8 that ends with a space; False at a script that goes the long way.

    What `key` says of each word that `written` finds, while every byte is read once.
    """
    word: i64 = _START
    letters: i64 = 0
    at: i64 = 0
    end: i64 = len(text)
    while at < end:
        point: i64 = text[at]
        after: i64 = at + 1
        if point >= 0xE0:  # noqa: PLR2004  three bytes or four
            second: i64 = text[at + 1]
            third: i64 = text[at + 2]
            point = (point & 0x1F) << 12 | (second & 0x3F) << 6 | third & 0x3F
            after = at + 3
            if point >= _KNOWN:
                return False
        elif point >= 0x80:  # noqa: PLR2004  two
            second = text[at + 1]
            point = (point & 0x1F) << 6 | second & 0x3F
            after = at + 2
        kind: i64 = _KINDS[point]
        if kind == _LETTER:
            letters += 1
            if letters == STEM + 1:
                stems.append(word ^ _STEM)
            while at < after:
                byte: i64 = text[at]
                word = (word ^ byte) * _PRIME & 0xFFFFFFFF
                at += 1
        elif kind == _APART:
            return False
        elif letters:
            keys.append(word)
            word, letters = _START, 0
        at = after
    return True


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
            mixed = _token(token) * _MIX
            at = mixed >> 31 & _PLACES - 1
            while table[at]:
                at = at + 1 & _PLACES - 1
            table[at] = (mixed >> 14 & _MARK) << 15 | numbers[vote]
        self._table = struct.pack(f"<{_PLACES}I", *table)

    def votes(self, found: Said) -> int:
        """Return the lanes: `UNIT` times the log-odds of each intent; a token counts once."""
        places = {0}
        for word in found.keys:
            self._find(word, places)
        for stem in found.stems:
            self._find(stem, places)
        before: i64 = _FIRST
        for word in _ends(found.keys):
            self._find(_pair(before, word), places)
            before = word
        for mark in found.marks:
            self._find(_hash(mark), places)
        return sum([self._votes[number >> 16] for number in places])

    def _find(self, token: i64, places: set[int]) -> None:
        """Note the place of a token and the number of its weights; nothing if it is not there."""
        table = self._table
        mixed: i64 = token * _MIX
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


def key(word: str) -> int:
    """Return the hash of a word in lower case, as it stands in `Said.keys`."""
    return _hash(word.encode())


def _token(token: str) -> int:
    """Return the hash of a token as `Said.tokens` writes it."""
    first, _, second = token.partition(" ")
    if second:
        return _pair(key(first), key(second))
    if token[0] == "^":
        return _pair(_FIRST, key(token[1:]))
    if token[-1] == "*":
        return key(token[:-1]) ^ _STEM
    return key(token)


def _hash(token: bytes) -> i64:
    """Return FNV-1a of 32 bits (http://www.isthe.com/chongo/tech/comp/fnv/)."""
    found: i64 = _START
    for byte in token:
        found = (found ^ byte) * _PRIME & 0xFFFFFFFF
    return found


def _pair(first: i64, second: i64) -> i64:
    return first * _BESIDE + second & 0xFFFFFFFF


def written(low: str) -> list[str]:
    """Return the words of a text in lower case; of scripts without spaces, pairs of characters."""
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
