"""What vLLM takes besides weights and KV cache, per GPU.

Three figures each: the least and the most that published start-up logs show, and the usual one
(docs/planner-accuracy.md lists the logs).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from hybrid_operator.core.engine.architecture import (
    Attention,
    Experts,
    FeedForward,
    LatentAttention,
    Mixer,
    Shape,
)
from hybrid_operator.core.engine.version import Version

if TYPE_CHECKING:
    from hybrid_operator.core.engine.kv import Schedule

GIB = 2**30
GRAPHS_COUNTED_SINCE = Version(0, 20)
"""From it vLLM sets aside what CUDA graphs will take (VLLM_MEMORY_PROFILER_ESTIMATE_CUDAGRAPHS)."""
SORTED_LOGIT_BYTES = 38
"""Per sequence and vocabulary entry at the sampler's peak, where PyTorch sorts the logits for top-k
and top-p: 16-bit logits, 32-bit copies, values and 64-bit indices of the sort, and its scratch
space. Fits start-ups of 0.10 to 0.19 with 256 sequences (1.27 GiB for Llama, 1.40 for Qwen 3)."""
LOGIT_BYTES = 16
"""The same where a fused sampler is used: fits llm-d-planner's measurements on H100 to 5 % (Llama
1.89 GiB, Qwen 2 2.25, Phi 1.52, Gemma 2 3.65, Gemma 3 3.94, each with 1024 sequences)."""
MANY_SEQUENCES = 1024
"""vLLM's own choice of `--max-num-seqs` on large GPUs, where the fused sampler was measured."""
FUSED_SAMPLER_SINCE = Version(0, 20)


class Range(msgspec.Struct, frozen=True):
    """Bytes: at least, usually, at most."""

    low: int
    central: int
    high: int

    def __add__(self, other: Range) -> Range:
        """Add each of the three."""
        return Range(self.low + other.low, self.central + other.central, self.high + other.high)


NOTHING = Range(0, 0, 0)
ENCODER = Range(0, 4 * GIB // 10, 12 * GIB // 10)
"""What a picture of the largest size takes in the encoder while vLLM measures."""


def activations(shape: Shape, gpus: int, schedule: Schedule) -> Range:
    """Return the peak of one step: the widest layer's intermediate values, or the sampler's."""
    widest = max((_width(layer.feed_forward, gpus) for _, layer in shape.layers), default=0)
    forward = schedule.batched_tokens * (widest + 4 * shape.hidden) * 2
    logits = schedule.sequences * shape.vocabulary
    sorts = schedule.version < FUSED_SAMPLER_SINCE and schedule.sequences < MANY_SEQUENCES
    usual = SORTED_LOGIT_BYTES if sorts else LOGIT_BYTES
    most = LOGIT_BYTES * 3 // 2 if schedule.sequences >= MANY_SEQUENCES else SORTED_LOGIT_BYTES
    pictures = ENCODER if shape.towers else NOTHING
    step = Range(
        max(forward // 2, logits * LOGIT_BYTES // 2),
        max(forward, logits * usual),
        forward + logits * most + GIB // 4,
    )
    return step + pictures


def _width(parts: tuple[FeedForward | Experts, ...], gpus: int) -> int:
    """Return elements per token between the matrices of a feed-forward part."""
    return sum(3 * -(-_inner(part) // gpus) for part in parts)


_EXPERTS_AT_ONCE = 8


def _inner(part: FeedForward | Experts) -> int:
    if isinstance(part, FeedForward):
        return part.intermediate
    return part.intermediate * min(part.count, _EXPERTS_AT_ONCE) + part.shared


def position_tables(shape: Shape) -> int:
    """Return the bytes of the tables of rotary position embeddings.

    vLLM makes one per kind of layer for every position that the model was trained for
    (`rotary_embedding/base.py`): 32 MiB for Llama 3.1, 2.5 GiB for the 10 million of Llama 4.
    """
    mixers = {_rotated(each) for _, layer in shape.layers for each in layer.mixers} - {(0, False)}
    return sum(size for size, _ in mixers) * shape.max_length * 2


def _rotated(mixer: Mixer) -> tuple[int, bool]:
    """Return the elements of a position's row, and whether the table is a window's."""
    if isinstance(mixer, Attention) and mixer.rotary:
        return mixer.head_dimension, mixer.window is not None
    return (mixer.rope, False) if isinstance(mixer, LatentAttention) else (0, False)


def non_torch(gpus: int) -> Range:
    """Return what CUDA libraries take: contexts, cuBLAS, and NCCL's buffers between GPUs."""
    if gpus == 1:
        return Range(0, GIB * 15 // 100, GIB * 4 // 10)
    return Range(GIB // 10, GIB * 8 // 10, GIB * 21 // 10)


def cuda_graphs(shape: Shape, version: Version) -> Range:
    """Return what is set aside for CUDA graphs of decoding steps."""
    if version < GRAPHS_COUNTED_SINCE:
        return NOTHING
    usual = int(GIB * (0.1 + 0.012 * shape.layer_count))
    return Range(usual // 8, usual, 2 * usual + GIB // 4)
