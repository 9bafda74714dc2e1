"""Reading HybridInferences: strictly from files, leniently from a cluster.

A file that a person wrote is read as strictly as the API server would, and more helpfully: every
problem at once, each with its path and what to do. What a cluster stores has passed the API server
already and may come from a newer release, so unknown fields are ignored there. No message ever
holds a value, for it could be a secret in the wrong place.
"""

from __future__ import annotations

import difflib
import json
from typing import TYPE_CHECKING, Any

import yaml
from pydantic import ValidationError

from hybrid_operator.api.base import GROUP, KIND, VERSION, Problem, Spec
from hybrid_operator.api.loader import documents
from hybrid_operator.api.pods import AsWritten
from hybrid_operator.api.resource import NAME, HybridInferenceSpec
from hybrid_operator.api.validate import problems, wire_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from pydantic_core import ErrorDetails

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
    try:
        return HybridInferenceSpec.model_validate(spec)
    except ValidationError as error:
        raise SpecError(_told(error)) from None


def read_file(text: str) -> list[tuple[dict[str, Any], HybridInferenceSpec]]:
    """Read every HybridInference in the text of a YAML or JSON file, with its metadata.

    Objects of other kinds are passed over.

    Raises:
        ReadError: The text is not YAML, holds no HybridInference, or one that the API server would
            refuse; every problem is named.
    """
    try:
        found = documents(text)
    except yaml.YAMLError as error:
        raise ReadError([Problem("", _yaml_sentence(error))]) from None
    ours = [each for each in found if isinstance(each, dict) and each.get("kind") == KIND]
    if not ours:
        kinds = [str(e.get("kind")) if isinstance(e, dict) else "no object" for e in found]
        message = f"holds no {KIND}" + (f", but {', '.join(kinds)}" if kinds else "")
        raise ReadError([Problem("", message)])
    specs = [_Reading(each) for each in ours]
    wrong = [problem for each in specs for problem in each.problems]
    if wrong:
        raise ReadError(wrong)
    return [(each.metadata, each.spec) for each in specs if each.spec is not None]


class _Reading:
    """One document, read as far as it can be."""

    def __init__(self, document: dict[str, Any]) -> None:
        metadata = document.get("metadata")
        self.metadata: dict[str, Any] = metadata if isinstance(metadata, dict) else {}
        self.spec: HybridInferenceSpec | None = None
        self.problems = [*_envelope(document, self.metadata)]
        if document.get("spec") is not None:
            self._read(document["spec"])

    def _read(self, spec: object) -> None:
        try:
            text = json.dumps(_pruned(spec))
            self.spec = HybridInferenceSpec.model_validate_json(text, strict=True, extra="forbid")
        except ValidationError as error:
            self.problems += _told(error)
        except (ValueError, RecursionError):
            self.problems.append(Problem("spec", "refers to itself, or is nested too deeply"))
        else:
            self.problems += problems(self.spec)


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
    known = {name: name for name in _TOP} | {name: f"spec.{name}" for name in _SPEC_FIELDS}
    for field in map(str, document):
        if field not in _TOP:
            near = difflib.get_close_matches(field, known, 1)
            yield Problem(field, _unknown([known[each] for each in near]))


def _pruned(value: object) -> object:
    """Return a value without the fields that were left empty, as the API server drops them.

    Not so in a pod template, which is merged as it was written.
    """
    if isinstance(value, dict):
        kept = {key: each for key, each in value.items() if each is not None}
        return {key: each if key == "podTemplate" else _pruned(each) for key, each in kept.items()}
    if isinstance(value, list):
        return [_pruned(each) for each in value]
    return value


def _told(error: ValidationError) -> list[Problem]:
    """Return pydantic's errors as sentences for people."""
    return [
        Problem(_path(each["loc"]), _sentence(each)) for each in error.errors(include_url=False)
    ]


def _path(location: tuple[int | str, ...]) -> str:
    return "spec" + "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in location)


_SENTENCES: Mapping[str, str] = {
    "missing": "is required",
    "string_type": "must be text; put a number, or true and false, in quotes",
    "int_type": "must be a whole number, without quotes",
    "int_from_float": "must be a whole number",
    "bool_type": "must be true or false, without quotes",
    "list_type": "must be a list",
    "dict_type": "must be a mapping of names to values",
    "model_type": "must be a mapping of fields to values",
    "greater_than_equal": "must be at least {ge}",
    "less_than_equal": "must be at most {le}",
    "string_too_long": "must have at most {max_length} characters",
    "too_long": "must have at most {max_length} entries",
    "too_short": "must have at least {min_length} entry",
    "shape": "{sentence}",
}


def _sentence(error: ErrorDetails) -> str:
    kind = error["type"]
    if kind == "extra_forbidden":
        return _unknown(_near(error["loc"]))
    if kind == "literal_error":
        return _one_of(error)
    return _SENTENCES.get(kind, "cannot be read").format_map(error.get("ctx", {}))


def _one_of(error: ErrorDetails) -> str:
    values = error["ctx"]["expected"].replace("'", "").replace(" or ", ", ").split(", ")
    near = difflib.get_close_matches(str(error["input"]).lower(), map(str.lower, values), 1)
    meant = [value for value in values if value.lower() in near]
    return f"must be one of {', '.join(values)}" + _did_you_mean(meant)


def _unknown(known: list[str]) -> str:
    return "unknown field" + _did_you_mean(known)


def _did_you_mean(candidates: list[str]) -> str:
    return f"; did you mean {candidates[0]}?" if candidates else ""


def _near(location: tuple[int | str, ...]) -> list[str]:
    """Return the field of the part at a location that is most like the unknown last name."""
    part: type[Spec] | None = HybridInferenceSpec
    *above, unknown = location
    for step in above:
        if isinstance(step, str) and part is not None:
            part = _fields(part).get(step)
    names = {name.lower(): name for name in _fields(part)} if part is not None else {}
    return [names[each] for each in difflib.get_close_matches(str(unknown).lower(), names, 1)]


def _fields(part: type[Spec]) -> dict[str, type[Spec] | None]:
    """Return a part's fields as users write them, with the part that each leads to, if any."""
    return {
        wire_name(name, field): _below([field.annotation, *field.metadata])
        for name, field in part.model_fields.items()
    }


def _below(candidates: Iterable[object]) -> type[Spec] | None:
    for each in candidates:
        if isinstance(each, type) and issubclass(each, Spec):
            return each
        if isinstance(each, AsWritten):
            return each.shape
        inner = [*getattr(each, "__args__", ()), *getattr(each, "__metadata__", ())]
        found = _below(inner)
        if found is not None:
            return found
    return None


def _yaml_sentence(error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    what = getattr(error, "problem", None) or str(error).splitlines()[0]
    if mark is None:
        return f"is not YAML: {what}"
    return f"line {mark.line + 1}, column {mark.column + 1}: {what}"


_SPEC_FIELDS = tuple(_fields(HybridInferenceSpec))
