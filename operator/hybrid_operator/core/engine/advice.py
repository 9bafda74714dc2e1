"""What to change so that a model fits: the smallest changes, the cheapest first."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Literal

import msgspec
from msgspec.structs import replace

from hybrid_operator.core.engine.formats import NONE
from hybrid_operator.core.engine.gpus import GPU
from hybrid_operator.core.engine.memory import Serving, plan_memory
from hybrid_operator.core.engine.quantization import form_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from hybrid_operator.core.engine.architecture import Shape

What = Literal["context", "concurrency", "kv-cache-dtype", "quantization", "gpus", "gpu"]
STEP = 256
"""Contexts are proposed in multiples of it, in tokens."""
MOST_GPUS = 8


class Change(msgspec.Struct, frozen=True):
    """One change, or two that go together, with which the model fits for certain."""

    what: tuple[What, ...]
    text: str
    serving: Serving
    gpu: GPU


def advice(shape: Shape, gpu: GPU, serving: Serving, catalogue: Iterable[GPU]) -> list[Change]:
    """Return what makes `shape` fit for certain, the cheapest first; [] where it fits already.

    Changes that cost nothing come first (less context, fewer requests), then those that cost a
    little quality, then those that cost money. Two changes go together only where no single one of
    the first kinds is enough.
    """
    if plan_memory(shape, gpu, serving).fits is True:
        return []
    single = [
        change
        for change in (
            _shorter(shape, gpu, serving),
            _fewer(shape, gpu, serving),
            *_cheaper_bytes(shape, gpu, serving),
        )
        if change is not None and _fits(shape, change)
    ]
    if not single:
        single = _pairs(shape, gpu, serving)
    bought = [*_other_counts(shape, gpu, serving), *_larger(shape, gpu, serving, catalogue)]
    return [*single, *bought]


def _fits(shape: Shape, change: Change) -> bool:
    return plan_memory(shape, change.gpu, change.serving).fits is True


def _shorter(shape: Shape, gpu: GPU, serving: Serving) -> Change | None:
    low, high = 0, (min(serving.context, shape.max_length + 1) - 1) // STEP
    while low < high:
        middle = (low + high + 1) // 2
        tried = replace(serving, context=middle * STEP)
        if plan_memory(shape, gpu, tried).fits is True:
            low = middle
        else:
            high = middle - 1
    if not low:
        return None
    text = f"a context of {low * STEP} tokens instead of {serving.context}"
    return Change(("context",), text, replace(serving, context=low * STEP), gpu)


def _fewer(shape: Shape, gpu: GPU, serving: Serving) -> Change | None:
    held = plan_memory(shape, gpu, serving).sequences.low
    if not 0 < held < serving.concurrency:
        return None
    text = f"{held} concurrent request{'s' if held > 1 else ''} instead of {serving.concurrency}"
    return Change(("concurrency",), text, replace(serving, concurrency=held), gpu)


def _fp8_cache(gpu: GPU, serving: Serving) -> Change | None:
    if serving.kv_cache_dtype == "fp8":
        return None
    text = "an FP8 KV cache (--kv-cache-dtype fp8): half the bytes per token"
    return Change(("kv-cache-dtype",), text, replace(serving, kv_cache_dtype="fp8"), gpu)


def _quantized(shape: Shape, gpu: GPU, serving: Serving) -> Iterator[Change]:
    if shape.checkpoint is not None:
        return  # A quantized checkpoint stays what it is.
    now = form_of(shape, serving.quantization).name
    texts = {
        NONE: "16-bit weights",
        "fp8": f"FP8 weights ({gpu.fp8} on {gpu.name})",
        "awq": "AWQ weights, 4-bit, from a checkpoint written so",
        "gptq": "GPTQ weights, 4-bit, from a checkpoint written so",
    }
    order = ["fp8", "awq", "gptq"]
    wanted = {NONE: order, "fp8": order[1:], "awq": [], "gptq": []}
    # A format that cannot be had gives way to any other, the most exact first.
    for name in wanted.get(now, [NONE, *order]):
        yield Change(("quantization",), texts[name], replace(serving, quantization=name), gpu)


def _cheaper_bytes(shape: Shape, gpu: GPU, serving: Serving) -> Iterator[Change | None]:
    yield _fp8_cache(gpu, serving)
    yield from _quantized(shape, gpu, serving)


def _pairs(shape: Shape, gpu: GPU, serving: Serving) -> list[Change]:
    """Return quantized weights together with an FP8 cache, or with a shorter context."""
    found = []
    for first in _quantized(shape, gpu, serving):
        for second in (
            _fp8_cache(gpu, first.serving),
            _fewer(shape, gpu, first.serving),
            _shorter(shape, gpu, first.serving),
        ):
            if second is None:
                continue
            both = Change(
                (*first.what, *second.what), f"{first.text}, and {second.text}", second.serving, gpu
            )
            if _fits(shape, both):
                found.append(both)
                break
    return found


def _other_counts(shape: Shape, gpu: GPU, serving: Serving) -> Iterator[Change]:
    """Yield the least tensor parallelism that is enough; less than now comes first."""
    for count in range(1, MOST_GPUS + 1):
        plural = "GPU" if count == 1 else "GPUs"
        text = f"{count} {plural} (--tensor-parallel-size {count}) instead of {serving.gpus}"
        change = Change(("gpus",), text, replace(serving, gpus=count), gpu)
        if count != serving.gpus and _fits(shape, change):
            yield change
            return


def _larger(shape: Shape, gpu: GPU, serving: Serving, catalogue: Iterable[GPU]) -> Iterator[Change]:
    """Yield the cheapest GPU of the catalogue that is enough."""
    dearest = Decimal("Infinity")
    for other in sorted(
        catalogue, key=lambda each: (each.usd_per_hour or dearest, each.memory_mib)
    ):
        if other.name == gpu.name:
            continue
        price = f", about {other.usd_per_hour} USD per hour" if other.usd_per_hour else ""
        text = f"{other.name} ({other.memory_mib} MiB{price}) instead of {gpu.name}"
        change = Change(("gpu",), text, serving, other)
        if _fits(shape, change):
            yield change
            return
