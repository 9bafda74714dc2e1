"""Reading HybridInferences: strictly from files, leniently from a cluster.

A file that a person wrote is read as strictly as the API server would, and more helpfully: every
problem at once, each with its path and what to do. What a cluster stores has passed the API server
already and may come from a newer release, so unknown fields are ignored there. No message ever
holds a value, for it could be a secret in the wrong place; a name that is none of those that it
could be is quoted, so that it is found.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
import yaml

from hybrid_operator.api import forms
from hybrid_operator.api.base import (
    CATALOG_NAME,
    DNS_LABEL,
    GROUP,
    KIND,
    VERSION,
    Problem,
    Spec,
)
from hybrid_operator.api.loader import documents
from hybrid_operator.api.resource import NAME, HybridInferenceSpec
from hybrid_operator.api.validate import problems

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

AnySpec = TypeVar("AnySpec", bound=Spec)

API_VERSION = f"{GROUP}/{VERSION}"
_TOP = ("apiVersion", "kind", "metadata", "spec", "status")


class SpecError(ValueError):
    """A resource cannot be read; `problems` says what is wrong and where."""

    def __init__(self, found: Iterable[Problem]) -> None:
        self.problems = tuple(found)
        super().__init__("; ".join(map(str, self.problems)))


class ReadError(SpecError):
    """A file cannot be read; its text has a line for each problem."""

    def __str__(self) -> str:
        return "\n".join(map(str, self.problems))


def parse_stored(spec: object) -> HybridInferenceSpec:
    """Read a spec as a cluster stores it; unknown fields are ignored.

    What `validate.problems` finds is not looked for here.

    Raises:
        SpecError: A value has the wrong type or form.
    """
    return parse(HybridInferenceSpec, spec, "spec", strict=False)


def parse(part: type[AnySpec], value: object, path: str, *, strict: bool) -> AnySpec:
    """Read the part of a resource that stands at `path`.

    Args:
        part: Its type.
        value: What stands there.
        path: Where, as problems are to say.
        strict: Whether a field that is not known is a problem.

    Raises:
        SpecError: A value has the wrong type or form.
    """
    wrong = [*forms.Part(part).wrong(value, path, strict=strict)]
    if wrong:
        raise SpecError(wrong)
    return msgspec.convert(value, part)


def read_file(text: str) -> list[tuple[dict[str, Any], HybridInferenceSpec]]:
    """Read every HybridInference in the text of a YAML or JSON file, with its metadata.

    Objects of other kinds are passed over; lists of objects are taken apart.

    Raises:
        ReadError: The text is not YAML, holds no HybridInference, or one that the API server would
            refuse; every problem is named.
    """
    try:
        found = [*_unwrapped(documents(text))]
    except yaml.YAMLError as error:
        raise ReadError([Problem("", _yaml_sentence(error))]) from None
    ours = [each for each in found if isinstance(each, dict) and each.get("kind") == KIND]
    if not ours:
        kinds = [str(e.get("kind")) if isinstance(e, dict) else "no object" for e in found]
        message = f"holds no {KIND}" + (f", but {', '.join(kinds)}" if kinds else "")
        raise ReadError([Problem("", message)])
    specs = [_Reading(each) for each in ours]
    several = len(specs) > 1
    wrong = [
        Problem(f"{each.named(number)}: {problem.path}", problem.message) if several else problem
        for number, each in enumerate(specs, start=1)
        for problem in each.problems
    ]
    if wrong:
        raise ReadError(wrong)
    return [(each.metadata, each.spec) for each in specs if each.spec is not None]


def _unwrapped(found: Iterable[Any]) -> Iterator[Any]:
    """Yield objects, those of a list (as `kubectl get -o yaml` prints them) one by one."""
    for each in found:
        items = each.get("items") if isinstance(each, dict) else None
        if isinstance(items, list) and str(each.get("kind")).endswith("List"):
            yield from _unwrapped(items)
        else:
            yield each


class _Reading:
    """One document, read as far as it can be."""

    def __init__(self, document: dict[str, Any]) -> None:
        metadata = document.get("metadata")
        self.metadata: dict[str, Any] = metadata if isinstance(metadata, dict) else {}
        self.spec: HybridInferenceSpec | None = None
        self.problems = [*_envelope(document, self.metadata)]
        if document.get("spec") is not None:
            self._read(document["spec"])

    def named(self, number: int) -> str:
        """Return what the document is, for people; `number` counts where it has no name."""
        name = self.metadata.get("name")
        return f"{KIND} {name}" if isinstance(name, str) else f"{KIND} number {number}"

    def _read(self, spec: object) -> None:
        try:
            self.spec = parse(HybridInferenceSpec, _pruned(spec), "spec", strict=True)
        except SpecError as error:
            self.problems += (_with_catalog(problem, spec) for problem in error.problems)
        except RecursionError:
            self.problems.append(Problem("spec", "refers to itself, or is nested too deeply"))
        else:
            self.problems += problems(self.spec)


_MODEL_NAME = re.compile(r"spec\.models\[(\d+)\]\.name")


def _with_catalog(problem: Problem, spec: object) -> Problem:
    """Return a problem with what to write where a model's name is one of the catalogue's."""
    place = _MODEL_NAME.fullmatch(problem.path)
    if place is None or problem.message != DNS_LABEL.message or not isinstance(spec, dict):
        return problem
    name = spec["models"][int(place[1])]["name"]
    label = name.replace(".", "-").replace("_", "-")
    if not CATALOG_NAME.holds(name) or not DNS_LABEL.holds(label):
        return problem
    return Problem(problem.path, f"{problem.message}; write name: {label}, catalog: {name}")


def _envelope(document: Mapping[str, Any], metadata: Mapping[str, Any]) -> Iterator[Problem]:
    if document.get("apiVersion") != API_VERSION:
        yield Problem("apiVersion", f"must be {API_VERSION}")
    name = metadata.get("name")
    if not isinstance(name, str):
        yield Problem("metadata.name", "is required")
    elif not NAME.holds(name):
        yield Problem("metadata.name", NAME.message)
    if document.get("spec") is None:
        yield Problem("spec", "is required")
    for field in map(str, document):
        if field not in _TOP:
            below = {name: f"spec.{name}" for name in forms.fields(HybridInferenceSpec)}
            known = {name: name for name in _TOP} | below
            yield Problem(field, forms.unknown_field(field, known))


def _pruned(value: object, *, whole: bool = False) -> object:
    """Return a value as the API server would get it: no keys but text, no fields left empty.

    The latter not where it is to be `whole`: a pod template is merged as it was written.
    """
    if isinstance(value, dict):
        return {
            _key(key): _pruned(each, whole=whole or key == "podTemplate")
            for key, each in value.items()
            if whole or each is not None
        }
    if isinstance(value, list):
        return [_pruned(each, whole=whole) for each in value]
    return value


def _key(key: object) -> str:
    named = key is None or isinstance(key, bool)
    return msgspec.json.encode(key).decode() if named else str(key)


def _yaml_sentence(error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    what = getattr(error, "problem", None) or str(error).splitlines()[0]
    if mark is None:
        return f"is not YAML: {what}"
    return f"line {mark.line + 1}, column {mark.column + 1}: {what}"
