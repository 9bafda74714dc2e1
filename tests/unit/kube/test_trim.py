from __future__ import annotations

from hybrid_operator.kube import trim


def test_a_child_keeps_its_content_and_loses_its_history():
    kept = trim.child(
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {
                "name": "x",
                "namespace": "ns",
                "resourceVersion": "1",
                "selfLink": "/x",
                "annotations": {trim.LAST_APPLIED: "{...}", "mine": "yes"},
                "managedFields": [
                    {"manager": "hybridinference", "fieldsV1": {"f:spec": {"f:ports": {}}}}
                ],
            },
            "spec": {"ports": [1]},
            "status": {"loadBalancer": {}},
        }
    )
    assert kept == {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            "name": "x",
            "namespace": "ns",
            "resourceVersion": "1",
            "annotations": {"mine": "yes"},
            "managedFields": [],
        },
        "spec": {"ports": [1]},
    }


def test_of_a_deployment_it_is_kept_who_owns_the_replicas():
    replicas: dict[str, object] = {"f:spec": {"f:replicas": {}, "f:template": {"f:spec": {}}}}
    kept = trim.child(
        {
            "kind": "Deployment",
            "metadata": {
                "name": "x",
                "namespace": "ns",
                "managedFields": [
                    {"manager": "hybridinference", "operation": "Apply", "fieldsV1": replicas},
                    {"manager": "hpa", "subresource": "scale", "fieldsV1": replicas, "time": "t"},
                    {"manager": "kube-controller-manager", "fieldsV1": {"f:status": {}}},
                ],
            },
            "spec": {"replicas": 3},
            "status": {"readyReplicas": 1, "collisionCount": 4, "conditions": [{"type": "x"}]},
        }
    )
    owns: dict[str, object] = {"f:spec": {"f:replicas": {}}}
    assert kept["metadata"]["managedFields"] == [
        {"manager": "hybridinference", "operation": "Apply", "fieldsV1": owns},
        {"manager": "hpa", "subresource": "scale", "fieldsV1": owns},
    ]
    assert kept["status"] == {"readyReplicas": 1, "conditions": [{"type": "x"}]}


def test_a_resource_keeps_spec_and_status():
    kept = trim.resource(
        {
            "apiVersion": "x",
            "metadata": {"name": "x", "generation": 3, "managedFields": [1], "finalizers": ["f"]},
            "spec": {"models": []},
        }
    )
    assert kept == {
        "metadata": {"name": "x", "generation": 3, "annotations": {}},
        "spec": {"models": []},
        "status": {},
    }
