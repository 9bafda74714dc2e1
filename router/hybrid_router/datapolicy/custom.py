"""A policy's own patterns and lists of words."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import re2

from hybrid_router.datapolicy.automaton import Automaton
from hybrid_router.datapolicy.findings import BETWEEN
from hybrid_router.datapolicy.scanner import Span

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hybrid_router.datapolicy.budget import Budget

MAX_MEMORY = 8 * 1024 * 1024
"""Bytes that RE2 may use for one pattern."""
FAR = 16 * 1024
"""Characters before which a search counts as one place: `a.*b|a` looks through all that is left
each time, for a `b` that never comes.
"""
GAP = 8
"""White space between two words of a phrase, at most: a line's end, and what indents the next."""
_alone = re.compile(r"\\[Az]|\(\?[a-zA-Z]*-")
"""In a pattern, what may let it match in a text and not where texts stand line by line."""


class PatternError(ValueError):
    """A pattern that RE2 does not take; the message names it and holds RE2's words."""


class Custom:
    """Patterns in RE2's syntax, which is CEL's too, and words that stand alone, in any case.

    A pattern is looked for in each text by itself: `^` and `$` are the beginning and the end of a
    text or of a line in it, and what it finds reaches over no other text.

    Args:
        patterns: expression by class.
        words: lists by class.

    Raises:
        PatternError: an expression is none.
    """

    def __init__(self, patterns: Mapping[str, str], words: Mapping[str, Sequence[str]]) -> None:
        options = re2.Options()
        options.max_mem = MAX_MEMORY
        options.log_errors = False
        self._patterns = []
        for name, pattern in patterns.items():
            try:
                compiled = re2.compile(f"(?m){pattern}", options)
            except re2.error as error:
                raise PatternError(f"{name}: {_words(error)}") from None
            self._patterns.append((name, _alone.search(pattern) is not None, compiled))
        self._words = _Words(words) if any(words.values()) else None

    def find(self, text: str, budget: Budget) -> list[Span]:
        """Return the findings, in characters."""
        found: list[Span] = []
        lines = text.replace(BETWEEN, "\n")  # a pattern that is not in these is in no text
        for name, alone, pattern in self._patterns:
            if alone or pattern.search(lines) is not None:
                found += _in_texts(name, pattern, text, budget)
        if self._words is not None:
            found += self._words.find(text, budget)
        return found


def _in_texts(name: str, pattern: re2._Regexp[str], text: str, budget: Budget) -> list[Span]:
    """Return what a pattern finds in each text by itself."""
    found: list[Span] = []
    at = 0
    for each in text.split(BETWEEN):
        for match in pattern.finditer(each):
            start, end = match.span()
            if not budget.spend(1 + (len(each) - end) // FAR, (name,)):
                return found
            if end > start:
                found.append(Span(name, at + start, at + end))
        at += len(each) + 1
    return found


class _Words:
    """All words in one automaton."""

    def __init__(self, lists: Mapping[str, Sequence[str]]) -> None:
        pairs = [(name, word.split()) for name, words in lists.items() for word in words]
        pairs = [(name, parts) for name, parts in pairs if parts]
        self._names = [name for name, _ in pairs]
        phrases = [rf"\s{{1,{GAP}}}".join(map(re.escape, parts)) for _, parts in pairs]
        self._forms = [
            re.compile(rf"(?:(?<!\w)|(?<=[^\x00-\u024f])){phrase}", re.IGNORECASE)
            for phrase in phrases
        ]
        least = [len(" ".join(parts)) for _, parts in pairs]
        most = [size + (GAP - 1) * (len(p) - 1) for size, (_, p) in zip(least, pairs, strict=True)]
        self._sizes = [range(*each) for each in zip(least, [m + 1 for m in most], strict=True)]
        expressions = [(phrase.encode(), True) for phrase in phrases]
        self._automaton = Automaton(expressions, unicode=True)

    def find(self, text: str, budget: Budget) -> list[Span]:
        """Return the words that stand alone, in characters."""
        data = text.encode(errors="replace")
        found: list[Span] = []
        at = end = 0
        for stop, id_ in budget.ends(self._automaton, data, self._names):
            end += len(data[at:stop].decode(errors="replace"))
            at = stop
            after = text[end : end + 1]
            if after.isalnum() and after < "\u0250" and text[end - 1].isalnum():
                continue
            for size in self._sizes[id_]:  # in another case a word has as many characters
                start = end - size
                if start >= 0 and self._forms[id_].fullmatch(text, start, end) is not None:
                    found.append(Span(self._names[id_], start, end))
                    break
        return found


def _words(error: Exception) -> str:
    text = error.args[0] if error.args else ""
    return text.decode() if isinstance(text, bytes) else str(text)
