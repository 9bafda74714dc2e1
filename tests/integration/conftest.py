"""A real API server with the CRD of this checkout, and a namespace for each test."""

from __future__ import annotations

import os
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support import kube

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx2 as httpx

FULL = ["chart/test_keda_example.py", "operator/test_operator_keda.py"]
collect_ignore = [] if os.environ.get("HINF_FULL") else FULL
"""What `make test-full` alone runs."""
ROOT = Path(__file__).resolve().parents[2]
MANIFEST = ROOT / "crds" / "hybridinference.dev_hybridinferences.yaml"


@pytest.fixture(scope="session")
def api_server() -> Iterator[httpx.Client]:
    """The API server of the cluster that KUBECONFIG names, as it is."""
    try:
        client = kube.client()
    except LookupError as error:
        pytest.fail(str(error))
    with client:
        yield client


@pytest.fixture(scope="session")
def api(api_server: httpx.Client) -> httpx.Client:
    """The API server, with the CRD of this checkout established.

    Nothing is written when it is there already, so that a CRD that Helm installed stays Helm's.
    """
    live = api_server.get(kube.CRD)
    if live.is_success and _apply(api_server, dryRun="All")["spec"] == live.json()["spec"]:
        return api_server
    _apply(api_server)
    deadline = time.monotonic() + 30
    while not _established(api_server.get(kube.CRD).json()):
        assert time.monotonic() < deadline, "the CRD is not established after 30 s"
        time.sleep(0.1)
    return api_server


def _apply(api: httpx.Client, **parameters: str) -> kube.Object:
    answer = api.patch(
        kube.CRD,
        content=MANIFEST.read_bytes(),
        headers={"content-type": "application/apply-patch+yaml"},
        # As Helm would: from another owner, `helm install` could not take a newer CRD's fields.
        params={"fieldManager": "helm", "force": "true", **parameters},
    )
    result: kube.Object = answer.json()
    assert answer.is_success, result["message"]
    return result


def _established(definition: kube.Object) -> bool:
    # The API server writes null where nobody has written a condition yet.
    conditions = definition.get("status", {}).get("conditions") or ()
    return any(c["type"] == "Established" and c["status"] == "True" for c in conditions)


def _namespace(api: httpx.Client) -> Iterator[str]:
    name = f"hinf-test-{uuid.uuid4().hex[:8]}"
    manifest = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
    assert api.post("/api/v1/namespaces", json=manifest).is_success
    yield name
    api.delete(f"/api/v1/namespaces/{name}")


@pytest.fixture
def namespace(api: httpx.Client) -> Iterator[str]:
    """A namespace for one test, deleted afterwards."""
    yield from _namespace(api)


@pytest.fixture(scope="module")
def shared_namespace(api: httpx.Client) -> Iterator[str]:
    """A namespace for the tests of one module that leave nothing in it."""
    yield from _namespace(api)
