"""Asking the routers how they are: every second while something is amiss, else every 15 s.

Who asks them for other reasons lets us overhear what they say, and saves us to ask.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from hybrid_operator.control.cache import family_in, family_of
from hybrid_operator.core.naming import COMPONENT_LABEL
from hybrid_operator.metrics.fetch import Fetch, FetchError
from hybrid_operator.metrics.report import ReportError, parse
from hybrid_operator.metrics.totals import Counts, Totals, from_status
from hybrid_router.table import content_hash

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from hybrid_operator.control.cache import Children, Family, Resources
    from hybrid_operator.core.state import RouterReport
    from hybrid_operator.kube.kinds import Key

log = logging.getLogger(__name__)

TICK_SECONDS = 1.0
SETTLED_SECONDS = 15.0
STALE_SECONDS = 15.0
"""A router that stopped answering keeps its last report for this time."""
ROUNDS = 3
"""Times that a router is asked before its silence counts, since we lead."""
CONCURRENCY = 32
OVERHEARD_SECONDS = 6.0
"""What was overheard so shortly before a router is to be asked stands for its answer: a time in
which the autoscaler asks it once, even if its looks take long."""


@dataclass(slots=True)
class _Known:
    report: RouterReport
    at: float


@dataclass(slots=True)
class _Fleet:
    """The routers of one resource."""

    uid: str
    totals: Totals
    since: datetime
    reports: dict[str, _Known] = field(default_factory=dict)
    """By uid of the pod."""
    due: float = 0.0
    busy: bool = False
    rounds: int = 0
    asked: bool = False
    """Whether all of them answered, or had their chance to."""
    settled: bool = False
    """Whether nothing was amiss when they were last asked."""
    told: tuple[RouterReport, ...] = ()
    """What they said when `changed` was last called for it."""

    def said(self) -> tuple[RouterReport, ...]:
        """Return what they last said, by pod."""
        said = (known.report for known in self.reports.values())
        return tuple(sorted(said, key=lambda report: report.pod))


class Scraper:
    """Keeps the last report of every router, and the sums of what they counted."""

    def __init__(
        self,
        resources: Resources,
        children: Children,
        fetch: Fetch,
        changed: Callable[[Key], None],
        now: Callable[[], datetime],
    ) -> None:
        """Ask the routers of all `resources`.

        Args:
            resources: Whose routers are asked.
            children: Where their pods and tables are found.
            fetch: Gets a pod's metrics.
            changed: Called with the key of a resource whose reports differ from before.
            now: The wall clock.
        """
        self._resources = resources
        self._children = children
        self._fetch = fetch
        self._changed = changed
        self._now = now
        self._fleets: dict[Key, _Fleet] = {}
        self._slots = asyncio.Semaphore(CONCURRENCY)

    def reports(self, key: Key) -> tuple[RouterReport, ...]:
        """Return what the routers of a resource last said, by pod."""
        fleet = self._fleets.get(key)
        return fleet.said() if fleet is not None else ()

    def counts(self, key: Key) -> Counts | None:
        """Return how many requests were answered; None before any router has said so."""
        fleet = self._fleets.get(key)
        return fleet.totals.sum if fleet is not None and fleet.reports else None

    def pending(self, key: Key) -> bool:
        """Whether a resource has routers that have not been asked yet, since we lead.

        To judge by no report at all would take a fleet that serves for one that does not.
        """
        fleet = self._fleets.get(key)
        if fleet is not None and fleet.asked:
            return False
        return any(map(_answers, self._children.pods(family_of(key))))

    def overhear(self, pod: Mapping[str, Any], text: str, asked: float) -> None:
        """Take a router's page that somebody else has asked for at that time, if it is due soon."""
        key = self._resources.of(family_in(pod))
        fleet = self._fleets.get(key) if key is not None else None
        if fleet is not None and fleet.due - _clock() < OVERHEARD_SECONDS:
            self._take(fleet, pod, text, asked)

    async def run(self) -> None:
        """Ask until cancelled. What was known before is forgotten: sums start from the status."""
        self._fleets.clear()
        async with asyncio.TaskGroup() as group:
            while True:
                for key, fleet in self._due():
                    fleet.busy = True
                    group.create_task(self._ask_all(key, fleet), name=f"scrape {key}")
                await asyncio.sleep(TICK_SECONDS)

    def _due(self) -> list[tuple[Key, _Fleet]]:
        present = set(self._resources)
        for key in self._fleets.keys() - present:
            del self._fleets[key]
        fleets = [(key, fleet) for key in present if (fleet := self._fleet(key)) is not None]
        return [(key, fleet) for key, fleet in fleets if not fleet.busy and fleet.due <= _clock()]

    def _fleet(self, key: Key) -> _Fleet | None:
        resource = self._resources.get(key)
        if resource is None:
            return None
        uid, fleet = resource["metadata"]["uid"], self._fleets.get(key)
        if fleet is None or fleet.uid != uid:
            fleet = _Fleet(uid, Totals(from_status(resource["status"])), self._now())
            self._fleets[key] = fleet
        return fleet

    async def _ask_all(self, key: Key, fleet: _Fleet) -> None:
        try:
            began = _clock()
            pods = [pod for pod in self._children.pods(family_of(key)) if _answers(pod)]
            since = began - OVERHEARD_SECONDS if fleet.settled else began
            async with asyncio.TaskGroup() as group:
                for pod in pods:
                    group.create_task(self._ask(fleet, pod, since))
            self._forget(fleet, {pod["metadata"]["uid"] for pod in pods})
            # Another resource of that name may have taken the fleet's place meanwhile.
            fleet.rounds += 1
            known = {pod["metadata"]["uid"] for pod in pods} <= fleet.reports.keys()
            first = not fleet.asked and (known or fleet.rounds >= ROUNDS)
            fleet.asked = fleet.asked or first
            before, fleet.told = fleet.told, fleet.said()
            if self._fleets.get(key) is fleet and ((first and pods) or fleet.told != before):
                self._changed(key)
            fleet.settled = self._settled(family_of(key), fleet, pods, since)
            fleet.due = _clock() + (SETTLED_SECONDS if fleet.settled else 0.0)
        finally:
            fleet.busy = False

    async def _ask(self, fleet: _Fleet, pod: Mapping[str, Any], since: float) -> None:
        """Ask a router, unless it was overheard since then."""
        async with self._slots:
            known, asked = fleet.reports.get(pod["metadata"]["uid"]), _clock()
            if known is not None and known.at >= since:
                return
            try:
                text = await self._fetch(pod)
            except FetchError as error:
                log.debug("router %s cannot be asked: %s", pod["metadata"]["name"], error)
                return
        self._take(fleet, pod, text, asked)

    def _take(self, fleet: _Fleet, pod: Mapping[str, Any], text: str, asked: float) -> None:
        metadata = pod["metadata"]
        uid, known = metadata["uid"], fleet.reports.get(metadata["uid"])
        if known is not None and known.at > asked:
            return  # It may be older than what is known: its counters would seem to go back.
        try:
            report = parse(metadata["name"], text)
        except ReportError as error:
            log.debug("%s", error)
            return
        fleet.reports[uid] = _Known(report, _clock())
        older = datetime.fromisoformat(metadata["creationTimestamp"]) < fleet.since
        fleet.totals.add(uid, Counts(report.local, report.api), older=older)

    def _forget(self, fleet: _Fleet, present: set[str]) -> None:
        oldest = _clock() - STALE_SECONDS
        for uid, known in list(fleet.reports.items()):
            if uid not in present or known.at < oldest:
                del fleet.reports[uid]
        fleet.totals.keep(present)

    def _settled(
        self, family: Family, fleet: _Fleet, pods: list[dict[str, Any]], since: float
    ) -> bool:
        """Whether every router answered since then, with the current table and missing nothing."""
        current = _tables(self._children, family, fleet.uid)
        for pod in pods:
            known = fleet.reports.get(pod["metadata"]["uid"])
            if known is None or known.at < since or known.report.table_hash not in current:
                return False
            if any(b.secret_missing or b.up is False for b in known.report.backends):
                return False
        return bool(pods)


def _answers(pod: Mapping[str, Any]) -> bool:
    metadata = pod["metadata"]
    labels, status = metadata.get("labels") or {}, pod.get("status") or {}
    is_router = labels.get(COMPONENT_LABEL) == "router" and "deletionTimestamp" not in metadata
    return is_router and status.get("phase") == "Running" and bool(status.get("podIP"))


def _tables(children: Children, family: Family, uid: str) -> set[str]:
    """Return the hashes of the documents in a resource's ConfigMaps; one of them is its table."""
    return {
        content_hash(document.encode())
        for ref, obj in children.owned(family, uid).items()
        if ref.kind == "ConfigMap"
        for document in (obj.get("data") or {}).values()
    }


def _clock() -> float:
    return asyncio.get_running_loop().time()
