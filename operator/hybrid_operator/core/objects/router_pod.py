"""The pod of a router."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hybrid_operator.core import naming
from hybrid_operator.core.objects.merge import merge_pod_template

if TYPE_CHECKING:
    from hybrid_operator.api.base import Problem
    from hybrid_operator.api.resource import HybridInferenceSpec
    from hybrid_operator.core.objects.context import Context
    from hybrid_operator.core.state import Settings

CONTAINER = "router"
PORT = 8080
USER = 65532
"""The uid that images without a root user have by convention; a number, for the kubelet cannot
check a name."""
TABLE_DIRECTORY = "/etc/hybridinference/table"
TABLE_KEY = "table.json"
SECRETS = "/etc/hybridinference/secrets"
KEYS = "/etc/hybridinference/keys"
KEY_FILE = "api-key"

_PRE_STOP = 5
"""Seconds in which the Service's endpoints forget the pod before it stops accepting."""
_GRACE = 60
"""Seconds; above the above plus the router's own drain (30 s by default in its table)."""


def build(context: Context, spec: HybridInferenceSpec) -> tuple[dict[str, Any], list[Problem]]:
    """Return the routers' pod template, and what was refused of the resource's additions."""
    selector = naming.router_selector(context.owner.name)
    ours = {"metadata": {"labels": naming.labels(selector)}, "spec": _pod(context, spec)}
    overlay = spec.router.pod_template
    return merge_pod_template(ours, overlay, CONTAINER, "spec.router.podTemplate")


def key_file(provider: str) -> str:
    """Return where a router finds the key of `provider`."""
    return f"{SECRETS}/{provider}/{KEY_FILE}"


def _pod(context: Context, spec: HybridInferenceSpec) -> dict[str, Any]:
    settings = context.settings
    selector = naming.router_selector(context.owner.name)
    spread = {
        "maxSkew": 1,
        "topologyKey": "kubernetes.io/hostname",
        "whenUnsatisfiable": "ScheduleAnyway",
        "labelSelector": {"matchLabels": selector},
    }
    pod: dict[str, Any] = {
        "serviceAccountName": naming.router(context.owner.name),
        "automountServiceAccountToken": True,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": _GRACE,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": USER,
            "runAsGroup": USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "topologySpreadConstraints": [spread],
        "containers": [_container(context, spec)],
        "volumes": _volumes(context, spec),
    }
    if settings.image_pull_secrets:
        pod["imagePullSecrets"] = [{"name": name} for name in settings.image_pull_secrets]
    if settings.priority_class:
        pod["priorityClassName"] = settings.priority_class
    return pod


def _container(context: Context, spec: HybridInferenceSpec) -> dict[str, Any]:
    owner, settings = context.owner, context.settings
    container: dict[str, Any] = {
        "name": CONTAINER,
        "image": settings.router_image,
        "command": ["hinf-router"],
        "args": [
            f"--table={TABLE_DIRECTORY}/{TABLE_KEY}",
            f"--watch-configmap={owner.namespace}/{naming.router(owner.name)}",
            "--host=0.0.0.0",
            f"--port={PORT}",
        ],
        "env": [
            {"name": "POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
            {
                "name": "POD_NAMESPACE",
                "valueFrom": {"fieldRef": {"fieldPath": "metadata.namespace"}},
            },
            *_tracing(settings),
        ],
        "ports": [{"name": "http", "containerPort": PORT, "protocol": "TCP"}],
        "resources": spec.router.resources or {"requests": {"cpu": "100m", "memory": "128Mi"}},
        "volumeMounts": _mounts(spec),
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
        },
        "lifecycle": {"preStop": {"sleep": {"seconds": _PRE_STOP}}},
        "readinessProbe": {
            "httpGet": {"path": "/readyz", "port": "http"},
            "periodSeconds": 2,
            "failureThreshold": 2,
        },
        "livenessProbe": {
            "httpGet": {"path": "/healthz", "port": "http"},
            "periodSeconds": 10,
            "timeoutSeconds": 5,
            "failureThreshold": 3,
        },
    }
    if settings.router_pull_policy:
        container["imagePullPolicy"] = settings.router_pull_policy
    return container


def _tracing(settings: Settings) -> list[dict[str, str]]:
    """Return OpenTelemetry's own variables; the resource's podTemplate may change them."""
    if settings.otlp_endpoint is None:
        return []
    variables = {"OTEL_EXPORTER_OTLP_ENDPOINT": settings.otlp_endpoint}
    if settings.trace_ratio is not None:
        variables["OTEL_TRACES_SAMPLER"] = "parentbased_traceidratio"
        variables["OTEL_TRACES_SAMPLER_ARG"] = settings.trace_ratio
    return [{"name": name, "value": value} for name, value in variables.items()]


def _volumes(context: Context, spec: HybridInferenceSpec) -> list[dict[str, Any]]:
    table = {"name": naming.router(context.owner.name)}
    volumes: list[dict[str, Any]] = [
        {"name": "table", "configMap": table},
        {"name": "tmp", "emptyDir": {}},
    ]
    # Optional, so that a missing Secret is a condition and not a router that cannot start; the
    # kubelet brings the files once it exists.
    for provider in spec.providers:
        if provider.api_key:
            key = provider.api_key.secret_key_ref
            secret = {
                "secretName": key.name,
                "optional": True,
                "items": [{"key": key.key, "path": KEY_FILE}],
            }
            volumes.append({"name": naming.volume("key", provider.name), "secret": secret})
    if spec.router.client_keys:
        secret = {"secretName": spec.router.client_keys.secret_ref.name, "optional": True}
        volumes.append({"name": "client-keys", "secret": secret})
    return volumes


def _mounts(spec: HybridInferenceSpec) -> list[dict[str, Any]]:
    mounts: list[dict[str, Any]] = [
        {"name": "table", "mountPath": TABLE_DIRECTORY, "readOnly": True},
        {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108  an emptyDir; the root filesystem is read-only
    ]
    mounts += [
        {
            "name": naming.volume("key", provider.name),
            "mountPath": f"{SECRETS}/{provider.name}",
            "readOnly": True,
        }
        for provider in spec.providers
        if provider.api_key
    ]
    if spec.router.client_keys:
        mounts.append({"name": "client-keys", "mountPath": KEYS, "readOnly": True})
    return mounts
