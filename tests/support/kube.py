"""The cluster that a test was started with, over its real API."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from lightkube import KubeConfig
from lightkube.config.client_adapter import Client, ConnectionParams

if TYPE_CHECKING:
    import httpx2 as httpx

Object = dict[str, Any]

DRY_RUN = {"dryRun": "All", "fieldValidation": "Strict"}
"""Parameters of a write that only says how it would end."""
CRD = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/hybridinferences.hybridinference.dev"
_UNCHECKED = "some validation rules were not checked because the object was invalid"
"""What the API server adds when it did not get as far as CEL."""
NO_CLUSTER = (
    "KUBECONFIG is not set, so there is no cluster to test with: run `make cluster-up`, and start "
    "me by `tests/cluster/run .venv/bin/pytest tests/integration`"
)


def client() -> httpx.Client:
    """Return an HTTP client of the API server that KUBECONFIG names.

    Raises:
        LookupError: KUBECONFIG is not set, or names no cluster.
    """
    config = KubeConfig.from_env().get() if os.environ.get("KUBECONFIG") else None
    if config is None:
        raise LookupError(NO_CLUSTER)
    http: httpx.Client = Client(config, ConnectionParams())
    return http


def resources(namespace: str) -> str:
    """Return the path of a namespace's HybridInferences."""
    return f"/apis/hybridinference.dev/v1alpha1/namespaces/{namespace}/hybridinferences"


def complaints(answer: httpx.Response) -> list[str]:
    """Return what the API server has against an object, a line for each cause, sorted."""
    status = answer.json()
    causes = status.get("details", {}).get("causes", ())
    lines = [f"{cause['field']}: {cause['message']}" for cause in causes]
    return sorted(line for line in lines if _UNCHECKED not in line) or [status["message"]]
