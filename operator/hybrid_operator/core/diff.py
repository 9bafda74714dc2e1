"""Whether a live object is what it should be.

Only what we state is compared: the API server adds defaults, other managers add fields of their
own, and both are left alone. What we stated once and state no longer is found by the hash of the
applied object, which stands in an annotation and so differs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hybrid_operator.core import naming, quantity
from hybrid_operator.core.objects import meta
from hybrid_operator.core.written import canonical

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping, Sequence

_MERGED_BY: dict[str, tuple[str, ...]] = {
    "containers": ("name",),
    "env": ("name",),
    "imagePullSecrets": ("name",),
    "ownerReferences": ("uid",),
    "topologySpreadConstraints": ("topologyKey", "whenUnsatisfiable"),
    "volumeMounts": ("mountPath",),
    "volumes": ("name",),
}
"""Lists whose items Kubernetes merges by a key; `ports` are known by two (see `_port`). All others
are atomic."""
_QUANTITIES = frozenset({"limits", "requests", "sizeLimit", "storage", "divisor"})
"""Fields whose value, or whose values, are quantities."""
_INT_OR_STRING = frozenset({"port", "targetPort", "maxSurge", "maxUnavailable", "minAvailable"})
_MEANS_BY_BEING = frozenset({"emptyDir"})
"""Fields whose empty value says something."""


def stamp(desired: Mapping[str, Any]) -> dict[str, Any]:
    """Return `desired` with the annotation that holds its hash.

    Replicas are not in it: that their owner has changed, and we state them no longer, leaves
    nothing to apply. Where we state them they are compared all the same.
    """
    metadata = dict(desired["metadata"])
    spec = {name: value for name, value in desired.get("spec", {}).items() if name != "replicas"}
    hashed = {**desired, "spec": spec} if desired.get("kind") == "Deployment" else desired
    applied = naming.digest(canonical(hashed), length=16)
    metadata["annotations"] = {**metadata.get("annotations", {}), meta.APPLIED: applied}
    return {**desired, "metadata": metadata}


def stamp_of(obj: Mapping[str, Any]) -> str:
    """Return the hash that `stamp` noted; "" where there is none."""
    return str((obj["metadata"].get("annotations") or {}).get(meta.APPLIED, ""))


def differs(live: Mapping[str, Any] | None, desired: Mapping[str, Any]) -> bool:
    """Whether `desired` must be applied."""
    return live is None or bool(paths(live, desired))


def paths(live: object, desired: object, path: str = "") -> list[str]:
    """Return where `live` is not what `desired` states, as dotted paths."""
    field = path.rpartition(".")[2]
    if isinstance(desired, dict):
        return _map(live, desired, path)
    if isinstance(desired, (list, tuple)):
        return _list(live, desired, path)
    parent = path.rpartition(".")[0].rpartition(".")[2]
    same = _equal(live, desired, field, quantities=bool({field, parent} & _QUANTITIES))
    return [] if same else [path]


def _map(live: object, desired: Mapping[str, Any], path: str) -> list[str]:
    if not isinstance(live, dict):
        means = path.rpartition(".")[2] in _MEANS_BY_BEING
        return [path] if desired or means or live is not None else []
    found = []
    for key, value in desired.items():
        other = live.get(key)
        if other != value or type(other) is not type(value):
            found += paths(other, value, f"{path}.{key}" if path else key)
    return found


def _list(live: object, desired: Sequence[Any], path: str) -> list[str]:
    if not isinstance(live, (list, tuple)):
        return [path] if desired or live is not None else []
    field = path.rpartition(".")[2]
    keys = _MERGED_BY.get(field)
    if keys is None and field != "ports":
        if len(live) != len(desired):
            return [path]
        pairs = zip(live, desired, strict=True)
        return [each for one, other in pairs for each in paths(one, other, path)]
    by_key = {_key(item, keys): item for item in live}
    found = []
    for item in desired:
        key = _key(item, keys)
        where = f"{path}[{'/'.join(str(part) for part in key)}]"
        found += paths(by_key.get(key), item, where)
    return found


def _key(item: Mapping[str, Any], keys: tuple[str, ...] | None) -> tuple[Hashable, ...]:
    if keys is None:
        port: Hashable = item.get("containerPort", item.get("port"))
        return (port, item.get("protocol", "TCP"))
    return tuple(item.get(key) for key in keys)


def _equal(live: object, desired: object, field: str, *, quantities: bool) -> bool:
    if desired is None:
        return True
    if quantities:
        return quantity.equal(live, desired)
    if field in _INT_OR_STRING and live is not None:
        return str(live) == str(desired)
    return type(live) is type(desired) and bool(live == desired)
