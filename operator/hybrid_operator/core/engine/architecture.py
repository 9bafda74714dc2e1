"""What a model is made of, as far as memory depends on it.

Sizes follow vLLM's own layers (`vllm.model_executor.models`), which hold what the checkpoints hold.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hybrid_operator.core.engine.formats import Format


@dataclass(frozen=True, slots=True)
class Attention:
    """Softmax attention with its own keys and values."""

    heads: int
    kv_heads: int
    head_dimension: int
    window: int | None = None
    """Tokens that a layer looks back; None: all of them."""
    chunk: int | None = None
    """Tokens of the chunk within which a layer looks back (Llama 4)."""
    bias: bool = False
    """On queries, keys and values."""
    output_bias: bool = False
    norms: int = 0
    """Elements of the norms on queries and keys."""
    gated: bool = False
    """Whether queries bring a gate of their own size (Qwen3.5)."""
    shares_kv: bool = False
    """Whether keys and values are an earlier layer's (Gemma 3n and 4)."""
    fused: bool = False
    """Whether the checkpoint holds one matrix for queries, keys and values."""
    values_are_keys: bool = False
    """Whether the checkpoint holds one matrix for keys and values; vLLM loads it into both."""


@dataclass(frozen=True, slots=True)
class LatentAttention:
    """Multi-head latent attention (MLA): one compressed vector per token and layer."""

    heads: int
    rank: int
    """Elements of the compressed vector (kv_lora_rank)."""
    rope: int
    """Elements beside it that carry the position (qk_rope_head_dim)."""
    key: int
    """Elements of a head's key without the position (qk_nope_head_dim)."""
    value: int
    """Elements of a head's value (v_head_dim)."""
    query_rank: int | None = None


@dataclass(frozen=True, slots=True)
class LinearAttention:
    """A gated delta net: a state of fixed size per sequence instead of keys and values."""

    key_heads: int
    value_heads: int
    key_dimension: int
    value_dimension: int
    kernel: int
    state_bytes: int = 2
    """Of one element of the recurrent state."""


@dataclass(frozen=True, slots=True)
class FeedForward:
    """A gated multi-layer perceptron."""

    intermediate: int
    bias: bool = False
    fused: bool = False
    """Whether the checkpoint holds one matrix for gate and up."""


@dataclass(frozen=True, slots=True)
class Experts:
    """A mixture of experts."""

    count: int
    intermediate: int
    shared: int = 0
    """Intermediate size of the experts that every token passes, added up."""
    shared_gate: bool = False
    router_bias: bool = False
    bias: bool = False
    chosen: int = 2
    """Experts that one token passes."""


@dataclass(frozen=True, slots=True)
class Layer:
    """One transformer layer."""

    mixer: Attention | LatentAttention | LinearAttention
    feed_forward: tuple[FeedForward | Experts, ...]
    norms: int = 2
    """Norms of the hidden size."""
    scalars: int = 0
    """Further single parameters."""
    per_layer_input: int = 0
    """Elements of the embedding that enters at every layer (Gemma 3n and 4)."""
    low_rank: int = 0
    """Rank of two matrices around the layer (Gemma 3n)."""


@dataclass(frozen=True, slots=True)
class Shape:
    """The architecture of a model.

    Where only `stated_parameters` is known (the resource's architecture block), the layers carry
    no weights of their own and the total is taken as stated.
    """

    model_type: str
    hidden: int
    vocabulary: int
    tied: bool
    """Whether the output head is the embedding."""
    layers: tuple[tuple[int, Layer], ...]
    """(how many, of which kind); order does not matter for memory."""
    max_length: int
    """Tokens that it was trained for."""
    float16: bool = True
    """Whether vLLM runs it in float16; it refuses to for models that overflow there."""
    head_bias: bool = False
    adapts_embeddings: bool = False
    """Whether vLLM's LoRA slots cover embedding and head too."""
    towers: int = 0
    """Parameters of encoders for images and sound with their projectors; always 16-bit."""
    per_layer_vocabulary: int = 0
    stated_parameters: int | None = None
    checkpoint: Format | None = None
    """Format that the checkpoint was written in, where its config says so; None: 16-bit."""

    @property
    def layer_count(self) -> int:
        """Number of transformer layers."""
        return sum(count for count, _ in self.layers)


class Kind(StrEnum):
    """What quantization does to a matrix."""

    LINEAR = "linear"
    EXPERT = "expert"
    COPY = "copy"
    """A 16-bit copy that vLLM keeps of a matrix where that is quantized."""
    PLAIN = "plain"
    """Embeddings, output heads, norms, biases, routers: 16-bit whatever the quantization."""


@dataclass(frozen=True, slots=True)
class Matrix:
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


@dataclass(frozen=True, slots=True)
class _Split:
    """How sizes are shared out among `gpus` by tensor parallelism."""

    gpus: int
    padding: int = VOCABULARY_PADDING
    tile: tuple[int, int] = (1, 1)
    """Multiples that experts are padded to: (intermediate, hidden)."""
    as_loaded: bool = True
    """As vLLM holds the weights; False: as the checkpoint counts them."""
    matrices: list[Matrix] = field(default_factory=list)

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
    mixer = layer.mixer
    if isinstance(mixer, Attention):
        found += _attention(shape.hidden, mixer, split)
    elif isinstance(mixer, LatentAttention):
        found += _latent(shape.hidden, mixer, split)
    else:
        found += _linear(shape.hidden, mixer, split)
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


def _mlp(hidden: int, part: FeedForward, split: _Split) -> list[Matrix]:
    inner = split.of(part.intermediate)
    found = [
        Matrix(2 * inner, hidden, Kind.LINEAR, parts=1 if part.fused else 2),
        Matrix(hidden, inner, Kind.LINEAR),
    ]
    return [*found, Matrix(2 * inner + hidden)] if part.bias else found


def _experts(hidden: int, part: Experts, split: _Split) -> list[Matrix]:
    inner, width = (
        -(-size // multiple) * multiple
        for size, multiple in zip((split.of(part.intermediate), hidden), split.tile, strict=True)
    )
    found = [
        Matrix(part.count, hidden),
        Matrix(2 * inner, width, Kind.EXPERT, part.count, parts=2),
        Matrix(width, inner, Kind.EXPERT, part.count),
    ]
    if part.shared:
        shared = split.of(part.shared)
        found += [
            Matrix(2 * shared, hidden, Kind.LINEAR, parts=2),
            Matrix(hidden, shared, Kind.LINEAR),
        ]
    plain = part.count * (2 * inner + width) if part.bias else 0
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
    both = 2 * rank * (shape.vocabulary + shape.hidden) if shape.adapts_embeddings else 0
    return adapter_elements(shape, rank, gpus) + beside + both
