"""Who sets an engine's replicas on a real API server: the operator, its autoscaler, or others."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from hybrid_operator.core import naming
from tests.support.operators import Cluster, Object, OperatorProcess, model, resource, until

pytestmark = pytest.mark.timeout(240)


def engine(cluster: Cluster, name: str) -> Object:
    return cluster.read("Deployment", naming.engine(name, "llama-3-8b"))


def owners(cluster: Cluster, name: str) -> set[str]:
    """Return the field managers that own `spec.replicas`."""
    return {
        entry["manager"]
        for entry in engine(cluster, name)["metadata"]["managedFields"]
        if "f:replicas" in entry["fieldsV1"].get("f:spec", {})
    }


def taken_over(cluster: Cluster, name: str) -> None:
    until(
        lambda: owners(cluster, name) == {naming.AUTOSCALER},
        f"the autoscaler alone owns the replicas of {name}",
    )


def scaling(name: str, **fields: object) -> Object:
    return resource(name, model(scaling=fields))


def test_a_model_with_min_0_is_made_at_0_and_taken_over_at_0(cluster: Cluster):
    cluster.apply(scaling("asleep", min=0, max=3))
    cluster.until_settled("asleep")
    taken_over(cluster, "asleep")
    assert engine(cluster, "asleep")["spec"]["replicas"] == 0
    selector = f"app.kubernetes.io/instance={naming.instance('asleep')},{naming.COMPONENT_LABEL}"
    assert cluster.all("Pod", f"{selector}=engine") == []
    told = until(
        lambda: cluster.read("HybridInference", "asleep")["status"]["models"][0].get("scaling"),
        "the decision stands in the status",
    )
    assert told["recommended"] == 0


def test_recommending_takes_nothing_over(cluster: Cluster):
    cluster.apply(scaling("advised", mode="Recommend", max=3))
    cluster.until_settled("advised")
    until(
        lambda: cluster.read("HybridInference", "advised")["status"]["models"][0].get("scaling"),
        "the recommendation stands in the status",
    )
    assert owners(cluster, "advised") == {naming.MANAGER}


def test_auto_to_external_to_auto_changes_nothing(cluster: Cluster):
    cluster.apply(scaling("moved", min=0, max=3))
    cluster.until_settled("moved")
    taken_over(cluster, "moved")
    cluster.apply(scaling("moved", mode="External", max=3))
    until(lambda: cluster.observed("moved"), "the change is acted on")
    name = naming.engine("moved", "llama-3-8b")
    cluster.scale(name, 2, manager="kube-controller-manager")  # as an HPA does
    time.sleep(5)
    assert engine(cluster, "moved")["spec"]["replicas"] == 2
    cluster.apply(scaling("moved", min=0, max=3))
    until(
        lambda: any(
            event["reason"] == "OtherScaler"
            for event in cluster.all("Event", "")
            if event["involvedObject"]["name"] == "moved"
        ),
        "that somebody else scales it is told",
    )
    assert engine(cluster, "moved")["spec"]["replicas"] == 2


def test_a_crash_between_the_two_writes_starts_no_pod(
    own_cluster: Cluster, start: Callable[..., OperatorProcess]
):
    first = start("first")
    first.until_leading()
    own_cluster.apply(scaling("cut", min=0, max=3))
    name = naming.engine("cut", "llama-3-8b")
    until(lambda: own_cluster.get("Deployment", name), "the engine is made")
    first.process.kill()
    first.process.wait()
    assert engine(own_cluster, "cut")["spec"]["replicas"] == 0
    second = start("second")
    second.until_leading()
    taken_over(own_cluster, "cut")
    assert engine(own_cluster, "cut")["spec"]["replicas"] == 0
    assert engine(own_cluster, "cut")["status"].get("replicas", 0) == 0
