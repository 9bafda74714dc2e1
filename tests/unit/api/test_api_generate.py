"""The generated files: complete, stable, and checked."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from hybrid_operator.api import generate
from hybrid_operator.api.crd import crd

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FILES = generate.artifacts()
CRD = "crds/hybridinference.dev_hybridinferences.yaml"
CHART = "charts/hybridinference/templates/crd.yaml"


def _nodes(node: Any) -> Iterator[dict[str, Any]]:
    if isinstance(node, dict):
        yield node
        node = list(node.values())
    if isinstance(node, list):
        for each in node:
            yield from _nodes(each)


def test_what_is_committed_is_what_the_types_say():
    assert generate.differing(generate.ROOT, FILES) == []


def test_generating_twice_gives_the_same_bytes():
    assert generate.artifacts() == FILES


def test_check_names_what_differs_and_writes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    assert generate.main([], tmp_path) == 0
    (tmp_path / CRD).write_text("edited by hand")
    (tmp_path / CHART).unlink()

    assert generate.main(["--check"], tmp_path) == 1

    said = capsys.readouterr().err.splitlines()
    assert said == [
        f"{CRD} differs from the types; run: make generate",
        f"{CHART} differs from the types; run: make generate",
    ]
    assert (tmp_path / CRD).read_text() == "edited by hand"
    assert not (tmp_path / CHART).exists()


def test_writing_touches_only_what_differs(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    generate.main([], tmp_path)
    (tmp_path / CRD).write_text("edited by hand")
    capsys.readouterr()

    assert generate.main([], tmp_path) == 0

    assert capsys.readouterr().out == f"wrote {CRD}\n"
    assert generate.main(["--check"], tmp_path) == 0


def test_an_unknown_option_is_bad_input(tmp_path: Path):
    assert generate.main(["--chek"], tmp_path) == 2
    assert not list(tmp_path.iterdir())


def test_the_schema_holds_no_default():
    """Argo CD would see a difference, and old resources would keep old defaults for ever."""
    assert [node for node in _nodes(crd()) if "default" in node] == []


def test_every_field_of_the_spec_is_described():
    root = crd()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    fields = [
        (name, field)
        for node in _nodes(root["properties"]["spec"])
        if isinstance(node.get("properties"), dict)
        for name, field in node["properties"].items()
    ]
    assert len(fields) > 80
    assert [
        name for name, field in fields if not field["description"].rstrip('"').endswith(".")
    ] == []


def _largest(schema: dict[str, Any]) -> Any:
    if "enum" in schema:
        return max(schema["enum"], key=len)
    if schema["type"] == "array":
        return [_largest(schema["items"])] * schema["maxItems"]
    if schema["type"] == "object":
        return {name: _largest(each) for name, each in schema["properties"].items()}
    if schema["type"] == "integer":
        return schema.get("maximum", 10**12)
    return "x" * schema.get("maxLength", len("2026-01-01T00:00:00Z"))


def test_the_status_stays_below_32_kib_at_every_maximum():
    root = crd()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]

    assert len(json.dumps(_largest(root["properties"]["status"]))) < 32 * 1024


def test_the_charts_copy_is_the_crd_between_a_switch():
    lines = FILES[CHART].splitlines()
    assert lines[1] == "{{- if .Values.crds.install }}"
    assert lines[-1] == "{{- end }}"
    copy = yaml.safe_load("\n".join(lines[2:-1]))
    assert copy["metadata"].pop("annotations") == {"helm.sh/resource-policy": "keep"}
    assert copy == yaml.safe_load(FILES[CRD])


def test_the_schema_of_the_route_table_describes_every_field():
    schema = json.loads(FILES["docs/reference/routetable.schema.json"])
    Draft202012Validator.check_schema(schema)
    timeouts = schema["$defs"]["Timeouts"]["properties"]
    assert timeouts["idle"]["description"].startswith("Between two chunks")


@pytest.mark.parametrize(
    ("path", "line"),
    [
        pytest.param(
            "docs/reference/hybridinference.md",
            "| `count` | integer, 1 to 64 | GPUs per replica (the tensor parallel size). "
            "Defaults to 1. |",
            id="a field of the resource, with its range and default",
        ),
        pytest.param(
            "docs/reference/hybridinference.md",
            "- needs exactly one of huggingFace, pvc or image",
            id="a rule of the resource, in the API server's words",
        ),
        pytest.param(
            "docs/reference/routetable.md",
            "| `connect` | number | `2.0` |  |",
            id="a field of the RouteTable, with its default",
        ),
    ],
)
def test_the_reference_tells(path: str, line: str):
    assert line in FILES[path].splitlines()
