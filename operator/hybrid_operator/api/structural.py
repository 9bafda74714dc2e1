"""From the types to the structural schema that a CRD may hold.

What Kubernetes cannot express, or what would make a CEL rule too costly to admit, is refused with
the path of the field, so that it is noticed here and not by the first cluster that meets it. No
default is written: defaults are applied when the resource is read, and stand in the descriptions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hybrid_operator.api import docstrings, forms
from hybrid_operator.api.base import LIST_TYPE, MAP_KEYS, VALIDATIONS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hybrid_operator.api.base import Spec

INT_OR_STRING = "x-kubernetes-int-or-string"
PRESERVE = "x-kubernetes-preserve-unknown-fields"


class RefusedError(ValueError):
    """A type cannot be a part of the resource; the message names the field and says why."""


def structural(part: type[Spec], path: str) -> dict[str, Any]:
    """Return the structural schema of a part and of all that it holds.

    Args:
        part: The type.
        path: Where the part stands in the resource (`spec`).

    Raises:
        RefusedError: A field cannot be expressed, or lacks a description or a limit.
    """
    return {"description": _on_one_line(part.__doc__), **_part(part, path, frozenset())}


def _part(part: type[Spec], path: str, above: frozenset[type[Spec]]) -> dict[str, Any]:
    if part in above:
        raise RefusedError(f"{path}: {part.__name__} contains itself; a CRD cannot say that")
    fields = forms.fields(part)
    if not fields:
        raise RefusedError(f"{path}: is an object without fields")
    docs = docstrings.of_class(part)
    required = [name for name, field in fields.items() if field.required]
    return {
        "type": "object",
        **({"required": required} if required else {}),
        **_rules((each.entry() for each in part.RULES), path),
        "properties": {
            name: _field(field, docs.get(field.name, ""), f"{path}.{name}", above | {part})
            for name, field in fields.items()
        },
    }


def _field(
    field: forms.Field, told: str, path: str, above: frozenset[type[Spec]]
) -> dict[str, Any]:
    description = _on_one_line(field.description or told)
    node = _node(field.form, path, above)
    if not description:
        raise RefusedError(f"{path}: has no description; write a docstring below it")
    if field.default and f"Defaults to {field.default}." not in description:
        said = f"Defaults to {field.default}."
        raise RefusedError(f"{path}: its description must end in {said!r}, as its default is that")
    return {"description": description, **node}


def _node(form: forms.Form, path: str, above: frozenset[type[Spec]]) -> dict[str, Any]:  # noqa: PLR0911  a form a line
    match form:
        case forms.Part():
            return _part(form.of, path, above)
        case forms.Items():
            return _items(form, path, above)
        case forms.Named():
            return _named(form, path)
        case forms.Text():
            return _text(form, path)
        case forms.Whole():
            limits = {"minimum": form.least, "maximum": form.most}
            return {"type": "integer"} | {k: v for k, v in limits.items() if v is not None}
        case forms.Flag():
            return {"type": "boolean"}
        case forms.Choice():
            return {"type": "string", "enum": list(form.words)}
        case forms.Amount():
            longest = {"maxLength": form.of.longest, INT_OR_STRING: True}
            return {**longest, **_rules([form.of.entry()], path)}
        case forms.Unfit():
            raise RefusedError(f"{path}: {form.why}")
        case _:
            raise RefusedError(f"{path}: has no type; say whether it is text, a number or a part")


def _text(form: forms.Text, path: str) -> dict[str, Any]:
    if form.format:
        return {"type": "string", "format": form.format}
    if form.longest is None:
        raise RefusedError(
            f"{path}: is a string without max_length, which makes CEL rules too costly"
        )
    entries = [form.shape.entry()] if form.shape is not None else []
    return {"type": "string", "maxLength": form.longest, **_rules(entries, path)}


def _named(form: forms.Named, path: str) -> dict[str, Any]:
    if form.extra.get(PRESERVE):
        return {"type": "object", PRESERVE: True}
    if isinstance(form.of, forms.Anything):
        raise RefusedError(f"{path}: is an object without fields")
    if form.most is None:
        raise RefusedError(f"{path}: is a map without max_length, which makes CEL rules too costly")
    if not isinstance(form.of, (forms.Text, forms.Amount)):
        raise RefusedError(
            f"{path}: is a map of something other than strings; use a list with names"
        )
    values = _node(form.of, f"{path}[*]", frozenset())
    return {"type": "object", "maxProperties": form.most, "additionalProperties": values}


def _items(form: forms.Items, path: str, above: frozenset[type[Spec]]) -> dict[str, Any]:
    if form.most is None:
        raise RefusedError(
            f"{path}: is a list without max_length, which makes CEL rules too costly"
        )
    kind = form.extra.get(LIST_TYPE)
    if kind not in {"map", "set", "atomic"}:
        raise RefusedError(f"{path}: is a list without a list type: MAP_BY_NAME, SET or ATOMIC")
    items = _node(form.of, f"{path}[]", above)
    keys = set(form.extra.get(MAP_KEYS, ()))
    if kind == "map" and not (keys and keys <= set(items.get("required", ()))):
        raise RefusedError(f"{path}: is a map by keys that its items are not required to have")
    fewest = {"minItems": form.fewest} if form.fewest else {}
    return {"type": "array", **fewest, "maxItems": form.most, **form.extra, "items": items}


def _rules(entries: Iterable[dict[str, str]], path: str) -> dict[str, Any]:
    found = [dict(sorted(each.items())) for each in entries]
    if any(not each["message"] or "\n" in each["rule"] for each in found):
        raise RefusedError(f"{path}: has a CEL rule without a message, or of several lines")
    return {VALIDATIONS: found} if found else {}


def _on_one_line(text: str | None) -> str:
    return " ".join((text or "").split())
