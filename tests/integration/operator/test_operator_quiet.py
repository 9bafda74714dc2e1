"""How much an operator writes: nothing, where nothing differs."""

from __future__ import annotations

import os
import time

import pytest

from tests.support.operators import Audit, Cluster, model, resource, until

pytestmark = pytest.mark.timeout(400)

QUIET_SECONDS = float(os.environ.get("HINF_QUIET_SECONDS", "60"))
ROUNDS = 20


def test_a_resource_that_does_not_change_causes_no_write_at_all(
    cluster: Cluster, other: Cluster, operator
):
    for place in (cluster, other):
        place.apply(resource("quiet", model(), model("sleepy", scaling={"min": 0})))
        place.until_settled("quiet")
    until(
        lambda: cluster.conditions("quiet")["Schedulable"]["status"] == "False",
        "the status has settled",
    )
    until(
        lambda: all(_decided(place, "sleepy") for place in (cluster, other)),
        "the autoscaler has decided, which it does at its second look",
    )
    time.sleep(5)
    audit = Audit()
    time.sleep(QUIET_SECONDS)
    assert audit.writes([cluster.namespace, other.namespace]) == []
    assert operator.process.poll() is None


def _decided(place: Cluster, model: str) -> bool:
    told = place.read("HybridInference", "quiet")["status"]["models"]
    return any(each["name"] == model and "scaling" in each for each in told)


def test_an_operator_that_starts_again_finds_nothing_to_write(own_cluster: Cluster, start):
    first = start()
    first.until_leading()
    own_cluster.apply(resource("quiet", model()))
    own_cluster.until_settled("quiet")
    until(
        lambda: own_cluster.conditions("quiet")["Schedulable"]["status"] == "False",
        "the status has settled",
    )
    time.sleep(5)
    first.stop()
    audit = Audit()
    start().until_leading()
    time.sleep(10)
    assert audit.writes([own_cluster.namespace]) == []


def test_a_change_costs_one_write_for_each_object_that_differs(cluster: Cluster):
    cluster.apply(resource("frugal", model()))
    cluster.until_settled("frugal")
    until(
        lambda: cluster.conditions("frugal")["Schedulable"]["status"] == "False",
        "the status has settled",
    )
    time.sleep(5)
    audit = Audit()
    cluster.apply(resource("frugal", model(), routing={"threshold": "0.5"}))
    until(lambda: cluster.observed("frugal"), "the change is acted on")
    time.sleep(3)
    writes = [w for w in audit.writes([cluster.namespace]) if "events" not in w]
    assert writes == [
        "patch configmaps frugal-router",
        "patch hybridinferences/status frugal",
    ]


def test_two_operators_that_disagree_do_not_fight_for_ever(own_cluster: Cluster, other, start):
    """Somebody installed a second one, of another release."""
    first = start("first")
    first.until_leading()
    second = start(
        "second",
        HINF_POD_NAMESPACE=other.namespace,
        HINF_ROUTER_IMAGE="example.com/hybrid-router:another",
    )
    second.until_leading()
    audit = Audit()
    own_cluster.apply(resource("torn"))

    def told() -> str:
        found = own_cluster.conditions("torn").get("Degraded", {})
        return str(found["message"]) if found.get("reason") == "Contested" else ""

    message = until(told, "the status says that they disagree", 60)
    assert "Deployment torn-router" in message
    assert "containers[router].image" in message
    time.sleep(20)
    audit_late = Audit()
    time.sleep(20)
    assert len(audit_late.writes([own_cluster.namespace])) < 40
    assert len(audit.writes([own_cluster.namespace])) < 400


def test_twenty_rounds_of_applying_and_deleting_leave_nothing(cluster: Cluster):
    for _ in range(ROUNDS):
        cluster.apply(resource("round", model()))
        cluster.until_settled("round")
        cluster.delete("HybridInference", "round")
        until(lambda: cluster.get("HybridInference", "round") is None, "the resource is gone")
    until(lambda: not cluster.children("round"), "all children are collected", 60)
    selector = "app.kubernetes.io/instance=round"
    until(lambda: not cluster.all("Pod", selector), "all pods are gone", 60)
    time.sleep(3)
    assert cluster.children("round") == set()
