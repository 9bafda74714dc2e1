"""What the API server would refuse in a resource that already has the right types.

The same rules as in the CRD, in the same words, for files that no API server has seen and for
stored resources that are older than a rule. `problems` is pure; the plan and the command line both
use it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hybrid_operator.api import forms
from hybrid_operator.api.base import LIST_TYPE, Problem, Spec

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator

    from hybrid_operator.api.resource import HybridInferenceSpec


def problems(spec: HybridInferenceSpec) -> list[Problem]:
    """Return what is wrong with a spec, in the order of its fields; each thing once."""
    return list(dict.fromkeys(_part(spec, "spec")))


def _part(part: Spec, path: str) -> Iterator[Problem]:
    for rule in part.RULES:
        yield from (problem.below(path) for problem in rule.find(part))
    for name, field in forms.fields(type(part)).items():
        value = getattr(part, field.name)
        if isinstance(value, Spec):
            yield from _part(value, f"{path}.{name}")
        elif isinstance(field.form, forms.Items) and value:
            yield from _list(value, field.form, f"{path}.{name}")


def _list(values: list[Hashable], form: forms.Items, path: str) -> Iterator[Problem]:
    kind = form.extra.get(LIST_TYPE)
    if kind in {"map", "set"}:
        yield from _repeated(values, path, by_name=kind == "map")
    if isinstance(form.of, forms.Part):
        for index, each in enumerate(values):
            if isinstance(each, Spec):
                yield from _part(each, f"{path}[{index}]")


def _repeated(values: list[Hashable], path: str, *, by_name: bool) -> Iterator[Problem]:
    seen: set[Hashable] = set()
    for index, value in enumerate(values):
        key = getattr(value, "name", value) if by_name else value
        if key in seen:
            yield Problem(f"{path}[{index}]", "stands there twice; each entry must be there once")
        seen.add(key)
