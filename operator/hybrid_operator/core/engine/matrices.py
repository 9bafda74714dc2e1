"""The matrices of a model: of which sizes, and what quantization does to them.

Sizes follow vLLM's own layers (`vllm.model_executor.models`), which hold what the checkpoints hold.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

import msgspec
from msgspec.structs import replace

from hybrid_operator.core.engine.architecture import (
    Attention,
    Experts,
    FeedForward,
    LatentAttention,
    LinearAttention,
)
from hybrid_operator.core.engine.statespace import Mamba, Mamba2

if TYPE_CHECKING:
    from hybrid_operator.core.engine.architecture import Layer, Mixer, Shape


class Kind(StrEnum):
    """What quantization does to a matrix."""

    LINEAR = "linear"
    EXPERT = "expert"
    COPY = "copy"
    """A 16-bit copy that vLLM keeps of a matrix where that is quantized."""
    PLAIN = "plain"
    """Embeddings, output heads, norms, biases, routers: 16-bit whatever the quantization."""


class Matrix(msgspec.Struct, frozen=True):
    """Equal matrices of one GPU's share."""

    rows: int
    """Outputs."""
    columns: int = 1
    """Inputs."""
    kind: Kind = Kind.PLAIN
    count: int = 1
    parts: int = 1
    """Matrices of the checkpoint that vLLM holds as one; each takes an adapter of its own."""
    adapted: bool = False
    """Whether vLLM has LoRA slots for it although it stays 16-bit."""

    @property
    def elements(self) -> int:
        """Number of parameters."""
        return self.rows * self.columns * self.count


VOCABULARY_PADDING = 64
"""vLLM rounds the vocabulary up to a multiple of it (`vocab_parallel_embedding.py`)."""


class _Split(msgspec.Struct, frozen=True):
    """How sizes are shared out among `gpus` by tensor parallelism."""

    gpus: int
    padding: int = VOCABULARY_PADDING
    tile: tuple[int, int] = (1, 1)
    """Multiples that experts are padded to: (intermediate, hidden)."""
    as_loaded: bool = True
    """As vLLM holds the weights; False: as the checkpoint counts them."""

    def of(self, size: int) -> int:
        """Return one GPU's share."""
        return -(-size // self.gpus)

    def kv(self, heads: int) -> int:
        """Return the KV heads of one GPU; where there are fewer than GPUs, each has a copy."""
        return max(1, heads // self.gpus)

    def vocabulary(self, size: int) -> int:
        """Return the rows of one GPU's share of an embedding."""
        return self.of(-(-size // self.padding) * self.padding)


def matrices(shape: Shape, gpus: int = 1, tile: tuple[int, int] = (1, 1)) -> list[Matrix]:
    """Return what one of `gpus` GPUs holds, as vLLM pads, shares out and replicates it.

    `tile` has the multiples that experts are padded to: (intermediate, hidden).
    """
    return _all(shape, _Split(gpus, tile=tile))


def parameters(shape: Shape) -> int:
    """Return the number of parameters, embeddings included, tied ones counted once."""
    counted = sum(each.elements for each in _all(shape, _Split(1, padding=1, as_loaded=False)))
    return shape.stated_parameters or counted


def _all(shape: Shape, split: _Split) -> list[Matrix]:
    if shape.stated_parameters is not None:
        return _stated(shape, split)
    found = [
        Matrix(split.vocabulary(shape.vocabulary), shape.hidden, count=1 if shape.tied else 2),
        Matrix(shape.hidden),
        # Encoders are split as far as their heads allow, their projectors are not: taken whole
        # would be too much, split exactly needs each encoder's plan. vLLM splits their layers.
        Matrix(split.of(shape.towers)),
    ]
    if shape.head_bias:
        found.append(Matrix(split.vocabulary(shape.vocabulary)))
    for count, layer in shape.layers:
        found += [replace(each, count=each.count * count) for each in _layer(shape, layer, split)]
    if shape.per_layer_vocabulary:
        found += _per_layer_embedding(shape, split)
    return found


UNKNOWN_EMBEDDING_SHARE = 0.15
"""Of a model of which only the number of parameters is stated. 13 to 16 % in models of 7 to 9
billion parameters with vocabularies of 128,000 to 152,000."""


def _stated(shape: Shape, split: _Split) -> list[Matrix]:
    total = shape.stated_parameters or 0
    embedding = int(total * UNKNOWN_EMBEDDING_SHARE)
    return [
        Matrix(split.of(embedding)),
        Matrix(split.of(total - embedding), 1, Kind.LINEAR),
    ]


def _layer(shape: Shape, layer: Layer, split: _Split) -> list[Matrix]:
    found = [Matrix(shape.hidden, count=layer.norms)]
    if layer.scalars:
        found.append(Matrix(layer.scalars))
    for mixer in layer.mixers:
        found += _mixer(shape.hidden, mixer, split)
    for each in layer.feed_forward:
        if isinstance(each, Experts):
            found += _experts(shape.hidden, each, split)
        else:
            found += _mlp(shape.hidden, each, split)
    if layer.low_rank:
        found += [
            Matrix(layer.low_rank, shape.hidden, Kind.LINEAR),
            Matrix(shape.hidden, layer.low_rank, Kind.LINEAR),
        ]
    if layer.per_layer_input:
        # The gate into the layer's own input and back, replicated, and a norm.
        found += [
            Matrix(layer.per_layer_input, shape.hidden, Kind.LINEAR),
            Matrix(shape.hidden, layer.per_layer_input, Kind.LINEAR),
            Matrix(shape.hidden),
        ]
    return found


def _mixer(hidden: int, mixer: Mixer, split: _Split) -> list[Matrix]:
    if isinstance(mixer, Attention):
        return _attention(hidden, mixer, split)
    if isinstance(mixer, LatentAttention):
        return _latent(hidden, mixer, split)
    if isinstance(mixer, LinearAttention):
        return _linear(hidden, mixer, split)
    if isinstance(mixer, Mamba):
        return _mamba(hidden, mixer, split)
    return _mamba_2(hidden, mixer, split)


def _attention(hidden: int, mixer: Attention, split: _Split) -> list[Matrix]:
    size = mixer.head_dimension
    queries = split.of(mixer.heads) * size
    keys = 0 if mixer.shares_kv else split.kv(mixer.kv_heads) * size
    copies = 1 if mixer.values_are_keys and not split.as_loaded else 2
    rows = queries * (2 if mixer.gated else 1) + copies * keys
    found = [
        Matrix(rows, hidden, Kind.LINEAR, parts=1 if mixer.shares_kv or mixer.fused else 3),
        Matrix(hidden, queries, Kind.LINEAR),
    ]
    plain = (rows if mixer.bias else 0) + (hidden if mixer.output_bias else 0) + mixer.norms
    return [*found, Matrix(plain)] if plain else found


def _latent(hidden: int, mixer: LatentAttention, split: _Split) -> list[Matrix]:
    heads = split.of(mixer.heads)
    query = heads * (mixer.key + mixer.rope)
    found = [
        # Compression is replicated: every GPU needs the whole vector.
        Matrix(mixer.rank + mixer.rope, hidden, Kind.LINEAR),
        Matrix(mixer.rank),
        Matrix(heads * (mixer.key + mixer.value), mixer.rank, Kind.LINEAR),
        Matrix(hidden, heads * mixer.value, Kind.LINEAR),
    ]
    if mixer.query_rank is None:
        found.append(Matrix(query, hidden, Kind.LINEAR))
    else:
        found += [
            Matrix(mixer.query_rank, hidden, Kind.LINEAR),
            Matrix(mixer.query_rank),
            Matrix(query, mixer.query_rank, Kind.LINEAR),
        ]
    if split.as_loaded:
        # vLLM multiplies by the expansion in parts: 16-bit ones, or views of a 16-bit matrix.
        found.append(Matrix(heads * (mixer.key + mixer.value), mixer.rank, Kind.COPY))
    return found


def _linear(hidden: int, mixer: LinearAttention, split: _Split) -> list[Matrix]:
    keys = split.of(mixer.key_heads) * mixer.key_dimension
    heads = split.of(mixer.value_heads)
    values = heads * mixer.value_dimension
    return [
        Matrix(2 * keys + 2 * values, hidden, Kind.LINEAR, parts=4),
        Matrix(2 * heads, hidden, Kind.LINEAR, parts=2),
        Matrix(hidden, values, Kind.LINEAR),
        Matrix(2 * keys + values, mixer.kernel, adapted=True),
        Matrix(2 * heads + mixer.value_dimension),
    ]


def _mamba(hidden: int, mixer: Mamba, split: _Split) -> list[Matrix]:
    """Return what vLLM keeps in 16 bit whatever the format: it quantizes no Mamba of the first."""
    inner = split.of(mixer.inner)
    step = mixer.rank + 2 * mixer.state
    # Its decay is a 32-bit matrix once it is loaded.
    decay = inner * mixer.state * (2 if split.as_loaded else 1)
    return [
        Matrix(2 * inner, hidden, parts=2, adapted=True),
        Matrix(inner, mixer.kernel, adapted=True),
        Matrix(step, inner, adapted=True),
        Matrix(inner, mixer.rank, adapted=True),
        Matrix(hidden, inner, adapted=True),
        # Biases of convolution and step, the skip, and the norms.
        Matrix(3 * inner + decay + step),
    ]


def _mamba_2(hidden: int, mixer: Mamba2, split: _Split) -> list[Matrix]:
    inner, heads = split.of(mixer.inner), split.of(mixer.heads)
    convolved = inner + 2 * mixer.groups_on(split.gpus) * mixer.state
    # A decay for each head, 32-bit once it is loaded; skip and step.
    plain = heads * (4 if split.as_loaded else 3) + convolved
    plain += inner if mixer.norm else 0
    return [
        Matrix(inner + convolved + heads, hidden, Kind.LINEAR, parts=mixer.parts(split.gpus)),
        Matrix(convolved, mixer.kernel, adapted=True),
        Matrix(hidden, inner, Kind.LINEAR),
        Matrix(plain),
    ]


def _mlp(hidden: int, part: FeedForward, split: _Split) -> list[Matrix]:
    inner = split.of(part.intermediate)
    rows, parts = (2 * inner, 2) if part.gate else (inner, 1)
    found = [
        Matrix(rows, hidden, Kind.LINEAR, parts=1 if part.fused else parts),
        Matrix(hidden, inner, Kind.LINEAR),
    ]
    return [*found, Matrix(rows + hidden)] if part.bias else found


def _experts(hidden: int, part: Experts, split: _Split) -> list[Matrix]:
    sizes = split.of(part.intermediate), part.narrowed or hidden
    inner, width = (
        -(-size // multiple) * multiple for size, multiple in zip(sizes, split.tile, strict=True)
    )
    sides = 2 if part.gate else 1
    found = [
        Matrix(part.count, hidden),
        Matrix(sides * inner, width, Kind.EXPERT, part.count, parts=sides),
        Matrix(width, inner, Kind.EXPERT, part.count),
    ]
    if part.narrowed:
        found += [
            Matrix(part.narrowed, hidden, Kind.LINEAR),
            Matrix(hidden, part.narrowed, Kind.LINEAR),
        ]
    if part.shared:
        found += _mlp(hidden, FeedForward(part.shared, gate=part.gate), split)
    plain = part.count * (sides * inner + width) if part.bias else 0
    plain += part.count if part.router_bias else 0
    plain += hidden if part.shared_gate else 0
    return [*found, Matrix(plain)] if plain else found


def _per_layer_embedding(shape: Shape, split: _Split) -> list[Matrix]:
    size = max(layer.per_layer_input for _, layer in shape.layers)
    width = size * shape.layer_count
    return [
        Matrix(split.vocabulary(shape.per_layer_vocabulary), width),
        Matrix(split.of(width), shape.hidden, adapted=True),
        Matrix(size),
    ]


def adapter_elements(shape: Shape, rank: int, gpus: int = 1) -> int:
    """Return the parameters of a LoRA adapter of `rank` on every linear matrix, on one GPU."""
    linear = {Kind.LINEAR, Kind.EXPERT}
    return sum(_adapter(each, rank) for each in matrices(shape, gpus) if each.kind in linear)


def _adapter(matrix: Matrix, rank: int) -> int:
    return rank * (matrix.rows + matrix.parts * matrix.columns) * matrix.count


def slot_elements(shape: Shape, rank: int, gpus: int = 1) -> int:
    """Return the elements of one of vLLM's LoRA slots on one GPU (`vllm/lora/layers`).

    Beside the linear matrices it has those of embedding and head, which are not shared out, for
    the models whose classes name them (`embedding_modules`).
    """
    beside = sum(_adapter(each, rank) for each in matrices(shape, gpus) if each.adapted)
    ends = shape.adapted_ends * rank * (shape.vocabulary + shape.hidden)
    return adapter_elements(shape, rank, gpus) + beside + ends
