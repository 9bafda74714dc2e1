"""Write docs/planner-accuracy.md: the planner beside vLLM's code, start-ups and two other tools."""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hybrid_operator.core.engine import kv, memory
from hybrid_operator.core.engine.matrices import slot_elements
from tests.accuracy import grid

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

GIB = 2**30
PAGE = grid.ROOT / "docs/planner-accuracy.md"
H100_ACTIVATIONS = {
    "llama": 1.89,
    "mistral": 1.89,
    "phi3": 1.52,
    "qwen2": 2.25,
    "qwen3": 2.21,
    "qwen3_moe": 2.68,
    "gemma2": 3.65,
    "gemma3": 3.94,
}
"""GiB that llm-d-planner 0.3.3 measured on H100 with vLLM 0.19 (`vllm_memory_constants.json`)."""
H100_LIBRARIES = {1: 0.27, 2: 2.10, 4: 2.10}
"""The same for what is not PyTorch's, by tensor parallel size."""


@dataclass(frozen=True, slots=True)
class Error:
    """One cell's difference, in percent of vLLM's figure."""

    cell: str
    percent: float


def weight_errors() -> list[Error]:
    """Return the planner's weights against vLLM's model classes, once per model, format and TP."""
    return [
        Error(_weights_name(each), 100 * (each.planned / each.bytes - 1))
        for each in grid.weights()
        if each.bytes is not None
    ]


def _weights_name(each: grid.Weights) -> str:
    where = {None: "", True: " on Hopper", False: " but on Hopper"}[each.hopper]
    return f"{each.model} {each.quantization}{where}, tensor parallel {each.gpus}"


def slot_errors() -> list[Error]:
    """Return the planner's slots for LoRA adapters against vLLM's."""
    return [
        Error(f"{each.model}, tensor parallel {each.gpus}", 100 * (ours / each.slot_bytes - 1))
        for each in grid.weights()
        if each.slot_bytes is not None
        and (ours := slot_elements(grid.shape(each.model), _RANK, each.gpus) * 2)
    ]


_RANK = 16


@dataclass(frozen=True, slots=True)
class Cache:
    """One row of KV cache: the planner's bytes and vLLM's."""

    cell: str
    ours: tuple[int, int]
    """Bytes per token, and per request."""
    theirs: tuple[int, int]


def caches() -> list[Cache]:
    """Return every row of KV cache that vLLM's block manager was asked about."""
    found = []
    for row in grid.rows("vllm_kv.csv"):
        shape = grid.shape(row["model"])
        count, batched = int(row["gpus"]), int(row["batched_tokens"])
        size = 1 if row["kv_cache_dtype"] == "fp8" else 2
        schedule = kv.Schedule(batched, 256, grid.VERSION)
        ours = (
            kv.bytes_per_token(shape, count, size),
            kv.pool(shape, count, size, schedule).request_bytes(int(row["context"])),
        )
        theirs = (int(row["bytes_per_token"]), int(row["request_bytes"]))
        found.append(Cache(_kv_name(row), ours, theirs))
    return found


def _kv_name(row: dict[str, str]) -> str:
    return (
        f"{row['model']}, tensor parallel {row['gpus']}, {row['kv_cache_dtype']}, "
        f"{row['context']} tokens, batches of {row['batched_tokens']}"
    )


@dataclass(frozen=True, slots=True)
class Verdict:
    """One cell: what the planner says, and what vLLM's figures say."""

    cell: grid.Cell
    says: str
    """yes, no, borderline or refused."""
    truth: str
    """yes, no, unclear or refused."""


def verdicts() -> list[Verdict]:
    """Return the planner's answer for every cell beside the one that independent figures give."""
    least, most = _measured_overheads()
    return [_verdict(cell, least, most) for cell in grid.cells()]


def _verdict(cell: grid.Cell, least: float, most: dict[bool, float]) -> Verdict:
    plan = cell.plan
    said = {True: "yes", False: "no", "borderline": "borderline"}[plan.fits]
    says = "refused" if plan.refusals else said
    if cell.weights is None:
        return Verdict(cell, says, "refused")
    if plan.refusals:
        return Verdict(cell, says, "unclear")
    shape = grid.shape(cell.model)
    if cell.gpu == "h100" and shape.model_type in H100_ACTIVATIONS:
        highest = H100_ACTIVATIONS[shape.model_type] + H100_LIBRARIES[cell.gpus]
        lowest = H100_ACTIVATIONS[shape.model_type]
    else:
        highest, lowest = most[bool(shape.towers)], least
    left = plan.usable - cell.weights - cell.request
    truth = "yes" if left >= highest * GIB else "no" if left < lowest * GIB else "unclear"
    return Verdict(cell, says, truth)


def _measured_overheads() -> tuple[float, dict[bool, float]]:
    """Return the least of all start-ups, and the most without and with encoders, in GiB."""
    found = [
        (s.plan.usable / GIB - s.row["weights_gib"] - s.row["kv_gib"], s.row["model"])
        for s in grid.start_ups()
    ]
    towers = {name: bool(grid.shape(name).towers) for _, name in found}
    return min(size for size, _ in found), {
        False: max(size for size, name in found if not towers[name]),
        True: max(size for size, _ in found),
    }


def percentile(errors: Sequence[Error], share: float) -> float:
    """Return the absolute error that `share` of the cells stay within."""
    sizes = sorted(abs(error.percent) for error in errors)
    return sizes[min(int(len(sizes) * share), len(sizes) - 1)]


def page() -> str:
    """Return the document."""
    parts = [_head(), _weights(), _slots(), _caches(), _rooms(), _verdicts(), _peers()]
    return "\n\n".join(parts) + "\n"


def _head() -> str:
    count = len(grid.cells())
    return (
        "# How exact the planner is\n\n"
        "Written by `make planner-accuracy`; do not edit. The reference is vLLM's own code: its "
        "model classes, built without memory as one rank of a tensor parallel group, and its KV "
        f"cache manager ({grid.made_by('vllm_weights.csv')}). `make test` holds the planner "
        "against the stored reference, without vLLM.\n\n"
        f"The grid has {count} cells of model, GPU ({', '.join(grid.GPU_GB)}), weights' format, "
        "context and tensor parallel size. GiB is 2^30 bytes."
    )


def _table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = [" | ".join(head), " | ".join("---" for _ in head)]
    lines += [" | ".join(map(str, row)) for row in rows]
    return "\n".join(f"| {line} |" for line in lines)


def _weights() -> str:
    errors = weight_errors()
    worst = sorted(errors, key=lambda error: -abs(error.percent))[:8]
    return (
        "## Weights\n\n"
        f"{len(errors)} combinations of model, format and tensor parallel size: 95 % are within "
        f"{percentile(errors, 0.95):.2f} %, all within {percentile(errors, 1):.2f} %. The largest "
        "errors:\n\n"
        + _table(("cell", "error %"), ((e.cell, f"{e.percent:+.3f}") for e in worst))
        + "\n\nGPTQ is counted without the zero points that vLLM reads and drops after loading. "
        "Small matrices whose share is not split (norms, per-layer projections of Gemma 4) make "
        "the rest. MXFP4 is as the kernels of Hopper and of other GPUs pad it; latent attention "
        "(DeepSeek) with the 16-bit copies that vLLM makes of its expansion once it is loaded."
    )


def _slots() -> str:
    errors = slot_errors()
    wrong = [each for each in errors if abs(each.percent) > _EXACT]
    named = "".join(f"\n- {each.cell}: {each.percent:+.2f} %" for each in wrong[:8])
    return (
        "## LoRA slots\n\n"
        f"Of {len(errors)} combinations of model and tensor parallel size, a slot of rank {_RANK} "
        f"takes what vLLM's takes in {len(errors) - len(wrong)}."
        + (f" The others:\n{named}" if named else "")
        + "\n\nExperts are not among them: their slots need a GPU."
    )


_EXACT = 0.01
"""Percent."""


def _caches() -> str:
    rows = caches()
    token = sum(row.ours[0] == row.theirs[0] for row in rows)
    exact = sum(row.ours[1] == row.theirs[1] for row in rows)
    wrong = [row for row in rows if row.ours != row.theirs]
    named = "\n".join(f"- {row.cell}: {row.ours} instead of {row.theirs}" for row in wrong[:8])
    return (
        "## KV cache\n\n"
        f"{len(rows)} combinations of model, tensor parallel size, cache type, context and batch: "
        f"bytes per token equal in {token}, bytes of one request equal in {exact}. Sliding "
        "windows, Llama 4's chunks, shared keys of Gemma 4, states of linear attention and Mamba, "
        "and copies under tensor parallelism are among them." + (f"\n\n{named}" if named else "")
    )


def _rooms() -> str:
    found = grid.start_ups()
    inside = sum(s.plan.room.low <= s.room <= s.plan.room.high for s in found)
    rows = (
        (
            s.name,
            f"{s.row['weights_gib']:.2f}",
            f"{s.plan.weights / GIB:.2f}",
            f"{s.row['kv_gib']:.2f}",
            f"{s.plan.room.low / GIB:.2f}",
            f"{s.plan.room.central / GIB:.2f}",
            f"{s.plan.room.high / GIB:.2f}",
        )
        for s in found
    )
    head = ("start-up", "loaded GiB", "planned", "room GiB", "least", "usual", "most")
    return (
        "## Room for the KV cache\n\n"
        f"What vLLM printed at {len(found)} published start-ups; {inside} lie between the "
        "planner's least and most. Sources stand in `tests/golden/planner/startup_logs.toml`.\n\n"
        + _table(head, rows)
        + "\n\nThe overheads were fitted to these and to llm-d-planner's measurements on H100, so "
        "this shows that the ranges hold, not how they do elsewhere. Where vLLM quantizes to FP8 "
        "while it loads, a 16-bit layer on its way counts into what it reports as loaded."
    )


def _verdicts() -> str:
    counted = Counter((v.says, v.truth) for v in verdicts())
    says = ("yes", "borderline", "no", "refused")
    truths = ("yes", "unclear", "no", "refused")
    rows = ((said, *(counted[said, truth] for truth in truths)) for said in says)
    wrong = counted["yes", "no"] or "there is none"
    head = ("the planner", *(f"by vLLM's figures: {truth}" for truth in truths))
    return (
        "## Verdicts\n\n"
        "One request of the context, with vLLM's weights, vLLM's KV cache, and overheads that are "
        "not the planner's: llm-d-planner's measurements on H100, the least and most of the "
        "start-ups elsewhere. Between them it is unclear.\n\n" + _table(head, rows) + "\n\n"
        f'A "yes" that is a no would be an engine that fails to start: {wrong}. Cells that '
        "vLLM refuses to build are refused with the reason; the planner refuses more, because "
        "vLLM's code on a CPU does not look at the GPU (bfloat16 on T4, formats, releases) nor at "
        "the longest context."
    )


def _peers() -> str:
    reference = {
        (r["model"], int(r["gpus"]), int(r["context"]), int(r["batched_tokens"])): r
        for r in grid.rows("vllm_kv.csv")
        if r["kv_cache_dtype"] == "auto"
    }
    rows, off = [], Counter[str]()
    total = 0
    for row in grid.rows("peers.csv"):
        gpus, context = int(row["gpus"]), int(row["context"])
        batched = grid.BATCHED.get(row["gpu"], 2048)
        truth = reference.get((row["model"], gpus, context, batched))
        if truth is None:
            continue
        total += 1
        exact = int(truth["request_bytes"])
        off["ours"] += abs(_request(row, batched) - exact) > 0.01 * exact
        for peer in ("llm_d", "hf_mem"):
            # Neither shares the cache out over GPUs.
            off[peer] += abs(int(row[f"{peer}_request_bytes"]) / gpus - exact) > 0.01 * exact
        if gpus == 1 and row["gpu"] in {"a10g", "h100"} and context == 131072:
            rows.append(_peer_row(row, exact))
    head = ("cell", "vLLM KV GiB", "ours", "llm-d-planner", "hf-mem", "room ours", "llm-d-planner")
    return (
        "## Beside llm-d-planner and hf-mem\n\n"
        f"{grid.made_by('peers.csv')}, on {total} cells. One request's KV cache is off by more "
        f"than 1 % in {off['llm_d']} cells of llm-d-planner, {off['hf_mem']} of hf-mem and "
        f"{off['ours']} of the planner. At 131,072 tokens:\n\n" + _table(head, rows) + "\n\n" + _WHY
    )


def _request(row: dict[str, str], batched: int) -> int:
    schedule = kv.Schedule(batched, 256, grid.VERSION)
    pool = kv.pool(grid.shape(row["model"]), int(row["gpus"]), 2, schedule)
    return pool.request_bytes(int(row["context"]))


_WHY = """Where they differ, and why:

- llm-d-planner takes a GPU's nominal GB as GiB (24 for an A10G, of which CUDA reports 21.99), so
  its room is too large by 1.9 GiB there and by 0.8 GiB on an H100; it subtracts one activation peak
  from all GPUs of a group together; it knows no FP8 cache, no sliding windows (5.5 times too much
  for Gemma 3 4B at 131,072 tokens) and no linear layers; bitsandbytes and NVFP4 weights count 0
  bytes. Its 16-bit weights are right.
- hf-mem reserves full length for sliding windows of mixed models (its comment says so: an upper
  bound), and shares nothing out over GPUs. Without windows it equals vLLM on one GPU. It plans no
  room: it does not know the GPU.
- Neither refuses what cannot run: Gemma on a T4, ten KV heads on four GPUs, a format that the GPU
  lacks."""


def _peer_row(row: dict[str, str], exact: int) -> tuple[object, ...]:
    shape = grid.shape(row["model"])
    context = int(row["context"])
    serving = memory.Serving(context=context, version=grid.VERSION)
    plan = memory.plan_memory(shape, grid.gpu(row["gpu"]), serving)
    return (
        f"{row['model']}, {row['gpu']}",
        f"{exact / GIB:.2f}",
        f"{plan.request / GIB:.2f}",
        f"{int(row['llm_d_request_bytes']) / GIB:.2f}",
        f"{int(row['hf_mem_request_bytes']) / GIB:.2f}",
        f"{max(plan.room.central, 0) / GIB:.2f}",
        row["llm_d_room_gib"],
    )


def main() -> None:
    """Write the page, or say that it is not what it would be (`--check`)."""
    text = page()
    if "--check" in sys.argv:
        sys.exit(0 if PAGE.read_text(encoding="utf-8") == text else f"{PAGE} is out of date")
    PAGE.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
