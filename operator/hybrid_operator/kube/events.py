"""Kubernetes events on a HybridInference: what happened, for `kubectl describe`.

The name of an event follows from what it says, so the same thing said again adds to its count
instead of making another object; within a minute it is not said again at all.
"""

from __future__ import annotations

import hashlib
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hybrid_operator.kube.errors import AlreadyExists, KubeError, NotFound
from hybrid_operator.kube.kinds import EVENT, RESOURCE, Key

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from hybrid_operator.core.state import Event, Owner
    from hybrid_operator.kube.writer import Writer

log = logging.getLogger(__name__)

QUIET_SECONDS = 60.0
"""The same event is not written again within this time."""
REMEMBERED = 4096
"""Events that are remembered as said; beyond that, the oldest may be said again early."""
MAX_MESSAGE = 1024
"""The API server's own limit, in characters."""


@dataclass(slots=True)
class _Said:
    at: datetime
    count: int = 1


class Recorder:
    """Writes events, and never fails a reconciliation over one."""

    def __init__(self, writer: Writer, now: Callable[[], datetime], component: str) -> None:
        self._writer = writer
        self._now = now
        self._component = component
        self._said: dict[str, _Said] = {}

    async def record(self, owner: Owner, event: Event) -> None:
        """Write `event` on `owner`, unless it was just written."""
        now, name = self._now(), _name(owner, event)
        known = self._said.get(name)
        if known is not None and (now - known.at).total_seconds() < QUIET_SECONDS:
            return
        if known is None and len(self._said) >= REMEMBERED:
            self._said.pop(next(iter(self._said)))
        key = Key(owner.namespace, name)
        said = self._said[name] = _Said(now, 1 if known is None else known.count + 1)
        try:
            if known is None or not await self._again(key, said):
                await self._first(key, said, _body(key, owner, event, now, self._component))
        except KubeError as error:
            log.warning("%s/%s: an event is lost: %s", owner.namespace, owner.name, error)

    async def _first(self, key: Key, said: _Said, body: Mapping[str, Any]) -> None:
        """Make the event; one that an earlier process of ours made is counted up."""
        said.count = 1
        try:
            await self._writer.create_event(body)
        except AlreadyExists:
            there = await self._writer.repeat_event(key, {"lastTimestamp": _stamp(said.at)})
            said.count = int(there.get("count") or 1) + 1
            await self._again(key, said)

    async def _again(self, key: Key, said: _Said) -> bool:
        """Count the event up; False when it has expired."""
        patch = {"count": said.count, "lastTimestamp": _stamp(said.at)}
        try:
            await self._writer.repeat_event(key, patch)
        except NotFound:
            return False
        return True


def _name(owner: Owner, event: Event) -> str:
    text = f"{owner.uid}\0{event.type}\0{event.reason}\0{event.message}"
    return f"{owner.name}.{hashlib.sha256(text.encode()).hexdigest()[:16]}"


def _body(key: Key, owner: Owner, event: Event, now: datetime, component: str) -> dict[str, Any]:
    return {
        "apiVersion": EVENT.api_version,
        "kind": EVENT.name,
        "metadata": {"name": key.name, "namespace": key.namespace},
        "involvedObject": {
            "apiVersion": RESOURCE.api_version,
            "kind": RESOURCE.name,
            "name": owner.name,
            "namespace": owner.namespace,
            "uid": owner.uid,
        },
        "type": event.type,
        "reason": event.reason,
        "message": event.message[:MAX_MESSAGE],
        "source": {"component": component},
        "firstTimestamp": _stamp(now),
        "lastTimestamp": _stamp(now),
        "count": 1,
    }


def _stamp(now: datetime) -> str:
    return now.strftime("%Y-%m-%dT%H:%M:%SZ")
