"""An operator that looks after two namespaces of a real cluster, and nothing else in it."""

from __future__ import annotations

import sys
import uuid
from typing import TYPE_CHECKING

import pytest

from tests.support.operators import Cluster, OperatorProcess

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import httpx2 as httpx


FAULT = "by a fault of the operator"
"""What the operator's log says when it caught an exception that nobody expected."""


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
