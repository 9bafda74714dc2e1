"""Whether a model of the resource fits on what it asks for, known before a GPU is spent."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from fractions import Fraction
from typing import TYPE_CHECKING

import msgspec
from msgspec.structs import replace

from hybrid_operator.api.base import Problem, quantity_bytes
from hybrid_operator.core.engine import adapters, gated, gpus, intent, rawargs
from hybrid_operator.core.engine.advice import advice
from hybrid_operator.core.engine.architecture import Shape
from hybrid_operator.core.engine.arguments import options, values, whole
from hybrid_operator.core.engine.gpus import GPU, MIB
from hybrid_operator.core.engine.memory import MemoryPlan, Serving, Verdict, plan_memory
from hybrid_operator.core.engine.throughput import LEAST_STEP

if TYPE_CHECKING:
    from hybrid_operator.api.models import ModelSpec
    from hybrid_operator.core.engine.defaults import EngineDefaults

_ADVICE = 2
"""Changes that a message names; `hinf plan` has them all."""


class Fit(msgspec.Struct, frozen=True):
    """What is known of one model before it starts."""

    model: str
    verdict: Verdict | None
    """None: nothing is planned, or not enough is known; `missing` says what."""
    missing: str = ""
    refusals: tuple[str, ...] = ()
    """Why it cannot run, whatever else; with the paths that they are about."""
    advice: tuple[str, ...] = ()
    """Changes with which it fits for certain, the cheapest first."""
    warnings: tuple[Problem, ...] = ()
    """What runs and should not be as it is. Paths are relative to the model."""
    shape: Shape | None = None
    gpu: GPU | None = None
    serving: Serving | None = None
    memory: MemoryPlan | None = None

    @property
    def impossible(self) -> bool:
        """Whether starting it would only spend a GPU: it would not hold a single request.

        One that holds fewer requests than wanted does run; the others wait.
        """
        if self.refusals:
            return True
        return self.memory is not None and self.memory.sequences.high < 1

    @property
    def message(self) -> str:
        """What is so and what to do, as a sentence."""
        name = f"model {self.model}"
        if self.missing:
            return f"{name}: {self.missing}"
        if self.refusals:
            return f"{name} cannot run so: {'; '.join(self.refusals)}{self._change}"
        if self.memory is None or self.verdict is True:
            return ""
        return f"{name} {self._sizes}{self._change}"

    @property
    def _sizes(self) -> str:
        plan, serving, gpu = self.memory, self.serving, self.gpu
        if plan is None or serving is None or gpu is None:
            return ""
        where = gpu.name if serving.gpus == 1 else f"{serving.gpus} x {gpu.name}"
        verb = "may not fit" if self.verdict == "borderline" else "does not fit"
        if not self.impossible and self.verdict is False:
            held = f"{plan.sequences.low} to {plan.sequences.high}"
            verb = f"runs and holds {held} requests at once instead of {serving.concurrency}"
        requests = "a request" if serving.concurrency == 1 else f"{serving.concurrency} requests"
        needs = "needs" if serving.concurrency == 1 else "need"
        needed = plan.request * serving.concurrency
        return (
            f"{verb} on {where}: of {_gib(plan.usable)} GiB per GPU, weights take "
            f"{_gib(plan.weights)}, overheads {_gib(plan.overhead.low)} to "
            f"{_gib(plan.overhead.high)}, and {requests} of {serving.context} tokens {needs} "
            f"{_gib(needed)}"
        )

    @property
    def _change(self) -> str:
        return f"; it fits with {', or with '.join(self.advice[:_ADVICE])}" if self.advice else ""


def fit(model: ModelSpec, defaults: EngineDefaults) -> Fit:
    """Judge one model. Raises nothing that a resource can cause."""
    found = _checked(model, defaults)
    wanted = intent.intent(model, defaults)
    faults = rawargs.faults(wanted)
    warnings = [
        *gated.warnings(model),
        *rawargs.overrides(model),
        *_too_long(model, defaults, found.serving),
    ]
    if _own_image(model):
        # An image of its own may know more than the release.
        faults, warnings = [], [*warnings, *faults]
    unwritten = intent.missing_checkpoint(model)
    if faults or unwritten:
        refused = (*map(str, faults), *filter(None, [unwritten]), *found.refusals)
        found = replace(found, verdict=False, missing="", refusals=refused)
    return replace(found, warnings=(*found.warnings, *warnings))


def _too_long(model: ModelSpec, defaults: EngineDefaults, serving: Serving | None) -> list[Problem]:
    """Return why steps are longer than `objectives.itl`, where they are."""
    seconds = intent.itl_seconds(model)
    known = None if seconds is None else intent.rates(model, defaults)
    if seconds is None or known is None:
        return []
    tokens = serving.batched_tokens or 0 if serving is not None else 0
    step = known.step(tokens)
    if not known.attains(seconds):
        why = (
            f"cannot be had: reading the weights alone takes about {known.least * 1000:.0f} ms on "
            f"{model.accelerator.type}; ask for more, or choose a smaller format, a smaller model "
            "or a faster GPU"
        )
    elif step > seconds:
        why = (
            f"are missed while prompts are computed: a step of {tokens} tokens takes about "
            f"{step * 1000:.0f} ms; steps are no shorter than {LEAST_STEP} tokens, and than "
            "engine.args, chunkedPrefill, context.concurrency and the model ask for"
        )
    else:
        return []
    return [Problem("scaling.objectives.itl", f"{seconds * 1000:.0f} ms between tokens {why}")]


def _own_image(model: ModelSpec) -> bool:
    return model.engine is not None and model.engine.image is not None


def _checked(model: ModelSpec, defaults: EngineDefaults) -> Fit:
    if model.accelerator.type == gpus.CPU:
        return Fit(model.name, None)
    gpu = _gpu(model)
    if gpu is None:
        missing = "accelerator.memory is missing: the memory of one slice or GPU"
        return Fit(model.name, None, missing)
    length = intent.max_length(model, defaults) or _number(model, "--max-model-len") or None
    if model.architecture is not None and length is None:
        return Fit(model.name, None, "context.maxLength is missing: vLLM alone knows it", gpu=gpu)
    shape = intent.shape(model, length)
    if shape is None:
        return Fit(model.name, None, _NO_SHAPE, gpu=gpu)
    serving = _serving(model, defaults, min(length or defaults.max_length, shape.max_length))
    if length is not None and length > shape.max_length:
        serving = replace(serving, context=length)
    return _judge(model, shape, gpu, serving)


_NO_SHAPE = (
    "the catalogue lacks it: give architecture (`hinf inspect` reads it from config.json), or "
    "catalog, if it is built on a known model"
)


def _judge(model: ModelSpec, shape: Shape, gpu: GPU, serving: Serving) -> Fit:
    try:
        plan = plan_memory(shape, gpu, serving)
    except ValueError as error:
        return Fit(model.name, None, f"its memory cannot be planned: {error}", gpu=gpu)
    if serving.quantization == "bitsandbytes" and plan.refusals and _own_image(model):
        missing = f"{plan.refusals[0]}; engine.image may bring it, and is not planned for"
        return Fit(model.name, None, missing, gpu=gpu)
    changes = advice(shape, gpu, serving, gpus.catalogue()) if plan.fits is not True else []
    return Fit(
        model=model.name,
        verdict=plan.fits,
        refusals=plan.refusals,
        advice=tuple(each.text for each in changes),
        warnings=_warnings(gpu),
        shape=shape,
        gpu=gpu,
        serving=serving,
        memory=plan,
    )


def _warnings(gpu: GPU) -> tuple[Problem, ...]:
    if gpu.name != "t4":
        return ()
    other = gpus.find("a10g")
    if other is None or not (gpu.bandwidth_gbs and gpu.tflops and other.bandwidth_gbs):
        return ()
    message = (
        f"a T4 has no bfloat16 and no native FP8, {gpu.bandwidth_gbs} GB/s and {gpu.tflops} TFLOPS "
        f"against the A10G's {other.bandwidth_gbs} and {other.tflops}: per token it costs more "
        "than its price per hour promises (`hinf tco --gpu t4`)"
    )
    return (Problem("accelerator.type", message),)


def _gpu(model: ModelSpec) -> GPU | None:
    """Return the GPU, with the memory that the resource states; None where nobody says it."""
    accelerator = model.accelerator
    known = gpus.find(accelerator.type)
    if accelerator.memory is not None:
        memory = quantity_bytes(accelerator.memory) // MIB
        if known is None:
            return GPU(name=accelerator.type, memory_mib=memory)
        return GPU(
            name=known.name,
            memory_mib=memory,
            compute_capability=known.compute_capability,
            bandwidth_gbs=known.bandwidth_gbs,
            tflops=known.tflops,
            fp8=known.fp8,
            usd_per_hour=known.usd_per_hour,
        )
    if known is not None and "mig" in (accelerator.resource_name or ""):
        return None
    return known


def _serving(model: ModelSpec, defaults: EngineDefaults, context: int) -> Serving:
    args = tuple(model.engine.args if model.engine else ())
    stated = values(args)
    offload = model.engine.weight_offload if model.engine else None
    cache = stated.get("--kv-cache-dtype", "auto")
    wanted = intent.intent(model, defaults)
    return Serving(
        context=context,
        version=wanted.version,
        quantization=_quantization(model, stated.get("--quantization")),
        concurrency=(model.context.concurrency if model.context else None) or 1,
        gpus=_number(model, "--tensor-parallel-size") or wanted.gpus,
        kv_cache_dtype="fp8" if cache.startswith("fp8") else "auto",
        utilization=_share(stated.get("--gpu-memory-utilization")),
        batched_tokens=_number(model, "--max-num-batched-tokens") or wanted.batched_tokens,
        sequences=_number(model, "--max-num-seqs") or wanted.sequences,
        loras=_slots(model, args),
        lora_rank=_number(model, "--max-lora-rank") or adapters.rank(model),
        weight_offload=quantity_bytes(offload.size) if offload else 0,
        eager="--enforce-eager" in options(args),
    )


def _slots(model: ModelSpec, args: tuple[str, ...]) -> int:
    """Return the slots for adapters: as raw arguments say, else one for each adapter."""
    stated = _number(model, "--max-loras")
    if model.loras:
        return stated or len(model.loras)
    return stated or 1 if "--enable-lora" in options(args) else 0


def _quantization(model: ModelSpec, stated: str | None) -> str | None:
    # vLLM's names of kernels (`awq_marlin`) begin with the name of the format.
    names = ("fp8", "awq", "gptq", "bitsandbytes", "mxfp4")
    found = next((name for name in names if (stated or "").startswith(name)), None)
    return found or model.quantization


def _number(model: ModelSpec, option: str) -> int:
    return whole(values(tuple(model.engine.args if model.engine else ())).get(option, ""))


def _share(text: str | None) -> Fraction | None:
    try:
        share = Fraction(Decimal(text)) if text else None
    except (InvalidOperation, ValueError, OverflowError):
        return None
    return share if share is not None and 0 < share <= 1 else None


def _gib(size: int) -> str:
    return f"{size / 2**30:.1f}"
