"""The embedded classifier's model: intents by words, P(local is good enough) by trees.

A prompt's score is the sum of the trees' leaves, the log-odds that a small model answers the kind
of question that the labels hold. Each intent turns it into a probability with a slope and an
offset of its own (Platt scaling): fitted where labels of that kind exist, set by what is published
elsewhere (`training.priors`).
"""

from __future__ import annotations

import gzip
import math
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING

import msgspec

from hybrid_router.classify import features, trees, words

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

INTENTS = (
    "text-to-sql", "json-extraction", "intent-routing", "code-writing", "debugging", "maths",
    "reasoning", "summarising", "translation", "creative-writing", "factual-question", "chat",
)  # fmt: skip
UNKNOWN = "unknown"
"""Where no intent is likely enough."""
OPEN = "/open"
"""Ends the name of a scaling for questions without options to choose from."""
LIKELY = 0.3
"""Probability from which an intent counts."""
CONTEXT_WEIGHT = 0.6
"""What the words of the system prompt, or of the turn before, count against those of a turn."""
FILE = "model.json.gz"


class Scale(msgspec.Struct, frozen=True, array_like=True):
    """Platt scaling: P = sigmoid(slope * score + offset)."""

    slope: float
    offset: float


class Point(msgspec.Struct, frozen=True, array_like=True):
    """What a threshold means on the labels, out of fold."""

    threshold: float
    quality: float
    """Of the answers, as a share of the large model's."""
    local: float
    """Share of requests answered by the local model."""


class Parameters(msgspec.Struct, frozen=True, kw_only=True):
    """The model file."""

    features: tuple[str, ...]
    with_options: list[trees.Tree]
    """For questions with options to choose from."""
    open: list[trees.Tree]
    """For all others."""
    bias: list[float]
    """Of each intent, in the order of `INTENTS`."""
    words: dict[str, list[tuple[int, float]]]
    """What speaks for which intents."""
    scales: dict[str, Scale]
    """By intent, `unknown` among them."""
    curve: list[Point]
    """By falling threshold."""


class Reading(msgspec.Struct, frozen=True):
    """What the model sees in one text, before anything is decided."""

    votes: tuple[float, ...]
    """Log-odds of each intent, without the bias."""
    score: float
    """Log-odds of the trees, before calibration."""
    options: bool
    """Whether there are options to choose from."""
    demands: float
    """Log-odds that explicit demands take off."""


class Judgement(msgspec.Struct, frozen=True):
    """What the model says of a prompt."""

    intent: str
    score: float
    """Before calibration: log-odds."""
    probability: float
    """That the local model is good enough."""


class Model:
    """The model, ready to judge. `scales` replaces the calibration of some intents."""

    def __init__(
        self, parameters: Parameters, scales: Mapping[str, tuple[float, float]] | None = None
    ) -> None:
        if parameters.features != features.NAMES:
            raise ValueError("the model file was trained on other features; train it again")
        self._with_options = trees.compiled(parameters.with_options)
        self._open = trees.compiled(parameters.open)
        self._options = features.NAMES.index("options")
        self._bias = parameters.bias
        self._words = parameters.words
        self.curve = parameters.curve
        self.scales = dict(parameters.scales)
        for intent, (slope, offset) in (scales or {}).items():
            self.scales[intent] = Scale(slope, offset)

    def read(self, text: str, length: int = 0) -> Reading:
        """Read a text; the same for the same text, always."""
        found = features.surface(text, length)
        options = found[self._options] > 0
        score = (self._with_options if options else self._open)(found)
        asked = 0.0 if options else demands(text)  # exam questions are labelled as they stand
        return Reading(self.votes(text, length), score, options, asked)

    def votes(self, text: str, length: int = 0) -> tuple[float, ...]:
        """Return how much the words of a text speak for each intent."""
        votes = [0.0] * len(self._bias)
        get = self._words.get
        for token in words.tokens(text, length):
            said = get(token)
            if said is not None:
                for index, weight in said:
                    votes[index] += weight
        return tuple([round(vote, 6) for vote in votes])  # equal, whatever the set's order

    def judge(
        self,
        turn: Reading,
        system: tuple[float, ...] | None = None,
        before: Reading | None = None,
    ) -> Judgement:
        """Judge a turn.

        Args:
            turn: the last user turn.
            system: the votes of the system prompt, which often holds the task.
            before: the turn before, for one too short to say what it is about.
        """
        votes: Sequence[float] = turn.votes
        score = turn.score
        if system is not None:
            votes = [v + CONTEXT_WEIGHT * s for v, s in zip(votes, system, strict=True)]
        if before is not None:
            votes = [v + CONTEXT_WEIGHT * s for v, s in zip(votes, before.votes, strict=True)]
            score = min(score, before.score)
        intent = self._intent(votes)
        scale = self.scales[intent]
        if not turn.options:
            scale = self.scales.get(intent + OPEN, scale)
        z = scale.slope * score + scale.offset - turn.demands
        return Judgement(intent, score, sigmoid(z))

    def _intent(self, votes: Sequence[float]) -> str:
        """Return the likeliest intent, or `unknown`."""
        total = [b + v for b, v in zip(self._bias, votes, strict=True)]
        best = max(total)
        if sum([math.exp(vote - best) for vote in total]) > 1.0 / LIKELY:
            return UNKNOWN
        return INTENTS[total.index(best)]


ASKED_WORDS = 300
"""An answer of that many words or more is a long one."""
LONG_ANSWER = 1.5
"""Log-odds that a long answer costs. Judgement: no public labels hold long answers."""
EXACTING = (
    "step by step", "in detail", "nuance", "preserving", "wordplay", "idiom", "rhyme", "legal",
    "prove ", "derive ", "trade-off", "tradeoff", "justify", "from scratch", "edge cases",
    "compare and contrast",
)  # fmt: skip
EXACTING_EACH, EXACTING_MOST = 0.4, 3
"""Log-odds that each demand for care costs, and how many count. Judgement likewise."""
_UNITS = (" word", "-word", " W\u00f6rter", " mots", " palabras", " parole", " s\u0142\u00f3w")


def demands(turn: str) -> float:
    """Return the log-odds that explicit demands take off: a long answer, exacting work.

    Nothing in a prompt adds log-odds here, so a prompt cannot talk itself easy.
    """
    text = words.instructions(turn)
    cost = 0.0
    for unit in _UNITS:
        at = text.find(unit)
        if at > 0:
            number = "".join([c for c in text[max(0, at - 6) : at] if c in "0123456789"])
            if number and int(number) >= ASKED_WORDS:
                cost = LONG_ANSWER
    low = text.lower()
    exacting = sum([mark in low for mark in EXACTING])
    return cost + EXACTING_EACH * min(exacting, EXACTING_MOST)


def sigmoid(z: float) -> float:
    """Return 1 / (1 + e^-z), without overflow."""
    if z >= 0:
        return 1.0 / (1.0 + math.exp(-z))
    e = math.exp(z)
    return e / (1.0 + e)


def read(data: bytes) -> Parameters:
    """Read a model file.

    Raises:
        msgspec.DecodeError: it is none.
    """
    return msgspec.json.decode(gzip.decompress(data), type=Parameters)


@cache
def shipped() -> Parameters:
    """Return the model that comes with the package."""
    return read(resources.files("hybrid_router.classify").joinpath("data", FILE).read_bytes())
