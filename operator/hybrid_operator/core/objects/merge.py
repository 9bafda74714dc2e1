"""`podTemplate`: what a user may add to a pod, and how it is merged.

An allow-list: what is not named here is refused with its path, never dropped in silence. A pod of
ours is created with the operator's rights, so a user who may write a HybridInference but no pods
must not gain host access, other Secrets or privilege by it. Lists are merged by the key that
Kubernetes merges them by; the user's entry replaces ours.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from hybrid_operator.api.base import GROUP, Problem

Dict = dict[str, Any]
Check = Callable[[str, Any], list[Problem]]

_VOLUMES = ("configMap", "emptyDir", "ephemeral", "image", "persistentVolumeClaim")
_ENV_SOURCES = ("configMapKeyRef", "fieldRef", "resourceFieldRef")
_OUR_LABELS = ("app.kubernetes.io/", f"{GROUP}/")
_HINT = "is not allowed by the platform"


def merge_pod_template(
    template: Dict, overlay: Mapping[str, Any] | None, container: str, path: str
) -> tuple[Dict, list[Problem]]:
    """Return `template` with `overlay` merged over it, and what was refused of the overlay.

    Args:
        template: a PodTemplateSpec of ours; it is not changed.
        overlay: the partial PodTemplateSpec of the resource, whatever was written there.
        container: name of the one container that may be added to.
        path: the overlay's place in the resource, for the problems.
    """
    if not overlay:
        return template, []
    problems = check(overlay, container, path)
    if problems:
        return template, problems
    merged = dict(template)
    if overlay.get("metadata"):
        merged["metadata"] = _deep(template.get("metadata", {}), overlay["metadata"])
    if overlay.get("spec"):
        merged["spec"] = _spec(template["spec"], overlay["spec"])
    return merged, []


def check(overlay: object, container: str, path: str) -> list[Problem]:
    """Return what is not allowed in an overlay."""
    return _fields(
        path,
        overlay,
        {
            "metadata": lambda where, value: _fields(
                where, value, {"labels": _labels, "annotations": _annotations}
            ),
            "spec": lambda where, value: _fields(where, value, _pod_checks(container)),
        },
    )


def _pod_checks(container: str) -> dict[str, Check]:
    return {
        "nodeSelector": _strings,
        "tolerations": _list,
        "affinity": _map,
        "priorityClassName": _string,
        "schedulerName": _string,
        "runtimeClassName": _string,
        "topologySpreadConstraints": _list,
        "imagePullSecrets": lambda path, value: _items(path, value, "name", _anything),
        "volumes": lambda path, value: _items(path, value, "name", _volume),
        "containers": lambda path, value: _items(path, value, "name", _container(container)),
    }


def _container(name: str) -> Check:
    def check_container(path: str, value: Dict) -> list[Problem]:
        if value["name"] != name:
            return [Problem(path, f"{_HINT}: the only container that may be added to is {name}")]
        return _fields(
            path,
            value,
            {
                "name": _string,
                "env": lambda where, env: _items(where, env, "name", _env),
                "resources": _resources,
                "volumeMounts": lambda where, mounts: _items(where, mounts, "mountPath", _mount),
                "securityContext": lambda where, each: _fields(where, each, _SECURITY),
            },
        )

    return check_container


def _anything(path: str, value: object) -> list[Problem]:
    del path, value
    return []


def _expect(kind: type, word: str) -> Check:
    def check_kind(path: str, value: object) -> list[Problem]:
        return [] if isinstance(value, kind) else [Problem(path, f"must be {word}")]

    return check_kind


_string = _expect(str, "a string")
_map = _expect(dict, "an object")
_list = _expect(list, "a list")


def _strings(path: str, value: object) -> list[Problem]:
    if not isinstance(value, dict):
        return [Problem(path, "must be an object")]
    wrong = [key for key, each in value.items() if not isinstance(each, str)]
    return [Problem(f"{path}.{key}", "must be a string, in quotes") for key in wrong]


def _fields(path: str, value: object, allowed: Mapping[str, Check]) -> list[Problem]:
    if not isinstance(value, dict):
        return [Problem(path, "must be an object")]
    found: list[Problem] = []
    for key, each in value.items():
        where = f"{path}.{key}"
        rule = allowed.get(key)
        if rule is None:
            found.append(Problem(where, f"{_HINT}; allowed are {', '.join(sorted(allowed))}"))
        else:
            found += rule(where, each)
    return found


def _items(path: str, value: object, key: str, rule: Check) -> list[Problem]:
    if not isinstance(value, list):
        return [Problem(path, "must be a list")]
    found: list[Problem] = []
    seen: set[str] = set()
    for index, item in enumerate(value):
        where = f"{path}[{index}]"
        name = item.get(key) if isinstance(item, dict) else None
        if not isinstance(name, str) or not name:
            found.append(Problem(where, f"must be an object with a {key}"))
        elif name in seen:
            found.append(Problem(where, f"says {name} twice"))
        else:
            seen.add(name)
            found += rule(where, item)
    return found


def _labels(path: str, value: object) -> list[Problem]:
    ours = [key for key in value if key.startswith(_OUR_LABELS)] if isinstance(value, dict) else []
    taken = [
        Problem(f"{path}.{key}", "belongs to the operator, which finds pods by it") for key in ours
    ]
    return [*_strings(path, value), *taken]


def _annotations(path: str, value: object) -> list[Problem]:
    ours = [key for key in value if key.startswith(f"{GROUP}/")] if isinstance(value, dict) else []
    return [
        *_strings(path, value),
        *(Problem(f"{path}.{key}", "belongs to the operator") for key in ours),
    ]


def _volume(path: str, value: Dict) -> list[Problem]:
    allowed: dict[str, Check] = {"name": _string, **dict.fromkeys(_VOLUMES, _map)}
    found = _fields(path, value, allowed)
    if not found and len(value) != len(("name", "source")):
        found.append(Problem(path, f"needs exactly one of {', '.join(_VOLUMES)}"))
    return found


def _mount(path: str, value: Dict) -> list[Problem]:
    return [] if isinstance(value.get("name"), str) else [Problem(path, "needs the volume's name")]


def _env(path: str, value: object) -> list[Problem]:
    sources: dict[str, Check] = dict.fromkeys(_ENV_SOURCES, _map)
    allowed: dict[str, Check] = {
        "name": _string,
        "value": _string,
        "valueFrom": lambda where, source: _fields(where, source, sources),
    }
    return _fields(path, value, allowed)


def _resources(path: str, value: object) -> list[Problem]:
    return _fields(path, value, {"requests": _quantities, "limits": _quantities})


def _quantities(path: str, value: object) -> list[Problem]:
    if not isinstance(value, dict):
        return [Problem(path, "must be an object")]
    wrong = [key for key, each in value.items() if not isinstance(each, str | int | float)]
    return [Problem(f"{path}.{key}", "must be a quantity such as 2 or 4Gi") for key in wrong]


def _false(path: str, value: object) -> list[Problem]:
    return [] if value is False else [Problem(path, f"{_HINT}: may only be false")]


def _true(path: str, value: object) -> list[Problem]:
    return [] if value is True else [Problem(path, f"{_HINT}: may only be true")]


def _user(path: str, value: object) -> list[Problem]:
    good = isinstance(value, int) and not isinstance(value, bool) and value > 0
    return [] if good else [Problem(path, f"{_HINT}: must be a number above 0")]


_SECURITY: dict[str, Check] = {
    "allowPrivilegeEscalation": _false,
    "capabilities": lambda path, value: _fields(path, value, {"drop": _list}),
    "readOnlyRootFilesystem": _true,
    "runAsGroup": _user,
    "runAsNonRoot": _true,
    "runAsUser": _user,
}
"""Only what is stricter than what we set."""


def _spec(spec: Mapping[str, Any], overlay: Mapping[str, Any]) -> Dict:
    merged = {**spec, **{key: value for key, value in overlay.items() if key in _REPLACED}}
    if "nodeSelector" in overlay:
        merged["nodeSelector"] = _deep(spec.get("nodeSelector", {}), overlay["nodeSelector"])
    if "tolerations" in overlay:
        merged["tolerations"] = [*spec.get("tolerations", []), *overlay["tolerations"]]
    for field in ("imagePullSecrets", "volumes"):
        if field in overlay:
            merged[field] = _by_key(spec.get(field, []), overlay[field], "name")
    if overlay.get("containers"):
        ours = spec["containers"][0]
        merged["containers"] = [_merge_container(ours, overlay["containers"][0])]
    return merged


_REPLACED = frozenset(
    {
        "affinity",
        "priorityClassName",
        "runtimeClassName",
        "schedulerName",
        "topologySpreadConstraints",
    }
)
"""Taken whole: half of an affinity of ours and half of the user's would be nobody's wish."""


def _merge_container(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> Dict:
    merged = dict(ours)
    if "env" in theirs:
        merged["env"] = _by_key(ours.get("env", []), theirs["env"], "name")
    if "volumeMounts" in theirs:
        merged["volumeMounts"] = _by_key(
            ours.get("volumeMounts", []), theirs["volumeMounts"], "mountPath"
        )
    for field in ("resources", "securityContext"):
        if field in theirs:
            merged[field] = _deep(ours.get(field, {}), theirs[field])
    return merged


def _by_key(ours: list[Dict], theirs: list[Dict], key: str) -> list[Dict]:
    merged = {item[key]: item for item in ours}
    return [*{**merged, **{item[key]: item for item in theirs}}.values()]


def _deep(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> Dict:
    merged = dict(ours)
    for key, value in theirs.items():
        mine = merged.get(key)
        both = isinstance(mine, Mapping) and isinstance(value, Mapping)
        merged[key] = _deep(mine, value) if both and mine else value
    return merged
