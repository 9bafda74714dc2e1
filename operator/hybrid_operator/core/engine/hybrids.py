"""The layers of models that mix attention with state spaces (Mamba), from their config.json.

Field names and defaults are those of the configuration classes of transformers 5; what a layer
holds is what vLLM's model classes hold.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hybrid_operator.core.engine.architecture import Attention, Experts, FeedForward, Layer
from hybrid_operator.core.engine.fields import Config, ConfigError, at, count, size
from hybrid_operator.core.engine.statespace import Mamba, Mamba2

if TYPE_CHECKING:
    from collections.abc import Callable

UNPLANNED = {
    "bamba",
    "falcon_mamba",
    "kimi_linear",
    "lfm2",
    "lfm2_moe",
    "mamba",
    "mamba2",
    "nemotron_h_puzzle",
    "plamo2",
    "zamba2",
}
"""Of the same sort, and not read."""


def layers(text: Config) -> list[Layer]:
    """Return every layer of the text model.

    Raises:
        ConfigError: a field is missing, or is not what it has to be.
    """
    return KINDS[str(text["model_type"])](text)


def _nemotron(text: Config) -> list[Layer]:
    found: list[Layer] = []
    mixed = 0
    for kind in _nemotron_kinds(text):
        if kind == "mlp":
            width = _width(text, mixed)
            mixed += 1
            part = FeedForward(width, bool(text.get("mlp_bias")), gate=False)
            found.append(Layer(None, (part,), norms=1))
        elif kind == "moe":
            found.append(Layer(None, (_nemotron_experts(text),), norms=1))
        elif kind == "full_attention":
            found.append(Layer(_attention(text, 128, rotary=False), (), norms=1))
        else:
            found.append(Layer(_nemotron_mamba(text), (), norms=1))
    return found


_LETTERS = {"M": "linear_attention", "E": "moe", "*": "full_attention", "-": "mlp"}
_ALIASES = {"mamba": "linear_attention", "attention": "full_attention"}


def _nemotron_kinds(text: Config) -> list[str]:
    """Return what each layer is: `hybrid_override_pattern` has a letter for each."""
    pattern = text.get("hybrid_override_pattern")
    stated = text.get("layers_block_type") or text.get("layer_types")
    if isinstance(pattern, str) and pattern:
        stated = [_LETTERS.get(letter, letter) for letter in pattern]
    if not isinstance(stated, list) or not stated:
        raise ConfigError("has no hybrid_override_pattern, which says what each layer is")
    kinds = [_ALIASES.get(str(kind), str(kind)) for kind in stated]
    strange = sorted(set(kinds) - set(_LETTERS.values()))
    if strange:
        raise ConfigError(f"hybrid_override_pattern has {strange[0]!r}, which no layer is")
    return kinds


def _width(text: Config, index: int) -> int:
    stated = text.get("intermediate_size")
    if isinstance(stated, list) and len(stated) == 1:
        index = 0
    return at(text, "intermediate_size", index)


def _nemotron_experts(text: Config) -> Experts:
    shared = count(text, "n_shared_experts") and size(text, "moe_shared_expert_intermediate_size")
    return Experts(
        size(text, "n_routed_experts"),
        size(text, "moe_intermediate_size"),
        shared=count(text, "n_shared_experts") * shared,
        router_bias=True,
        chosen=size(text, "num_experts_per_tok", 2),
        gate=False,
        narrowed=count(text, "moe_latent_size") or None,
    )


def _nemotron_mamba(text: Config) -> Mamba2:
    state = text.get("mamba_ssm_cache_dtype") or "float32"
    return Mamba2(
        heads=size(text, "mamba_num_heads", 128),
        head_dimension=size(text, "mamba_head_dim", 64),
        groups=size(text, "n_groups", 8),
        state=size(text, "ssm_state_size", 128),
        kernel=size(text, "conv_kernel", 4),
        element_bytes=4 if state == "float32" else 2,
    )


def _granite(text: Config) -> list[Layer]:
    number = size(text, "num_hidden_layers")
    kinds = text.get("layer_types") or text.get("layers_block_type") or ["mamba"] * number
    if not isinstance(kinds, list) or len(kinds) != number:
        raise ConfigError(f"layer_types must have {number} entries, one for each layer")
    rotary = text.get("position_embedding_type") == "rope"
    dimension = size(text, "hidden_size") // size(text, "num_attention_heads")
    parts = _granite_parts(text)
    attention = Layer(_attention(text, dimension, rotary=rotary), parts)
    mamba = Layer(_mamba_2(text, size(text, "mamba_expand", 2) * size(text, "hidden_size")), parts)
    return [attention if kind in {"attention", "full_attention"} else mamba for kind in kinds]


def _granite_parts(text: Config) -> tuple[FeedForward | Experts, ...]:
    found: list[FeedForward | Experts] = []
    experts = count(text, "num_local_experts")
    if experts:
        chosen = size(text, "num_experts_per_tok", 2)
        found.append(Experts(experts, size(text, "intermediate_size"), chosen=chosen))
    shared = count(text, "shared_intermediate_size")
    if shared:
        found.append(FeedForward(shared, fused=True))
    return tuple(found)


def _falcon(text: Config) -> list[Layer]:
    hidden = size(text, "hidden_size")
    inner = count(text, "mamba_d_ssm") or size(text, "mamba_expand", 2) * hidden
    dimension = hidden // size(text, "num_attention_heads")
    layer = Layer(
        _attention(text, dimension, rotary=True),
        (FeedForward(size(text, "intermediate_size"), bool(text.get("mlp_bias"))),),
        beside=_mamba_2(text, inner, norm=bool(text.get("mamba_rms_norm"))),
    )
    return [layer] * size(text, "num_hidden_layers")


def _jamba(text: Config) -> list[Layer]:
    hidden = size(text, "hidden_size")
    rank = text.get("mamba_dt_rank")
    mamba = Mamba(
        inner=size(text, "mamba_expand", 2) * hidden,
        state=size(text, "mamba_d_state", 16),
        kernel=size(text, "mamba_d_conv", 4),
        rank=-(-hidden // 16) if rank in {None, "auto"} else size(text, "mamba_dt_rank"),
    )
    attention = _attention(text, hidden // size(text, "num_attention_heads"), rotary=False)
    found = []
    for index in range(size(text, "num_hidden_layers")):
        looks_back = _falls(text, "attn_layer", index, (8, 4))
        part: FeedForward | Experts = FeedForward(size(text, "intermediate_size"))
        routed = size(text, "num_experts", 16)
        if routed > 1 and _falls(text, "expert_layer", index, (2, 1)):
            chosen = size(text, "num_experts_per_tok", 2)
            part = Experts(routed, size(text, "intermediate_size"), chosen=chosen)
        found.append(Layer(attention if looks_back else mamba, (part,)))
    return found


def _falls(text: Config, name: str, index: int, default: tuple[int, int]) -> bool:
    """Return whether a layer is one of those that come every `name`_period."""
    period = size(text, f"{name}_period", default[0])
    return index % period == int(text.get(f"{name}_offset", default[1]))


def _attention(text: Config, dimension: int, *, rotary: bool) -> Attention:
    heads = size(text, "num_attention_heads")
    biased = bool(text.get("attention_bias"))
    return Attention(
        heads=heads,
        kv_heads=size(text, "num_key_value_heads", heads),
        head_dimension=size(text, "head_dim", size(text, "attention_head_dim", dimension)),
        bias=biased,
        output_bias=biased,
        rotary=rotary,
    )


def _mamba_2(text: Config, inner: int, *, norm: bool = True) -> Mamba2:
    heads = size(text, "mamba_n_heads", 128)
    stated = text.get("mamba_d_head")
    return Mamba2(
        heads=heads,
        head_dimension=inner // heads if stated in {None, "auto"} else size(text, "mamba_d_head"),
        groups=size(text, "mamba_n_groups", 1),
        state=size(text, "mamba_d_state", 256),
        kernel=size(text, "mamba_d_conv", 4),
        norm=norm,
    )


KINDS: dict[str, Callable[[Config], list[Layer]]] = {
    "falcon_h1": _falcon,
    "granitemoehybrid": _granite,
    "jamba": _jamba,
    "nemotron_h": _nemotron,
}
"""By `model_type`."""
