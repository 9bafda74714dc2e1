"""From pydantic's JSON schema to the structural schema that a CRD may hold.

What Kubernetes cannot express, or what would make a CEL rule too costly to admit, is refused with
the path of the field, so that it is noticed here and not by the first cluster that meets it. No
default is written: defaults are applied when the resource is read, and stand in the descriptions.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Schema = Mapping[str, Any]

INT_OR_STRING = "x-kubernetes-int-or-string"
PRESERVE = "x-kubernetes-preserve-unknown-fields"
LIST_TYPE = "x-kubernetes-list-type"
MAP_KEYS = "x-kubernetes-list-map-keys"
VALIDATIONS = "x-kubernetes-validations"

_KEPT = (
    *("description", "type", "format", "enum", "minLength", "maxLength", "minimum", "maximum"),
    *("minItems", "maxItems", "maxProperties", "required", LIST_TYPE, MAP_KEYS),
    *(INT_OR_STRING, PRESERVE, VALIDATIONS),
)
_READ = {*_KEPT, "title", "default", "const", "properties", "items", "additionalProperties"}
_TYPES = {"object", "array", "string", "integer", "boolean"}


class RefusedError(ValueError):
    """A type cannot be a part of the resource; the message names the field and says why."""


def structural(schema: Schema, path: str) -> dict[str, Any]:
    """Return the structural schema of a part, with every reference written out.

    Args:
        schema: What `model_json_schema()` returned.
        path: Where the part stands in the resource (`spec`).

    Raises:
        RefusedError: A field cannot be expressed, or lacks a description or a limit.
    """
    return _node(schema, path, _Definitions(schema.get("$defs", {})))


class _Definitions:
    """The named types of a schema, and which of them are being written out."""

    def __init__(self, types: Mapping[str, Schema], open_: frozenset[str] = frozenset()) -> None:
        self._types = types
        self._open = open_

    def enter(self, reference: str, path: str) -> tuple[Schema, _Definitions]:
        name = reference.removeprefix("#/$defs/")
        if name in self._open:
            raise RefusedError(f"{path}: {name} contains itself; a CRD cannot say that")
        return self._types[name], _Definitions(self._types, self._open | {name})


def _node(schema: Schema, path: str, definitions: _Definitions) -> dict[str, Any]:
    schema, definitions = _resolved(schema, path, definitions)
    unknown = sorted(set(schema) - _READ)
    if unknown:
        raise RefusedError(f"{path}: uses {', '.join(unknown)}, which a CRD cannot say")
    node = {key: schema[key] for key in _KEPT if key in schema}
    if "const" in schema:
        node["enum"] = [schema["const"]]
    if "description" in node:
        node["description"] = " ".join(node["description"].split())
    _check_type(node, path)
    if node.get("type") == "object":
        node |= _object(schema, path, definitions)
    if node.get("type") == "array":
        node["items"] = _items(schema, path, definitions)
    return node


def _resolved(schema: Schema, path: str, definitions: _Definitions) -> tuple[Schema, _Definitions]:
    """Follow references and `Optional`; what the field says wins over what its type says."""
    while "$ref" in schema or "anyOf" in schema:
        own = {k: v for k, v in schema.items() if k not in {"$ref", "anyOf", "$defs"}}
        if "anyOf" in schema:
            members = [each for each in schema["anyOf"] if each != {"type": "null"}]
            if len(members) != 1:
                raise RefusedError(f"{path}: is a union; only Optional can be said in a CRD")
            inner: Schema = members[0]
        else:
            inner, definitions = definitions.enter(schema["$ref"], path)
        schema = {**inner, **own}
    return {k: v for k, v in schema.items() if k != "$defs"}, definitions


def _check_type(node: Schema, path: str) -> None:
    kind = node.get("type")
    if kind == "number":
        raise RefusedError(f"{path}: is a float; write decimals as strings")
    if kind not in _TYPES and INT_OR_STRING not in node:
        raise RefusedError(f"{path}: has no type; a CRD needs one of {', '.join(sorted(_TYPES))}")
    text = kind == "string" or INT_OR_STRING in node
    if text and not {"maxLength", "enum", "format"} & set(node):
        raise RefusedError(
            f"{path}: is a string without max_length, which makes CEL rules too costly"
        )
    for entry in node.get(VALIDATIONS, ()):
        if not entry.get("message") or "\n" in entry["rule"]:
            raise RefusedError(f"{path}: has a CEL rule without a message, or of several lines")


def _object(schema: Schema, path: str, definitions: _Definitions) -> dict[str, Any]:
    more = schema.get("additionalProperties")
    fields = schema.get("properties")
    if isinstance(more, Mapping):
        return {"additionalProperties": _values(schema, path, definitions)}
    if fields:
        return {"properties": {k: _field(v, f"{path}.{k}", definitions) for k, v in fields.items()}}
    if not schema.get(PRESERVE):
        raise RefusedError(f"{path}: is an object without fields")
    return {}


def _values(schema: Schema, path: str, definitions: _Definitions) -> dict[str, Any]:
    if "maxProperties" not in schema:
        raise RefusedError(f"{path}: is a map without max_length, which makes CEL rules too costly")
    if schema.get("properties"):
        raise RefusedError(f"{path}: has both named fields and others; a CRD takes one of them")
    values = _node(schema["additionalProperties"], f"{path}[*]", definitions)
    if values.get("type") != "string" and INT_OR_STRING not in values:
        raise RefusedError(
            f"{path}: is a map of something other than strings; use a list with names"
        )
    return values


def _items(schema: Schema, path: str, definitions: _Definitions) -> dict[str, Any]:
    if "items" not in schema:
        raise RefusedError(f"{path}: is a list of anything; say of what")
    if "maxItems" not in schema:
        raise RefusedError(
            f"{path}: is a list without max_length, which makes CEL rules too costly"
        )
    kind = schema.get(LIST_TYPE)
    if kind not in {"map", "set", "atomic"}:
        raise RefusedError(f"{path}: is a list without a list type: MAP_BY_NAME, SET or ATOMIC")
    items = _node(schema["items"], f"{path}[]", definitions)
    missing = set(schema.get(MAP_KEYS, ())) - set(items.get("required", ()))
    if kind == "map" and (missing or not schema.get(MAP_KEYS)):
        raise RefusedError(f"{path}: is a map by keys that its items are not required to have")
    items.pop("description", None)  # `kubectl explain` would say nearly the same twice
    return items


def _field(schema: Schema, path: str, definitions: _Definitions) -> dict[str, Any]:
    node = _node(schema, path, definitions)
    if not node.get("description"):
        raise RefusedError(f"{path}: has no description; write a docstring below it")
    default = schema.get("default")
    if default and not isinstance(default, Mapping):
        said = f"Defaults to {default}."
        if said not in node["description"]:
            raise RefusedError(
                f"{path}: its description must end in {said!r}, as its default is that"
            )
    return node
