"""From a Hugging Face config.json to a `Shape`.

Field names and defaults are those of the configuration classes of transformers 5.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from hybrid_operator.core.engine.architecture import (
    Attention,
    Experts,
    FeedForward,
    LatentAttention,
    Layer,
    LinearAttention,
    Shape,
)
from hybrid_operator.core.engine.towers import towers

if TYPE_CHECKING:
    from collections.abc import Mapping

Config = dict[str, Any]

NO_FLOAT16 = {"gemma2", "gemma3", "gemma3_text", "glm4"}
"""`_FLOAT16_NOT_SUPPORTED_MODELS` of vLLM's config/model.py."""

_LLAMA = {"llama", "mistral", "ministral", "mixtral", "granite", "exaone", "smollm3"}
_QWEN = {"qwen2", "qwen3", "qwen3_moe", "qwen2_moe"}
_PHI = {"phi3"}
_GEMMA = {"gemma", "gemma2", "gemma3_text", "gemma4_text", "gemma4_unified_text"}
_LATENT = {"deepseek_v2", "deepseek_v3"}
_OTHER = {"llama4_text", "qwen3_5_text", "gpt_oss"}
_TEXT_TYPES = _LLAMA | _QWEN | _PHI | _GEMMA | _LATENT | _OTHER
_WITH_TOWERS = {
    "gemma3": "gemma3_text",
    "gemma4": "gemma4_text",
    "gemma4_unified": "gemma4_unified_text",
    "llama4": "llama4_text",
    "mistral3": "mistral",
    "qwen3_5": "qwen3_5_text",
}
"""Models that read images too, and the kind of their text part."""


class ConfigError(ValueError):
    """A config.json from which memory cannot be planned; the message says what is missing."""


def shape(config: Mapping[str, Any]) -> Shape:
    """Read what memory depends on.

    Raises:
        ConfigError: the model type is unknown, or a field is missing or no positive number.
    """
    if not isinstance(config.get("model_type"), str):
        raise ConfigError("has no model_type: is this the config.json of a model?")
    kind = config["model_type"]
    text = _text(config, kind)
    if text["model_type"] not in _TEXT_TYPES:
        known = ", ".join(sorted((_TEXT_TYPES - set(_WITH_TOWERS.values())) | set(_WITH_TOWERS)))
        raise ConfigError(f"model_type {kind} is not known; there are {known}")
    read = Shape(
        model_type=kind,
        hidden=_size(text, "hidden_size"),
        vocabulary=_size(text, "vocab_size"),
        tied=_tied(config, text),
        layers=tuple((count, layer) for layer, count in Counter(_layers(text)).items()),
        max_length=_size(text, "max_position_embeddings"),
        float16=kind not in NO_FLOAT16,
        per_layer_vocabulary=_per_layer_vocabulary(text),
        checkpoint=_checkpoint(config, text),
    )
    return replace(read, towers=towers(config, read.hidden)) if text is not config else read


def _text(config: Mapping[str, Any], kind: str) -> Config:
    if kind not in _WITH_TOWERS:
        return dict(config)
    text = config.get("text_config")
    if not isinstance(text, dict):
        raise ConfigError(f"has no text_config, which a {kind} has")
    return {**text, "model_type": _WITH_TOWERS[kind]}


def _size(config: Config, name: str, default: int | None = None) -> int:
    value = config.get(name)
    if value is None:
        value = default
    if value is None:
        raise ConfigError(f"has no {name}")
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ConfigError(f"{name} is {value!r}, and must be a positive whole number")
    return value


def _count(config: Config, name: str) -> int:
    """Return a number that may be 0 or left out."""
    return _size(config, name) if config.get(name) else 0


def _tied(config: Mapping[str, Any], text: Config) -> bool:
    stated = config.get("tie_word_embeddings", text.get("tie_word_embeddings"))
    return text["model_type"] in _GEMMA if stated is None else bool(stated)


_METHODS = {"compressed-tensors": "fp8", "fbgemm_fp8": "fp8"}
"""Names of `quant_method` that mean a format of ours; the rest bear its name."""


def _checkpoint(config: Mapping[str, Any], text: Config) -> str | None:
    stated = config.get("quantization_config") or text.get("quantization_config")
    if not isinstance(stated, dict):
        return None
    method = str(stated.get("quant_method", ""))
    if method == "compressed-tensors":
        groups = list(dict(stated.get("config_groups") or {}).values())
        weights = dict(groups[0].get("weights") or {}) if groups else {}
        return "gptq" if weights.get("num_bits") == _FOUR_BITS else "fp8"
    return _METHODS.get(method, method) or None


_FOUR_BITS = 4


def _per_layer_vocabulary(text: Config) -> int:
    if not text.get("hidden_size_per_layer_input"):
        return 0
    return _size(text, "vocab_size_per_layer_input", _size(text, "vocab_size"))


def _layers(text: Config) -> list[Layer]:
    kinds = _layer_types(text)
    return [_layer(text, kind, index, len(kinds)) for index, kind in enumerate(kinds)]


_PATTERNS = {"gemma2": 2, "gemma3_text": 6, "gemma4_text": 6, "gemma4_unified_text": 6}
"""Every how many layers one looks back over everything, where `layer_types` does not say."""


def _layer_types(text: Config) -> list[str]:
    count = _size(text, "num_hidden_layers")
    stated = text.get("layer_types")
    if stated:
        if len(stated) != count:
            raise ConfigError(f"layer_types has {len(stated)} entries for {count} layers")
        return [str(kind) for kind in stated]
    kind = text["model_type"]
    if kind == "llama4_text":
        every = _size(text, "no_rope_layer_interval", 4)
        return _every(count, every, "chunked_attention")
    if kind == "qwen3_5_text":
        return _every(count, _size(text, "full_attention_interval", 4), "linear_attention")
    if kind == "gpt_oss":
        return ["full_attention" if i % 2 else "sliding_attention" for i in range(count)]
    if kind in _PATTERNS:
        every = _size(text, "sliding_window_pattern", _PATTERNS[kind])
        return _every(count, every, "sliding_attention")
    return ["full_attention" if _no_window(text) else "sliding_attention"] * count


def _every(count: int, every: int, other: str) -> list[str]:
    return ["full_attention" if (i + 1) % every == 0 else other for i in range(count)]


def _no_window(text: Config) -> bool:
    window = text.get("sliding_window")
    if not window or (text["model_type"] in _QWEN and not text.get("use_sliding_window")):
        return True
    # A window as wide as the model's longest context drops nothing.
    return bool(window >= _size(text, "max_position_embeddings"))


def _layer(text: Config, kind: str, index: int, count: int) -> Layer:
    model = text["model_type"]
    if model in _LATENT:
        return Layer(_latent(text), (_feed_forward(text, index, count),))
    if kind == "linear_attention":
        return Layer(_linear(text), (_feed_forward(text, index, count),))
    mixer = _attention(text, kind, index, count)
    parts = (_feed_forward(text, index, count),)
    if model not in _GEMMA or model == "gemma":
        return Layer(mixer, parts)
    per_layer = _count(text, "hidden_size_per_layer_input")
    scalars = 1 if model.startswith("gemma4") else 0
    return Layer(mixer, parts, norms=4, scalars=scalars, per_layer_input=per_layer)


def _attention(text: Config, kind: str, index: int, count: int) -> Attention:
    model = text["model_type"]
    heads = _size(text, "num_attention_heads")
    kv_heads = _size(text, "num_key_value_heads", heads)
    dimension = _size(text, "head_dim", _size(text, "hidden_size") // heads)
    same = False
    if model.startswith("gemma4") and kind == "full_attention":
        dimension = _size(text, "global_head_dim", 512)
        same = bool(text.get("attention_k_eq_v"))
        if same:
            kv_heads = _size(text, "num_global_key_value_heads", kv_heads)
    shared = index >= count - _count(text, "num_kv_shared_layers") if _shares(text) else False
    return Attention(
        heads=heads,
        kv_heads=kv_heads,
        head_dimension=dimension,
        window=_size(text, "sliding_window", 4096) if kind == "sliding_attention" else None,
        chunk=_size(text, "attention_chunk_size") if kind == "chunked_attention" else None,
        bias=_bias(text),
        output_bias=model not in {"qwen2", "qwen2_moe"} and bool(text.get("attention_bias")),
        norms=_query_norms(model) * dimension // (2 if shared else 1) + _sinks(text, heads),
        gated=model == "qwen3_5_text",
        shares_kv=shared,
        values_are_keys=same,
    )


def _shares(text: Config) -> bool:
    return bool(text.get("num_kv_shared_layers"))


def _bias(text: Config) -> bool:
    if text["model_type"] in {"qwen2", "qwen2_moe"}:
        return True
    return bool(text.get("attention_bias"))


_QUERY_NORMS = {
    "gemma3_text",
    "gemma4_text",
    "gemma4_unified_text",
    "qwen3",
    "qwen3_moe",
    "qwen3_5_text",
}


def _query_norms(model: str) -> int:
    return 2 if model in _QUERY_NORMS else 0


def _sinks(text: Config, heads: int) -> int:
    return heads if text["model_type"] == "gpt_oss" else 0


def _latent(text: Config) -> LatentAttention:
    return LatentAttention(
        heads=_size(text, "num_attention_heads"),
        rank=_size(text, "kv_lora_rank"),
        rope=_size(text, "qk_rope_head_dim"),
        key=_size(text, "qk_nope_head_dim"),
        value=_size(text, "v_head_dim"),
        query_rank=_count(text, "q_lora_rank") or None,
    )


def _linear(text: Config) -> LinearAttention:
    return LinearAttention(
        key_heads=_size(text, "linear_num_key_heads", 16),
        value_heads=_size(text, "linear_num_value_heads", 32),
        key_dimension=_size(text, "linear_key_head_dim", 128),
        value_dimension=_size(text, "linear_value_head_dim", 128),
        kernel=_size(text, "linear_conv_kernel_dim", 4),
        state_bytes=4 if text.get("mamba_ssm_dtype") == "float32" else 2,
    )


def _feed_forward(text: Config, index: int, count: int) -> FeedForward | Experts:
    model = text["model_type"]
    if _is_sparse(text, index):
        return _experts(text)
    inner = "intermediate_size_mlp" if model == "llama4_text" else "intermediate_size"
    wide = text.get("use_double_wide_mlp") and index >= count - _count(text, "num_kv_shared_layers")
    return FeedForward(_size(text, inner) * (2 if wide else 1), bool(text.get("mlp_bias")))


def _is_sparse(text: Config, index: int) -> bool:
    model = text["model_type"]
    if model in {"mixtral", "gpt_oss"}:
        return True
    if model == "llama4_text":
        return (index + 1) % _size(text, "interleave_moe_layer_step", 1) == 0
    if model in {"qwen3_moe", "qwen2_moe"}:
        step = _size(text, "decoder_sparse_step", 1)
        return index not in (text.get("mlp_only_layers") or []) and (index + 1) % step == 0
    if model in _LATENT and text.get("n_routed_experts"):
        return index >= _count(text, "first_k_dense_replace")
    return False


def _experts(text: Config) -> Experts:
    model = text["model_type"]
    if model == "llama4_text":
        inner = _size(text, "intermediate_size")
        return Experts(_size(text, "num_local_experts"), inner, shared=inner)
    if model in _LATENT:
        inner = _size(text, "moe_intermediate_size")
        shared = _count(text, "n_shared_experts") * inner
        return Experts(
            _size(text, "n_routed_experts"), inner, shared, router_bias=model == "deepseek_v3"
        )
    if model in {"mixtral", "gpt_oss"}:
        biased = model == "gpt_oss"
        experts, inner = _size(text, "num_local_experts"), _size(text, "intermediate_size")
        return Experts(experts, inner, router_bias=biased, bias=biased)
    shared = _count(text, "shared_expert_intermediate_size")
    experts, inner = _size(text, "num_experts"), _size(text, "moe_intermediate_size")
    return Experts(experts, inner, shared, shared_gate=bool(shared))
