"""What a model is made of, as far as memory depends on it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from hybrid_operator.core.engine.statespace import Mamba, Mamba2

if TYPE_CHECKING:
    from hybrid_operator.core.engine.formats import Format  # noqa: TC004  nothing decodes a Shape


class Attention(msgspec.Struct, frozen=True):
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
    rotary: bool = True
    """Whether positions turn queries and keys; not so in models whose other layers know them."""


class LatentAttention(msgspec.Struct, frozen=True):
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


class LinearAttention(msgspec.Struct, frozen=True):
    """A gated delta net: a state of fixed size per sequence instead of keys and values."""

    key_heads: int
    value_heads: int
    key_dimension: int
    value_dimension: int
    kernel: int
    state_bytes: int = 2
    """Of one element of the recurrent state."""


Mixer = Attention | LatentAttention | LinearAttention | Mamba | Mamba2


class FeedForward(msgspec.Struct, frozen=True):
    """A multi-layer perceptron."""

    intermediate: int
    bias: bool = False
    fused: bool = False
    """Whether the checkpoint holds one matrix for gate and up."""
    gate: bool = True


class Experts(msgspec.Struct, frozen=True):
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
    gate: bool = True
    narrowed: int | None = None
    """Size to which the hidden one is compressed before the experts that are not shared."""


class Layer(msgspec.Struct, frozen=True):
    """One transformer layer."""

    mixer: Mixer | None
    """None: the layer is a feed-forward part alone (Nemotron-H)."""
    feed_forward: tuple[FeedForward | Experts, ...]
    norms: int = 2
    """Norms of the hidden size."""
    scalars: int = 0
    """Further single parameters."""
    per_layer_input: int = 0
    """Elements of the embedding that enters at every layer (Gemma 3n and 4)."""
    low_rank: int = 0
    """Rank of two matrices around the layer (Gemma 3n)."""
    beside: Mamba2 | None = None
    """What reads the same input beside `mixer` (Falcon-H1)."""

    @property
    def mixers(self) -> tuple[Mixer, ...]:
        """Return what mixes tokens, each with a cache of its own."""
        return tuple(each for each in (self.mixer, self.beside) if each is not None)


_ITEMS = {"gemma3": 260, "gemma4_unified": 2496}
"""By model type: an image with what stands around it; a video of 32 frames."""


class Shape(msgspec.Struct, frozen=True):
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
    adapted_ends: int = 0
    """Of embedding and head, how many vLLM's LoRA slots cover."""
    towers: int = 0
    """Parameters of encoders for images and sound with their projectors; always 16-bit."""
    per_layer_vocabulary: int = 0
    stated_parameters: int | None = None
    checkpoint: Format | None = None
    """Format that the checkpoint was written in, where its config says so; None: 16-bit."""

    @property
    def item_tokens(self) -> int:
        """Tokens of the longest picture or video that vLLM takes in one step; 0: it cuts them.

        It does not cut them where their tokens attend both ways, and does not start where a step is
        shorter: `check_and_update_config` in platforms/cuda.py and `compute_mm_encoder_budget` in
        v1/core/encoder_cache_manager.py, 0.32.
        """
        return _ITEMS.get(self.model_type, 0)

    @property
    def layer_count(self) -> int:
        """Number of transformer layers."""
        return sum(count for count, _ in self.layers)
