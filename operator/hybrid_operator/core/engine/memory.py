"""Whether a model fits on a GPU under vLLM, and how much it holds there.

vLLM takes its share of the memory that CUDA reports (`--gpu-memory-utilization`), loads the
weights, measures the peak of one step, and gives the rest to the KV cache. Sizes are bytes on one
GPU unless they say otherwise. GiB is 2^30 bytes, GB is 10^9.
"""

from __future__ import annotations

import math
from fractions import Fraction
from typing import TYPE_CHECKING, Literal

import msgspec

from hybrid_operator.core.engine import kv, overhead
from hybrid_operator.core.engine.formats import FORMATS, Format
from hybrid_operator.core.engine.matrices import matrices, slot_elements
from hybrid_operator.core.engine.overhead import Range
from hybrid_operator.core.engine.quantization import form_of, matrix_bytes, tile
from hybrid_operator.core.engine.refusals import refusals
from hybrid_operator.core.engine.version import Version

if TYPE_CHECKING:
    from hybrid_operator.core.engine.architecture import Shape
    from hybrid_operator.core.engine.gpus import GPU

Verdict = Literal[True, False, "borderline"]
GIB = 2**30
MIB = 2**20
UTILIZATION = Fraction(92, 100)
"""vLLM's default share of the memory that CUDA reports, from 0.20."""
UTILIZATION_BEFORE = Fraction(90, 100)
UTILIZATION_SINCE = Version(0, 20)


class Serving(msgspec.Struct, frozen=True):
    """How a model is to be served."""

    context: int
    """Longest request, prompt and answer together, in tokens."""
    version: Version
    """vLLM's release."""
    quantization: str | None = None
    """A name of `formats.FORMATS`. None: as the checkpoint was written."""
    concurrency: int = 1
    """Requests of that length to be held at once."""
    gpus: int = 1
    """Tensor parallel size."""
    kv_cache_dtype: Literal["auto", "fp8"] = "auto"
    utilization: Fraction | None = None
    """Share of the memory that CUDA reports. None: the release's default."""
    batched_tokens: int | None = None
    """`--max-num-batched-tokens`. None: the release's default for the GPU."""
    sequences: int | None = None
    """`--max-num-seqs`. None: the release's default for the GPU."""
    loras: int = 0
    """LoRA adapters on the GPU at once (`--max-loras`)."""
    lora_rank: int = 16
    """Highest rank of an adapter (`--max-lora-rank`)."""
    weight_offload: int = 0
    """Bytes of weights per GPU that stay in the host's memory."""
    eager: bool = False
    """Without CUDA graphs (`--enforce-eager`)."""


class MemoryPlan(msgspec.Struct, frozen=True):
    """What one GPU holds. Bytes on one GPU, tokens and requests of the whole replica."""

    fits: Verdict
    """Whether vLLM starts and holds `concurrency` requests at once. "borderline": it depends on
    overheads that differ between drivers and releases by more than is left."""
    refusals: tuple[str, ...]
    """Why it cannot run whatever the memory; then nothing else is to be read."""
    listed: int
    """Memory of the GPU as nvidia-smi lists it."""
    total: int
    """As CUDA reports it."""
    usable: int
    """What vLLM takes of it."""
    weights: int
    tables: int
    """Of rotary position embeddings."""
    loras: int
    activations: Range
    non_torch: Range
    cuda_graphs: Range
    room: Range
    """For the KV cache; negative where the rest does not fit."""
    request: int
    """KV cache of one request of the wanted context, as vLLM's block manager counts."""
    bytes_per_token: int
    """Of the KV cache, in all layers."""
    bytes_per_distant_token: int
    """The same once every sliding window has moved past the token."""
    kv_tokens: int
    """Tokens that fit at once in requests of the wanted context."""
    sequences: Range
    """Requests of the wanted context that fit at once."""
    longest: int
    """Longest single request that fits for certain."""

    @property
    def overhead(self) -> Range:
        """Everything besides weights and KV cache."""
        fixed = self.loras + self.tables
        extra = Range(fixed, fixed, fixed)
        return self.activations + self.non_torch + self.cuda_graphs + extra


def plan_memory(shape: Shape, gpu: GPU, serving: Serving) -> MemoryPlan:
    """Plan the memory of each GPU.

    Raises:
        ValueError: a number is not positive, or a name is unknown.
    """
    _check(serving)
    refused = refusals(shape, gpu, serving)
    if refused:
        return _refused(gpu, refused)
    schedule = _schedule(shape, gpu, serving)
    form = form_of(shape, serving.quantization)
    loaded = weight_bytes(shape, form, serving.gpus, tile(form, gpu, serving.version))
    weights = max(loaded - serving.weight_offload, 0)
    loras = lora_bytes(shape, serving)
    tables = overhead.position_tables(shape)
    acts = overhead.activations(shape, serving.gpus, schedule)
    libraries = overhead.non_torch(serving.gpus)
    graphs = overhead.NOTHING if serving.eager else overhead.cuda_graphs(shape, serving.version)
    usable = math.ceil(gpu.cuda_bytes * utilization(serving))
    rest = acts + libraries + graphs
    left = usable - weights - loras - tables
    room = Range(left - rest.high, left - rest.central, left - rest.low)
    size = element_bytes(serving)
    pool = kv.pool(shape, serving.gpus, size, schedule)
    held = Range(*(pool.sequences(max(each, 0), serving.context) for each in _three(room)))
    return MemoryPlan(
        fits=_verdict(held, serving.concurrency),
        refusals=(),
        listed=gpu.memory_mib * MIB,
        total=gpu.cuda_bytes,
        usable=usable,
        weights=weights,
        tables=tables,
        loras=loras,
        activations=acts,
        non_torch=libraries,
        cuda_graphs=graphs,
        room=room,
        request=pool.request_bytes(serving.context),
        bytes_per_token=kv.bytes_per_token(shape, serving.gpus, size),
        bytes_per_distant_token=kv.bytes_per_distant_token(shape, serving.gpus, size),
        kv_tokens=_tokens(pool, room.central, serving.context),
        sequences=held,
        longest=pool.longest(max(room.low, 0), shape.max_length),
    )


def weight_bytes(
    shape: Shape, form: Format, gpus: int = 1, multiples: tuple[int, int] = (1, 1)
) -> int:
    """Return the bytes of weights on one of `gpus` GPUs, in `form`.

    Embeddings, output heads, norms, routers and encoders of images stay 16-bit. `multiples` are
    what experts are padded to (`quantization.tile`).
    """
    return sum(matrix_bytes(each, form) for each in matrices(shape, gpus, multiples))


def element_bytes(serving: Serving) -> int:
    """Return the bytes of one element of keys and values."""
    return 1 if serving.kv_cache_dtype == "fp8" else 2


def utilization(serving: Serving) -> Fraction:
    """Return the share that vLLM takes of what CUDA reports."""
    if serving.utilization is not None:
        return serving.utilization
    return UTILIZATION if serving.version >= UTILIZATION_SINCE else UTILIZATION_BEFORE


def lora_bytes(shape: Shape, serving: Serving) -> int:
    """Return the bytes of the slots for adapters: two narrow matrices beside each linear one."""
    each = slot_elements(shape, serving.lora_rank, serving.gpus)
    return each * serving.loras * 2


_LARGE = 160 * GIB
_LARGE_SINCE = Version(0, 27)
"""0.26 has no choice of its own for such GPUs, 0.32 has."""
_DATACENTER = 70 * GIB
_A100_APART_SINCE = Version(0, 9)


def _schedule(shape: Shape, gpu: GPU, serving: Serving) -> kv.Schedule:
    """Return the scheduler's limits; by default those that vLLM chooses for the GPU.

    Source: `get_batch_defaults` of vLLM's engine/arg_utils.py, 0.8.5 to 0.32.
    """
    a100 = "a100" in gpu.name and serving.version >= _A100_APART_SINCE
    if gpu.cuda_bytes >= _LARGE and serving.version >= _LARGE_SINCE:
        tokens, sequences = 16384, 1024
    elif gpu.cuda_bytes >= _DATACENTER and not a100:
        tokens, sequences = 8192, 1024
    else:
        tokens, sequences = 2048, 256
    sequences = serving.sequences or sequences
    tokens = serving.batched_tokens or max(tokens, shape.item_tokens)
    return kv.Schedule(max(tokens, sequences), sequences, serving.version)


def _check(serving: Serving) -> None:
    for name in ("context", "concurrency", "gpus", "lora_rank"):
        if getattr(serving, name) < 1:
            raise ValueError(f"{name} is {getattr(serving, name)}, and must be at least 1")
    if serving.loras < 0 or serving.weight_offload < 0:
        raise ValueError("LoRA adapters and offloaded weights cannot be negative")
    if not 0 < utilization(serving) <= 1:
        raise ValueError("the share of GPU memory must be above 0 and at most 1")
    if serving.quantization is not None and serving.quantization not in FORMATS:
        names = ", ".join(FORMATS)
        raise ValueError(f"no quantization is called {serving.quantization}; there are {names}")


def _verdict(held: Range, wanted: int) -> Verdict:
    if held.low >= wanted:
        return True
    return "borderline" if held.high >= wanted else False


def _tokens(pool: kv.Pool, room: int, context: int) -> int:
    """Return what vLLM logs as the size of its KV cache."""
    blocks = max(room, 0) // pool.block_bytes
    return blocks * context // max(pool.request_blocks(context), 1)


def _three(sizes: Range) -> tuple[int, int, int]:
    return sizes.low, sizes.central, sizes.high


def _refused(gpu: GPU, why: tuple[str, ...]) -> MemoryPlan:
    """Return a plan that says no whatever the memory."""
    nothing = overhead.NOTHING
    return MemoryPlan(
        fits=False,
        refusals=why,
        listed=gpu.memory_mib * MIB,
        total=gpu.cuda_bytes,
        usable=0,
        weights=0,
        tables=0,
        loras=0,
        activations=nothing,
        non_torch=nothing,
        cuda_graphs=nothing,
        room=nothing,
        request=0,
        bytes_per_token=0,
        bytes_per_distant_token=0,
        kv_tokens=0,
        sequences=nothing,
        longest=0,
    )
