from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from hybrid_operator.control.cache import Children, Resources
from hybrid_operator.control.reconcile import (
    FOREIGN_SECONDS,
    RESYNC_SECONDS,
    Hands,
    Reconciler,
    World,
)
from hybrid_operator.control.workers import Result
from hybrid_operator.core.state import Event, Observed, Plan, Ref, Settings
from hybrid_operator.kube.errors import Invalid, NamespaceEnding, NotFound, Unavailable
from hybrid_operator.kube.kinds import CHILDREN, Key, Kind
from hybrid_operator.metrics.own import OwnMetrics
from hybrid_operator.metrics.totals import Counts
from tests.support import virtual_time

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

KEY = Key("ns", "support")
SERVICE = CHILDREN["Service"]
OWNERS = [{"apiVersion": "hybridinference.dev/v1alpha1", "kind": "HybridInference", "uid": "u"}]
LABELS = {
    "app.kubernetes.io/managed-by": "hybridinference",
    "app.kubernetes.io/instance": "support",
}
STATUS = {"observedGeneration": 1, "conditions": [{"type": "Ready", "status": "True"}]}


def service(name: str, version: int = 1, **metadata: Any) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            "name": name,
            "namespace": "ns",
            "uid": f"uid-{name}",
            "resourceVersion": str(version),
            "labels": LABELS,
            "ownerReferences": OWNERS,
        }
        | metadata,
    }


class Cluster:
    """A cluster of dicts that a reconciler reads and writes, and whose answers can be errors."""

    def __init__(self, planner: Callable[[Observed], Plan]) -> None:
        self.version = 0
        self.log: list[str] = []
        self.there: dict[tuple[str, str], dict[str, Any]] = {}
        self.refuse: dict[str, Exception] = {}
        self.seen: list[Observed] = []
        self.said: list[Event] = []
        self.figures: Counts | None = None
        self.unasked = False
        self.planner = planner
        self.resources = Resources(lambda _: None)
        self.children = Children(lambda _: None)
        self.change({})
        world = World(self.resources, self.children, self, Settings(router_image="r"))  # type: ignore[arg-type]
        hands = Hands(self, self, self, OwnMetrics())  # type: ignore[arg-type]
        self.reconciler = Reconciler(
            world, hands, self.plan, lambda: datetime(2026, 1, 1, tzinfo=UTC), lambda: 1.0
        )

    def change(self, metadata: dict[str, Any], status: Mapping[str, Any] | None = None) -> None:
        self.version += 1
        base: dict[str, Any] = {"name": "support", "namespace": "ns", "uid": "u", "generation": 1}
        base["resourceVersion"] = str(self.version)
        obj = {"metadata": base | metadata, "spec": {}, "status": status or {}}
        self.resources.accept("MODIFIED", obj)
        self.there["HybridInference", "support"] = obj

    def plan(self, seen: Observed, _: datetime) -> Plan:
        self.seen.append(seen)
        return self.planner(seen)

    def run(self) -> Result:
        return virtual_time.run(self.reconciler.reconcile(KEY))

    # what a Scraper answers

    def reports(self, _: Key) -> tuple[()]:
        return ()

    def pending(self, _: Key) -> bool:
        return self.unasked

    def counts(self, _: Key) -> Counts | None:
        return self.figures

    # what a Kube and a Writer do

    async def get(self, kind: Kind, key: Key, accept: str = "") -> dict[str, Any]:
        del accept
        await asyncio.sleep(0)
        try:
            return self.there[kind.name, key.name]
        except KeyError:
            raise NotFound(f"{kind.name} {key.name}") from None

    async def apply(self, obj: dict[str, Any], *, force: bool) -> dict[str, Any]:
        name = obj["metadata"]["name"]
        if name in self.refuse:
            raise self.refuse[name]
        self.log.append(f"apply {name}{' by force' if force else ''}")
        self.there[obj["kind"], name] = obj
        return obj

    async def delete(self, kind: str, key: Key, uid: str) -> None:
        self.log.append(f"delete {kind} {key.name} {uid}")

    async def status(self, key: Key, uid: str, status: dict[str, Any]) -> dict[str, Any]:
        del key, uid
        self.log.append("status")
        metadata = self.there["HybridInference", "support"]["metadata"]
        self.change({"uid": metadata["uid"]}, status)
        return self.there["HybridInference", "support"]

    async def record(self, _: object, event: Event) -> None:
        self.said.append(event)


def test_what_is_new_is_made_without_force_and_what_is_ours_with_it():
    world = Cluster(lambda _: Plan(apply=(service("old"), service("new"))))
    world.children.upsert(SERVICE, service("old"))
    assert world.run() == Result(wrote=True, again=RESYNC_SECONDS)
    assert world.log == ["apply old by force", "apply new"]


def test_what_lost_its_labels_is_still_ours():
    world = Cluster(lambda _: Plan(apply=(service("x"),)))
    world.there["Service", "x"] = service("x", labels={})
    world.run()
    assert world.log == ["apply x by force"]


def test_what_is_somebody_elses_is_planned_around():
    def planner(seen: Observed) -> Plan:
        wanted = (service("theirs"), service("ours"))
        return Plan(
            apply=tuple(
                o for o in wanted if Ref("Service", o["metadata"]["name"]) not in seen.foreign
            )
        )

    world = Cluster(planner)
    world.there["Service", "theirs"] = service("theirs", labels={}, ownerReferences=[])
    assert world.run() == Result(wrote=True, again=FOREIGN_SECONDS)
    assert world.log == ["apply ours"]
    assert world.seen[-1].foreign == {Ref("Service", "theirs")}


def test_a_resource_that_is_gone_gets_nothing():
    world = Cluster(lambda _: Plan(apply=(service("x"),), status=STATUS))
    del world.there["HybridInference", "support"]
    assert world.run() == Result()
    assert world.log == []
    assert world.resources.get(KEY) is None


def test_another_resource_of_that_name_gets_nothing_of_the_first_ones():
    world = Cluster(lambda _: Plan(apply=(service("x"),), status=STATUS))
    live = world.there["HybridInference", "support"]
    world.there["HybridInference", "support"] = {"metadata": live["metadata"] | {"uid": "second"}}
    assert world.run() == Result()
    assert world.log == []


def test_a_resource_on_its_way_out_is_left_alone():
    world = Cluster(lambda _: Plan(apply=(service("x"),), status=STATUS))
    world.change({"deletionTimestamp": "now"})
    assert world.run() == Result()
    assert world.log == []


def test_a_resource_whose_routers_have_not_been_asked_yet_waits_for_their_word():
    world = Cluster(lambda _: Plan(apply=(service("x"),), status=STATUS))
    world.unasked = True
    assert world.run() == Result(waits=True)
    assert world.log == []


def test_a_resource_counts_as_current_only_when_all_was_known_and_nothing_failed():
    """By this the bench tells when a restart is over; a look that waits proves nothing."""
    world = Cluster(lambda _: Plan(apply=(service("x"),), status=STATUS))
    assert world.reconciler.states() == {"waiting": 1}
    world.unasked = True
    world.run()
    assert world.reconciler.states() == {"waiting": 1}
    world.unasked = False
    world.refuse = {"x": Unavailable("away")}
    world.run()
    assert +world.reconciler.states() == {"failed": 1}
    world.refuse = {}
    world.run()
    assert +world.reconciler.states() == {"current": 1}
    world.reconciler.begin()
    assert +world.reconciler.states() == {"waiting": 1}
    world.resources.forget(KEY, "u")
    world.run()
    assert +world.reconciler.states() == {}


def test_a_paused_resource_is_left_alone():
    world = Cluster(lambda _: Plan(apply=(service("x"),), status=STATUS))
    world.change({"annotations": {"hybridinference.dev/paused": "true"}})
    assert world.run() == Result()
    assert world.log == []


def test_a_child_that_is_refused_holds_up_no_other_and_stands_in_the_status():
    world = Cluster(lambda _: Plan(apply=(service("bad"), service("good")), status=STATUS))
    world.refuse["bad"] = Invalid("cannot patch: spec.ports: Invalid value")
    assert world.run() == Result(wrote=True, failed=True, again=RESYNC_SECONDS)
    assert world.log == ["apply good", "status"]
    progressing = world.there["HybridInference", "support"]["status"]["conditions"][-1]
    assert progressing["reason"] == "ApplyFailed"
    assert "Service bad: cannot patch: spec.ports: Invalid value" in progressing["message"]
    assert [event.reason for event in world.said] == ["ApplyFailed"]


def test_a_fault_in_planning_becomes_a_condition_and_changes_nothing(caplog):
    def broken(_: Observed) -> Plan:
        raise ZeroDivisionError("by our own fault")

    world = Cluster(broken)
    result = world.run()
    assert not result.wrote
    assert world.log == ["status"]
    progressing = world.there["HybridInference", "support"]["status"]["conditions"][-1]
    assert progressing["reason"] == "InternalError"
    assert "by a fault of the operator" in caplog.text
    assert "ZeroDivisionError" not in str(progressing)


def test_an_api_server_that_does_not_answer_is_tried_again(caplog):
    world = Cluster(lambda _: Plan(apply=(service("x"),)))
    world.refuse["x"] = Unavailable("cannot patch services x: no answer")
    assert world.run() == Result(failed=True)
    assert "ns/support: cannot patch services x: no answer; trying again" in caplog.text


def test_a_namespace_that_ends_needs_nothing_more(caplog):
    world = Cluster(lambda _: Plan(apply=(service("x"),)))
    world.refuse["x"] = NamespaceEnding("cannot create: the namespace is being deleted")
    assert world.run() == Result()
    assert caplog.text == ""


def test_what_is_deleted_is_named_by_uid_and_gone_at_once():
    world = Cluster(lambda seen: Plan(delete=tuple(seen.children)))
    world.children.upsert(SERVICE, service("x"))
    assert world.run() == Result(wrote=True, again=RESYNC_SECONDS)
    assert world.run() == Result(again=RESYNC_SECONDS)
    assert world.log == ["delete Service x uid-x"]


def test_a_status_is_written_once_and_then_only_when_it_differs():
    world = Cluster(lambda _: Plan(status=STATUS, events=(Event("Normal", "Ready", "yes"),)))
    world.run()
    world.run()
    assert world.log == ["status"]


def test_the_figures_are_what_the_routers_counted():
    world = Cluster(lambda _: Plan(status=STATUS))
    world.figures = Counts(local=30, api=12)
    world.run()
    status = world.there["HybridInference", "support"]["status"]
    assert status["routing"] == {"requests": 42, "local": 30, "api": 12}


def test_figures_stay_when_no_router_has_spoken_yet():
    world = Cluster(lambda _: Plan(status=STATUS))
    world.change({}, {"routing": {"requests": 5, "local": 5, "api": 0}})
    world.run()
    assert world.there["HybridInference", "support"]["status"]["routing"]["requests"] == 5


def test_the_soonest_second_look_wins():
    world = Cluster(lambda _: Plan(requeue=15.0))
    assert world.run() == Result(again=15.0)


def test_a_spec_that_cannot_be_read_reaches_the_plan_as_an_error():
    world = Cluster(lambda _: Plan())
    world.resources.accept(
        "MODIFIED",
        {
            "metadata": {"name": "support", "namespace": "ns", "uid": "u", "resourceVersion": "9"},
            "spec": {"models": "many"},
        },
    )
    world.run()
    assert world.seen[0].spec is None
    assert "models" in world.seen[0].spec_error
