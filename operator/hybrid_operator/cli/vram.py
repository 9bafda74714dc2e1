"""`hinf vram`: whether a model fits on a GPU, and what training it takes."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import click

from hybrid_operator.cli import finding
from hybrid_operator.cli.main import EXIT_NO, BadInputError, output_option
from hybrid_operator.cli.output import emit, table
from hybrid_operator.core.engine import gpus
from hybrid_operator.core.engine.advice import advice
from hybrid_operator.core.engine.defaults import CURRENT
from hybrid_operator.core.engine.formats import FORMATS
from hybrid_operator.core.engine.memory import Serving, plan_memory
from hybrid_operator.core.engine.training import Training, TrainingPlan, plan_training

if TYPE_CHECKING:
    from collections.abc import Callable

    from hybrid_operator.core.engine.architecture import Shape
    from hybrid_operator.core.engine.memory import MemoryPlan
    from hybrid_operator.core.engine.overhead import Range

GIB = 2**30
GB = 10**9
BAR = 40
_POSITIVE = finding.Whole(min=1)
_FULL_GPUS = 8

_OPTIONS: list[Callable[[Callable[..., Any]], Callable[..., Any]]] = [
    click.argument("model"),
    click.option("--gpu", help="Catalogue name (see hinf gpus), or its memory such as 48GiB."),
    click.option("--quantization", help=f"Format of the weights: {', '.join(FORMATS)}."),
    click.option("--context", type=_POSITIVE, help="Longest request in tokens."),
    click.option("--concurrency", type=_POSITIVE, default=1, help="Requests held at once."),
    click.option("--tensor-parallel", type=_POSITIVE, default=1, help="GPUs of one replica."),
    click.option("--kv-cache-dtype", type=click.Choice(["auto", "fp8"]), default="auto"),
    click.option("--gpu-memory-utilization", help="Share of CUDA's total; default: vLLM's own."),
    click.option("--max-num-seqs", type=_POSITIVE, help="Default: vLLM's own for the GPU."),
    click.option("--max-num-batched-tokens", type=_POSITIVE, help="The same of a step's tokens."),
    click.option("--loras", type=finding.Whole(min=0), default=0, help="Slots for adapters."),
    click.option("--lora-rank", type=_POSITIVE, default=16, help="Highest rank of an adapter."),
    click.option("--weight-offload", help="Weights in CPU memory for each GPU, such as 4GiB."),
    click.option("--enforce-eager", is_flag=True, help="Without CUDA graphs."),
    click.option("--vllm", default=str(CURRENT.version), show_default=True, help="Its release."),
    click.option("--train", type=click.Choice(["full", "lora", "qlora"]), help="Plan training."),
    click.option("--batch", type=_POSITIVE, default=1, help="Training: sequences per GPU."),
    click.option("--sequence", type=_POSITIVE, help="Training: tokens of a sequence."),
    click.option("--rank", type=_POSITIVE, default=16, help="Training: LoRA's rank."),
    click.option("--gpus", type=_POSITIVE, help="Training: GPUs. Default: 8 for full, else 1."),
    click.option(
        "--sharding",
        type=click.Choice(["none", "zero1", "zero2", "zero3", "fsdp"]),
        help="Training. Default: fsdp on several GPUs.",
    ),
    click.option("--checkpointing/--no-checkpointing", default=True, help="Training."),
]
SEQUENCE = 4096
"""Tokens of a training sequence where nothing is said."""


def _options(command: Callable[..., Any]) -> Callable[..., Any]:
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


@click.command()
@_options
@output_option
def vram(model: str, output: str, **asked: Any) -> None:  # noqa: ANN401  click's options
    """Say whether MODEL fits on a GPU under vLLM, or what training it takes.

    MODEL is a name of `hinf models`, a Hugging Face repository among them, or the path of a
    config.json or of its directory. Exit status 1: it does not fit for certain.
    """
    name, shape = finding.shape(model)
    if asked["train"]:
        document, text, good = _training(name, shape, asked)
    else:
        document, text, good = _serving(name, shape, asked)
    emit(document, output, text)
    if not good:
        raise click.exceptions.Exit(EXIT_NO)


def _serving(name: str, shape: Shape, asked: dict[str, Any]) -> tuple[dict[str, Any], str, bool]:
    if asked["gpu"] is None:
        raise BadInputError("--gpu is missing: a name of `hinf gpus`, or a size such as 48GiB")
    gpu = finding.gpu(asked["gpu"])
    serving = Serving(
        context=asked["context"] or min(shape.max_length, CURRENT.max_length),
        version=finding.version(asked["vllm"]),
        quantization=asked["quantization"],
        concurrency=asked["concurrency"],
        gpus=asked["tensor_parallel"],
        kv_cache_dtype=asked["kv_cache_dtype"],
        utilization=_share(asked["gpu_memory_utilization"]),
        batched_tokens=asked["max_num_batched_tokens"],
        sequences=asked["max_num_seqs"],
        loras=asked["loras"],
        lora_rank=asked["lora_rank"],
        weight_offload=finding.size("--weight-offload", asked["weight_offload"]),
        eager=asked["enforce_eager"],
    )
    try:
        plan = plan_memory(shape, gpu, serving)
    except ValueError as error:
        raise BadInputError(str(error)) from None
    changes = [each.text for each in advice(shape, gpu, serving, gpus.catalogue())]
    document = {"model": name, "gpu": gpu.name, **_document(plan, serving), "advice": changes}
    return document, _page(name, gpu, serving, plan, changes), plan.fits is True


def _share(text: str | None) -> Fraction | None:
    if text is None:
        return None
    try:
        share = Fraction(Decimal(text))
    except (InvalidOperation, ValueError, OverflowError):
        share = Fraction(0)
    if not 0 < share <= 1:
        raise BadInputError(
            f"--gpu-memory-utilization {text}: must be above 0 and at most 1, such as 0.9"
        )
    return share


def _gib(size: int) -> float:
    return round(size / GIB, 3)


def _three(name: str, sizes: Range, unit: Callable[[int], float | int]) -> dict[str, float | int]:
    return {
        name: unit(sizes.central),
        f"{name}_low": unit(sizes.low),
        f"{name}_high": unit(sizes.high),
    }


def _document(plan: MemoryPlan, serving: Serving) -> dict[str, Any]:
    return {
        "fits": plan.fits,
        "refusals": list(plan.refusals),
        "vllm": str(serving.version),
        "tensor_parallel": serving.gpus,
        "context": serving.context,
        "concurrency": serving.concurrency,
        "gpu_memory_gib": _gib(plan.listed),
        "cuda_memory_gib": _gib(plan.total),
        "usable_gib": _gib(plan.usable),
        "weights_gib": _gib(plan.weights),
        **_three("overhead_gib", plan.overhead, _gib),
        "loras_gib": _gib(plan.loras),
        **_three("kv_room_gib", plan.room, _gib),
        "kv_request_gib": _gib(plan.request),
        "kv_bytes_per_token": plan.bytes_per_token,
        "kv_bytes_per_distant_token": plan.bytes_per_distant_token,
        "kv_tokens": plan.kv_tokens,
        **_three("max_concurrent_sequences", plan.sequences, int),
        "longest_context": plan.longest,
    }


def _page(name: str, gpu: gpus.GPU, serving: Serving, plan: MemoryPlan, changes: list[str]) -> str:
    verdict = {True: "fits", False: "does not fit", "borderline": "is borderline"}[plan.fits]
    many = "" if serving.gpus == 1 else f"{serving.gpus} x "
    head = f"{name} {verdict} on {many}{gpu.name} with vLLM {serving.version}"
    parts = [head]
    if plan.refusals:
        parts.append(table(("IT CANNOT RUN THERE",), [(why,) for why in plan.refusals]))
    else:
        parts += [_breakdown(plan), _holds(plan, serving)]
    if changes:
        parts.append(table(("WHAT WOULD FIT, THE CHEAPEST FIRST",), [(each,) for each in changes]))
    return "\n\n".join(parts)


def _breakdown(plan: MemoryPlan) -> str:
    room = max(plan.room.central, 0)
    rows = [
        ("weights", plan.weights, ""),
        ("activations", plan.activations.central, _span(plan.activations)),
        ("CUDA libraries", plan.non_torch.central, _span(plan.non_torch)),
        ("CUDA graphs", plan.cuda_graphs.central, _span(plan.cuda_graphs)),
        ("position tables", plan.tables, ""),
        ("LoRA adapters", plan.loras, ""),
        ("room for KV cache", room, _span(plan.room)),
        ("left to others", plan.total - plan.usable, "by --gpu-memory-utilization"),
    ]
    scale = max(plan.total, sum(size for _, size, _ in rows))
    cells = [
        (what, f"{size / GIB:.2f}", "#" * round(BAR * size / scale), note)
        for what, size, note in rows
        if size
    ]
    total = (
        f"One GPU: {plan.listed / GIB:.2f} GiB listed by nvidia-smi, "
        f"{plan.total / GIB:.2f} GiB reported by CUDA"
    )
    return f"{total}\n\n" + table(("ON ONE GPU", "GiB", "", "LEAST TO MOST"), cells)


def _span(sizes: Range) -> str:
    if sizes.low == sizes.high:
        return ""
    return f"{sizes.low / GIB:.2f} to {sizes.high / GIB:.2f}"


def _holds(plan: MemoryPlan, serving: Serving) -> str:
    held = plan.sequences
    many = f"{held.central} ({held.low} to {held.high}), wanted {serving.concurrency}"
    rows = [
        (f"a request of {serving.context} tokens", f"{plan.request / GIB:.3f} GiB on each GPU"),
        ("a token", f"{plan.bytes_per_token / 1024:g} KiB on each GPU"),
        ("requests at once", many),
        ("tokens at once", str(plan.kv_tokens)),
    ]
    return table(("KV CACHE", ""), rows)


def _training(name: str, shape: Shape, asked: dict[str, Any]) -> tuple[dict[str, Any], str, bool]:
    count = asked["gpus"] or (_FULL_GPUS if asked["train"] == "full" else 1)
    training = Training(
        method=asked["train"],
        batch=asked["batch"],
        sequence=asked["sequence"] or min(SEQUENCE, shape.max_length),
        rank=asked["rank"],
        gpus=count,
        sharding=asked["sharding"] or ("fsdp" if count > 1 else "none"),
        checkpointing=asked["checkpointing"],
    )
    try:
        plan = plan_training(shape, training)
    except ValueError as error:
        raise BadInputError(str(error)) from None
    document: dict[str, Any] = {
        "model": name,
        "method": training.method,
        "total_gb": _gb(plan.total),
        "weights_gb": _gb(plan.weights),
        "gradients_gb": _gb(plan.gradients),
        "optimizer_gb": _gb(plan.optimizer),
        "activations_gb": _gb(plan.activations),
        "gpus": count,
        "per_gpu_gb": _gb(plan.per_gpu),
        "trained_parameters": plan.trained,
        "assumptions": list(plan.assumptions),
    }
    good = True
    if asked["gpu"] is not None:
        gpu = finding.gpu(asked["gpu"])
        good = plan.per_gpu <= gpu.cuda_bytes
        document |= {"gpu": gpu.name, "gpu_memory_gb": _gb(gpu.cuda_bytes), "fits": good}
    return document, _training_page(document, plan), good


def _gb(size: int) -> float:
    return round(size / GB, 2)


def _training_page(document: dict[str, Any], plan: TrainingPlan) -> str:
    rows = [
        ("weights", plan.weights),
        ("gradients", plan.gradients),
        ("AdamW's moments", plan.optimizer),
        ("activations and working memory", plan.activations),
    ]
    cells = [
        (what, f"{size / GB:.2f}", "#" * round(BAR * size / max(plan.total, 1)))
        for what, size in rows
    ]
    head = (
        f"{document['model']}, {document['method']}: {document['total_gb']} GB over "
        f"{plan.gpus} GPU(s), {document['per_gpu_gb']} GB on each"
    )
    parts = [head, table(("OVER ALL GPUS", "GB", ""), cells)]
    if "fits" in document:
        verdict = "fits" if document["fits"] else "does not fit"
        parts.append(f"It {verdict} on {document['gpu']} ({document['gpu_memory_gb']} GB for CUDA)")
    parts.append(table(("THIS ASSUMES",), [(each,) for each in plan.assumptions]))
    return "\n\n".join(parts)
