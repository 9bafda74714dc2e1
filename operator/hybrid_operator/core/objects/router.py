"""What the routers consist of, their pods aside (`router_pod`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hybrid_operator.core import naming
from hybrid_operator.core.calibration import HISTORY_KEY
from hybrid_operator.core.objects import meta
from hybrid_operator.core.objects.router_pod import TABLE_KEY

if TYPE_CHECKING:
    from hybrid_operator.api.resource import HybridInferenceSpec
    from hybrid_operator.core.objects.context import Context

DEFAULT_REPLICAS = 2


def replicas(spec: HybridInferenceSpec) -> int:
    """Return the number of router pods."""
    return DEFAULT_REPLICAS if spec.router.replicas is None else spec.router.replicas


def deployment(
    context: Context, spec: HybridInferenceSpec, template: dict[str, Any]
) -> dict[str, Any]:
    """Return the Deployment of the routers with their rendered pod `template`."""
    selector = naming.router_selector(context.owner.name)
    body = {
        "replicas": replicas(spec),
        "selector": {"matchLabels": selector},
        # Clients must not notice: a new router is there before an old one leaves.
        "strategy": {
            "type": "RollingUpdate",
            "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0},
        },
        "revisionHistoryLimit": 3,
        "template": template,
    }
    return _child(context, ("apps/v1", "Deployment"), spec=body)


def service(context: Context, spec: HybridInferenceSpec) -> dict[str, Any]:
    """Return the Service that clients talk to."""
    body = {
        "type": spec.router.service.type,
        "selector": naming.router_selector(context.owner.name),
        "ports": [{"name": "http", "port": 80, "targetPort": "http", "protocol": "TCP"}],
    }
    return _child(context, ("v1", "Service"), spec=body)


def table(context: Context, document: str) -> dict[str, Any]:
    """Return the ConfigMap with the RouteTable."""
    return _child(context, ("v1", "ConfigMap"), data={TABLE_KEY: document})


def history(context: Context, document: str) -> dict[str, Any]:
    """Return the ConfigMap that remembers calibration states."""
    owner = context.owner
    selector = naming.router_selector(owner.name)
    name = naming.calibration(owner.name)
    return meta.child(("v1", "ConfigMap"), name, owner, selector, data={HISTORY_KEY: document})


def disruption_budget(context: Context) -> dict[str, Any]:
    """Return what keeps a drain of nodes from taking two routers at once."""
    body = {
        "selector": {"matchLabels": naming.router_selector(context.owner.name)},
        "maxUnavailable": 1,
        # A router that never became ready must not hold up a drain.
        "unhealthyPodEvictionPolicy": "AlwaysAllow",
    }
    return _child(context, ("policy/v1", "PodDisruptionBudget"), spec=body)


def service_account(context: Context) -> dict[str, Any]:
    """Return who the routers are to the API server."""
    return _child(context, ("v1", "ServiceAccount"), automountServiceAccountToken=False)


def role(context: Context) -> dict[str, Any]:
    """Return what the routers may do: follow their table and the engines' endpoints."""
    read = ["get", "list", "watch"]
    rules = [
        {
            "apiGroups": [""],
            "resources": ["configmaps"],
            "resourceNames": [naming.router(context.owner.name)],
            "verbs": read,
        },
        {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": read},
    ]
    return _child(context, ("rbac.authorization.k8s.io/v1", "Role"), rules=rules)


def role_binding(context: Context) -> dict[str, Any]:
    """Return what gives the routers their role."""
    name = naming.router(context.owner.name)
    namespace = context.owner.namespace
    return _child(
        context,
        ("rbac.authorization.k8s.io/v1", "RoleBinding"),
        roleRef={"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name},
        subjects=[{"kind": "ServiceAccount", "name": name, "namespace": namespace}],
    )


def _child(context: Context, kind: tuple[str, str], **body: object) -> dict[str, Any]:
    owner = context.owner
    selector = naming.router_selector(owner.name)
    return meta.child(kind, naming.router(owner.name), owner, selector, **body)
