"""An operator that dies, is replaced, or is upgraded, in the middle of its work."""

from __future__ import annotations

import time

import httpx2
import pytest

from hybrid_operator.core import naming
from tests.support.operators import (
    ROUTER_CHILDREN,
    Audit,
    Cluster,
    model,
    resource,
    until,
)

pytestmark = pytest.mark.timeout(240)


@pytest.mark.parametrize("made", [1, 3, ROUTER_CHILDREN - 1])
def test_a_reconciliation_that_is_cut_short_is_completed_by_the_next_operator(
    own_cluster: Cluster, start, made: int
):
    operator = start()
    operator.until_leading()
    own_cluster.apply(resource("cut"))
    until(lambda: operator.log.count("cut: applied") >= made, f"{made} children are made")
    operator.kill()
    own_cluster.delete("Lease", "hybridinference-operator")  # do not wait for it to run out
    start().until_leading()
    own_cluster.until_settled("cut")


def test_a_deletion_that_nobody_saw_leaves_nothing_and_makes_nothing(own_cluster: Cluster, start):
    first = start()
    first.until_leading()
    own_cluster.apply(resource("unseen"))
    own_cluster.until_settled("unseen")
    assert first.stop() == 0
    own_cluster.delete("HybridInference", "unseen")
    until(lambda: not own_cluster.children("unseen"), "all is collected")
    audit = Audit()
    start().until_leading()
    time.sleep(3)
    assert audit.writes([own_cluster.namespace]) == []


def test_sigterm_ends_it_cleanly_and_gives_the_lease_back(own_cluster: Cluster, start):
    operator = start()
    operator.until_leading()
    began = time.monotonic()
    assert operator.stop() == 0
    assert time.monotonic() - began < 15
    lease = own_cluster.read("Lease", "hybridinference-operator")
    assert lease["spec"].get("holderIdentity", "") == ""
    assert "Traceback" not in operator.log


def test_the_routers_and_engines_stay_as_they_are_while_no_operator_runs(
    own_cluster: Cluster, start
):
    operator = start()
    operator.until_leading()
    own_cluster.apply(resource("alone", model()))
    own_cluster.until_settled("alone")
    operator.stop()
    before = own_cluster.children("alone")
    own_cluster.apply(resource("alone", model(), routing={"threshold": "0.5"}))
    time.sleep(2)
    assert own_cluster.children("alone") == before


def test_a_newer_operator_restarts_no_engine(own_cluster: Cluster, start):
    old = start(HINF_ENGINE_IMAGE="example.com/vllm:old")
    old.until_leading()
    own_cluster.apply(resource("stable", model()))
    own_cluster.until_settled("stable")
    name = naming.engine("stable", "llama-3-8b")
    before = own_cluster.read("Deployment", name)
    old.stop()
    new = start(
        HINF_ENGINE_IMAGE="example.com/vllm:new", HINF_ROUTER_IMAGE="example.com/router:new"
    )
    new.until_leading()
    router = naming.router("stable")
    until(
        lambda: "router:new" in str(own_cluster.read("Deployment", router)["spec"]),
        "the routers have the new image",
    )
    after = own_cluster.read("Deployment", name)
    assert after["spec"]["template"] == before["spec"]["template"]
    assert after["metadata"]["generation"] == before["metadata"]["generation"]
    until(
        lambda: own_cluster.conditions("stable")["UpdateAvailable"]["status"] == "True",
        "the status says that there is something newer",
    )


def test_of_two_operators_one_writes_and_the_other_takes_over(own_cluster: Cluster, start):
    first = start("first")
    first.until_leading()
    second = start("second")
    own_cluster.apply(resource("handed-over"))
    own_cluster.until_settled("handed-over")
    time.sleep(2)
    assert "applied" not in second.log
    first.kill()
    killed = time.monotonic()
    own_cluster.delete("Role", naming.router("handed-over"))
    second.until_leading()
    assert time.monotonic() - killed > 8, "the Lease was taken before it had run out"
    until(lambda: own_cluster.get("Role", naming.router("handed-over")), "the Role is made again")


def test_an_operator_says_how_it_is(start):
    operator = start()
    operator.until_leading()
    health = f"http://127.0.0.1:{operator.health_port}/healthz"
    metrics = f"http://127.0.0.1:{operator.metrics_port}/metrics"
    told = until(
        lambda: httpx2.get(health, timeout=5).json().get("operator"), "the liveness endpoint"
    )
    assert told["synced"] is True
    assert told["leader"] is True
    text = httpx2.get(metrics, timeout=5).text
    assert "hinf_operator_leader 1.0" in text
    assert "hinf_operator_queue_depth" in text
