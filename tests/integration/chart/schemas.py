"""kubeconform's schemas, made from what the API server itself publishes: nothing is downloaded."""

import json
from pathlib import Path
from typing import Any

from tests.integration.chart.programs import run

GROUPS = (
    ("api/v1", "io.k8s.api.core.v1", ("ServiceAccount",)),
    ("apis/apps/v1", "io.k8s.api.apps.v1", ("Deployment",)),
    ("apis/policy/v1", "io.k8s.api.policy.v1", ("PodDisruptionBudget",)),
    (
        "apis/rbac.authorization.k8s.io/v1",
        "io.k8s.api.rbac.v1",
        ("ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding"),
    ),
    (
        "apis/apiextensions.k8s.io/v1",
        "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1",
        ("CustomResourceDefinition",),
    ),
)
LOCATION = "{{.ResourceKind}}{{.KindSuffix}}.json"
"""How kubeconform finds a file: KIND-VERSION, or KIND-GROUP-VERSION with the group cut at a dot."""


def write(folder: Path, resource_definition: dict[str, Any]) -> str:
    """Write the schemas of the chart's kinds and of HybridInference; return where they are."""
    for path, package, kinds in GROUPS:
        document = json.loads(run("kubectl", "get", "--raw", f"/openapi/v3/{path}"))
        definitions = _closed(_local(document["components"]["schemas"]))
        for kind in kinds:
            schema = {"$ref": f"#/definitions/{package}.{kind}", "definitions": definitions}
            _file(folder, kind, path).write_text(json.dumps(schema))
    version = resource_definition["spec"]["versions"][0]
    own = _closed(version["schema"]["openAPIV3Schema"])
    own["properties"]["metadata"] = {"type": "object"}
    _file(folder, "HybridInference", f"hybridinference.dev/{version['name']}").write_text(
        json.dumps(own)
    )
    return str(folder / LOCATION)


def _file(folder: Path, kind: str, path: str) -> Path:
    *_, group, version = path.split("/")
    suffix = version if group == "api" else f"{group.split('.')[0]}-{version}"
    return folder / f"{kind.lower()}-{suffix}.json"


def _local(value: Any) -> Any:
    """Point references at the document's own definitions."""
    if isinstance(value, list):
        return [_local(each) for each in value]
    if not isinstance(value, dict):
        return value
    found = {key: _local(each) for key, each in value.items()}
    if isinstance(found.get("$ref"), str):
        found["$ref"] = found["$ref"].replace("#/components/schemas/", "#/definitions/")
    return found


def _closed(value: Any) -> Any:
    """Forbid fields that a schema does not name, as the API server does with strict validation."""
    if isinstance(value, list):
        return [_closed(each) for each in value]
    if not isinstance(value, dict):
        return value
    found = {key: _closed(each) for key, each in value.items()}
    names = found.get("properties")
    open_ = found.get("x-kubernetes-preserve-unknown-fields") or "additionalProperties" in found
    if isinstance(names, dict) and found.get("type") == "object" and not open_:
        found["additionalProperties"] = False
    return found
