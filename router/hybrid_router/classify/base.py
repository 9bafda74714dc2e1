"""What every classifier is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from hybrid_router.classify.prompt import Prompt
    from hybrid_router.core.decision import Verdict


class Classifier(Protocol):
    """Judges whether the local model is good enough for a prompt."""

    async def classify(self, prompt: Prompt, asker: str = "") -> Verdict:
        """Return a verdict, within the classifier's time box.

        `asker` is the id of the client's key: what one client asks shows in no other's answer.

        Raises nothing: what goes wrong is the verdict's `error`. Only cancellation passes through.
        """
        ...

    async def close(self) -> None:
        """End what is under way."""
        ...
