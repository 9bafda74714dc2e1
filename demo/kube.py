"""The demo's cluster: kubectl by way of tests/cluster/run, and a pod that asks as clients do."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from demo.console import DemoError, run

RUN = "tests/cluster/run"
CLIENT = "client"
SOURCE = Path(__file__).with_name("client.py")

Object = dict[str, Any]


def kubectl(*args: str, stdin: str | None = None, timeout: float = 60) -> str:
    """Run kubectl against the cluster and return its output.

    Raises:
        DemoError: it failed.
    """
    return run([RUN, "kubectl", *args], stdin=stdin, timeout=timeout)


def get(namespace: str, *what: str) -> Object:
    """Return `kubectl get WHAT -o json`."""
    found: Object = json.loads(kubectl("--namespace", namespace, "get", *what, "--output", "json"))
    return found


def apply(*objects: Object) -> None:
    """Apply objects."""
    document = {"apiVersion": "v1", "kind": "List", "items": list(objects)}
    kubectl("apply", "--filename", "-", stdin=json.dumps(document))


def namespace(name: str) -> Object:
    """Return a Namespace."""
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}


def conditions(resource: Mapping[str, Any]) -> dict[str, Object]:
    """Return a resource's conditions by type."""
    status = resource.get("status") or {}
    return {condition["type"]: condition for condition in status.get("conditions", ())}


@dataclass(frozen=True, slots=True)
class Answer:
    """What one request got; `status` 0 is a connection that failed."""

    status: int
    headers: Mapping[str, str]
    body: str
    ms: int


class Client:
    """A pod from which requests reach Services by their names, as an application's do."""

    def __init__(self, namespace: str, image: str) -> None:
        """Name the pod; `image` needs nothing but python3."""
        self._namespace = namespace
        self._image = image

    def start(self) -> None:
        """Create the pod and wait until it runs."""
        container = {
            "name": CLIENT,
            "image": self._image,
            "command": ["python3", "-c", "import signal; signal.pause()"],
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": 65532,
                "allowPrivilegeEscalation": False,
                "capabilities": {"drop": ["ALL"]},
            },
        }
        pod = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": CLIENT, "namespace": self._namespace},
            "spec": {"containers": [container], "terminationGracePeriodSeconds": 0},
        }
        apply(pod)
        ready = ("wait", f"pod/{CLIENT}", "--for=condition=Ready", "--timeout=60s")
        kubectl("--namespace", self._namespace, *ready, timeout=90)

    def send(self, *requests: Mapping[str, Any]) -> list[Answer]:
        """Send requests ({"url", "body"}) one after the other."""
        command = ("python3", "-c", SOURCE.read_text(), json.dumps(requests))
        said = kubectl("--namespace", self._namespace, "exec", CLIENT, "--", *command, timeout=300)
        return [Answer(**answer) for answer in json.loads(said)]

    def counters(self, urls: Sequence[str]) -> tuple[int, int]:
        """Return (requests answered, tokens generated), summed up from vLLMs' own /metrics.

        Raises:
            DemoError: one of them does not answer.
        """
        totals = [0.0, 0.0]
        for url, answer in zip(urls, self.send(*({"url": url} for url in urls)), strict=True):
            if answer.status != 200:  # noqa: PLR2004  OK
                raise DemoError(f"{url} answered {answer.status}: {answer.body[:200]}")
            for i, name in enumerate(
                ("vllm:request_success_total", "vllm:generation_tokens_total")
            ):
                lines = (line for line in answer.body.splitlines() if line.startswith(name + "{"))
                totals[i] += sum(float(line.rsplit(" ", 1)[1]) for line in lines)
        return int(totals[0]), int(totals[1])
