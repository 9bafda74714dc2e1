"""An operator that looks after two namespaces of a real cluster, and nothing else in it."""

from __future__ import annotations

import os
import sys
import uuid
from typing import TYPE_CHECKING

import pytest

from tests.support.operators import MERGE, Cluster, OperatorProcess, until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import httpx2 as httpx

    from tests.support.operators import Object

FAULT = "by a fault of the operator"
"""What the operator's log says when it caught an exception that nobody expected."""


DEPLOYMENTS = "/apis/apps/v1/deployments"
PODS = "/api/v1/pods"
INSTALLED = {"labelSelector": "app.kubernetes.io/name=hybridinference-operator"}


def _serves_all(deployment: Object) -> bool:
    """Whether an installed operator runs, and looks after all namespaces."""
    container = deployment["spec"]["template"]["spec"]["containers"][0]
    environment = {each["name"]: each.get("value") for each in container["env"]}
    return deployment["spec"]["replicas"] > 0 and not environment.get("HINF_WATCH_NAMESPACES")


def _scale(api: httpx.Client, path: str, replicas: int) -> None:
    patch = {"spec": {"replicas": replicas}}
    assert api.patch(f"{path}/scale", json=patch, headers=MERGE).is_success


@pytest.fixture(scope="session", autouse=True)
def alone(api: httpx.Client) -> Iterator[None]:
    """See to it that nobody else acts on the tests' resources.

    An operator that looks after all namespaces, such as the demo's, would: it rests meanwhile.
    """
    found: list[Object] = api.get(DEPLOYMENTS, params=INSTALLED).json()["items"]
    resting = {}
    for each in filter(_serves_all, found):
        namespace, name = each["metadata"]["namespace"], each["metadata"]["name"]
        assert "HINF_AUDIT_LOG" in os.environ, (
            f"the operator {name} in namespace {namespace} looks after all namespaces of your "
            "cluster and would act on what these tests make: scale it to zero while they run"
        )
        path = f"/apis/apps/v1/namespaces/{namespace}/deployments/{name}"
        resting[path] = each["spec"]["replicas"]
        _scale(api, path, 0)
    if resting:
        until(lambda: not api.get(PODS, params=INSTALLED).json()["items"], "it rests", 60)
    yield
    for path, replicas in resting.items():
        _scale(api, path, replicas)


def _cluster(api: httpx.Client) -> Cluster:
    name = f"hinf-op-{uuid.uuid4().hex[:8]}"
    manifest = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
    assert api.post("/api/v1/namespaces", json=manifest).is_success
    return Cluster(api, name)


@pytest.fixture(scope="module")
def clusters(api: httpx.Client) -> Iterator[tuple[Cluster, Cluster]]:
    """Two namespaces for the tests of one module."""
    both = _cluster(api), _cluster(api)
    yield both
    for each in both:
        api.delete(f"/api/v1/namespaces/{each.namespace}")


@pytest.fixture(scope="module")
def operator(
    request: pytest.FixtureRequest,
    clusters: tuple[Cluster, Cluster],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[OperatorProcess]:
    """One operator for the tests of one module, leading."""
    namespaces = [each.namespace for each in clusters]
    log = tmp_path_factory.mktemp("operator") / "operator.log"
    process = OperatorProcess(namespaces, log)
    try:
        process.until_leading()
        yield process
        assert FAULT not in process.log, process.log
    finally:
        process.end()
        if request.session.testsfailed:
            sys.stderr.write(process.log)


@pytest.fixture
def cluster(clusters: tuple[Cluster, Cluster], operator: OperatorProcess) -> Cluster:
    """The first of the operator's namespaces."""
    assert operator.process.poll() is None, f"the operator ended:\n{operator.log}"
    return clusters[0]


@pytest.fixture
def other(clusters: tuple[Cluster, Cluster]) -> Cluster:
    """The second one."""
    return clusters[1]


@pytest.fixture
def own_cluster(api: httpx.Client) -> Iterator[Cluster]:
    """A namespace for one test that starts operators of its own."""
    cluster = _cluster(api)
    yield cluster
    api.delete(f"/api/v1/namespaces/{cluster.namespace}")


@pytest.fixture
def start(own_cluster: Cluster, tmp_path: Path) -> Iterator[Callable[..., OperatorProcess]]:
    """Starts an operator of a given name in `own_cluster`; all are gone after the test."""
    started: list[OperatorProcess] = []

    def begin(name: str = "operator", **environment: str) -> OperatorProcess:
        log = tmp_path / f"{name}-{len(started)}.log"
        process = OperatorProcess([own_cluster.namespace], log, environment, name)
        started.append(process)
        return process

    yield begin
    for process in started:
        process.end()
        assert FAULT not in process.log, process.log
