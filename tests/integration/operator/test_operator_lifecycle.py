"""What an operator makes of a resource, corrects, and takes away."""

from __future__ import annotations

import time

import pytest

from hybrid_operator.core import naming
from tests.support.operators import Audit, Cluster, model, resource, until

pytestmark = pytest.mark.timeout(240)


def test_a_resource_gets_all_its_children_and_a_status(cluster: Cluster):
    cluster.apply(resource("full", model()))
    cluster.until_settled("full")
    router, engine = naming.router("full"), naming.engine("full", "llama-3-8b")
    assert cluster.children("full") == {
        ("ConfigMap", router),
        ("Deployment", engine),
        ("Deployment", router),
        ("PodDisruptionBudget", router),
        ("Role", router),
        ("RoleBinding", router),
        ("Service", engine),
        ("Service", router),
        ("ServiceAccount", router),
    }
    status = cluster.read("HybridInference", "full")["status"]
    assert status["endpoint"].startswith(f"http://{router}.{cluster.namespace}.svc")
    assert [each["name"] for each in status["models"]] == ["llama-3-8b"]
    pending = until(
        lambda: cluster.conditions("full").get("Schedulable", {}).get("status") == "False",
        "the scheduler's refusal stands in the status",
    )
    assert pending
    assert "nodes are available" in cluster.conditions("full")["Schedulable"]["message"]
    events = [
        event["reason"]
        for event in cluster.all("Event", "")
        if event["involvedObject"]["name"] == "full"
    ]
    assert "Created" in events


def test_a_resource_that_goes_takes_everything_along(cluster: Cluster):
    cluster.apply(resource("going", model()))
    cluster.until_settled("going")
    cluster.delete("HybridInference", "going")
    until(lambda: not cluster.children("going"), "all children are collected")
    selector = "app.kubernetes.io/instance=going"
    until(lambda: not cluster.all("Pod", selector), "all pods are gone", 60)


@pytest.mark.parametrize(
    ("kind", "damage", "mended"),
    [
        pytest.param(
            "Service",
            {"spec": {"ports": [{"name": "http", "port": 81, "protocol": "TCP"}]}},
            lambda obj: [port["port"] for port in obj["spec"]["ports"]] == [80],
            id="another port on the Service",
        ),
        pytest.param(
            "Role",
            {"rules": []},
            lambda obj: bool(obj.get("rules")),
            id="a Role without rules",
        ),
        pytest.param(
            "ConfigMap",
            {"data": {"table.json": "{}"}},
            lambda obj: all(len(text) > 10 for text in obj["data"].values()),
            id="another table",
        ),
        pytest.param(
            "Deployment",
            {"spec": {"template": {"spec": {"serviceAccountName": "default"}}}},
            lambda obj: obj["spec"]["template"]["spec"]["serviceAccountName"] != "default",
            id="another service account on the routers",
        ),
        pytest.param(
            "ConfigMap",
            {"metadata": {"labels": {"app.kubernetes.io/managed-by": None}}},
            lambda obj: "app.kubernetes.io/managed-by" in obj["metadata"]["labels"],
            id="a label by which we find it",
        ),
        pytest.param(
            "Service",
            {"metadata": {"labels": {"app.kubernetes.io/instance": None}}},
            lambda obj: "app.kubernetes.io/instance" in obj["metadata"]["labels"],
            id="a label by which we know whose it is",
        ),
        pytest.param(
            "PodDisruptionBudget",
            {"metadata": {"ownerReferences": []}},
            lambda obj: bool(obj["metadata"].get("ownerReferences")),
            id="its owner",
        ),
    ],
)
def test_what_somebody_changes_is_put_right(cluster: Cluster, kind, damage, mended):
    cluster.apply(resource("drift"))
    cluster.until_settled("drift")
    name = naming.router("drift")
    cluster.merge(kind, name, damage)
    until(lambda: mended(cluster.read(kind, name)), f"{kind} {name} is put right")

    def managers() -> set[str]:
        fields = cluster.read(kind, name)["metadata"]["managedFields"]
        return {each["manager"] for each in fields}

    # Putting right and letting go of what was put right are two writes.
    until(lambda: "hybridinference-repair" not in managers(), "the repair owns nothing")


@pytest.mark.parametrize("kind", ["Role", "Service", "Deployment", "ServiceAccount", "ConfigMap"])
def test_what_somebody_deletes_is_made_again(cluster: Cluster, kind):
    cluster.apply(resource("drift"))
    cluster.until_settled("drift")
    name = naming.router("drift")
    before = cluster.read(kind, name)["metadata"]["uid"]
    cluster.delete(kind, name)

    def made_again() -> bool:
        found = cluster.get(kind, name)
        return found is not None and found["metadata"]["uid"] != before

    until(made_again, f"{kind} {name} is made again")


def test_routers_that_somebody_scaled_go_back_to_what_the_resource_says(cluster: Cluster):
    cluster.apply(resource("drift"))
    cluster.until_settled("drift")
    name = naming.router("drift")
    cluster.scale(name, 5)
    until(lambda: cluster.read("Deployment", name)["spec"]["replicas"] == 2, "there are 2 routers")


def test_an_engines_replicas_belong_to_who_scaled_it(cluster: Cluster):
    scaling = {"mode": "External", "min": 1, "max": 4}
    cluster.apply(resource("scaled", model(scaling=scaling)))
    cluster.until_settled("scaled")
    name = naming.engine("scaled", "llama-3-8b")
    cluster.scale(name, 3, manager="horizontal-pod-autoscaler")
    cluster.merge("Service", name, {"metadata": {"labels": {"app.kubernetes.io/name": "x"}}})

    def mended() -> bool:
        labels = cluster.read("Service", name)["metadata"]["labels"]
        return bool(labels["app.kubernetes.io/name"] == "vllm")

    until(mended, "the engine was looked at since")
    changed = model(scaling=scaling, engine={"args": ["--seed=1"]})
    cluster.apply(resource("scaled", changed))
    until(
        lambda: "--seed=1" in str(cluster.read("Deployment", name)["spec"]["template"]),
        "the engine's arguments changed",
    )
    assert cluster.read("Deployment", name)["spec"]["replicas"] == 3


def test_what_others_add_to_our_objects_stays(cluster: Cluster):
    cluster.apply(resource("shared", model()))
    cluster.until_settled("shared")
    name = naming.router("shared")
    noted = {"metadata": {"annotations": {"team": "ml"}, "labels": {"cost-centre": "42"}}}
    cluster.merge("Service", name, noted, manager="kubectl-annotate")
    cluster.merge("Service", name, {"spec": {"sessionAffinity": "ClientIP"}}, manager="someone")
    table = cluster.read("ConfigMap", name)["data"]
    cluster.apply(resource("shared", model(), routing={"threshold": "0.5"}))
    until(lambda: cluster.read("ConfigMap", name)["data"] != table, "another table is written")
    service = cluster.read("Service", name)
    assert service["metadata"]["annotations"]["team"] == "ml"
    assert service["metadata"]["labels"]["cost-centre"] == "42"
    assert service["spec"]["sessionAffinity"] == "ClientIP"


def test_a_model_that_is_no_longer_named_is_taken_away(cluster: Cluster):
    cluster.apply(resource("shrinking", model("one"), model("two")))
    gone, kept = naming.engine("shrinking", "one"), naming.engine("shrinking", "two")
    until(lambda: cluster.get("Deployment", gone), "both engines are there")
    cluster.apply(resource("shrinking", model("two")))

    def pruned() -> bool:
        names = {name for _, name in cluster.children("shrinking")}
        return gone not in names and kept in names

    until(pruned, "only the other engine is left")


def test_an_engine_that_may_sleep_starts_asleep_and_no_pod_ever_is_there(cluster: Cluster):
    cluster.apply(resource("asleep", model(scaling={"min": 0, "max": 2})))
    cluster.until_settled("asleep")
    name = naming.engine("asleep", "llama-3-8b")
    selector = "app.kubernetes.io/instance=asleep,app.kubernetes.io/component=engine"
    changed = model(scaling={"min": 0, "max": 3}, engine={"args": ["--seed=1"]})
    for spec in (changed, model(scaling={"min": 0, "max": 2})):
        cluster.apply(resource("asleep", spec))
        until(lambda: cluster.observed("asleep"), "the change is acted on")
    deployment = cluster.read("Deployment", name)
    assert deployment["spec"]["replicas"] == 0
    assert deployment["metadata"]["generation"] >= 2
    assert cluster.all("Pod", selector) == []
    assert [
        event
        for event in cluster.all("Event", "")
        if event["reason"] == "SuccessfulCreate" and name in event["involvedObject"]["name"]
    ] == []


def test_two_resources_in_one_namespace_and_one_name_in_two(cluster: Cluster, other: Cluster):
    cluster.apply(resource("twin", model("m")))
    cluster.apply(resource("twin-b", model("m")))
    other.apply(resource("twin", model("m")))
    for place, name in ((cluster, "twin"), (cluster, "twin-b"), (other, "twin")):
        place.until_settled(name)
    kept = cluster.children("twin-b"), other.children("twin")
    cluster.delete("HybridInference", "twin")
    until(lambda: not cluster.children("twin"), "the one that was deleted is gone")
    time.sleep(2)
    assert (cluster.children("twin-b"), other.children("twin")) == kept


def test_an_object_that_somebody_else_made_is_reported_and_left_alone(cluster: Cluster):
    name = naming.router("blocked")
    theirs = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name},
        "data": {"mine": "yes"},
    }
    cluster.create(theirs)
    cluster.apply(resource("blocked"))
    until(lambda: cluster.observed("blocked"), "the resource is acted on")
    found = cluster.read("ConfigMap", name)
    assert found["data"] == {"mine": "yes"}
    assert "ownerReferences" not in found["metadata"]
    told = " ".join(each["message"] for each in cluster.conditions("blocked").values())
    assert f"ConfigMap {name}" in told
    cluster.delete("ConfigMap", name)
    until(lambda: ("ConfigMap", name) in cluster.children("blocked"), "its place is taken")


def test_what_an_orphaning_deletion_left_is_taken_up_again(cluster: Cluster):
    cluster.apply(resource("orphans"))
    cluster.until_settled("orphans")
    name = naming.router("orphans")
    before = cluster.read("Service", name)["metadata"]["uid"]
    cluster.delete("HybridInference", "orphans", propagationPolicy="Orphan")
    until(lambda: cluster.get("HybridInference", "orphans") is None, "the resource is gone")
    cluster.apply(resource("orphans"))

    def adopted() -> bool:
        owners = cluster.read("Service", name)["metadata"].get("ownerReferences") or [{}]
        live = cluster.read("HybridInference", "orphans")["metadata"]["uid"]
        return bool(owners[0].get("uid") == live)

    until(adopted, "the Service has its new owner")
    assert cluster.read("Service", name)["metadata"]["uid"] == before


def test_a_paused_resource_is_not_written_to(cluster: Cluster):
    cluster.apply(resource("paused"))
    cluster.until_settled("paused")
    name = naming.router("paused")
    paused = {"metadata": {"annotations": {"hybridinference.dev/paused": "true"}}}
    cluster.merge("HybridInference", "paused", paused)
    time.sleep(1)
    audit = Audit()
    cluster.delete("Role", name)
    time.sleep(3)
    assert [line for line in audit.writes([cluster.namespace]) if line.endswith(name)] == []
    resumed = {"metadata": {"annotations": {"hybridinference.dev/paused": None}}}
    cluster.merge("HybridInference", "paused", resumed)
    until(lambda: cluster.get("Role", name), "the Role is made again")


def test_a_status_that_somebody_else_wrote_is_put_right(cluster: Cluster):
    cluster.apply(resource("status"))
    cluster.until_settled("status")
    path = cluster.path("HybridInference", "status") + "/status"
    answer = cluster.http.patch(
        path,
        json={"status": {"endpoint": "http://elsewhere", "modelsReady": "9/9"}},
        headers={"content-type": "application/merge-patch+json"},
    )
    assert answer.is_success, answer.text

    def right() -> bool:
        status = cluster.read("HybridInference", "status")["status"]
        return bool(status["modelsReady"] == "0/0" and "elsewhere" not in status["endpoint"])

    until(right, "the status is ours again")
