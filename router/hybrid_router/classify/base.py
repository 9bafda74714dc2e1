"""What every classifier is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hybrid_router.classify.prompt import Prompt
    from hybrid_router.core.decision import Verdict


class Classifier(Protocol):
    """Judges whether the local model is good enough for a prompt."""

    async def classify(
        self, prompt: Prompt, asker: str = "", priors: Mapping[str, float] | None = None
    ) -> Verdict:
        """Return a verdict, within the classifier's time box.

        Args:
            prompt: what is judged.
            asker: the id of the client's key: what one client asks shows in no other's answer.
            priors: what the table says of the local model, by intent.

        Raises nothing: what goes wrong is the verdict's `error`. Only cancellation passes through.
        """
        ...

    async def close(self) -> None:
        """End what is under way."""
        ...
