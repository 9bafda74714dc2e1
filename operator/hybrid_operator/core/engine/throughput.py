"""Tokens per second of one GPU under vLLM: a roofline of prefill and decode, with batching.

A batch of B requests is prefilled (bound by arithmetic) and then decoded together, step by step
(bound by reading the weights and the batch's KV cache, or by arithmetic). Efficiencies were set by
hand on the few measurements in `data/benchmarks.toml`; `error` says how far the estimate is from
those same ones, which is no independent check.
Source of the method: Williams, Waterman, Patterson, "Roofline" (2009), applied to transformers as
in Pope et al., "Efficiently Scaling Transformer Inference" (2022).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import msgspec

from hybrid_operator.core.engine import catalog, data, gpus, kv
from hybrid_operator.core.engine.architecture import Experts, parameters
from hybrid_operator.core.engine.memory import (
    Serving,
    element_bytes,
    plan_memory,
    weight_bytes,
)
from hybrid_operator.core.engine.quantization import form_of
from hybrid_operator.core.engine.version import Version

if TYPE_CHECKING:
    from hybrid_operator.core.engine.architecture import Shape
    from hybrid_operator.core.engine.gpus import GPU

COMPUTE = 0.65
"""Share of dense 16-bit TFLOPS that prefill reaches."""
BANDWIDTH = 0.8
"""Share of memory bandwidth that decode reaches."""
STEP_SECONDS = 0.001
"""Scheduling and sampling of one step."""
TENSOR_PARALLEL = 0.6
"""Share of a GPU's rate that is left where GPUs exchange activations over PCIe at every layer."""
SEQUENCES = 256
"""Requests at once at most, where nothing is said (`--max-num-seqs`)."""


@dataclass(frozen=True, slots=True)
class Traffic:
    """What requests look like."""

    input_tokens: int
    output_tokens: int
    cached_share: float = 0
    """Share of input tokens that prefix caching saves."""
    batch: int | None = None
    """Requests at once; None: as many as fit."""


class Benchmark(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A measurement."""

    model: str
    gpu: str
    input: int
    output: int
    tokens_per_s: float
    """Input and output tokens per second of one GPU."""
    source: str
    gpus: int = 1
    batch: int | None = None


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    benchmark: tuple[Benchmark, ...]


@cache
def benchmarks() -> tuple[Benchmark, ...]:
    """Return the measurements that efficiencies were set on."""
    return msgspec.toml.decode(data.text("benchmarks.toml"), type=_File).benchmark


def tokens_per_s(shape: Shape, gpu: GPU, serving: Serving, traffic: Traffic) -> float | None:
    """Estimate input and output tokens per second of each GPU of a busy replica.

    None where bandwidth or TFLOPS of the GPU are unknown, or nothing fits.
    """
    if not gpu.bandwidth_gbs or not gpu.tflops:
        return None
    batch = traffic.batch or _held(shape, gpu, serving, traffic)
    if batch < 1:
        return None
    bandwidth = gpu.bandwidth_gbs * 1e9 * BANDWIDTH
    compute = gpu.tflops * 1e12 * COMPUTE
    active = 2 * active_parameters(shape) / serving.gpus
    fresh = traffic.input_tokens * (1 - traffic.cached_share)
    prefill = batch * fresh * active / compute
    weights = weight_bytes(shape, form_of(shape, serving.quantization), serving.gpus)
    size = element_bytes(serving)
    context = traffic.input_tokens + traffic.output_tokens / 2
    read = weights + batch * context * kv.bytes_per_token(shape, serving.gpus, size)
    step = max(read / bandwidth, batch * active / compute) + STEP_SECONDS
    seconds = prefill + traffic.output_tokens * step
    shared = TENSOR_PARALLEL if serving.gpus > 1 else 1
    return batch * (traffic.input_tokens + traffic.output_tokens) / seconds / serving.gpus * shared


def active_parameters(shape: Shape) -> float:
    """Return the parameters that one token passes; of experts, only those that it is sent to."""
    total = float(parameters(shape))
    for count, layer in shape.layers:
        for part in layer.feed_forward:
            if isinstance(part, Experts):
                idle = max(part.count - part.chosen, 0)
                total -= count * idle * 3 * shape.hidden * part.intermediate
    return max(total, 1.0)


def _held(shape: Shape, gpu: GPU, serving: Serving, traffic: Traffic) -> int:
    plan = plan_memory(shape, gpu, serving)
    if plan.refusals:
        return 0
    length = max(traffic.input_tokens + traffic.output_tokens, 1)
    each = max(plan.bytes_per_token, 1) * length
    return min(max(plan.room.central, 0) // each, serving.sequences or SEQUENCES)


def error() -> tuple[float, float]:
    """Return the lowest and highest ratio of estimate to measurement over all benchmarks."""
    ratios = [ratio for each in benchmarks() if (ratio := ratio_of(each)) is not None]
    return min(ratios), max(ratios)


def ratio_of(benchmark: Benchmark) -> float | None:
    """Return estimate over measurement; None where the catalogues lack its model or GPU."""
    model, gpu = catalog.find(benchmark.model), gpus.find(benchmark.gpu)
    if model is None or gpu is None:
        return None
    serving = Serving(
        context=min(8192, model.max_length), version=Version(0, 32), gpus=benchmark.gpus
    )
    traffic = Traffic(benchmark.input, benchmark.output, batch=benchmark.batch)
    found = tokens_per_s(model.shape, gpu, serving, traffic)
    return None if found is None else found / benchmark.tokens_per_s
