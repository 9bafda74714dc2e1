"""From a model of the resource to what its engine should be."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from hybrid_operator.api.base import Problem, duration, quantity_bytes
from hybrid_operator.api.models import HuggingFaceSource, ModelSource, ModelSpec
from hybrid_operator.core.engine import adapters, catalog, gpus, matrices, throughput
from hybrid_operator.core.engine.architecture import Attention, LatentAttention, Layer, Shape
from hybrid_operator.core.engine.arguments import Intent, WeightOffload, options, values, whole
from hybrid_operator.core.engine.memory import Serving
from hybrid_operator.core.engine.names import nearest
from hybrid_operator.core.engine.version import Version, parse

if TYPE_CHECKING:
    from hybrid_operator.core.engine.defaults import EngineDefaults

_BITS = {"fp8": 8.0, "bitsandbytes": 4.5, "awq": 4.156, "gptq": 4.125, "mxfp4": 4.25}
"""Bits per weight, scales included; 16 where not named."""

RESERVED = {
    "--model": "the model is source or catalog",
    "--served-model-name": "names belong in servedNames, where the router learns them too",
    "--host": "the Service and the probes need every address of the pod",
    "--port": "the Service and the probes use port 8000",
    "--uds": "the Service and the probes use port 8000",
    "--root-path": "the router and the probes use /v1",
    "--api-key": "routers use no key; keys for clients belong in router.clientKeys",
    "--ssl-keyfile": "routers speak plain HTTP to engines",
    "--ssl-certfile": "routers speak plain HTTP to engines",
}
"""Options that raw arguments must not hold, because other children depend on them."""


def version(model: ModelSpec, defaults: EngineDefaults) -> Version:
    """Return the vLLM release whose arguments are rendered."""
    stated = model.engine.version if model.engine else None
    return parse(stated) if stated else defaults.version


def entry(model: ModelSpec) -> catalog.Model | None:
    """Return what the catalogue knows of the model that this one is, or is built on."""
    return catalog.find(model.catalog or model.name)


def source(model: ModelSpec) -> ModelSource:
    """Return where the weights are; the catalogue's repository where the resource says nothing."""
    if model.source is not None:
        return model.source
    known = entry(model)
    repo = known.repo if known else model.name
    if known is not None and model.quantization in WRITTEN:
        # These formats are written by whoever made the checkpoint; vLLM does not make them.
        repo = known.quantized.get(model.quantization, repo)
    return ModelSource(hugging_face=HuggingFaceSource(repo=repo))


WRITTEN = frozenset({"awq", "gptq", "mxfp4"})
"""Formats that vLLM only reads; 16-bit weights stay what they are."""


def missing_checkpoint(model: ModelSpec) -> str | None:
    """Return why the wanted format will not be had, where the catalogue knows no checkpoint."""
    known = entry(model)
    if model.source is not None or known is None or model.quantization not in WRITTEN:
        return None
    if model.quantization in {*known.quantized, known.written}:
        return None
    return (
        f"{model.quantization} weights come from a checkpoint written so, and the catalogue knows "
        f"none of {known.name}: say source"
    )


def directory(model: ModelSpec) -> str | None:
    """Return where the weights are mounted; None when they are downloaded."""
    return None if source(model).hugging_face else f"/models/{model.name}"


def max_length(model: ModelSpec, defaults: EngineDefaults) -> int | None:
    """Return the longest prompt and answer together, in tokens; None where only vLLM will know."""
    if model.engine and "--max-model-len" in options(tuple(model.engine.args)):
        return None
    if model.context and model.context.max_length:
        return model.context.max_length
    known = entry(model)
    return min(known.max_length, defaults.max_length) if known else None


def gpu_count(model: ModelSpec) -> int:
    """Return the GPUs of one replica; 0 on the CPU."""
    return 0 if model.accelerator.type == gpus.CPU else model.accelerator.count


def resource(model: ModelSpec) -> str:
    """Return the extended resource that each of its GPUs is."""
    known = gpus.find(model.accelerator.type)
    return model.accelerator.resource_name or (known.resource if known else gpus.NVIDIA)


def intent(model: ModelSpec, defaults: EngineDefaults) -> Intent:
    """Return what the engine of `model` should be."""
    repository = source(model).hugging_face
    gpu = gpus.find(model.accelerator.type)
    engine = model.engine
    limits = batch_limits(model, defaults)
    return Intent(
        model=directory(model) or (repository.repo if repository else model.name),
        served_names=(model.name, *(n for n in model.served_names if n != model.name)),
        version=version(model, defaults),
        gpus=gpu_count(model),
        half=gpu is not None and not gpu.bf16,
        revision=repository.revision if repository else None,
        max_length=max_length(model, defaults),
        quantization=model.quantization,
        kv_offload=engine.kv_offload.size if engine and engine.kv_offload else None,
        weight_offload=_weight_offload(model),
        prefix_caching=engine.prefix_caching if engine else None,
        chunked_prefill=engine.chunked_prefill if engine else None,
        sequences=limits.sequences if limits else None,
        batched_tokens=limits.tokens if limits else None,
        shutdown=defaults.shutdown,
        adapters=adapters.modules(model),
        adapter_rank=adapters.rank(model),
        args=tuple(engine.args) if engine else (),
    )


class Limits(msgspec.Struct, frozen=True):
    """What vLLM's scheduler may hold at once."""

    sequences: int
    tokens: int | None
    """Of one step; None: vLLM's own choice."""


def batch_limits(model: ModelSpec, defaults: EngineDefaults) -> Limits | None:
    """Return the scheduler's limits for the GPU's class; None on the CPU or an unknown GPU.

    vLLM's own choice in new releases (`get_batch_defaults` in engine/arg_utils.py), stated so that
    every release does what was planned, or fewer tokens for `objectives.itl`. Raw arguments and
    `context.concurrency` move them: vLLM refuses fewer tokens than sequences.
    """
    size = _gpu_bytes(model)
    if size is None:
        return None
    sequences, tokens = next(limits for least, limits in _CLASSES if size >= least)
    if model.accelerator.type.startswith("a100"):
        sequences, tokens = _CLASSES[-1][1]
    tokens = min(tokens, _within_objective(model, defaults) or tokens)
    found = shape(model)
    tokens = max(tokens, found.item_tokens if found else 0)
    sequences = min(sequences, tokens)
    stated = values(tuple(model.engine.args if model.engine else ()))
    sequences = max(sequences, (model.context.concurrency if model.context else None) or 0)
    sequences = min(sequences, whole(stated.get("--max-num-batched-tokens", "")) or sequences)
    tokens = max(tokens, sequences, whole(stated.get("--max-num-seqs", "")))
    return Limits(sequences, _batched(model, defaults, tokens))


_CLASSES = ((160 * 2**30, (1024, 16384)), (70 * 2**30, (1024, 8192)), (0, (256, 2048)))
"""(memory from which on, (sequences, tokens of a step))."""
_ALWAYS_CHUNKED = Version(0, 11)
"""Before it, GPUs below compute capability 8.0 ran the old engine, which took prompts whole."""


def _within_objective(model: ModelSpec, defaults: EngineDefaults) -> int | None:
    """Return the tokens of a step that is as short as `objectives.itl`, where it may and can be."""
    seconds, found = itl_seconds(model), shape(model)
    if seconds is None or found is None or not _may_be_short(model, found, defaults):
        return None
    known = rates(model, defaults)
    if known is None or not known.attains(seconds):
        return None  # no step is so short: short ones would only cost
    return known.step_tokens(seconds)


def _may_be_short(model: ModelSpec, found: Shape, defaults: EngineDefaults) -> bool:
    """Whether steps may be shorter than vLLM's own.

    Not those that must hold a picture, a long block of a state, or several tokens of each request.
    """
    mixers = (mixer for _, layer in found.layers for mixer in layer.mixers)
    attends = all(isinstance(mixer, Attention | LatentAttention) for mixer in mixers)
    speculates = any(
        option.startswith("--speculative")
        for option in options(tuple(model.engine.args if model.engine else ()))
    )
    return attends and not found.item_tokens and not speculates and _cuts(model, defaults)


def ttft_seconds(model: ModelSpec) -> float | None:
    """Return the objective for the time to the first token."""
    objectives = model.scaling.objectives if model.scaling else None
    return seconds_of(objectives.ttft) if objectives else None


def itl_seconds(model: ModelSpec) -> float | None:
    """Return the objective for the time between two tokens."""
    objectives = model.scaling.objectives if model.scaling else None
    return seconds_of(objectives.itl) if objectives else None


def seconds_of(text: str | None) -> float | None:
    """Return a duration of the resource in seconds; None where it says nothing."""
    return None if text is None else duration(text).total_seconds()


def rates(model: ModelSpec, defaults: EngineDefaults) -> throughput.Rates | None:
    """Estimate what a replica can do.

    None where nobody knows: an unknown model or GPU, a slice of one, weights in the host's memory.
    """
    found, gpu = shape(model), gpus.find(model.accelerator.type)
    if found is None or gpu is None or _is_slice(model, gpu):
        return None
    if model.engine is not None and model.engine.weight_offload is not None:
        return None
    serving = Serving(
        context=1,
        version=version(model, defaults),
        quantization=model.quantization,
        gpus=max(gpu_count(model), 1),
    )
    return throughput.rates(found, gpu, serving)


def _is_slice(model: ModelSpec, gpu: gpus.GPU) -> bool:
    """Whether a replica has a part of a GPU, by its resource or by the memory that is stated."""
    accelerator = model.accelerator
    stated = quantity_bytes(accelerator.memory) if accelerator.memory is not None else None
    small = stated is not None and stated < _WHOLE * gpu.memory_mib * gpus.MIB
    return small or "mig" in (accelerator.resource_name or "")


_WHOLE = 0.75
"""Share of its memory from which on a GPU is meant as a whole: less is a slice of it."""


def _batched(model: ModelSpec, defaults: EngineDefaults, tokens: int) -> int | None:
    """Return the tokens of a step: a whole prompt, where prompts are not cut into chunks."""
    if _cuts(model, defaults):
        return tokens
    length = None if _is_old(model, defaults) else max_length(model, defaults)
    return max(tokens, length) if length else None


def _cuts(model: ModelSpec, defaults: EngineDefaults) -> bool:
    """Whether prompts are computed in chunks."""
    args = options(tuple(model.engine.args if model.engine else ()))
    whole = model.engine is not None and model.engine.chunked_prefill is False
    return not (whole or "--no-enable-chunked-prefill" in args or _is_old(model, defaults))


def _is_old(model: ModelSpec, defaults: EngineDefaults) -> bool:
    gpu = gpus.find(model.accelerator.type)
    return gpu is not None and not gpu.bf16 and version(model, defaults) < _ALWAYS_CHUNKED


def _gpu_bytes(model: ModelSpec) -> int | None:
    accelerator = model.accelerator
    known = gpus.find(accelerator.type)
    if accelerator.memory is not None:
        return quantity_bytes(accelerator.memory)
    if known is None or "mig" in (accelerator.resource_name or ""):
        return None
    return known.memory_mib * gpus.MIB


def _weight_offload(model: ModelSpec) -> WeightOffload | None:
    wanted = model.engine.weight_offload if model.engine else None
    if wanted is None:
        return None
    found = shape(model)
    layers = found.layer_count if found else 0
    parameters = matrices.parameters(found) if found else 0
    # All weights over all layers: slightly more than a layer has, for embeddings are in it too.
    total = int(parameters * _BITS.get(model.quantization or "", 16.0) / 8)
    per_layer = total // layers // max(gpu_count(model), 1) if layers else 0
    return WeightOffload(wanted.size, wanted.backend or "uva", layers or None, per_layer or None)


def shape(model: ModelSpec, length: int | None = None) -> Shape | None:
    """Return the architecture; of the catalogue, or what the resource states of it.

    Args:
        model: of the resource.
        length: tokens that it was trained for, where the resource states the architecture.
    """
    block = model.architecture
    if block is None:
        known = entry(model)
        return known.shape if known else None
    # Query heads are not stated; as many as KV heads keep what tensor parallelism must divide.
    mixer = Attention(
        heads=block.kv_heads * max(model.accelerator.count, 1),
        kv_heads=block.kv_heads,
        head_dimension=block.head_dimension,
    )
    return Shape(
        model_type="stated",
        hidden=block.kv_heads * block.head_dimension,
        vocabulary=_USUAL_VOCABULARY,
        tied=False,
        layers=((block.layers, Layer(mixer, ())),),
        max_length=length or 0,
        stated_parameters=block.parameters,
    )


_USUAL_VOCABULARY = 152_064
"""Of Qwen2.5, among the larger ones: it decides what the sampler takes."""


def problems(model: ModelSpec, path: str) -> list[Problem]:
    """Return why no engine can be rendered for `model`, which stands at `path` of the resource."""
    found = [
        *_source_problems(model),
        *_gpu_problems(model),
        *_args_problems(model),
    ]
    return [problem.below(path) for problem in found]


def _source_problems(model: ModelSpec) -> list[Problem]:
    if model.source is not None or entry(model) is not None:
        return []
    # A name may be anybody's own: only one that is almost in the catalogue was meant to be.
    hint = _did_you_mean(
        model.catalog or model.name,
        [each.name for each in catalog.catalogue()],
        alike=0.5 if model.catalog else 0.8,
    )
    if model.catalog:
        message = f"the catalogue has no {model.catalog}; {hint}say source, or see `hinf models`"
        return [Problem("catalog", message)]
    message = (
        f"is missing, and the catalogue has no {model.name}; {hint}say where the weights are, "
        "or name a catalogue entry in catalog (see `hinf models`)"
    )
    return [Problem("source", message)]


def _did_you_mean(name: str, names: list[str], *, alike: float = 0.5) -> str:
    near = nearest(name, names, alike=alike)
    return f"did you mean {' or '.join(near)}? Else " if near else ""


def _gpu_problems(model: ModelSpec) -> list[Problem]:
    accelerator = model.accelerator
    known = accelerator.type == gpus.CPU or gpus.find(accelerator.type) is not None
    if known or accelerator.memory is not None:
        return []
    hint = _did_you_mean(accelerator.type, [gpu.name for gpu in gpus.catalogue()])
    message = (
        f"the catalogue has no {accelerator.type}; {hint}say memory, which any other name needs, "
        "or see `hinf gpus`"
    )
    return [Problem("accelerator.type", message)]


def _args_problems(model: ModelSpec) -> list[Problem]:
    found = []
    for index, arg in enumerate(model.engine.args if model.engine else ()):
        option = arg.split("=", 1)[0].replace("_", "-")
        why = RESERVED.get(option)
        if why is not None:
            message = f"{option} is the operator's: {why}"
            found.append(Problem(f"engine.args[{index}]", message))
    return found
