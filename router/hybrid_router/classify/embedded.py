"""A first plain classifier: surface features of the prompt, no model call, microseconds.

It is UNCALIBRATED, and says so in every verdict: its confidence orders prompts sensibly, but 0.85
is not a promise that the local model is right in 85 of 100 cases. The weights are set by hand and
are all there is: confidence = sigmoid(BASE + the sum of what fires). Words count where people put
instructions, at the head and the tail of the last turn, so a pasted document does not speak for its
reader, and a prompt of 64 KB costs what one of 1 KB does.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING

from hybrid_router.classify.signals import NAMED, SIGNALS
from hybrid_router.core.decision import Verdict

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hybrid_router.classify.prompt import Prompt

NAME = "embedded-uncalibrated"

BASE = 2.3
"""Nothing known: a short request, which small models mostly handle. sigmoid(2.3) = 0.91."""

HEAD, TAIL = 360, 200
"""Characters of the last turn in which words count."""

LONG = 1_200
"""Characters. Above it, every doubling weighs LENGTH_WEIGHT, LENGTH_LIMIT at most."""
LENGTH_WEIGHT, LENGTH_LIMIT = -0.25, -1.0

TURN_WEIGHT, TURN_LIMIT = -0.08, -0.5
"""For every earlier user turn: long conversations drift towards what is hard."""

CONSTRAINTS = frozenset(
    ("must", "should", "exactly", "least", "most", "without", "ensure", "avoid", "each", "every")
)
CONSTRAINT_WEIGHT, CONSTRAINTS_FREE, CONSTRAINT_LIMIT = -0.25, 2, -1.0
"""Every constraint above two makes it likelier that one is missed."""

CODE_MARKS = ("```", "def ", "class ", "#include", "public static", "=> {", "();", "};")
CODE_WEIGHT = -0.5
"""A program in the prompt, and nothing asked of it that the signals call easy."""

COUNTS = frozenset(
    ("half", "twice", "double", "triple", "third", "quarter", "each", "altogether", "total", "two")
)
FIGURES, FIGURES_WEIGHT = 4, -1.5
"""Four numbers or more and a question: an arithmetic word problem, unless fields are extracted."""

MANY_WORDS, MANY_WORDS_WEIGHT = 300, -1.0
"""An answer of so many words or more is asked for."""

_WORD = re.compile(r"[a-z][a-z'-]*")
_NUMBER = re.compile(r"\d+")
_WORDS_ASKED = re.compile(r"(\d[\d,.]*)[ -]words?\b")


class EmbeddedClassifier:
    """Judges by surface features. Uncalibrated: see the module."""

    def __init__(self) -> None:
        # A phrase is looked for only where its first word is: few are, so few are looked for.
        self._words: dict[str, list[int]] = {}
        self._phrases: dict[str, list[tuple[str, int]]] = {}
        self._marks: list[tuple[str, int]] = []
        for index, signal in enumerate(SIGNALS):
            for word in signal.words.split():
                self._words.setdefault(word, []).append(index)
            for phrase in signal.phrases:
                first = _WORD.search(phrase)
                if first is None:
                    self._marks.append((phrase, index))
                else:
                    self._phrases.setdefault(first.group(), []).append((phrase, index))

    async def classify(self, prompt: Prompt) -> Verdict:
        """Return a confidence and an intent; needs no time box."""
        if not prompt.turn:
            return Verdict(None, "unknown", NAME, "the request holds no text of the user")
        return self.judge(prompt)

    async def close(self) -> None:
        """Nothing is ever under way."""

    def judge(self, prompt: Prompt) -> Verdict:
        """Return the verdict; the same for the same prompt, always."""
        contributions = list(self._contributions(prompt))
        confidence = 1.0 / (1.0 + math.exp(-BASE - sum(weight for weight, _ in contributions)))
        return Verdict(confidence, _intent(contributions), NAME)

    def _contributions(self, prompt: Prompt) -> Iterator[tuple[float, str | None]]:
        text = _instructions(prompt.turn).lower()
        words = set(_WORD.findall(text))
        hits = self._hits(text, words)
        for index in sorted(hits):  # one order of adding, or equal prompts would differ by a bit
            signal = SIGNALS[index]
            yield signal.weight * min(hits[index], signal.most), signal.intent
        easy = any(SIGNALS[index].weight > _EASY for index in hits)
        yield from _structure(prompt, text, words, easy=easy)

    def _hits(self, text: str, words: set[str]) -> dict[int, int]:
        """Return how many different words and phrases of each signal are there."""
        found = [index for word in words & self._words.keys() for index in self._words[word]]
        maybe = [p for word in words & self._phrases.keys() for p in self._phrases[word]]
        found += [index for phrase, index in (*maybe, *self._marks) if phrase in text]
        hits: dict[int, int] = {}
        for index in found:
            hits[index] = hits.get(index, 0) + 1
        return hits


_EASY = 1.0
"""A signal of this weight or more says that what surrounds it is material, not the task."""


def _instructions(turn: str) -> str:
    """Return the parts of a turn in which people write what they want."""
    if len(turn) <= HEAD + TAIL:
        return turn
    return f"{turn[:HEAD]}\n{turn[-TAIL:]}"


def _structure(
    prompt: Prompt, text: str, words: set[str], *, easy: bool
) -> Iterator[tuple[float, str | None]]:
    """Yield what the shape of the prompt says, whatever its words mean."""
    if prompt.length > LONG:
        yield max(LENGTH_LIMIT, LENGTH_WEIGHT * math.log2(prompt.length / LONG)), None
    yield max(TURN_LIMIT, TURN_WEIGHT * prompt.earlier), None
    constraints = len(words & CONSTRAINTS) - CONSTRAINTS_FREE
    if constraints > 0:
        yield max(CONSTRAINT_LIMIT, CONSTRAINT_WEIGHT * constraints), None
    if any(int(n) >= MANY_WORDS for n in _numbers(_WORDS_ASKED.findall(text))):
        yield MANY_WORDS_WEIGHT, "creative-writing"
    if easy:
        return
    if any(mark in prompt.turn for mark in CODE_MARKS):
        yield CODE_WEIGHT, "code-writing"
    if "?" in text and len(_NUMBER.findall(text)) + len(words & COUNTS) >= FIGURES:
        yield FIGURES_WEIGHT, "maths"


def _numbers(found: list[str]) -> Iterator[str]:
    for text in found:
        digits = text.replace(",", "").split(".")[0][:9]
        if digits:
            yield digits


def _intent(contributions: list[tuple[float, str | None]]) -> str:
    """Return the intent that most of the weight speaks for."""
    votes: dict[str, float] = {}
    for weight, intent in contributions:
        if intent is not None:
            vote = abs(weight) + NAMED.get(intent, 0.0)
            votes[intent] = votes.get(intent, 0.0) + vote
    return max(votes, key=votes.__getitem__, default="unknown")
