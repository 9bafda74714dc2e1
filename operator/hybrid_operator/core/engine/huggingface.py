"""From a Hugging Face config.json to a `Shape`.

Field names and defaults are those of the configuration classes of transformers 5.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from hybrid_operator.core.engine import hybrids
from hybrid_operator.core.engine.architecture import Shape
from hybrid_operator.core.engine.fields import Config, ConfigError, size
from hybrid_operator.core.engine.formats import written
from hybrid_operator.core.engine.layers import DELTA_NET, GEMMA, TEXT, layers
from hybrid_operator.core.engine.towers import towers

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hybrid_operator.core.engine.formats import Format

NO_FLOAT16 = {"gemma2", "gemma3", "gemma3_text", "glm4"}
"""`_FLOAT16_NOT_SUPPORTED_MODELS` of vLLM's config/model.py."""
_WITH_TOWERS = {
    "gemma3": "gemma3_text",
    "gemma3n": "gemma3n_text",
    "gemma4": "gemma4_text",
    "gemma4_unified": "gemma4_unified_text",
    "llama4": "llama4_text",
    "mistral3": "mistral",
    "qwen2_5_vl": "qwen2",
    "qwen3_vl": "qwen3",
    "qwen3_5": "qwen3_5_text",
    "qwen3_5_moe": "qwen3_5_moe_text",
}
"""Models that read images too, and the kind of their text part."""


def shape(config: Mapping[str, Any]) -> Shape:
    """Read what memory depends on.

    Raises:
        ConfigError: the model type is unknown, or a field is missing or no positive number.
    """
    if not isinstance(config.get("model_type"), str):
        raise ConfigError("has no model_type: is this the config.json of a model?")
    kind = config["model_type"]
    text = _text(config, kind)
    if kind in hybrids.UNPLANNED:
        raise ConfigError(
            f"model_type {kind} is a state space model of a kind that is not planned for; there "
            f"are {', '.join(hybrids.KINDS)}"
        )
    if text["model_type"] not in TEXT:
        known = ", ".join(sorted((TEXT - set(_WITH_TOWERS.values())) | set(_WITH_TOWERS)))
        raise ConfigError(f"model_type {kind} is not known; there are {known}")
    read = Shape(
        model_type=kind,
        hidden=size(text, "hidden_size"),
        vocabulary=size(text, "vocab_size"),
        tied=_tied(config, text),
        layers=tuple((count, layer) for layer, count in Counter(layers(text)).items()),
        max_length=size(text, "max_position_embeddings"),
        float16=kind not in NO_FLOAT16,
        adapted_ends=2 if text["model_type"] in _ADAPTED else int(text["model_type"] in _ONE_END),
        head_bias=bool(text.get("lm_head_bias")),
        per_layer_vocabulary=_per_layer_vocabulary(text),
        checkpoint=_checkpoint(config, text),
    )
    beside = towers(config, read.hidden) + _altup(text)
    return replace(read, towers=beside) if beside else read


def _altup(text: Config) -> int:
    """Return the parameters that spread and gather Gemma 3n's parallel inputs."""
    if text["model_type"] != "gemma3n_text":
        return 0
    return 2 * (size(text, "altup_num_inputs", 4) - 1) * size(text, "hidden_size") ** 2


def _text(config: Mapping[str, Any], kind: str) -> Config:
    if kind not in _WITH_TOWERS:
        return dict(config)
    text = config.get("text_config")
    if not isinstance(text, dict):
        raise ConfigError(f"has no text_config, which a {kind} has")
    return {**text, "model_type": _WITH_TOWERS[kind]}


_ONE_END = {"cohere", "cohere2", "olmo2", "olmo3", "smollm3"}
"""Kinds of whose embedding and head only one has slots: Cohere's classes name one, and the others
run by transformers' classes."""
_ADAPTED = {
    *DELTA_NET,
    *hybrids.KINDS,
    "exaone4",
    "granite",
    "granitemoe",
    "llama",
    "mixtral",
    "phi3",
    "phimoe",
    "qwen3",
    "qwen3_moe",
}
"""Kinds whose model classes have `embedding_modules`."""
_TIED = GEMMA | {"cohere", "cohere2", "ernie4_5", "smollm3"}
"""Kinds whose output head is the embedding where the config does not say."""


def _tied(config: Mapping[str, Any], text: Config) -> bool:
    stated = config.get("tie_word_embeddings", text.get("tie_word_embeddings"))
    return text["model_type"] in _TIED if stated is None else bool(stated)


def _checkpoint(config: Mapping[str, Any], text: Config) -> Format | None:
    stated = config.get("quantization_config") or text.get("quantization_config")
    return written(stated) if isinstance(stated, dict) else None


def _per_layer_vocabulary(text: Config) -> int:
    if not text.get("hidden_size_per_layer_input"):
        return 0
    return size(text, "vocab_size_per_layer_input", size(text, "vocab_size"))
