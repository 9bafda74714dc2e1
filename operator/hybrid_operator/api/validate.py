"""What the API server would refuse in a resource that already has the right types.

The same rules as in the CRD, in the same words, for files that no API server has seen and for
stored resources that are older than a rule. `problems` is pure; the plan and the command line both
use it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hybrid_operator.api.base import Problem, Spec
from hybrid_operator.api.structural import LIST_TYPE

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator

    from pydantic.fields import FieldInfo

    from hybrid_operator.api.resource import HybridInferenceSpec


def problems(spec: HybridInferenceSpec) -> list[Problem]:
    """Return what is wrong with a spec, in the order of its fields; each thing once."""
    return list(dict.fromkeys(_part(spec, "spec")))


def _part(part: Spec, path: str) -> Iterator[Problem]:
    for rule in part.RULES:
        yield from (problem.below(path) for problem in rule.find(part))
    for name, field in type(part).model_fields.items():
        where = f"{path}.{wire_name(name, field)}"
        value = getattr(part, name)
        if isinstance(value, Spec):
            yield from _part(value, where)
        elif isinstance(value, list):
            yield from _repeated(value, field, where)
            for index, each in enumerate(value):
                if isinstance(each, Spec):
                    yield from _part(each, f"{where}[{index}]")


def _repeated(values: list[Hashable], field: FieldInfo, path: str) -> Iterator[Problem]:
    extra = field.json_schema_extra
    kind = extra.get(LIST_TYPE) if isinstance(extra, dict) else None
    if kind not in {"map", "set"}:
        return
    seen: set[Hashable] = set()
    for index, value in enumerate(values):
        key = getattr(value, "name", value) if kind == "map" else value
        if key in seen:
            yield Problem(f"{path}[{index}]", "stands there twice; each entry must be there once")
        seen.add(key)


def wire_name(name: str, field: FieldInfo) -> str:
    """Return the name of a field as users write it."""
    return field.alias or name
