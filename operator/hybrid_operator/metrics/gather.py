"""Asking engines and routers for what autoscaling goes by."""

from __future__ import annotations

import asyncio
import logging
import zlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from hybrid_operator.core.naming import COMPONENT_LABEL, MODEL_LABEL
from hybrid_operator.metrics import diverted, vllm
from hybrid_operator.metrics.fetch import Fetch, FetchError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from hybrid_operator.metrics.diverted import Past, Reading
    from hybrid_operator.metrics.vllm import EngineReading

K = TypeVar("K")
Pod = dict[str, Any]
log = logging.getLogger(__name__)

CONCURRENCY = 256
"""Pods that are asked at once, those that did not answer in the round before aside."""
SPREAD_SECONDS = 1.0
"""Over which the pods of a round are asked: a third of the time between two rounds."""
MOMENTS = 100
"""At which pods are asked: thousands of them alone would wake the event loop as often."""


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
    seconds: float = 0.0
    """Since the round before, of every pod; 0: there was none."""


@dataclass(slots=True)
class _Readings:
    """Of one round, by uid of the pod."""

    began: float
    engines: dict[str, EngineReading] = field(default_factory=dict)
    routers: dict[str, Reading] = field(default_factory=dict)


class Gatherer:
    """Asks all pods, one round after another, and keeps what they said in the last one.

    A pod that was not asked in a round, for it was not ready, say, is unknown in the next one: its
    counts would cover more time than the others'.
    """

    def __init__(
        self, fetch: Fetch, overhear: Callable[[Pod, str, float], None] = lambda *_: None
    ) -> None:
        """Ask nobody yet.

        Args:
            fetch: Gets a pod's metrics.
            overhear: Called with every router, its page and when it was asked, by the loop's clock.
        """
        self._fetch = fetch
        self._overhear = overhear
        self._last: _Readings | None = None
        self._silent: set[str] = set()
        """Uids of the pods that were asked in the last round and said nothing that can be read."""

    async def ask(self, pods: Mapping[K, Sequence[Pod]]) -> dict[K, Round]:
        """Ask all ready pods of some resources; one that does not answer in time is unknown.

        Each has a moment of its own within `SPREAD_SECONDS`, the same in every round, so that
        neither they nor we have all to do at once, and all counts cover the same time. Those that
        were silent before wait for nobody, and let nobody wait: half of all may hang.
        """
        now = _Readings(_clock())
        before, self._last = self._last or _Readings(now.began), now
        ready = {key: [pod for pod in each if _ready(pod)] for key, each in pods.items()}
        everyone = sorted((pod for each in ready.values() for pod in each), key=_moment)
        due = iter([pod for pod in everyone if _uid(pod) not in self._silent])
        async with asyncio.TaskGroup() as group:
            for pod in everyone:
                if _uid(pod) in self._silent:
                    group.create_task(self._ask_in_turn(iter((pod,)), now))
            for _ in range(CONCURRENCY):
                group.create_task(self._ask_in_turn(due, now))
        self._silent = {*map(_uid, everyone)} - now.engines.keys() - now.routers.keys()
        return {key: _round(each, before, now) for key, each in ready.items()}

    async def _ask_in_turn(self, due: Iterator[Pod], now: _Readings) -> None:
        for pod in due:
            wait = now.began + _moment(pod) - _clock()
            if wait > 0:
                await asyncio.sleep(wait)
            await self._ask(pod, now)

    async def _ask(self, pod: Pod, now: _Readings) -> None:
        name, uid, asked = pod["metadata"]["name"], _uid(pod), _clock()
        kind = _label(pod, COMPONENT_LABEL)
        try:
            text = await self._fetch(pod)
            if kind == "engine":
                now.engines[uid] = vllm.parse(name, text)
            else:
                self._overhear(pod, text, asked)
                now.routers[uid] = diverted.read(text)
        except (FetchError, ValueError, KeyError) as error:
            log.debug("%s %s cannot be read: %s", kind, name, error)


def _round(pods: Sequence[Pod], before: _Readings, now: _Readings) -> Round:
    engines: dict[str, list[Engine]] = {}
    routers: list[Mapping[str, Past] | None] = []
    for pod in pods:
        name, uid = pod["metadata"]["name"], pod["metadata"]["uid"]
        if _label(pod, COMPONENT_LABEL) == "router":
            was, is_ = before.routers.get(uid), now.routers.get(uid)
            routers.append(diverted.increase(was, is_) if was and is_ else None)
        else:
            engine = Engine(name, before.engines.get(uid), now.engines.get(uid))
            engines.setdefault(_label(pod, MODEL_LABEL), []).append(engine)
    return Round(engines, routers, now.began - before.began)


def _moment(pod: Pod) -> float:
    """Return the seconds after a round's begin at which a pod is asked."""
    moment = zlib.crc32(_uid(pod).encode()) * MOMENTS >> 32
    return moment * SPREAD_SECONDS / MOMENTS


def _uid(pod: Pod) -> str:
    return str(pod["metadata"]["uid"])


def _label(pod: Pod, name: str) -> str:
    return str((pod["metadata"].get("labels") or {}).get(name, ""))


def _ready(pod: Pod) -> bool:
    if _label(pod, COMPONENT_LABEL) not in ("engine", "router"):
        return False
    conditions = (pod.get("status") or {}).get("conditions") or []
    ready = any(c.get("type") == "Ready" and c.get("status") == "True" for c in conditions)
    return ready and "deletionTimestamp" not in pod["metadata"]


def _clock() -> float:
    return asyncio.get_running_loop().time()
