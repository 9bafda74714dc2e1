"""Raw arguments of the resource: what the release would refuse, and what they override."""

from __future__ import annotations

from difflib import get_close_matches
from functools import cache
from typing import TYPE_CHECKING

import msgspec

from hybrid_operator.api.base import Problem
from hybrid_operator.core.engine import data
from hybrid_operator.core.engine.arguments import arguments, options, values, whole
from hybrid_operator.core.engine.version import Version, parse

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hybrid_operator.api.models import ModelSpec
    from hybrid_operator.core.engine.arguments import Intent

Span = tuple[str, str]
"""First and last release of those read that has an option."""


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    releases: tuple[str, ...]
    options: dict[str, Span]


@cache
def _known() -> dict[str, tuple[Version, Version]]:
    return {name: (parse(first), parse(last)) for name, (first, last) in _file().options.items()}


@cache
def _file() -> _File:
    return msgspec.json.decode(data.text("vllm_options.json"), type=_File)


def unknown_to(version: Version, option: str) -> bool:
    """Whether this release certainly lacks the option.

    `data/vllm_options.json` holds what the parsers of some releases have
    (`make vllm-options` writes it). Between two of them an option is doubted only where both lack
    it; beyond the newest, nothing is.
    """
    releases = [parse(each) for each in _file().releases]
    below = [each for each in releases if each <= version]
    above = [each for each in releases if each >= version]
    if not below or not above:
        return False
    first, last = _known().get(option, _NEVER)
    return not any(first <= each <= last for each in (max(below), min(above)))


_NEVER = (Version(0, 0, 1), Version(0, 0))


def faults(intent: Intent) -> list[Problem]:
    """Return why the release would refuse these arguments before it loads anything."""
    args = arguments(intent).argv
    raw = args[len(args) - len(intent.args) :] if intent.args else ()
    return [
        *_unknown(intent, raw),
        *_values_of_flags(raw),
        *_contradictions(args),
        *_hardware(intent, raw),
    ]


def _problem(message: str) -> Problem:
    return Problem("engine.args", message)


def _unknown(intent: Intent, raw: tuple[str, ...]) -> Iterator[Problem]:
    names = [each.split(".", 1)[0] for each in options(raw)]
    for name in dict.fromkeys(names):
        if not unknown_to(intent.version, name):
            continue
        span = _known().get(name)
        if span is not None:
            went = span[1] < intent.version
            when = f"it is gone after {span[1]}" if went else f"it came with {span[0]} or before"
            yield _problem(f"vLLM {intent.version} has no {name}: {when}")
            continue
        present = [each for each in _known() if not unknown_to(intent.version, each)]
        near = get_close_matches(name, present, n=1, cutoff=0.7)
        hint = f"; did you mean {near[0]}?" if near else ""
        yield _problem(f"vLLM {intent.version} has no {name}{hint}")


def _values_of_flags(raw: tuple[str, ...]) -> Iterator[Problem]:
    for name in ("--enable-prefix-caching", "--enable-chunked-prefill", "--enforce-eager"):
        if any(_spelled(each) == name and "=" in each for each in raw):
            yield _problem(f"{name} takes no value; --no-{name.removeprefix('--')} turns it off")


def _spelled(arg: str) -> str:
    return arg.split("=", 1)[0].replace("_", "-")


def _contradictions(args: tuple[str, ...]) -> Iterator[Problem]:
    present = set(options(args))
    for name in sorted(present):
        opposite = f"--no-{name.removeprefix('--')}"
        if opposite in present:
            yield _problem(f"{name} and {opposite} contradict each other")
    given = values(args)
    tokens, sequences = (
        whole(given.get(name, "")) for name in ("--max-num-batched-tokens", "--max-num-seqs")
    )
    if tokens and sequences and tokens < sequences:
        yield _problem(
            f"--max-num-batched-tokens {tokens} is below --max-num-seqs {sequences}, "
            "which vLLM refuses"
        )


def _hardware(intent: Intent, raw: tuple[str, ...]) -> Iterator[Problem]:
    given = values(raw)
    if intent.half and given.get("--dtype") == "bfloat16":
        yield _problem("--dtype bfloat16 needs compute capability 8.0; leave --dtype out")
    needed = 1
    for name in ("--tensor-parallel-size", "--pipeline-parallel-size", "--data-parallel-size"):
        needed *= whole(given.get(name, "")) or (intent.gpus if "tensor" in name else 1)
    if intent.gpus and needed != intent.gpus:
        yield _problem(
            f"these ask for {needed} GPUs and accelerator.count for {intent.gpus}: make them equal"
        )


def overrides(model: ModelSpec) -> list[Problem]:
    """Return the fields of the resource that its raw arguments override with something else."""
    given = values(tuple(model.engine.args if model.engine else ()))
    length = model.context.max_length if model.context else None
    stated = (
        ("--max-model-len", "context.maxLength", str(length) if length else None),
        ("--quantization", "quantization", model.quantization),
    )
    return [
        Problem(field, f"{option} {given[option]} of engine.args wins over {value}")
        for option, field, value in stated
        if value is not None and option in given and given[option] != value
    ]
