"""The operator as a process of its own, and the cluster as far as its tests look at it."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import httpx2 as httpx

Object = dict[str, Any]
T = TypeVar("T")

SECONDS = 30.0
"""How long something may take on a busy machine before a test says that it does not happen."""
STARTING_SECONDS = 120.0
"""The same of an operator's start: it takes 2 s of CPU time, and the Lease may be another's yet."""
KINDS = {
    "Deployment": "/apis/apps/v1/namespaces/{}/deployments",
    "Service": "/api/v1/namespaces/{}/services",
    "ServiceAccount": "/api/v1/namespaces/{}/serviceaccounts",
    "ConfigMap": "/api/v1/namespaces/{}/configmaps",
    "Role": "/apis/rbac.authorization.k8s.io/v1/namespaces/{}/roles",
    "RoleBinding": "/apis/rbac.authorization.k8s.io/v1/namespaces/{}/rolebindings",
    "PodDisruptionBudget": "/apis/policy/v1/namespaces/{}/poddisruptionbudgets",
    "Pod": "/api/v1/namespaces/{}/pods",
    "Lease": "/apis/coordination.k8s.io/v1/namespaces/{}/leases",
    "Event": "/api/v1/namespaces/{}/events",
    "ResourceQuota": "/api/v1/namespaces/{}/resourcequotas",
    "HorizontalPodAutoscaler": "/apis/autoscaling/v2/namespaces/{}/horizontalpodautoscalers",
    "HybridInference": "/apis/hybridinference.dev/v1alpha1/namespaces/{}/hybridinferences",
}
NO_CHILDREN = (
    "Pod", "Lease", "Event", "HybridInference", "ResourceQuota", "HorizontalPodAutoscaler"
)  # fmt: skip
OURS = "app.kubernetes.io/managed-by=hybridinference"
APPLY = {"content-type": "application/apply-patch+yaml"}
MERGE = {"content-type": "application/merge-patch+json"}


def until(look: Callable[[], T], what: str, seconds: float = SECONDS) -> T:
    """Return what `look` returns as soon as that is true; fail with `what` after `seconds`."""
    deadline = time.monotonic() + seconds
    while True:
        found = look()
        if found:
            return found
        assert time.monotonic() < deadline, f"not within {seconds:g} s: {what}"
        time.sleep(0.1)


@dataclass
class Cluster:
    """A namespace of a real cluster."""

    http: httpx.Client
    namespace: str

    def path(self, kind: str, name: str | None = None) -> str:
        collection = KINDS[kind].format(self.namespace)
        return collection if name is None else f"{collection}/{name}"

    def get(self, kind: str, name: str) -> Object | None:
        answer = self.http.get(self.path(kind, name))
        if answer.status_code == 404:
            return None
        return _body(answer)

    def read(self, kind: str, name: str) -> Object:
        found = self.get(kind, name)
        assert found is not None, f"{kind} {name} is not there"
        return found

    def all(self, kind: str, selector: str = OURS) -> list[Object]:
        answer = self.http.get(self.path(kind), params={"labelSelector": selector})
        items: list[Object] = _body(answer)["items"]
        return items

    def apply(self, obj: Object, manager: str = "tests", *, force: bool = True) -> Object:
        """Server-side apply, as `manager`."""
        path = self.path(obj["kind"], obj["metadata"]["name"])
        params = {"fieldManager": manager, "force": str(force).lower()}
        return _body(self.http.patch(path, json=obj, headers=APPLY, params=params))

    def merge(self, kind: str, name: str, patch: Object, manager: str = "kubectl-edit") -> Object:
        params = {"fieldManager": manager}
        path = self.path(kind, name)
        return _body(self.http.patch(path, json=patch, headers=MERGE, params=params))

    def scale(self, name: str, replicas: int, manager: str = "kubectl") -> None:
        """Scale a Deployment by its scale subresource, as an autoscaler or `kubectl scale` does."""
        patch = {"spec": {"replicas": replicas}}
        path = self.path("Deployment", name) + "/scale"
        _body(self.http.patch(path, json=patch, headers=MERGE, params={"fieldManager": manager}))

    def delete(self, kind: str, name: str, **options: Any) -> None:
        answer = self.http.request("DELETE", self.path(kind, name), json=options)
        assert answer.is_success or answer.status_code == 404, answer.text

    def create(self, obj: Object) -> Object:
        return _body(self.http.post(self.path(obj["kind"]), json=obj))

    def children(self, owner: str) -> set[tuple[str, str]]:
        """Return kind and name of every child of a HybridInference, pods aside."""
        selector = f"{OURS},app.kubernetes.io/instance={owner}"
        kinds = (k for k in KINDS if k not in NO_CHILDREN)
        return {(k, obj["metadata"]["name"]) for k in kinds for obj in self.all(k, selector)}

    def conditions(self, name: str) -> dict[str, Object]:
        status = self.read("HybridInference", name).get("status") or {}
        return {each["type"]: each for each in status.get("conditions") or ()}

    def observed(self, name: str) -> bool:
        """Whether the status is of the resource's current generation."""
        found = self.read("HybridInference", name)
        status = found.get("status") or {}
        return bool(status.get("observedGeneration") == found["metadata"]["generation"])

    def settled(self, name: str) -> bool:
        """Whether the resource was acted on, all its children being there."""
        return self.observed(name) and len(self.children(name)) >= ROUTER_CHILDREN

    def until_settled(self, name: str) -> None:
        """Wait until the resource was acted on."""
        until(lambda: self.settled(name), f"{name} in {self.namespace} is acted on")


ROUTER_CHILDREN = 7
"""What a resource without a local model has."""


def _body(answer: httpx.Response) -> Object:
    body: Object = answer.json()
    assert answer.is_success, body.get("message")
    return body


def resource(name: str, *models: Object, **spec: Any) -> Object:
    """Return a HybridInference with a provider and with these models (none of which can run)."""
    provider = {
        "name": "openai",
        "apiKey": {"secretKeyRef": {"name": "openai", "key": "api-key"}},
        "models": [{"name": "gpt-4o"}],
    }
    return {
        "apiVersion": "hybridinference.dev/v1alpha1",
        "kind": "HybridInference",
        "metadata": {"name": name},
        "spec": {"models": list(models), "providers": [provider]} | spec,
    }


def model(name: str = "llama-3-8b", **more: Any) -> Object:
    """Return a model on a GPU that no test cluster has: its pod stays pending."""
    return {"name": name, "catalog": "llama-3-8b", "accelerator": {"type": "a10g"}} | more


def free_port() -> int:
    """Return a port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@dataclass
class OperatorProcess:
    """`python -m hybrid_operator` for some namespaces; the Lease stands in the first one."""

    namespaces: Sequence[str]
    log_path: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    name: str = "operator"

    def __post_init__(self) -> None:
        self.health_port, self.metrics_port = free_port(), free_port()
        environment = {
            **os.environ,
            "HINF_ROUTER_IMAGE": "example.com/hybrid-router:test",
            "HINF_ROUTER_PULL_POLICY": "Never",
            "HINF_WATCH_NAMESPACES": ",".join(self.namespaces),
            "HINF_POD_NAMESPACE": self.namespaces[0],
            "HINF_POD_NAME": self.name,
            **self.environment,
        }
        command = [
            sys.executable,
            "-m",
            "hybrid_operator",
            f"--health-port={self.health_port}",
            f"--metrics-port={self.metrics_port}",
        ]
        with self.log_path.open("a") as log:
            self.process = subprocess.Popen(command, env=environment, stderr=log)

    @property
    def log(self) -> str:
        """Everything that it has said so far."""
        return self.log_path.read_text()

    def until_leading(self) -> None:
        """Wait until it holds the Lease."""
        marker = f"leading as {self.name}_"

        def leads() -> bool:
            assert self.process.poll() is None, f"the operator ended:\n{self.log}"
            return marker in self.log

        until(leads, "the operator leads", STARTING_SECONDS)

    def stop(self) -> int:
        """Send SIGTERM; return the exit status."""
        self.process.terminate()
        return self.process.wait(SECONDS)

    def kill(self) -> None:
        """Send SIGKILL: nothing is tidied up."""
        self.process.kill()
        self.process.wait(SECONDS)

    def freeze(self) -> None:
        """Send SIGSTOP: it does nothing, and does not know."""
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Send SIGCONT: it goes on where it was."""
        self.process.send_signal(signal.SIGCONT)

    def end(self) -> None:
        """Make sure that it is gone."""
        if self.process.poll() is None:
            self.kill()


class Audit:
    """What the operator wrote since some moment, by the API server's own audit log."""

    def __init__(self) -> None:
        path = os.environ.get("HINF_AUDIT_LOG")
        assert path, (
            "HINF_AUDIT_LOG is not set, so writes cannot be counted: run this by "
            "`tests/cluster/run`, on a cluster of `make cluster-up`"
        )
        self._path = Path(path)
        self._start = self._path.stat().st_size

    def writes(self, namespaces: Sequence[str]) -> list[str]:
        """Return "verb resource/subresource name" of every write, those of Leases left out."""
        time.sleep(0.5)  # the log is written in the background
        found = []
        with self._path.open("rb") as log:
            log.seek(self._start if self._path.stat().st_size >= self._start else 0)
            for line in log:
                event = json.loads(line)
                target = event.get("objectRef") or {}
                if (
                    event["userAgent"].startswith("hybridinference-operator")
                    and event["verb"] in ("create", "update", "patch", "delete")
                    and event["stage"] == "ResponseComplete"
                    and target.get("namespace") in namespaces
                    and target.get("resource") != "leases"
                ):
                    parts = (target.get("resource"), target.get("subresource"))
                    what = "/".join(part for part in parts if part)
                    found.append(f"{event['verb']} {what} {target.get('name')}")
        return found
