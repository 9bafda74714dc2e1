"""HybridInferences as tests need them, and a cluster as far as a plan sees one."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import yaml
from msgspec.structs import replace

from hybrid_operator.api.read import parse_stored
from hybrid_operator.api.resource import HybridInferenceSpec
from hybrid_operator.core.state import (
    Observed,
    Owner,
    Plan,
    PodView,
    Ref,
    RouterReport,
    Settings,
)
from hybrid_router.table import content_hash
from tests.support.golden import ROOT

NOW = datetime(2026, 11, 23, 12, 0, 0, tzinfo=UTC)
SETTINGS = Settings(router_image="hybrid-inference:0.1.0")

MINIMAL = """
models:
  - name: llama-3-8b
    accelerator: {type: a10g}
providers:
  - name: openai
    apiKey: {secretKeyRef: {name: openai, key: api-key}}
    models: [{name: gpt-4o}]
"""


def spec(text: str) -> HybridInferenceSpec:
    """Return the spec written in YAML."""
    return parse_stored(yaml.safe_load(text))


def owner(name: str = "support", namespace: str = "ml", **more: Any) -> Owner:
    """Return a resource's identity."""
    return Owner(
        name, namespace, uid=f"uid-of-{name}", generation=more.pop("generation", 1), **more
    )


def observed(text: str = MINIMAL, **more: Any) -> Observed:
    """Return a resource with the spec in YAML, in a cluster where nothing is yet."""
    return Observed(
        owner=more.pop("owner", owner()),
        spec=spec(text),
        settings=more.pop("settings", SETTINGS),
        **more,
    )


def example(name: str) -> Observed:
    """Return the resource in the file `name` of examples/."""
    document = yaml.safe_load((ROOT / "examples" / name).read_text())
    metadata = document["metadata"]
    return Observed(
        owner=owner(metadata["name"], metadata.get("namespace", "default")),
        spec=parse_stored(document["spec"]),
        settings=SETTINGS,
    )


def applied(before: Observed, plan: Plan) -> Observed:
    """Return what is seen after the plan was carried out: objects as the API server would hold
    them."""
    children = {ref: obj for ref, obj in before.children.items() if ref not in plan.delete}
    for obj in plan.apply:
        ref = Ref(obj["kind"], obj["metadata"]["name"])
        children[ref] = _stored(obj, children.get(ref))
    return replace(before, children=children, status=plan.status)


def _stored(obj: Any, live: Any) -> dict[str, Any]:
    stored: dict[str, Any] = _defaulted(obj)
    metadata = stored["metadata"]
    metadata["generation"] = (live or {}).get("metadata", {}).get("generation", 0) + 1
    metadata["managedFields"] = (live or {}).get("metadata", {}).get("managedFields", [])
    if obj["kind"] == "Deployment":
        kept = (live or {}).get("spec", {}).get("replicas", 1)
        stored["spec"].setdefault("replicas", kept)
        stored["status"] = (live or {}).get("status", {})
    return stored


def _defaulted(value: Any) -> Any:
    """Copy, with fields that we do not state as the API server would add them."""
    if isinstance(value, dict):
        copy = {key: _defaulted(each) for key, each in value.items()}
        if "containers" in copy:
            copy |= {"dnsPolicy": "ClusterFirst", "restartPolicy": "Always", "hostIPC": None}
        if "image" in copy and "name" in copy:
            copy.setdefault("imagePullPolicy", "IfNotPresent")
            copy["terminationMessagePath"] = "/dev/termination-log"
        return copy
    return [_defaulted(each) for each in value] if isinstance(value, list) else value


def running(before: Observed, ready: dict[str, int] | None = None, **reports: Any) -> Observed:
    """Return the resource with its Deployments rolled out, its routers answering by the table.

    Args:
        before: with children applied.
        ready: replicas that answer, by Deployment; all that are wanted where it says nothing.
        reports: `backends` of every router's report.
    """
    children = dict(before.children)
    pods: list[PodView] = []
    table = ""
    for ref, obj in before.children.items():
        if ref.kind == "ConfigMap" and "table.json" in obj["data"]:
            table = content_hash(obj["data"]["table.json"].encode())
        if ref.kind != "Deployment":
            continue
        wanted = obj["spec"].get("replicas", 1)
        good = (ready or {}).get(ref.name, wanted)
        status = {
            "observedGeneration": obj["metadata"]["generation"],
            "replicas": wanted,
            "updatedReplicas": wanted,
            "readyReplicas": good,
            "availableReplicas": good,
        }
        children[ref] = {**obj, "status": status}
        labels = obj["metadata"]["labels"]
        pods += [
            PodView(
                name=f"{ref.name}-{number}",
                component=labels["app.kubernetes.io/component"],
                model=labels.get("hybridinference.dev/model"),
                ready=number < good,
                phase="Running",
            )
            for number in range(wanted)
        ]
    found = tuple(
        RouterReport(pod.name, table, before.owner.generation, reports.get("backends", ()))
        for pod in pods
        if pod.component == "router" and pod.ready
    )
    return replace(before, children=children, pods=tuple(pods), reports=found)
