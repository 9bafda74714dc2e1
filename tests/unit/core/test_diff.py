"""A live object differs where it is not what we state, and nowhere else."""

from __future__ import annotations

from typing import Any

import pytest

from hybrid_operator.core import diff, quantity


def pod(**more: Any) -> dict[str, Any]:
    return {"spec": {"containers": [{"name": "engine", **more}]}}


SAME = [
    pytest.param({"a": 1}, {"a": 1, "b": 2}, id="a field that the API server added"),
    pytest.param({"a": None}, {}, id="nothing stated"),
    pytest.param({"a": {}}, {}, id="an empty map that is not stored"),
    pytest.param({"a": []}, {}, id="an empty list that is not stored"),
    pytest.param(
        pod(resources={"limits": {"cpu": "1000m", "memory": "1024Mi"}}),
        pod(resources={"limits": {"cpu": "1", "memory": "1Gi"}}),
        id="quantities in their canonical form",
    ),
    pytest.param(
        pod(resources={"limits": {"cpu": 2}}),
        pod(resources={"limits": {"cpu": "2"}}),
        id="a quantity that was written as a number",
    ),
    pytest.param(
        {"spec": {"volumes": [{"name": "shm", "emptyDir": {"sizeLimit": "1024Mi"}}]}},
        {"spec": {"volumes": [{"name": "shm", "emptyDir": {"sizeLimit": "1Gi"}}]}},
        id="the size limit of a volume",
    ),
    pytest.param(
        {"spec": {"containers": [{"name": "engine"}]}},
        {"spec": {"containers": [{"name": "sidecar"}, {"name": "engine"}]}},
        id="a container that somebody injected",
    ),
    pytest.param(
        pod(env=[{"name": "A", "value": "1"}]),
        pod(env=[{"name": "B", "value": "2"}, {"name": "A", "value": "1"}]),
        id="a variable that somebody added, in another order",
    ),
    pytest.param(
        pod(ports=[{"containerPort": 80}]),
        pod(ports=[{"containerPort": 80, "protocol": "TCP"}]),
        id="a port without its protocol",
    ),
    pytest.param(
        {"ports": [{"port": 80, "protocol": "TCP", "targetPort": 8080}]},
        {"ports": [{"port": 80, "protocol": "TCP", "targetPort": "8080", "nodePort": 31000}]},
        id="a port that was given a node port, its target as text",
    ),
    pytest.param(
        {"tolerations": [{"key": "gpu"}]},
        {"tolerations": [{"key": "gpu", "operator": "Equal"}]},
        id="a default within an atomic list",
    ),
]

OTHER = [
    pytest.param({"a": 1}, {"a": 2}, ["a"], id="another value"),
    pytest.param({"a": "1"}, {"a": 1}, ["a"], id="another type where none is interchangeable"),
    pytest.param({"a": True}, {"a": "True"}, ["a"], id="a truth that is a text"),
    pytest.param({"a": {"b": 1}}, {"a": "x"}, ["a"], id="something else than a map"),
    pytest.param({"a": {"b": {"c": 1}}}, {}, ["a"], id="a map that is missing"),
    pytest.param(
        {"volumes": [{"name": "a", "emptyDir": {}}]},
        {"volumes": [{"name": "a", "hostPath": {"path": "/"}}]},
        ["volumes[a].emptyDir"],
        id="a volume of another kind, though ours has no fields",
    ),
    pytest.param(
        pod(env=[{"name": "A", "value": "1"}]),
        pod(env=[{"name": "B", "value": "1"}]),
        ["spec.containers[engine].env[A]"],
        id="a variable that is missing",
    ),
    pytest.param(
        pod(args=["--a", "--b"]),
        pod(args=["--a"]),
        ["spec.containers[engine].args"],
        id="an argument that is missing",
    ),
    pytest.param(
        pod(args=["--a"]),
        pod(args=["--a", "--b"]),
        ["spec.containers[engine].args"],
        id="an argument that somebody added, for arguments are one value",
    ),
    pytest.param(
        pod(ports=[{"containerPort": 80, "protocol": "UDP"}]),
        pod(ports=[{"containerPort": 80}]),
        ["spec.containers[engine].ports[80/UDP]"],
        id="a port of another protocol",
    ),
    pytest.param(
        pod(resources={"limits": {"memory": "1Gi"}}),
        pod(resources={"limits": {"memory": "1G"}}),
        ["spec.containers[engine].resources.limits.memory"],
        id="GiB and GB",
    ),
]


@pytest.mark.parametrize(("desired", "live"), SAME)
def test_an_object_is_left_alone_that_differs_only_in(desired, live):
    assert diff.paths(live, desired) == []


@pytest.mark.parametrize(("desired", "live", "paths"), OTHER)
def test_an_object_is_applied_that_has(desired, live, paths):
    assert diff.paths(live, desired) == paths


def test_a_field_that_is_stated_no_more_is_found_by_the_hash_of_what_was_applied():
    metadata = {"name": "a"}
    before = diff.stamp({"metadata": metadata, "data": {"x": "1", "y": "2"}})
    after = diff.stamp({"metadata": metadata, "data": {"x": "1"}})
    assert not diff.differs(before, before)
    assert diff.differs(before, after)


def test_an_object_that_is_missing_is_applied():
    assert diff.differs(None, {})


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("1", "1000m", True),
        ("1Gi", "1024Mi", True),
        ("1Gi", "1G", False),
        ("0.5", "500m", True),
        ("1e3", "1k", True),
        (2, "2", True),
        ("100M", "100000k", True),
        ("1E", "1e18", True),
        ("nonsense", "nonsense", True),
        ("nonsense", "1", False),
        (".", "0", False),
        ("1e999", "1e999", True),
    ],
)
def test_quantities_are_compared_by_value(one, other, same):
    assert quantity.equal(one, other) is same
