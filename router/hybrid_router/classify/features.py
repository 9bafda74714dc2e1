"""Surface features of a prompt: what the trees of the embedded classifier look at.

Words alone say which subject a question belongs to, and a subject never seen has other words. So
most of these are about form: lengths, digits, symbols, the shape of a question and of its options,
and the shares of a few groups of common words (`topics.toml`). All are read from a bounded part
with passes in C (`str.count`, `bytes.translate`, `split`): a prompt of 64 KB costs what one of
2 KB does.
"""

from __future__ import annotations

import math
import tomllib
from collections import Counter
from importlib import resources

HEAD, TAIL = 1_200, 400
"""Characters of a turn that are read."""

_TOPICS: dict[str, str] = tomllib.loads(
    resources.files("hybrid_router.classify").joinpath("topics.toml").read_text()
)
_TOPIC = {
    word.encode(): index
    for index, words in reversed(list(enumerate(_TOPICS.values(), start=1)))
    for word in words.split()
}
GRAMMAR = frozenset(_TOPICS["grammar"].split())
"""Words that every text has."""
_CHARACTERS = {
    "question": "?", "dollar": "$", "percent": "%", "backslash": "\\", "equals": "=",
    "bracket": "(", "quote": '"', "colon": ":", "semicolon": ";", "underscore": "_", "comma": ",",
    "apostrophe": "'", "hyphen": "-", "slash": "/", "line": "\n", "sentence": ". ",
}  # fmt: skip
_ASKS = {
    word: index
    for index, word in enumerate(
        b"what which who whom when where why how is are does do if find calculate the a an in "
        b"suppose let for according this statement one".split()
    )
}
_PHRASES = (
    "__", "except", "of the following", "most likely", "best ", "statement 1", "statement i",
    "all of", "none of", "both ", " only",
)  # fmt: skip
_OPTION_LETTERS = "BCDEF"
_TAIL_LINE = 300

_DIGITS = b"0123456789"
_UPPER = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_MARKS = b".,;:!?"
_SYMBOLS = b"+-*/=<>^|\\{}[]_~%$#&"
_CLASSES = {"digits": _DIGITS, "upper": _UPPER, "marks": _MARKS, "symbols": _SYMBOLS}
_SPACES = bytes(
    i if chr(i).isalpha() or i >= 0x80 or i == ord("'") else ord(" ")  # noqa: PLR2004  UTF-8 stays whole
    for i in range(256)
)

_OPTIONS = (
    "options", "options-mean", "options-longest", "options-shortest", "options-spread",
    "options-digits", "options-capital", "options-starts", "question-length",
)  # fmt: skip
_QUESTION = ("ends-with", "asks-first", "asks-last", "last-sentence")
_WORDS = ("words", "word-length", "distinct")

NAMES: tuple[str, ...] = (
    "length", "non-ascii", *_CLASSES, *_CHARACTERS, *map(str.strip, _PHRASES),
    *_OPTIONS, *_QUESTION, *_WORDS,
    *(f"topic-{name}" for name in _TOPICS),
)  # fmt: skip
"""What each number of `surface` is."""


def surface(text: str, length: int = 0) -> list[float]:
    """Return the features of a turn, in the order of `NAMES`.

    Args:
        text: the turn, or its head and tail.
        length: characters of the whole turn, if `text` is only a part of it.
    """
    if len(text) > HEAD + TAIL:
        length = length or len(text)
        text = f"{text[:HEAD]}\n{text[-TAIL:]}"
    low = text.lower()
    raw = text.encode(errors="replace")
    size = len(raw) or 1
    found = [math.log(max(len(text), length) + 1), (len(raw) - len(text)) / size]
    found += [1.0 - len(raw.translate(None, kind)) / size for kind in _CLASSES.values()]
    count = text.count
    found += [count(mark) for mark in _CHARACTERS.values()]
    found += [phrase in low for phrase in _PHRASES]
    question = _options(text, found)
    _question(question, found)
    _words(low.encode(errors="replace").translate(_SPACES).split(), found)
    return found


def _options(text: str, found: list[float]) -> str:
    """Add what there is to say of multiple-choice options; return the question before them."""
    start = text.find("\nA. ")
    if start < 0:
        found += (0, -1, -1, -1, -1, -1, -1, -1, math.log(len(text) + 1))
        return text
    options, at = [], start
    for letter in _OPTION_LETTERS:
        following = text.find(f"\n{letter}. ", at + 3)
        if following < 0:
            break
        options.append(text[at + 4 : following])
        at = following
    end = text.find("\n", at + 4)
    options.append(text[at + 4 :] if end < 0 else text[at + 4 : end])
    lengths = list(map(len, options))
    n, longest, shortest = len(options), max(lengths), min(lengths)
    found += (
        n,
        sum(lengths) / n,
        longest,
        shortest,
        (longest - shortest) / (longest + 1),
        sum([option[:1].isdigit() or option[-1:].isdigit() for option in options]) / n,
        sum([option[:1].isupper() for option in options]) / n,
        len({option[:4] for option in options}),
        math.log(start + 1),
    )
    return text[:start]


def _question(question: str, found: list[float]) -> None:
    """Add how the question is put: its first word, and how its last sentence begins and ends."""
    tail = question[-_TAIL_LINE:].rstrip()
    end = tail[-1:]
    found.append(("?.:_".find(end) + 1) if end else 0)
    first = question[:40].lower().encode(errors="replace").translate(_SPACES).split()
    found.append(_ASKS.get(first[0], -1) if first else -2)
    body = tail[:-1]
    last = body[max(body.rfind(". "), body.rfind("\n"), body.rfind("? ")) + 1 :]
    words = last.lower().encode(errors="replace").translate(_SPACES).split()
    asks = [index for word in words if (index := _ASKS.get(word, 99)) < 9]  # noqa: PLR2004  the question words
    found += (asks[0] if asks else -1, len(last))


def _words(words: list[bytes], found: list[float]) -> None:
    """Add the number and length of words, and the share of each topic."""
    n = len(words) + 1
    found += (math.log(n), sum(map(len, words)) / n, len(set(words)) / n)
    topics = Counter(filter(None, map(_TOPIC.get, words)))
    found += [topics[index] / n for index in range(1, len(_TOPICS) + 1)]
