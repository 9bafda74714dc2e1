"""The default classifier: the package's own model, no call to anyone, microseconds.

Its confidence is a probability: of the requests that score 0.85, the local model is good enough
for 85 %, as far as the labels reach (`data/CARD.md`). Readings of texts are remembered by their
hash: a system prompt and the earlier turns of a conversation are read once.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from hybrid_router.classify.model import Model
from hybrid_router.classify.parameters import shipped
from hybrid_router.core.decision import Earlier, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from hybrid_router.classify.model import Judgement, Reading
    from hybrid_router.classify.prompt import Prompt

NAME: Final = "embedded"
REMEMBERED: Final = 4_096
"""Readings kept: hashes and numbers, no texts; about 2 MiB."""
FOLLOWS_UP: Final = 60
"""Characters below which a turn is taken as a continuation of the one before."""

_T = TypeVar("_T")


class EmbeddedClassifier:
    """Judges by the shipped model, or by one that the caller brings."""

    def __init__(self, model: Model | None = None) -> None:
        self.model = model if model is not None else Model(shipped())
        self._readings: _Known[Reading] = _Known(self.model.read)
        self._votes: _Known[int] = _Known(lambda text, _: self.model.votes(text))

    async def classify(
        self,
        prompt: Prompt,
        asker: str = "",  # noqa: ARG002  needs none
        priors: Mapping[str, float] | None = None,
    ) -> Verdict:
        """Return a confidence and an intent; needs no time box."""
        return self.judge(prompt, priors)

    async def close(self) -> None:
        """Nothing is ever under way."""

    def judge(self, prompt: Prompt, priors: Mapping[str, float] | None = None) -> Verdict:
        """Return the verdict; the same for the same prompt and priors, always.

        Without `priors` of the local model, those of the model file hold (`Model.judge`).
        """
        if not prompt.turn:
            return Verdict(None, "unknown", NAME, "the request holds no text of the user")
        system = self._votes(prompt.system) if prompt.system else 0
        earlier: list[Earlier] = []
        before: Reading | None = None
        for text, length in zip(prompt.turns, prompt.lengths, strict=True):
            reading = self._readings(text, length)
            judged = self._judge(text, reading, system, before, priors)
            earlier.append(Earlier(judged.probability, judged.intent))
            before = reading
        reading = self.model.read(prompt.turn, prompt.length)
        judged = self._judge(prompt.turn, reading, system, before, priors)
        return Verdict(judged.probability, judged.intent, NAME, earlier=tuple(earlier))

    def _judge(
        self,
        text: str,
        reading: Reading,
        system: int,
        before: Reading | None,
        priors: Mapping[str, float] | None,
    ) -> Judgement:
        continues = before if len(text) < FOLLOWS_UP else None
        return self.model.judge(reading, system, continues, priors)


class _Known(Generic[_T]):
    """A function whose last results are kept, by the hash of the text: no text is kept.

    The function gets the text, and the characters of the whole of which it is the bounded part.
    """

    def __init__(self, function: Callable[[str, int], _T]) -> None:
        self._function = function
        self._results: OrderedDict[tuple[int, int, int], _T] = OrderedDict()

    def __call__(self, text: str, length: int = 0) -> _T:
        key = (hash(text), len(text), length)
        result = self._results.get(key)
        if result is None:
            result = self._results[key] = self._function(text, length)
            if len(self._results) > REMEMBERED:
                self._results.popitem(last=False)
        return result
