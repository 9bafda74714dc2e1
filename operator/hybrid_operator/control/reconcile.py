"""One reconciliation: observe, plan, apply, delete, status, events.

Nothing is remembered that the cluster does not say again: whatever point a run ends at, the next
one goes on from what is there.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from msgspec.structs import replace

from hybrid_operator.control import observe, status
from hybrid_operator.control.cache import family_of
from hybrid_operator.control.contest import Contests
from hybrid_operator.control.ownership import is_ours
from hybrid_operator.control.workers import Result
from hybrid_operator.core import diff
from hybrid_operator.core.plan import is_paused
from hybrid_operator.core.state import Event, Nodes, Observed, Owner, Plan, Ref
from hybrid_operator.kube.client import METADATA_ONLY
from hybrid_operator.kube.errors import (
    Conflict,
    Forbidden,
    Invalid,
    KubeError,
    NamespaceEnding,
    NotFound,
)
from hybrid_operator.kube.kinds import CHILDREN, RESOURCE, Key
from hybrid_operator.kube.writer import NotLeading

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from hybrid_operator.api.resource import HybridInferenceSpec
    from hybrid_operator.control.cache import Children, Resources
    from hybrid_operator.control.scaled import Told
    from hybrid_operator.core.state import Settings
    from hybrid_operator.kube.client import Kube
    from hybrid_operator.kube.events import Recorder
    from hybrid_operator.kube.writer import Writer
    from hybrid_operator.metrics.own import OwnMetrics
    from hybrid_operator.metrics.scrape import Scraper

log = logging.getLogger(__name__)

State = Literal["waiting", "failed", "current"]
"""Of a resource: not judged yet since we lead, not brought to what it says, or as it should be."""
_STATUS = Ref("HybridInference", "status")
"""Stands for the status among what may be contested."""
RESYNC_SECONDS = 600.0
"""After so long at the latest, a resource is looked at again. Whatever a plan depends on tells of
its changes, the reports of routers too; this is for what we did not think of."""
FOREIGN_SECONDS = 10.0
"""How soon to look again whether an object that is in the way has gone; nothing watches those."""


@dataclass(frozen=True, slots=True)
class World:
    """What a reconciliation reads."""

    resources: Resources
    children: Children
    scraper: Scraper
    settings: Settings
    nodes: Callable[[], Nodes] = Nodes
    scaling: Callable[[Key], Told | None] = lambda _: None
    """What autoscaling tells of a resource's models; None before it has looked."""


@dataclass(frozen=True, slots=True)
class Hands:
    """What a reconciliation writes with."""

    kube: Kube
    writer: Writer
    recorder: Recorder
    metrics: OwnMetrics


@dataclass(frozen=True, slots=True)
class _Names:
    """Whose the objects are that a plan applies."""

    known: frozenset[Ref] = frozenset()
    """There, and ours."""
    foreign: frozenset[Ref] = frozenset()
    """There, and somebody else's."""


class Reconciler:
    """Brings the cluster to what resources say, one at a time."""

    def __init__(
        self,
        world: World,
        hands: Hands,
        planner: Callable[[Observed, datetime], Plan],
        now: Callable[[], datetime],
        jitter: Callable[[], float],
    ) -> None:
        self._world = world
        self._hands = hands
        self._planner = planner
        self._now = now
        self._jitter = jitter
        self._memories: dict[Key, _Memory] = {}
        self._states: dict[Key, State] = {}

    def begin(self) -> None:
        """Count every resource as waiting: we lead anew, and have looked at none."""
        self._states.clear()

    def states(self) -> Counter[str]:
        """Return how many resources are in which state; those never looked at wait. Any thread."""
        known: Counter[str] = Counter(list(self._states.values()))
        known["waiting"] += sum(1 for key in self._world.resources if key not in self._states)
        return known

    async def reconcile(self, key: Key) -> Result:
        """Do what the resource of that name needs, and say how that went.

        What the cluster answers raises nothing here.
        """
        began = _clock()
        try:
            result = await self._reconcile(key)
        except (NotLeading, NamespaceEnding):
            result = Result()  # whoever leads does it; what ends needs nothing
        except KubeError as error:
            log.warning("%s: %s; trying again", key, error)
            result = Result(failed=True)
        self._hands.metrics.reconciled(_outcome(result), _clock() - began)
        if self._world.resources.get(key) is None:
            self._states.pop(key, None)
        else:
            self._states[key] = _state(result)
        return result

    async def _reconcile(self, key: Key) -> Result:
        resource = self._world.resources.get(key)
        if resource is None:
            self._memories.pop(key, None)
            return Result()
        if self._world.scraper.pending(key):
            return Result(waits=True)  # the scraper tells when it has asked them
        owner = observe.owner(resource)
        memory = self._remember(key, owner)
        seen = self._observe(key, owner, resource, memory)
        if owner.deleting or is_paused(seen):
            return Result()
        plan = self._plan(seen)
        names = await self._names(owner, plan)
        if names.foreign:
            seen = replace(seen, foreign=names.foreign)
            plan = self._plan(seen)
        if (plan.apply or plan.delete) and not await self._still_there(key, owner):
            return Result()
        failures = await self._write(key, seen, plan, names)
        again = await self._write_status(key, seen, plan, failures)
        for event in (*plan.events, *(_failed(failure) for failure in failures)):
            await self._hands.recorder.record(owner, event)
        soon = FOREIGN_SECONDS if names.foreign else None
        calm = memory.contests.next_look(_clock())
        resync = RESYNC_SECONDS * (0.5 + 0.5 * self._jitter())
        wanted = [delay for delay in (plan.requeue, again, soon, calm, resync) if delay is not None]
        wrote = bool(plan.apply or plan.delete)
        return Result(wrote=wrote, failed=bool(failures), again=min(wanted))

    def _remember(self, key: Key, owner: Owner) -> _Memory:
        memory = self._memories.get(key)
        if memory is None or memory.uid != owner.uid:
            memory = self._memories[key] = _Memory(owner.uid, Contests(self._jitter))
        return memory

    def _observe(
        self, key: Key, owner: Owner, resource: Mapping[str, Any], memory: _Memory
    ) -> Observed:
        family, world = family_of(key), self._world
        spec, error = observe.spec(resource)
        return Observed(
            owner=owner,
            spec=spec,
            spec_error=error,
            settings=world.settings,
            status=resource["status"],
            children=world.children.owned(family, owner.uid),
            pods=observe.pods(world.children.pods(family), spec),
            reports=world.scraper.reports(key),
            nodes=world.nodes(),
            contested=memory.contests.contested(_clock()),
            offer=_offer(world.children, key, spec),
            scaling=_seen(world.scaling(key)),
        )

    def _plan(self, seen: Observed) -> Plan:
        """Plan; a fault in planning becomes a condition of this resource and stops no other."""
        now, owner = self._now(), seen.owner
        try:
            return self._planner(seen, now)
        except Exception:
            log.exception(
                "%s/%s: planning failed by a fault of the operator", owner.namespace, owner.name
            )
            message = (
                "The operator cannot plan for this resource because of a fault of its own; nothing "
                "was changed. Its log has the details; please report them."
            )
            broken = status.with_failure(
                seen.status, "InternalError", message, owner.generation, now
            )
            return Plan(status=broken, requeue=60.0)

    async def _names(self, owner: Owner, plan: Plan) -> _Names:
        """Find out whose the objects are that the plan applies."""
        refs = [Ref(obj["kind"], obj["metadata"]["name"]) for obj in plan.apply]
        lives = await asyncio.gather(*(self._find(owner.namespace, ref) for ref in refs))
        there = {ref: live for ref, live in zip(refs, lives, strict=True) if live is not None}
        known = frozenset(ref for ref, live in there.items() if is_ours(live, owner))
        return _Names(known, frozenset(there) - known)

    async def _find(self, namespace: str, ref: Ref) -> Mapping[str, Any] | None:
        """Return an object; if our watches do not show it, for want of our labels, its metadata."""
        live = self._world.children.find(namespace, ref)
        if live is not None:
            return live
        try:
            key = Key(namespace, ref.name)
            return await self._hands.kube.get(CHILDREN[ref.kind], key, accept=METADATA_ONLY)
        except NotFound:
            return None

    async def _still_there(self, key: Key, owner: Owner) -> bool:
        """Whether the resource still exists.

        A deletion that the watch missed would otherwise have us make again what the garbage
        collector takes away.
        """
        try:
            live = await self._hands.kube.get(RESOURCE, key, accept=METADATA_ONLY)
        except NotFound:
            self._world.resources.forget(key, owner.uid)
            return False
        metadata = live["metadata"]
        return metadata["uid"] == owner.uid and "deletionTimestamp" not in metadata

    async def _write(self, key: Key, seen: Observed, plan: Plan, names: _Names) -> list[str]:
        """Apply and delete; return a sentence for each that the API server refused."""
        failures: list[str] = []
        contests = self._memories[key].contests
        for obj in plan.apply:
            ref = Ref(obj["kind"], obj["metadata"]["name"])
            try:
                written = await self._hands.writer.apply(obj, force=ref in names.known)
            except NamespaceEnding:
                raise
            except (Invalid, Forbidden, Conflict) as error:
                log.warning("%s: %s", key, error)
                failures.append(f"{ref.kind} {ref.name}: {error}")
                continue
            fields = diff.paths(seen.children[ref], obj) if ref in seen.children else ()
            contests.wrote(ref, diff.stamp_of(obj), tuple(fields), _clock())
            log.info("%s: applied %s %s", key, ref.kind, ref.name)
            self._world.children.upsert(CHILDREN[ref.kind], written)
        for ref in plan.delete:
            uid = seen.children[ref]["metadata"]["uid"]
            await self._hands.writer.delete(ref.kind, Key(key.namespace, ref.name), uid)
            log.info("%s: deleted %s %s", key, ref.kind, ref.name)
            self._world.children.discard(key.namespace, ref, uid)
        return failures

    async def _write_status(
        self, key: Key, seen: Observed, plan: Plan, failures: list[str]
    ) -> float | None:
        """Write the status if that is due; return the seconds until waiting figures may be."""
        owner, live = seen.owner, seen.status
        if not plan.status and not failures:
            return None
        planned = self._compose(key, seen, plan, failures)
        memory = self._memories[key]
        age = _clock() - memory.figures_at
        decision = status.decide(planned, live, memory.written, age)
        if not decision.write:
            return decision.again
        stamp = status.stamp(planned)
        if wait := memory.contests.wait(_STATUS, stamp, _clock()):
            return wait
        self._world.resources.writing(key, planned)
        stored = await self._hands.writer.status(key, owner.uid, planned)
        memory.contests.wrote(_STATUS, stamp, (), _clock())
        memory.written = status.Written(planned, stored.get("status") or {})
        if status.figures_differ(planned, live):
            memory.figures_at = _clock()
        self._world.resources.accept("MODIFIED", stored)
        return None

    def _compose(
        self, key: Key, seen: Observed, plan: Plan, failures: list[str]
    ) -> Mapping[str, Any]:
        planned = {
            name: value
            for name, value in plan.status.items()
            if name not in status.FIGURES and value is not None
        }
        status.add_scaling(planned, seen.status, self._world.scaling(key))
        counts = self._world.scraper.counts(key)
        if counts is not None:
            total = counts.local + counts.api
            planned["routing"] = {"requests": total, "local": counts.local, "api": counts.api}
        elif "routing" in seen.status:
            planned["routing"] = seen.status["routing"]
        if failures:
            message = "The API server refuses what this resource needs. " + "; ".join(failures)
            generation = seen.owner.generation
            return status.with_failure(planned, "ApplyFailed", message, generation, self._now())
        return planned


def _seen(told: Told | None) -> Mapping[str, bool] | None:
    """Return whether the load of each model is seen that autoscaling tells of."""
    return None if told is None else {name: name not in told.blind for name in told.models}


def _offer(
    children: Children, key: Key, spec: HybridInferenceSpec | None
) -> Mapping[str, Any] | None:
    """Return the ConfigMap that offers a calibration state."""
    stated = spec.routing.calibration if spec is not None else None
    if stated is None:
        return None
    return children.find(key.namespace, Ref("ConfigMap", stated.config_map))


@dataclass(slots=True)
class _Memory:
    """What is remembered of a resource's writes; forgetting it costs at most one more."""

    uid: str
    contests: Contests[Ref]
    written: status.Written | None = None
    figures_at: float = -math.inf


def _outcome(result: Result) -> str:
    if result.waits:
        return "waited"
    return "failed" if result.failed else "changed" if result.wrote else "unchanged"


def _state(result: Result) -> State:
    return "waiting" if result.waits else "failed" if result.failed else "current"


def _failed(failure: str) -> Event:
    return Event("Warning", "ApplyFailed", failure)


def _clock() -> float:
    return asyncio.get_running_loop().time()
