"""Memory to train a model: full fine-tuning, LoRA, QLoRA.

Sizes are bytes. Weights and gradients are 16-bit, AdamW keeps two 32-bit moments per trained
parameter: 2 + 2 + 8 bytes. Sharding over N GPUs follows ZeRO (Rajbhandari et al. 2020): stage 1
shards the optimizer's states, 2 the gradients too, 3 (FSDP) the weights too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import msgspec

from hybrid_operator.core.engine.architecture import (
    Attention,
    Experts,
    FeedForward,
    LatentAttention,
    Layer,
    LinearAttention,
    Mixer,
    Shape,
)
from hybrid_operator.core.engine.matrices import (
    Kind,
    Matrix,
    adapter_elements,
    matrices,
    parameters,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

Method = Literal["full", "lora", "qlora"]
Sharding = Literal["none", "zero1", "zero2", "zero3", "fsdp"]
GB = 10**9
_STAGES: dict[Sharding, int] = {"none": 0, "zero1": 1, "zero2": 2, "zero3": 3, "fsdp": 3}
MOMENT_BYTES = 8
NF4_BITS = 4 + 8 / 64 + 32 / (64 * 256)
"""With doubly quantized scales, as QLoRA keeps them (Dettmers et al. 2023)."""
LOGIT_BYTES = 10
"""Per token and vocabulary entry: 16-bit logits, their 32-bit copy, and its gradient."""
CONTEXT_BYTES = GB // 2
"""CUDA's context and libraries on each GPU."""


class Training(msgspec.Struct, frozen=True):
    """How a model is to be trained."""

    method: Method
    batch: int = 1
    """Sequences on each GPU in one step."""
    sequence: int = 4096
    """Tokens of a sequence."""
    rank: int = 16
    """Of LoRA's matrices, on every linear layer."""
    gpus: int = 1
    sharding: Sharding = "none"
    checkpointing: bool = True
    """Whether a layer's activations are computed again in the backward pass."""


class TrainingPlan(msgspec.Struct, frozen=True):
    """Bytes over all GPUs, and what they assume."""

    weights: int
    gradients: int
    optimizer: int
    activations: int
    """And what else one step needs: logits, gathered layers, CUDA's context."""
    gpus: int
    trained: int
    """Parameters that change."""
    assumptions: tuple[str, ...]

    @property
    def total(self) -> int:
        """Bytes over all GPUs."""
        return self.weights + self.gradients + self.optimizer + self.activations

    @property
    def per_gpu(self) -> int:
        """Bytes on one GPU."""
        return -(-self.total // self.gpus)


def plan_training(shape: Shape, training: Training) -> TrainingPlan:
    """Plan the memory of training.

    Raises:
        ValueError: a number is not positive, or the sequence is longer than the model's.
    """
    _check(shape, training)
    trained = _trained(shape, training)
    stage, gpus = _STAGES[training.sharding], training.gpus
    copies = [1 if stage >= needed else gpus for needed in (3, 2, 1)]
    per_gpu = _activations(shape, training) + _gathered(shape, training) + CONTEXT_BYTES
    return TrainingPlan(
        weights=_weights(shape, training) * copies[0],
        gradients=trained * 2 * copies[1],
        optimizer=trained * MOMENT_BYTES * copies[2],
        activations=per_gpu * gpus,
        gpus=gpus,
        trained=trained,
        assumptions=tuple(_assumptions(training)),
    )


def _check(shape: Shape, training: Training) -> None:
    for name in ("batch", "sequence", "rank", "gpus"):
        if getattr(training, name) < 1:
            raise ValueError(f"{name} is {getattr(training, name)}, and must be at least 1")
    if training.sequence > shape.max_length:
        raise ValueError(
            f"a sequence of {training.sequence} tokens is longer than the model's "
            f"{shape.max_length}"
        )


def _trained(shape: Shape, training: Training) -> int:
    if training.method == "full":
        return parameters(shape)
    return adapter_elements(shape, training.rank)


def _weights(shape: Shape, training: Training) -> int:
    if training.method == "full":
        return parameters(shape) * 2
    adapters = adapter_elements(shape, training.rank) * 2
    if training.method == "lora":
        return parameters(shape) * 2 + adapters
    return sum(_nf4(each) for each in matrices(shape)) + adapters


def _nf4(matrix: Matrix) -> int:
    bits = 16 if matrix.kind is Kind.PLAIN else NF4_BITS
    return int(matrix.elements * bits / 8)


def _activations(shape: Shape, training: Training) -> int:
    """Return what the backward pass needs, on one GPU.

    With checkpointing a layer keeps its input only, and one layer at a time is computed again.
    Attention is fused (FlashAttention): no matrix of sequence by sequence.
    """
    tokens = training.batch * training.sequence
    layers = [_kept(shape.hidden, layer) for _, layer in shape.layers]
    if training.checkpointing:
        kept = shape.layer_count * shape.hidden * 2 + max(layers, default=0)
    else:
        kept = sum(count * size for (count, _), size in zip(shape.layers, layers, strict=True))
    return tokens * (kept + shape.vocabulary * LOGIT_BYTES)


def _kept(hidden: int, layer: Layer) -> int:
    """Return the bytes per token that a layer keeps for its backward pass."""
    heads = sum(_heads(each) for each in layer.mixers)
    # Both halves' inputs, both norms' outputs, the mixer's output; gate, up, activation, product.
    return 2 * (5 * hidden + heads + 4 * _inner(layer.feed_forward))


def _heads(mixer: Mixer) -> int:
    if isinstance(mixer, Attention):
        return (mixer.heads + 2 * mixer.kv_heads) * mixer.head_dimension
    if isinstance(mixer, LinearAttention):
        keys = 2 * mixer.key_heads * mixer.key_dimension
        return keys + 2 * mixer.value_heads * mixer.value_dimension
    if isinstance(mixer, LatentAttention):
        return mixer.heads * (2 * (mixer.key + mixer.rope) + mixer.value)
    # Both halves of the input, and what the convolution and the scan return.
    return 4 * mixer.inner


_EXPERTS_AT_ONCE = 8


def _inner(parts: Iterable[FeedForward | Experts]) -> int:
    total = 0
    for part in parts:
        if isinstance(part, FeedForward):
            total += part.intermediate
        else:
            total += part.intermediate * min(part.count, _EXPERTS_AT_ONCE) + part.shared
    return total


def _gathered(shape: Shape, training: Training) -> int:
    """Return the sharded layers that a GPU holds whole while it computes them."""
    if training.gpus == 1 or _STAGES[training.sharding] < _STAGES["zero3"]:
        return 0
    total = parameters(shape)
    embeddings = shape.vocabulary * shape.hidden
    layer = (total - embeddings) // max(shape.layer_count, 1)
    # The layer at work and the next one, and the embedding or head.
    return 2 * (2 * layer + embeddings)


def _assumptions(training: Training) -> list[str]:
    states = {
        "full": "every parameter is trained: 2 bytes of weights, 2 of gradients and 8 of AdamW's "
        "moments each; no 32-bit copy of the weights, which would add 4",
        "lora": f"16-bit weights stay as they are; adapters of rank {training.rank} on every "
        "linear layer are trained",
        "qlora": "linear layers in 4-bit NF4, embeddings and head in 16 bit; adapters of rank "
        f"{training.rank} on every linear layer are trained",
    }
    kept = "with" if training.checkpointing else "without"
    spread = (
        "weights, gradients and optimizer are spread over the GPUs"
        if _STAGES[training.sharding] == _STAGES["zero3"]
        else "what is not sharded is on every GPU"
    )
    step = (
        f"{training.batch} sequence(s) of {training.sequence} tokens on each of {training.gpus} "
        f"GPU(s), {kept} activation checkpointing, with fused attention"
    )
    return [
        states[training.method],
        step,
        f"sharding {training.sharding}: {spread}",
        "activations_gb holds logits in 32 bit, gathered layers and 0.5 GB for CUDA on each GPU",
        "GB are 10^9 bytes, over all GPUs",
    ]
