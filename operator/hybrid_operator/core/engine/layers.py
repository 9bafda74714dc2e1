"""The layers that a Hugging Face config.json describes, kind by kind.

Field names and defaults are those of the configuration classes of transformers 5; what a layer
holds is what vLLM's model classes hold.
"""

from __future__ import annotations

from hybrid_operator.core.engine import hybrids
from hybrid_operator.core.engine.architecture import (
    Attention,
    Experts,
    FeedForward,
    LatentAttention,
    Layer,
    LinearAttention,
)
from hybrid_operator.core.engine.fields import Config, ConfigError, at, count, size

LLAMA = {
    "cohere",
    "cohere2",
    "ernie4_5",
    "exaone4",
    "glm",
    "glm4",
    "granite",
    "granitemoe",
    "hunyuan_v1_dense",
    "llama",
    "ministral",
    "ministral3",
    "mistral",
    "mixtral",
    "olmo2",
    "olmo3",
    "seed_oss",
    "smollm3",
}
QWEN = {"qwen2", "qwen3", "qwen3_moe", "qwen2_moe"}
PHI = {"phi3", "phimoe"}
GEMMA = {
    "gemma",
    "gemma2",
    "gemma3_text",
    "gemma3n_text",
    "gemma4_text",
    "gemma4_unified_text",
}
DELTA_NET = {"qwen3_5_text", "qwen3_5_moe_text", "qwen3_next"}
"""With linear layers between those that look back."""
LATENT = {"deepseek_v2", "deepseek_v3", "kimi_k2"}
OTHER = {"llama4_text", "gpt_oss", "glm4_moe"}
TEXT = LLAMA | QWEN | PHI | GEMMA | DELTA_NET | LATENT | OTHER | set(hybrids.KINDS)


def layers(text: Config) -> list[Layer]:
    """Return every layer of the text model.

    Raises:
        ConfigError: a field is missing or no positive number.
    """
    if text["model_type"] in hybrids.KINDS:
        return hybrids.layers(text)
    kinds = _layer_types(text)
    return [_layer(text, kind, index, len(kinds)) for index, kind in enumerate(kinds)]


_PATTERNS = {
    "cohere2": 4,
    "gemma2": 2,
    "gemma3_text": 6,
    "gemma3n_text": 5,
    "gemma4_text": 6,
    "gemma4_unified_text": 6,
    "olmo3": 4,
}
"""Every how many layers one looks back over everything, where `layer_types` does not say."""


def _layer_types(text: Config) -> list[str]:
    number = size(text, "num_hidden_layers")
    stated = text.get("layer_types")
    if isinstance(stated, list) and stated:
        if len(stated) != number:
            raise ConfigError(f"layer_types has {len(stated)} entries for {number} layers")
        return [str(kind) for kind in stated]
    kind = text["model_type"]
    if kind == "llama4_text":
        every = size(text, "no_rope_layer_interval", 4)
        return _every(number, every, "chunked_attention")
    if kind in DELTA_NET:
        return _every(number, size(text, "full_attention_interval", 4), "linear_attention")
    if kind == "gpt_oss":
        return ["full_attention" if i % 2 else "sliding_attention" for i in range(number)]
    if kind in _PATTERNS:
        every = size(text, "sliding_window_pattern", _PATTERNS[kind])
        return _every(number, every, "sliding_attention")
    return ["full_attention" if _no_window(text) else "sliding_attention"] * number


def _every(number: int, every: int, other: str) -> list[str]:
    return ["full_attention" if (i + 1) % every == 0 else other for i in range(number)]


def _no_window(text: Config) -> bool:
    if text["model_type"] in QWEN and not text.get("use_sliding_window"):
        return True
    return not text.get("sliding_window")


_NORMS = {"cohere": 1, "cohere2": 1, "glm4": 4, "phimoe": 4} | dict.fromkeys(GEMMA - {"gemma"}, 4)
"""Norms of a layer where they are not 2; one with a bias counts as two."""


def _layer(text: Config, kind: str, index: int, number: int) -> Layer:
    model = text["model_type"]
    parts = (_feed_forward(text, index, number),)
    if model in LATENT:
        return Layer(_latent(text), parts)
    if kind == "linear_attention":
        return Layer(_linear(text), parts)
    mixer = _attention(text, kind, index, number)
    norms = _NORMS.get(model, 2)
    if model not in GEMMA:
        return Layer(mixer, parts, norms=norms)
    scalars = 1 if model.startswith("gemma4") else 0
    rank = 0
    if model == "gemma3n_text":
        rank = size(text, "laurel_rank", 64)
        scalars = _altup(text)
    per_layer = count(text, "hidden_size_per_layer_input")
    return Layer(
        mixer, parts, norms=norms, scalars=scalars, per_layer_input=per_layer, low_rank=rank
    )


def _altup(text: Config) -> int:
    """Return the parameters with which Gemma 3n predicts and corrects its parallel inputs."""
    inputs, hidden = size(text, "altup_num_inputs", 4), size(text, "hidden_size")
    # A 32-bit scale counts as two; router and its norm; coefficients; the norm beside low_rank.
    return 2 * hidden + (inputs + 1) * hidden + inputs**2 + inputs**3 + hidden


def _attention(text: Config, kind: str, index: int, number: int) -> Attention:
    model = text["model_type"]
    heads = size(text, "num_attention_heads")
    kv_heads = size(text, "num_key_value_heads", heads)
    dimension = size(text, "head_dim", size(text, "hidden_size") // heads)
    same = False
    if model.startswith("gemma4") and kind == "full_attention":
        dimension = size(text, "global_head_dim", 512)
        same = bool(text.get("attention_k_eq_v"))
        if same:
            kv_heads = size(text, "num_global_key_value_heads", kv_heads)
    shared = index >= number - count(text, "num_kv_shared_layers") if _shares(text) else False
    biased = model in {"qwen2", "qwen2_moe"} or bool(text.get("attention_bias"))
    return Attention(
        heads=heads,
        kv_heads=kv_heads,
        head_dimension=dimension,
        window=size(text, "sliding_window", 4096) if kind == "sliding_attention" else None,
        chunk=size(text, "attention_chunk_size") if kind == "chunked_attention" else None,
        bias=biased,
        output_bias=biased and model not in _NO_OUTPUT_BIAS,
        norms=_query_norms(text, heads, kv_heads, dimension) // (2 if shared else 1)
        + (heads if model == "gpt_oss" else 0),
        gated=model in DELTA_NET,
        shares_kv=shared,
        fused=model == "phi3",
        values_are_keys=same,
    )


_NO_OUTPUT_BIAS = {"qwen2", "qwen2_moe", "glm", "glm4", "glm4_moe", "seed_oss"}


def _shares(text: Config) -> bool:
    return bool(text.get("num_kv_shared_layers"))


_QUERY_NORMS = DELTA_NET | {
    "exaone4",
    "gemma3_text",
    "gemma3n_text",
    "gemma4_text",
    "gemma4_unified_text",
    "qwen3",
    "qwen3_moe",
}


def _query_norms(text: Config, heads: int, kv_heads: int, dimension: int) -> int:
    model = text["model_type"]
    if model in {"olmo2", "olmo3"}:
        return (heads + kv_heads) * dimension
    stated = text.get("use_qk_norm") and model in {"glm4_moe", "hunyuan_v1_dense"}
    return 2 * dimension if stated or model in _QUERY_NORMS else 0


def _latent(text: Config) -> LatentAttention:
    return LatentAttention(
        heads=size(text, "num_attention_heads"),
        rank=size(text, "kv_lora_rank"),
        rope=size(text, "qk_rope_head_dim"),
        key=size(text, "qk_nope_head_dim"),
        value=size(text, "v_head_dim"),
        query_rank=count(text, "q_lora_rank") or None,
    )


def _linear(text: Config) -> LinearAttention:
    return LinearAttention(
        key_heads=size(text, "linear_num_key_heads", 16),
        value_heads=size(text, "linear_num_value_heads", 32),
        key_dimension=size(text, "linear_key_head_dim", 128),
        value_dimension=size(text, "linear_value_head_dim", 128),
        kernel=size(text, "linear_conv_kernel_dim", 4),
        state_bytes=4 if text.get("mamba_ssm_dtype") == "float32" else 2,
    )


def _feed_forward(text: Config, index: int, number: int) -> FeedForward | Experts:
    if _is_sparse(text, index):
        return _experts(text)
    inner = "intermediate_size_mlp" if text["model_type"] == "llama4_text" else "intermediate_size"
    shared = index >= number - count(text, "num_kv_shared_layers")
    wide = 2 if text.get("use_double_wide_mlp") and shared else 1
    width = at(text, inner, index) * wide
    return FeedForward(width, bool(text.get("mlp_bias")), fused=text["model_type"] == "phi3")


def _is_sparse(text: Config, index: int) -> bool:
    model = text["model_type"]
    if model in {"mixtral", "gpt_oss", "phimoe", "granitemoe", "qwen3_5_moe_text"}:
        return True
    if model == "llama4_text":
        stated = text.get("moe_layers")
        if isinstance(stated, list):
            return index in stated
        return (index + 1) % size(text, "interleave_moe_layer_step", 1) == 0
    if model in {"qwen3_moe", "qwen2_moe", "qwen3_next"}:
        step = size(text, "decoder_sparse_step", 1)
        return index not in (text.get("mlp_only_layers") or []) and (index + 1) % step == 0
    if (model in LATENT and text.get("n_routed_experts")) or model == "glm4_moe":
        return index >= count(text, "first_k_dense_replace")
    return False


def _experts(text: Config) -> Experts:
    model = text["model_type"]
    chosen = size(text, "num_experts_per_tok", _CHOSEN.get(model, 8))
    if model == "llama4_text":
        inner = size(text, "intermediate_size")
        return Experts(size(text, "num_local_experts"), inner, shared=inner, chosen=chosen)
    if model in LATENT or model == "glm4_moe":
        inner = size(text, "moe_intermediate_size")
        shared = count(text, "n_shared_experts") * inner
        routed = size(text, "n_routed_experts")
        biased = model in {"deepseek_v3", "kimi_k2", "glm4_moe"}
        return Experts(routed, inner, shared, router_bias=biased, chosen=chosen)
    if model in {"mixtral", "gpt_oss", "phimoe", "granitemoe"}:
        biased = model == "gpt_oss"
        routed, inner = size(text, "num_local_experts"), size(text, "intermediate_size")
        return Experts(routed, inner, router_bias=biased, bias=biased, chosen=chosen)
    shared = count(text, "shared_expert_intermediate_size")
    routed, inner = size(text, "num_experts"), size(text, "moe_intermediate_size")
    return Experts(routed, inner, shared, shared_gate=bool(shared), chosen=chosen)


_CHOSEN = {"llama4_text": 1, "mixtral": 2, "phimoe": 2, "gpt_oss": 4, "qwen2_moe": 4}
"""Experts of a token where the config does not say."""
