"""The CustomResourceDefinition, made of the types."""

from __future__ import annotations

from typing import Any

from hybrid_operator.api.base import GROUP, KIND, PLURAL, SHORT_NAME, VALIDATIONS, VERSION
from hybrid_operator.api.resource import NAME, HybridInferenceSpec
from hybrid_operator.api.status import HybridInferenceStatus
from hybrid_operator.api.structural import structural

_READY = '.status.conditions[?(@.type=="Ready")]'
_DEGRADED = '.status.conditions[?(@.type=="Degraded")]'


def crd() -> dict[str, Any]:
    """Return the CustomResourceDefinition, ready to be applied.

    It belongs to no category, least of all `all`: `kubectl delete all --all` must not take models
    down.

    Raises:
        RefusedError: A type holds what a CRD cannot express.
    """
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{PLURAL}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {
                "kind": KIND,
                "listKind": f"{KIND}List",
                "plural": PLURAL,
                "singular": KIND.lower(),
                "shortNames": [SHORT_NAME],
            },
            "versions": [_version()],
        },
    }


def _version() -> dict[str, Any]:
    return {
        "name": VERSION,
        "served": True,
        "storage": True,
        "subresources": {"status": {}},
        "additionalPrinterColumns": _columns(),
        "schema": {"openAPIV3Schema": _root()},
    }


def _columns() -> list[dict[str, Any]]:
    shown = {
        "Ready": f"{_READY}.status",
        "Models": ".status.modelsReady",
        "Replicas": ".status.engineReplicas",
        "Endpoint": ".status.endpoint",
    }
    wide = {"Degraded": f"{_DEGRADED}.status", "Reason": f"{_READY}.reason"}
    age = {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"}
    return [
        *({"name": name, "type": "string", "jsonPath": path} for name, path in shown.items()),
        age,
        *(
            {"name": name, "type": "string", "jsonPath": path, "priority": 1}
            for name, path in wide.items()
        ),
    ]


def _root() -> dict[str, Any]:
    named = "self.metadata.name"
    return {
        "description": (
            "HybridInference runs small language models on the cluster's own accelerators and "
            "sends the rest of the traffic to an external LLM API."
        ),
        "type": "object",
        "required": ["spec"],
        "properties": {
            "apiVersion": {
                "type": "string",
                "description": f"Version of this form of the resource: {GROUP}/{VERSION}.",
            },
            "kind": {"type": "string", "description": f"Kind of the resource: {KIND}."},
            "metadata": {"type": "object", "properties": {"name": {"type": "string"}}},
            "spec": structural(HybridInferenceSpec, "spec"),
            "status": structural(HybridInferenceStatus, "status"),
        },
        VALIDATIONS: [
            {"rule": NAME.cel(named), "message": NAME.message, "fieldPath": ".metadata.name"}
        ],
    }
