"""Surface features of a prompt: what the score of the embedded classifier is made of.

They are about form: lengths, digits, symbols, names, the shape of a question and of its options.
Which words occur says which subject a question belongs to, and a subject never seen has other
words: groups of topic words were measured to carry nothing over (`docs/classifier.md`).

All are read from a bounded part with passes in C (`str.count`, `bytes.translate`, `split`): a
prompt of 64 KB costs what one of 2 KB does. Most are counted in the text's shape, in which every
letter is `a` or `A` and every digit `0`: " A" less ". A" are names, "0.0" decimals, " 0000" years.
"""

from __future__ import annotations

import math
from typing import Final

HEAD: Final = 450
TAIL: Final = 200
"""Characters of a turn that are read; options are looked for in all of what is given."""

_MARKS: Final[tuple[str, ...]] = ("?", "$", "(", '"', ":", ",")
_MARK_NAMES: Final[tuple[str, ...]] = ("question", "dollar", "bracket", "quote", "colon", "comma")
_ASKS: Final = {
    word: index
    for index, word in enumerate(
        b"what which who whom when where why how is are does do if find calculate the a an in "
        b"suppose let for according this statement one".split()
    )
}
_QUESTION_WORDS: Final = 8
_PHRASES: Final[tuple[str, ...]] = (
    "__", "except", "of the following", "statement 1", "how many",
    "refers to the", "the passage", "ology", "ism", "ing ",
)  # fmt: skip
_OPTION_LETTERS: Final = "BCDEF"
_TAIL_LINE: Final = 300

_SYMBOLS: Final = b"+*/=<>^|\\{}[]_~%$#&"


def _shape_of(byte: int) -> int:
    char = chr(byte)
    if byte >= 0x80 or char == "'":  # noqa: PLR2004  UTF-8 stays whole
        return ord("a")
    if char.isalpha():
        return ord("A") if char.isupper() else ord("a")
    if char.isdigit():
        return ord("0")
    if byte in _SYMBOLS:
        return ord("=")
    return ord({"\n": " ", "\t": " ", "?": ".", "!": ".", "-": "-", " ": " "}.get(char, char))


_SHAPE: Final = bytes(map(_shape_of, range(256)))
_SHAPES: Final = {
    "letters-upper": "A", "digits": "0", "symbols": "=", "capitals": " A", "after-stop": ". A",
    "acronyms": "AA", "numbers": " 0", "decimals": "0.0", "years": " 0000", "hyphens": "a-a",
    "sentences": ". ", "variables": " a ",
}  # fmt: skip
_CAPITALS: Final = [*_SHAPES].index("capitals")
_AFTER_STOP: Final = [*_SHAPES].index("after-stop")
_SENTENCES: Final = [*_SHAPES].index("sentences")
_SPACES: Final = bytes(
    i if chr(i).isalpha() or i >= 0x80 or i == ord("'") else ord(" ")  # noqa: PLR2004
    for i in range(256)
)

NAMES: Final[tuple[str, ...]] = (
    "length", "non-ascii", *_SHAPES, *_MARK_NAMES, *map(str.strip, _PHRASES),
    "options", "options-mean", "options-longest", "options-shortest", "options-spread",
    "options-digits", "options-capital", "options-starts", "question-length",
    "ends-with", "asks", "asks-first", "asks-last", "last-sentence",
    "words", "word-length", "distinct", "names", "sentence-length",
)  # fmt: skip
"""What each number of `surface` is."""


def surface(text: str, length: int = 0) -> list[float]:
    """Return the features of a turn, in the order of `NAMES`.

    Args:
        text: the turn, or its head and tail.
        length: characters of the whole turn, if `text` is only a part of it.
    """
    whole = text
    if len(text) > HEAD + TAIL:
        length = length or len(text)
        text = f"{text[:HEAD]}\n{text[-TAIL:]}"
    low = text.lower()
    raw = text.encode(errors="replace")
    size = len(raw) or 1
    words = low.encode(errors="replace").translate(_SPACES).split()
    n = len(words) + 1
    shape = raw.translate(_SHAPE).decode("ascii")
    counts = [shape.count(each) for each in _SHAPES.values()]
    found = [math.log(max(len(text), length) + 1), (len(raw) - len(text)) / size]
    found += [count / size for count in counts]
    found += [text.count(mark) for mark in _MARKS]
    found += [low.count(phrase) for phrase in _PHRASES]
    question = _options(whole, found)
    _question(question, found)
    names = counts[_CAPITALS] - counts[_AFTER_STOP]
    letters = size - shape.count(" ")
    found += (math.log(n), letters / n, len(set(words)) / n, names / n)
    found.append(n / (counts[_SENTENCES] + 1))
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
    found += ("?.:_".find(end) + 1 if end else 0, end == "?")
    first = question[:40].lower().encode(errors="replace").translate(_SPACES).split()
    found.append(_ASKS.get(first[0], -1) if first else -2)
    body = tail[:-1]
    last = body[max(body.rfind(". "), body.rfind("\n"), body.rfind("? ")) + 1 :]
    words = last.lower().encode(errors="replace").translate(_SPACES).split()
    asks = [index for word in words if (index := _ASKS.get(word, 99)) <= _QUESTION_WORDS]
    found += (asks[0] if asks else -1, len(last))
