"""From the table's description to a classifier, and the one that is in force."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hybrid_router.classify.embedded import EmbeddedClassifier
from hybrid_router.classify.slm import SlmClassifier

if TYPE_CHECKING:
    from hybrid_router import table
    from hybrid_router.classify.base import Classifier
    from hybrid_router.discovery.registry import Registry
    from hybrid_router.telemetry.metrics import Metrics
    from hybrid_router.upstream.client import UpstreamClient


def build(
    description: table.Classifier, registry: Registry, client: UpstreamClient, metrics: Metrics
) -> Classifier | None:
    """Return the classifier that a table asks for; None for type `none`."""
    if description.type in {"embedded", "cascade"}:  # for a cascade it names the intent
        return EmbeddedClassifier()
    if description.type == "slm" and description.target is not None:
        return SlmClassifier(description, registry, client, metrics)
    return None


class ClassifierSource:
    """The classifier of the table in force. Calling it returns the present one."""

    def __init__(self, registry: Registry, client: UpstreamClient, metrics: Metrics) -> None:
        self._registry = registry
        self._client = client
        self._metrics = metrics
        self._description: table.Classifier | None = None
        self._current: Classifier | None = None
        registry.listen(self._follow)
        self._follow(registry.table)

    def __call__(self) -> Classifier | None:
        """Return it; None if nobody judges."""
        return self._current

    async def close(self) -> None:
        """End what is under way."""
        if self._current is not None:
            await self._current.close()

    def _follow(self, present: table.RouteTable) -> None:
        """Build another one only if its description changed: verdicts that are known stay known.

        Questions under way at the old one end by themselves, within its time box.
        """
        wanted = present.policy.classifier
        if wanted != self._description:
            self._description = wanted
            self._current = build(wanted, self._registry, self._client, self._metrics)
