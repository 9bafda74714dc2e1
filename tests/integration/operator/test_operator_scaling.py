"""Who sets an engine's replicas on a real API server: the operator, its autoscaler, or others."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from hybrid_operator.core import naming
from tests.support.operators import (
    Audit,
    Cluster,
    Object,
    OperatorProcess,
    model,
    resource,
    until,
)

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


def taken_over(cluster: Cluster, name: str, seconds: float = 30) -> None:
    until(
        lambda: naming.AUTOSCALER in owners(cluster, name),
        f"the autoscaler owns the replicas of {name}",
        seconds,
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


def hpa(name: str) -> Object:
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": name}
    spec = {"scaleTargetRef": target, "minReplicas": 2, "maxReplicas": 3}
    metadata = {"name": "theirs"}
    return {"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler"} | {
        "metadata": metadata,
        "spec": spec,
    }


def test_auto_to_external_to_auto_changes_nothing(cluster: Cluster):
    cluster.apply(scaling("moved", min=0, max=3))
    cluster.until_settled("moved")
    taken_over(cluster, "moved")
    cluster.apply(scaling("moved", mode="External", max=3))
    until(lambda: cluster.observed("moved"), "the change is acted on")
    name = naming.engine("moved", "llama-3-8b")
    cluster.apply(hpa(name))
    cluster.scale(name, 2, manager="kube-controller-manager")  # as its controller does
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
    assert naming.AUTOSCALER not in owners(cluster, "moved")
    cluster.delete("HorizontalPodAutoscaler", "theirs")
    taken_over(cluster, "moved", seconds=90)
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


def at_least(name: str, replicas: int) -> Object:
    """Return a resource whose schedule asks for so many replicas all day, whatever else."""
    return scaling(name, max=8, schedule=[{"begin": "00:00", "end": "00:00", "min": replicas}])


def until_replicas(cluster: Cluster, name: str, replicas: int, seconds: float = 60) -> None:
    until(
        lambda: engine(cluster, name)["spec"]["replicas"] == replicas,
        f"{name} has {replicas} replicas",
        seconds,
    )


def scalings(audit: Audit, cluster: Cluster) -> int:
    """Return how often a number of replicas was written."""
    return sum("deployments/scale" in write for write in audit.writes([cluster.namespace]))


def test_of_two_operators_one_scales_and_a_change_is_one_write(
    own_cluster: Cluster, start: Callable[..., OperatorProcess]
):
    first = start("first")
    first.until_leading()
    second = start("second")
    own_cluster.apply(at_least("shared", 2))
    until(
        lambda: own_cluster.get("Deployment", naming.engine("shared", "llama-3-8b")), "it is made"
    )
    until_replicas(own_cluster, "shared", 2)
    audit = Audit()
    for replicas in (3, 5, 4):
        own_cluster.apply(at_least("shared", replicas))
        if replicas > 4:
            until_replicas(own_cluster, "shared", replicas)
    time.sleep(12)
    assert engine(own_cluster, "shared")["spec"]["replicas"] == 5, "down only after five minutes"
    assert scalings(audit, own_cluster) <= 2
    assert "replicas:" not in second.log
    first.kill()
    second.until_leading()
    time.sleep(12)
    assert engine(own_cluster, "shared")["spec"]["replicas"] == 5
    own_cluster.apply(at_least("shared", 7))
    until_replicas(own_cluster, "shared", 7)


def test_an_operator_that_was_frozen_finds_that_another_one_scales_and_lives_on(
    own_cluster: Cluster, start: Callable[..., OperatorProcess]
):
    first = start("first")
    first.until_leading()
    own_cluster.apply(at_least("frozen", 2))
    own_cluster.until_settled("frozen")
    until_replicas(own_cluster, "frozen", 2)
    second = start("second")
    first.freeze()
    second.until_leading()
    own_cluster.apply(at_least("frozen", 6))
    until_replicas(own_cluster, "frozen", 6)
    time.sleep(6)
    audit = Audit()
    first.thaw()
    until(lambda: "not leading any more" in first.log, "the first one sees that it leads no more")
    time.sleep(10)
    assert scalings(audit, own_cluster) == 0
    assert engine(own_cluster, "frozen")["spec"]["replicas"] == 6
    assert first.process.poll() is None
    second.kill()
    until(lambda: first.log.count("leading as first") == 2, "the first one leads again", 60)
    own_cluster.apply(at_least("frozen", 7))
    until_replicas(own_cluster, "frozen", 7)


def test_a_quota_of_gpus_bounds_the_models_of_its_namespace(
    own_cluster: Cluster, start: Callable[..., OperatorProcess]
):
    def quota(gpus: int) -> Object:
        hard = {"requests.nvidia.com/gpu": str(gpus)}
        metadata = {"name": "gpus"}
        return {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": metadata} | {
            "spec": {"hard": hard}
        }

    own_cluster.apply(quota(2))
    start().until_leading()
    own_cluster.apply(at_least("bounded", 4))
    own_cluster.until_settled("bounded")
    until_replicas(own_cluster, "bounded", 2)
    time.sleep(12)
    assert engine(own_cluster, "bounded")["spec"]["replicas"] == 2
    told = own_cluster.read("HybridInference", "bounded")["status"]["models"][0]["scaling"]
    assert told["reason"] == "Pool"
    own_cluster.apply(quota(3))
    until_replicas(own_cluster, "bounded", 3)
