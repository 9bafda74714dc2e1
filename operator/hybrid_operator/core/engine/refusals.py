"""What cannot run, whatever the memory: wrong GPU, wrong release, wrong number of GPUs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hybrid_operator.core.engine.architecture import (
    Attention,
    Experts,
    FeedForward,
    LinearAttention,
    Mixer,
    Shape,
)
from hybrid_operator.core.engine.quantization import form_of, refusal
from hybrid_operator.core.engine.statespace import Mamba, Mamba2
from hybrid_operator.core.engine.version import Version

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hybrid_operator.core.engine.formats import Format
    from hybrid_operator.core.engine.gpus import GPU
    from hybrid_operator.core.engine.memory import Serving

FP8_CACHE_CAPABILITY = (8, 0)
"""Kernels for an FP8 KV cache need at least Ampere."""
TURING = (7, 5)
SINCE = {
    "qwen3": Version(0, 8, 4),
    "qwen3_moe": Version(0, 8, 4),
    "llama4": Version(0, 8, 3),
    "gemma3": Version(0, 8, 0),
    "gpt_oss": Version(0, 10, 1),
    "falcon_h1": Version(0, 9, 1),
    "granitemoehybrid": Version(0, 9, 0),
    "nemotron_h": Version(0, 9, 2),
    "qwen3_next": Version(0, 10, 2),
    "qwen3_5": Version(0, 16),
    "gemma4": Version(0, 19),
    "gemma4_unified": Version(0, 22),
}
"""vLLM releases that brought a model's kind; before them it does not load."""


def refusals(shape: Shape, gpu: GPU, serving: Serving) -> tuple[str, ...]:
    """Return every reason why `shape` cannot run so on this GPU; () where it can."""
    return tuple(_found(shape, gpu, serving))


def _found(shape: Shape, gpu: GPU, serving: Serving) -> Iterator[str]:
    since = SINCE.get(shape.model_type)
    if since is not None and serving.version < since:
        yield f"{shape.model_type} models came with vLLM {since}; this is {serving.version}"
    if serving.context > shape.max_length:
        yield (
            f"a context of {serving.context} tokens is longer than the {shape.max_length} "
            "that the model was trained for"
        )
    capability = gpu.compute_capability
    if capability is not None and capability < TURING:
        yield f"vLLM needs compute capability 7.5, and {gpu.name} has less"
    if not gpu.bf16 and not shape.float16:
        yield (
            f"{gpu.name} has no bfloat16, and vLLM refuses to run {shape.model_type} models "
            "in float16, where they overflow"
        )
    form = form_of(shape, serving.quantization)
    why = refusal(shape, gpu, form, serving.version)
    if why is not None:
        yield why
    if serving.kv_cache_dtype == "fp8" and (capability or FP8_CACHE_CAPABILITY) < (
        FP8_CACHE_CAPABILITY
    ):
        yield f"an FP8 KV cache needs compute capability 8.0, and {gpu.name} has none"
    narrow = next((layer.low_rank for _, layer in shape.layers if layer.low_rank % form.group), 0)
    if narrow:
        yield f"matrices of rank {narrow} cannot be quantized in groups of {form.group}"
    yield from _parallel(shape, serving.gpus, form)


def _parallel(shape: Shape, gpus: int, form: Format) -> Iterator[str]:
    """Say what tensor parallelism over `gpus` GPUs cannot divide."""
    if gpus == 1:
        return
    found = {}
    for _, layer in shape.layers:
        for mixer in layer.mixers:
            found.update(_heads(mixer, gpus))
        for part in layer.feed_forward:
            found.update(_uneven("intermediate elements", part.intermediate, gpus))
            group = _least_group(part, form)
            if part.intermediate % gpus == 0 and part.intermediate // gpus % group:
                found["groups"] = (
                    f"{part.intermediate} intermediate elements, in groups of {group} that share a "
                    "scale,"
                )
    for what in found.values():
        yield f"{what} cannot be shared out over {gpus} GPUs"


def _heads(mixer: Mixer, gpus: int) -> dict[str, str]:
    if isinstance(mixer, LinearAttention):
        keys = _uneven("linear key heads", mixer.key_heads, gpus)
        return keys | _uneven("linear value heads", mixer.value_heads, gpus)
    if isinstance(mixer, Mamba):
        return _uneven("channels of Mamba", mixer.inner, gpus)
    if isinstance(mixer, Mamba2):
        found = _uneven("heads of Mamba", mixer.heads, gpus)
        return found | (_uneven("groups of Mamba", mixer.groups, gpus) if mixer.groups > 1 else {})
    found = _uneven("attention heads", mixer.heads, gpus)
    if isinstance(mixer, Attention) and mixer.kv_heads % gpus and gpus % mixer.kv_heads:
        found["KV heads"] = f"{mixer.kv_heads} KV heads"
    return found


def _least_group(part: FeedForward | Experts, form: Format) -> int:
    """Return of how many elements one GPU's share must be a multiple.

    Groups of experts are halved as far as 32 until they divide (`MoeWNA16Method`).
    """
    if isinstance(part, Experts) and form.name in {"awq", "gptq"}:
        return min(form.group, 32)
    return form.group


def _uneven(what: str, size: int, gpus: int) -> dict[str, str]:
    return {what: f"{size} {what}"} if size % gpus else {}
