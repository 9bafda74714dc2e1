"""The embedded classifier's model: intents by words, P(local is good enough) by form.

A prompt's score (`additive`) is the log-odds that a small model answers the kind of question that
the labels hold. Each intent turns it into a probability with a slope and an
offset of its own (Platt scaling): fitted where labels of that kind exist, set by what is published
elsewhere (`training.priors`).
"""

from __future__ import annotations

import math
import struct
from typing import TYPE_CHECKING, Final

import msgspec

from hybrid_router.classify import features, words
from hybrid_router.classify.parameters import Scale
from hybrid_router.classify.score import Score
from hybrid_router.core.calibration import log_odds

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hybrid_router.classify.parameters import Parameters

INTENTS: Final[tuple[str, ...]] = (
    "text-to-sql", "json-extraction", "intent-routing", "code-writing", "debugging", "maths",
    "reasoning", "summarising", "translation", "creative-writing", "factual-question", "chat",
)  # fmt: skip
UNKNOWN: Final = "unknown"
"""Where no intent is likely enough."""
OPEN: Final = "/open"
"""Ends the name of a scaling for questions without options to choose from."""
LIKELY: Final = 0.3
"""Probability from which an intent counts."""
FITTED: Final = frozenset(("maths", "reasoning", "factual-question"))
"""Intents whose scaling is fitted to labels: to exam questions, with options to choose from."""
CHAT: Final = "chat"
EVIDENCE: Final = 4.0
"""Log-odds from which a turn's words ask for a task, whatever else they ask for."""
EVIDENCE_BESIDE_CHAT: Final = 2.5
"""Likewise beside a greeting, which asks for nothing. About 1 % of an intent's own phrases
(`training.examples`) lose a threshold of 0.85 by either; of
the reviewed prompts, three easy ones would from 3.5 on."""
_AKIN: Final = ("text-to-sql", "code-writing")
"""An intent, and one that its words speak for and that is no other task: SQL is code."""
OWN_WEIGHT: Final = 5
CONTEXT_WEIGHT: Final = 3
"""What the words of a turn count, against those of the system prompt or of the turn before."""
_SCALE: Final = words.UNIT * OWN_WEIGHT
_HALF: Final = 1 << (words.LANE - 1)


class Reading(msgspec.Struct, frozen=True):
    """What the model sees in one text, before anything is decided."""

    votes: int
    """For each intent, without the bias: lanes of `words.Lexicon`."""
    score: float
    """Log-odds, before calibration."""
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
        self._with_options = Score(parameters.with_options)
        self._open = Score(parameters.open)
        self._options = features.NAMES.index("options")
        scaled = [round(bias * _SCALE) + _HALF for bias in parameters.bias]
        self._bias = sum(bias << (words.LANE * lane) for lane, bias in enumerate(scaled))
        self._lanes = struct.Struct(f"<{len(scaled)}I")
        self._enough = round(EVIDENCE * _SCALE) + _HALF
        self._beside_chat = round(EVIDENCE_BESIDE_CHAT * _SCALE) + _HALF
        self._lexicon = words.Lexicon(parameters.words)
        self.curve = parameters.curve
        self.scales = dict(parameters.scales)
        self._priors = {name: log_odds(prior) for name, prior in parameters.priors.items()}
        for intent, (slope, offset) in (scales or {}).items():
            self.scales[intent] = Scale(slope, offset)

    def read(self, text: str, length: int = 0) -> Reading:
        """Read a text; the same for the same text, always."""
        found = features.surface(text, length)
        options = found[self._options] > 0
        score = (self._with_options if options else self._open).of(found)
        said = words.said(text, length)
        asked = 0.0 if options else demands(said)  # exam questions are labelled as they stand
        return Reading(self._lexicon.votes(said), score, options, asked)

    def votes(self, text: str) -> int:
        """Return how much the words of a text speak for each intent."""
        return self._lexicon.votes(words.said(text))

    def judge(
        self,
        turn: Reading,
        system: int = 0,
        before: Reading | None = None,
        priors: Mapping[str, float] | None = None,
    ) -> Judgement:
        """Judge a turn. One that asks for several tasks is as hard as the hardest of them.

        Args:
            turn: the last user turn.
            system: the votes of the system prompt, which often holds the task.
            before: the turn before, for one too short to say what it is about.
            priors: P(good enough) of an average task by intent, of the local model that would
                answer, instead of those that the model file was made with. Intents that it holds
                no prior of keep what was fitted.
        """
        votes, score = OWN_WEIGHT * turn.votes + CONTEXT_WEIGHT * system, turn.score
        if before is not None:
            votes += CONTEXT_WEIGHT * before.votes
            score = min(score, before.score)
        own = OWN_WEIGHT * turn.votes
        said = self._totals(own)
        intent = self._intent(said if votes == own else self._totals(votes))
        z = self._log_odds(intent, score, priors, options=turn.options)
        if not turn.options or intent not in FITTED:
            for other in self._asked(said, intent):  # the name stays: it is the likeliest
                z = min(z, self._log_odds(other, score, priors, options=turn.options))
        return Judgement(intent, score, sigmoid(z - turn.demands))

    def _log_odds(
        self, intent: str, score: float, priors: Mapping[str, float] | None, *, options: bool
    ) -> float:
        """Return the calibrated log-odds of a score, were it of an intent."""
        scale = self.scales[intent]
        if not options:
            scale = self.scales.get(intent + OPEN, scale)
        z = scale.slope * score + scale.offset
        if priors and intent in priors and intent in self._priors:
            z += log_odds(priors[intent]) - self._priors[intent]
        return z

    def _totals(self, votes: int) -> tuple[int, ...]:
        """Return what votes say for each intent, in their order; shifted by half a lane."""
        total: tuple[int, ...] = self._lanes.unpack(
            (votes + self._bias).to_bytes(self._lanes.size, "little")
        )
        return total

    def _asked(self, total: tuple[int, ...], intent: str) -> list[str]:
        """Return the tasks that a turn's own words ask for, beside the one that it is taken for.

        Votes are sums: words for an easy task outvote the others, and hardly take from them.
        """
        least = self._beside_chat if intent == CHAT else self._enough
        asked = [INTENTS[lane] for lane, vote in enumerate(total) if vote >= least]
        return [other for other in asked if (intent, other) != _AKIN]

    def _intent(self, total: tuple[int, ...]) -> str:
        """Return the likeliest intent, or `unknown`."""
        best: int = max(total)
        others = 0.0
        for vote in total:
            others += math.exp((vote - best) / _SCALE)
        if others > 1.0 / LIKELY:
            return UNKNOWN
        return INTENTS[total.index(best)]


ASKED_WORDS: Final = 300
"""An answer of that many words or more is a long one."""
LONG_ANSWER: Final = 1.5
"""Log-odds that a long answer costs. Judgement: no public labels hold long answers."""
_EXACTING: Final = (
    "nuance nuances preserving wordplay idiom idioms rhyme legal prove derive tradeoff tradeoffs "
    "justify"
)
EXACTING_PHRASES: Final[tuple[str, ...]] = (
    "step by step", "in detail", "trade-off", "from scratch", "edge cases", "compare and contrast",
)  # fmt: skip
EXACTING_EACH: Final = 0.4
EXACTING_MOST: Final = 3
"""Log-odds that each demand for care costs, and how many count. Judgement likewise."""
_UNITS: Final = {
    words.key(unit): unit
    for unit in ("word", "words", "w\u00f6rter", "mots", "palabras", "parole", "s\u0142\u00f3w")
}
"""What answers are measured in, by the keys of these words."""
_DEMANDING: Final = frozenset([*_UNITS, *map(words.key, _EXACTING.split())])


def demands(said: words.Said) -> float:
    """Return the log-odds that explicit demands take off: a long answer, exacting work.

    Nothing in a prompt adds log-odds here. That it seems of an easier intent does not help where
    its words ask for a harder one, too (`Model.judge`).
    """
    cost, exacting = 0.0, 0
    for key in _DEMANDING.intersection(said.keys):
        unit = _UNITS.get(key)
        if unit is None:
            exacting += 1
        elif _asked(said.low, unit) >= ASKED_WORDS:
            cost = LONG_ANSWER
    exacting += sum([phrase in said.low for phrase in EXACTING_PHRASES])
    return cost + EXACTING_EACH * min(exacting, EXACTING_MOST)


def _asked(low: str, unit: str) -> int:
    """Return the number before the first time that a unit is named; 0 where none is."""
    at = low.find(unit)
    number = "".join([c for c in low[max(0, at - 7) : at] if c in "0123456789"])
    return int(number) if number else 0


def sigmoid(z: float) -> float:
    """Return 1 / (1 + e^-z), without overflow."""
    if z >= 0:
        return 1.0 / (1.0 + math.exp(-z))
    e = math.exp(z)
    return e / (1.0 + e)
