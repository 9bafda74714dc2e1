"""The kinds of objects that the operator reads and writes, and how their URLs are built."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from hybrid_operator.api.base import GROUP, KIND, PLURAL, VERSION

if TYPE_CHECKING:
    from collections.abc import Mapping


class Key(NamedTuple):
    """A namespaced object of a kind that the context knows; for a HybridInference, its identity."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True)
class Kind:
    """One namespaced kind."""

    name: str
    api_version: str
    plural: str

    def path(self, namespace: str | None, name: str | None = None, sub: str | None = None) -> str:
        """Return the URL path of a collection, an object or a subresource.

        Args:
            namespace: None for all namespaces (collections only).
            name: None for the collection.
            sub: `status` or `scale`.
        """
        root = "api" if "/" not in self.api_version else "apis"
        parts = ["", root, self.api_version]
        if namespace is not None:
            parts += ["namespaces", namespace]
        parts.append(self.plural)
        parts += [part for part in (name, sub) if part is not None]
        return "/".join(parts)


MANAGED_BY_LABEL = "app.kubernetes.io/managed-by"
"""By this label, the watches ask the API server for our objects alone."""

RESOURCE = Kind(KIND, f"{GROUP}/{VERSION}", PLURAL)
LEASE = Kind("Lease", "coordination.k8s.io/v1", "leases")
EVENT = Kind("Event", "v1", "events")
POD = Kind("Pod", "v1", "pods")
NODE = Kind("Node", "v1", "nodes")
QUOTA = Kind("ResourceQuota", "v1", "resourcequotas")
HPA = Kind("HorizontalPodAutoscaler", "autoscaling/v2", "horizontalpodautoscalers")
DEPLOYMENT = Kind("Deployment", "apps/v1", "deployments")

CHILDREN: Mapping[str, Kind] = {
    kind.name: kind
    for kind in (
        DEPLOYMENT,
        Kind("Service", "v1", "services"),
        Kind("ServiceAccount", "v1", "serviceaccounts"),
        Kind("ConfigMap", "v1", "configmaps"),
        Kind("Role", "rbac.authorization.k8s.io/v1", "roles"),
        Kind("RoleBinding", "rbac.authorization.k8s.io/v1", "rolebindings"),
        Kind("PodDisruptionBudget", "policy/v1", "poddisruptionbudgets"),
    )
}
"""The kinds that a plan may name, by name; each is followed by one watch, as are pods."""


def key_of(obj: Mapping[str, Any]) -> Key:
    """Return namespace and name of an object."""
    return Key(obj["metadata"]["namespace"], obj["metadata"]["name"])


def version_of(obj: Mapping[str, Any]) -> int:
    """Return the object's resource version as a number, for "is this newer".

    Kubernetes promises since 1.35 that they can be compared, and etcd always made them so. 0 when
    there is none.
    """
    text = str(obj["metadata"].get("resourceVersion") or "0")
    return int(text) if text.isdigit() else 0
