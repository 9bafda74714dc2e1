"""Tokens per second of one GPU under vLLM: a roofline of prefill and decode, with batching.

A batch of B requests is prefilled (bound by arithmetic) and then decoded together, step by step
(bound by reading the weights and the batch's KV cache, or by arithmetic). Efficiencies were set by
hand on some of the measurements in `data/benchmarks.toml`; `error` says how far the estimate is
from the others.
Source of the method: Williams, Waterman, Patterson, "Roofline" (2009), applied to transformers as
in Pope et al., "Efficiently Scaling Transformer Inference" (2022).
"""

from __future__ import annotations

import math
from functools import cache
from typing import TYPE_CHECKING

import msgspec
from msgspec.structs import replace

from hybrid_operator.core.engine import catalog, data, gpus, kv
from hybrid_operator.core.engine.architecture import Experts
from hybrid_operator.core.engine.matrices import Kind, parameters
from hybrid_operator.core.engine.memory import (
    UTILIZATION,
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
SEQUENCE_SECONDS = 0.000025
"""The same for each request of a step."""
TENSOR_PARALLEL = 0.6
"""Share of a GPU's rate that is left where GPUs exchange activations over PCIe at every layer."""
SEQUENCES = 256
"""Requests at once at most, where nothing is said (`--max-num-seqs`)."""
LEAST_STEP = 64
"""Tokens of a step at least: with fewer it does little more than read the weights."""


class Traffic(msgspec.Struct, frozen=True):
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
    quantization: str = "none"
    held_out: bool = False
    """Whether it was not used to set the efficiencies."""


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    benchmark: tuple[Benchmark, ...]


@cache
def benchmarks() -> tuple[Benchmark, ...]:
    """Return the measurements that efficiencies were set on, and those that they are held to."""
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
    size = element_bytes(serving)
    context = traffic.input_tokens + traffic.output_tokens // 2
    read = _weights_read(shape, serving, batch)
    read += batch * kv.bytes_read(shape, serving.gpus, size, context)
    step = max(read / bandwidth, batch * active / compute)
    step += STEP_SECONDS + batch * SEQUENCE_SECONDS
    seconds = prefill + traffic.output_tokens * step
    shared = TENSOR_PARALLEL if serving.gpus > 1 else 1
    return batch * (traffic.input_tokens + traffic.output_tokens) / seconds / serving.gpus * shared


class Rates(msgspec.Struct, frozen=True):
    """What a replica can do, estimated."""

    least: float
    """Seconds of a step without prompts that reads the weights, every expert too."""
    full: float
    """Seconds of one that reads all memory that vLLM takes: the KV cache is full."""
    prefill: float
    """Prompt tokens/s where nothing else is done."""

    def attains(self, seconds: float) -> bool:
        """Whether any step can be so short."""
        return self.least < seconds

    def step(self, tokens: int) -> float:
        """Return the seconds of a step with so many prompt tokens, where few decode."""
        return self.least + tokens / self.prefill

    def prefill_in_steps(self, tokens: int) -> float:
        """Return the prompt tokens/s of steps of so many tokens, which others decode in."""
        return tokens / self.step(tokens)

    def step_tokens(self, seconds: float) -> int:
        """Return the tokens of a step that lasts at most `seconds`, a power of two.

        Also while the KV cache is full, which where an API takes the rest it often is; but with few
        requests at least no fewer than take as long to compute as the weights take to be read.
        """
        always, often = seconds - self.full, min(self.least, seconds - self.least)
        room = max(max(always, often) * self.prefill, LEAST_STEP)
        return int(2 ** math.floor(math.log2(room)))


def rates(shape: Shape, gpu: GPU, serving: Serving) -> Rates | None:
    """Estimate what a replica can do; None where bandwidth or TFLOPS of the GPU are unknown."""
    if not gpu.bandwidth_gbs or not gpu.tflops:
        return None
    shared = TENSOR_PARALLEL if serving.gpus > 1 else 1
    weights = _weights_read(shape, serving, SEQUENCES)
    least, full = (
        read / (gpu.bandwidth_gbs * 1e9 * BANDWIDTH) / shared + STEP_SECONDS
        for read in (weights, max(float(gpu.cuda_bytes * UTILIZATION), weights))
    )
    prefill = gpu.tflops * 1e12 * COMPUTE * serving.gpus / (2 * active_parameters(shape))
    return Rates(least, full, prefill * shared)


def _weights_read(shape: Shape, serving: Serving, batch: int) -> float:
    """Return the bytes of weights that a step of `batch` tokens reads, experts as they are hit."""
    form = form_of(shape, serving.quantization)
    total = float(weight_bytes(shape, form, serving.gpus))
    for count, layer in shape.layers:
        for part in layer.feed_forward:
            if isinstance(part, Experts):
                bits = form.bits if Kind.EXPERT in form.kinds else 16
                idle = (1 - min(part.chosen / part.count, 1)) ** batch
                size = 3 * shape.hidden * part.intermediate * bits / 8 / serving.gpus
                total -= count * part.count * size * idle
    return total


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
    length = max(traffic.input_tokens + traffic.output_tokens, 1)
    plan = plan_memory(shape, gpu, replace(serving, context=min(length, shape.max_length)))
    return 0 if plan.refusals else min(plan.sequences.central, serving.sequences or SEQUENCES)


def error(*, held_out: bool) -> tuple[float, float]:
    """Return the lowest and highest ratio of estimate to measurement.

    Over the measurements that efficiencies were set on, or over those held out.
    """
    ratios = [
        ratio
        for each in benchmarks()
        if each.held_out is held_out and (ratio := ratio_of(each)) is not None
    ]
    return min(ratios), max(ratios)


def ratio_of(benchmark: Benchmark) -> float | None:
    """Return estimate over measurement; None where the catalogues lack its model or GPU."""
    model, gpu = catalog.find(benchmark.model), gpus.find(benchmark.gpu)
    if model is None or gpu is None:
        return None
    serving = Serving(
        context=min(8192, model.max_length),
        version=Version(0, 32),
        quantization=benchmark.quantization,
        gpus=benchmark.gpus,
    )
    traffic = Traffic(benchmark.input, benchmark.output, batch=benchmark.batch)
    found = tokens_per_s(model.shape, gpu, serving, traffic)
    return None if found is None else found / benchmark.tokens_per_s
