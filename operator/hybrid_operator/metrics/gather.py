"""Asking engines and routers of one resource for what autoscaling goes by."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from hybrid_operator.core.naming import COMPONENT_LABEL, MODEL_LABEL
from hybrid_operator.metrics import diverted, vllm
from hybrid_operator.metrics.fetch import Fetch, FetchError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hybrid_operator.metrics.diverted import Past
    from hybrid_operator.metrics.vllm import EngineReading

log = logging.getLogger(__name__)

CONCURRENCY = 64
"""Pods that are asked at once, over all resources."""


@dataclass(frozen=True, slots=True)
class Engine:
    """One ready engine pod, before and now."""

    pod: str
    before: EngineReading | None
    now: EngineReading | None


@dataclass(frozen=True, slots=True)
class Round:
    """What the pods of one resource said this time."""

    engines: Mapping[str, Sequence[Engine]] = field(default_factory=dict)
    """By label value of the model."""
    routers: Sequence[Mapping[str, Past] | None] = ()
    """The increase by backend, of every ready router; None: unknown."""


class Gatherer:
    """Keeps the last reading of every pod."""

    def __init__(self, fetch: Fetch) -> None:
        """Ask nobody yet; `fetch` gets a pod's metrics."""
        self._fetch = fetch
        self._engines: dict[str, EngineReading] = {}
        self._routers: dict[str, dict[str, Past]] = {}
        self._slots = asyncio.Semaphore(CONCURRENCY)

    async def ask(self, pods: Sequence[Mapping[str, Any]]) -> Round:
        """Ask all ready pods at once; one that does not answer in time is unknown."""
        ready = [pod for pod in pods if _ready(pod)]
        engines = [pod for pod in ready if _label(pod, COMPONENT_LABEL) == "engine"]
        routers = [pod for pod in ready if _label(pod, COMPONENT_LABEL) == "router"]
        told = await asyncio.gather(*(self._engine(pod) for pod in engines))
        past = await asyncio.gather(*(self._router(pod) for pod in routers))
        by_model: dict[str, list[Engine]] = {}
        for pod, engine in zip(engines, told, strict=True):
            by_model.setdefault(_label(pod, MODEL_LABEL), []).append(engine)
        return Round(by_model, past)

    def keep(self, uids: set[str]) -> None:
        """Forget pods that are gone."""
        for known in (self._engines, self._routers):
            for uid in known.keys() - uids:
                del known[uid]

    async def _text(self, pod: Mapping[str, Any]) -> str | None:
        async with self._slots:
            try:
                return await self._fetch(pod)
            except FetchError as error:
                log.debug("%s cannot be asked: %s", pod["metadata"]["name"], error)
                return None

    async def _engine(self, pod: Mapping[str, Any]) -> Engine:
        name, uid = pod["metadata"]["name"], pod["metadata"]["uid"]
        text = await self._text(pod)
        before = self._engines.pop(uid, None)
        if text is None:
            return Engine(name, before, None)
        try:
            now = vllm.parse(name, text)
        except vllm.EngineError as error:
            log.debug("%s", error)
            return Engine(name, before, None)
        self._engines[uid] = now
        return Engine(name, before, now)

    async def _router(self, pod: Mapping[str, Any]) -> Mapping[str, Past] | None:
        uid = pod["metadata"]["uid"]
        text = await self._text(pod)
        before = self._routers.pop(uid, None)
        try:
            now = None if text is None else diverted.parse(text)
        except (ValueError, KeyError) as error:
            log.debug("router %s: %s", pod["metadata"]["name"], error)
            now = None
        if now is None:
            return None
        self._routers[uid] = now
        if before is None:
            return None
        return {
            name: diverted.grown(before.get(name, diverted.NOTHING), past)
            for name, past in now.items()
        }


def _label(pod: Mapping[str, Any], name: str) -> str:
    return str((pod["metadata"].get("labels") or {}).get(name, ""))


def _ready(pod: Mapping[str, Any]) -> bool:
    conditions = (pod.get("status") or {}).get("conditions") or []
    ready = any(c.get("type") == "Ready" and c.get("status") == "True" for c in conditions)
    return ready and "deletionTimestamp" not in pod["metadata"]
