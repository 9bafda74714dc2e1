"""The Deployment and the Service of one model's engine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hybrid_operator.core import naming
from hybrid_operator.core.objects import meta, record

if TYPE_CHECKING:
    from hybrid_operator.api.models import ModelSpec
    from hybrid_operator.core.objects.context import Context


def deployment(
    context: Context, model: ModelSpec, rendering: record.Record, replicas: int | None
) -> dict[str, Any]:
    """Return the Deployment of an engine; without `replicas` the number is its owner's."""
    selector = naming.engine_selector(context.owner.name, model.name)
    spec: dict[str, Any] = {
        "selector": {"matchLabels": selector},
        # No GPU is spare for a surge; the API answers meanwhile.
        "strategy": {
            "type": "RollingUpdate",
            "rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1},
        },
        "progressDeadlineSeconds": context.defaults.progress_deadline,
        "revisionHistoryLimit": 3,
        "template": rendering.template,
    }
    if replicas is not None:
        spec["replicas"] = replicas
    name = naming.engine(context.owner.name, model.name)
    found = meta.child(("apps/v1", "Deployment"), name, context.owner, selector, spec=spec)
    found["metadata"]["annotations"] = record.to_annotations(rendering)
    return found


def service(context: Context, model: ModelSpec) -> dict[str, Any]:
    """Return the Service whose EndpointSlices tell the routers of the engine's replicas."""
    selector = naming.engine_selector(context.owner.name, model.name)
    spec = {
        "type": "ClusterIP",
        "selector": selector,
        "ports": [{"name": "http", "port": 8000, "targetPort": "http", "protocol": "TCP"}],
    }
    name = naming.engine(context.owner.name, model.name)
    return meta.child(("v1", "Service"), name, context.owner, selector, spec=spec)
