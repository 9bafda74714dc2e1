"""What of a prompt tells its intent: the words where people put instructions, and a few marks.

Words count whole, by their first letters (which stands in for a stemmer in every language), and in
pairs. Scripts that write without spaces count by pairs of characters.
"""

from __future__ import annotations

import re
from itertools import pairwise

HEAD, TAIL = 320, 200
"""Characters of a turn in which words count: a pasted document does not speak for its reader."""
STEM = 5
"""Letters of a word that count as its stem."""
PAIRS = 24
"""Words at either end that count in pairs."""

_SEPARATORS = {i: " " for i in range(128) if not chr(i).isalpha()}
_WORD = re.compile(r"[^\W\d_]+")
_SPACELESS = re.compile(r"[\u0e00-\u0e7f\u3040-\u30ff\u3400-\u9fff]")
_CODE = (
    "```", ";\n", "{\n", "()", "def ", "=>", "==", "return ", "#include", "class ", "import os",
    "import sys", "let ", "const ", "void ",
)  # fmt: skip
_SHORT, _LONG = 40, 600


def instructions(turn: str) -> str:
    """Return the parts of a turn in which people write what they want."""
    if len(turn) <= HEAD + TAIL:
        return turn
    return f"{turn[:HEAD]}\n{turn[-TAIL:]}"


def tokens(turn: str, length: int = 0) -> set[str]:
    """Return what speaks for an intent; `length` is that of the whole turn."""
    text = instructions(turn)
    low = text.lower()
    words = low.translate(_SEPARATORS).split() if low.isascii() else _words(low)
    found = set(words)
    found.update([f"{word[:STEM]}*" for word in words if len(word) > STEM])
    ends = words if len(words) <= 2 * PAIRS else [*words[:PAIRS], *words[-PAIRS:]]
    found.update([f"{a} {b}" for a, b in pairwise(ends)])
    if words:
        found.add(f"^{words[0]}")
    _marks(text, max(length, len(turn)), found)
    return found


def _words(low: str) -> list[str]:
    words: list[str] = []
    for word in _WORD.findall(low):
        if _SPACELESS.match(word):
            words.extend([word[i : i + 2] for i in range(len(word) - 1)] or [word])
        else:
            words.append(word)
    return words


def _marks(text: str, length: int, found: set[str]) -> None:
    """Add what the shape says: code, an object, a question, figures, options, length."""
    if any([mark in text for mark in _CODE]):  # noqa: C419  a list is faster
        found.add("#code")
    if '{"' in text or "[{" in text:
        found.add("#object")
    if text[-2:].strip().endswith(("?", "\uff1f", "\u061f")):
        found.add("#asks")
    if "\nA. " in text or "\nB. " in text or "\nC. " in text or "\nD. " in text:
        found.add("#options")
    if "error" in text or "Error" in text or "xception" in text:
        found.add("#error")
    if "=" in text or "^" in text or "+" in text or "\u221a" in text:
        found.add("#formula")
    found.add("#short" if length < _SHORT else "#long" if length > _LONG else "#middle")
