"""`hinf gpus`: the catalogue of accelerators."""

from __future__ import annotations

import click

from hybrid_operator.cli.main import output_option
from hybrid_operator.cli.output import emit, table
from hybrid_operator.core.engine.gpus import MIB, catalogue

GIB = 2**30


@click.command()
@output_option
def gpus(output: str) -> None:
    """List the GPUs that `accelerator.type` knows by name.

    Memory is what nvidia-smi lists, in MiB; CUDA reports less, in GiB, and vLLM takes its share of
    that. Prices are usual ones; a resource states its own. Any other GPU works with
    `accelerator.memory` stated.
    """
    rows = [
        {
            "name": gpu.name,
            "memory_mib": gpu.memory_mib,
            "memory_gib": round(gpu.memory_mib * MIB / GIB, 2),
            "cuda_gib": round(gpu.cuda_bytes / GIB, 2),
            "bandwidth_gbs": gpu.bandwidth_gbs,
            "tflops": gpu.tflops,
            "compute_capability": ".".join(map(str, gpu.compute_capability or ())) or None,
            "bf16": gpu.bf16,
            "fp8": gpu.fp8,
            "usd_per_hour": str(gpu.usd_per_hour) if gpu.usd_per_hour else None,
            "price_source": gpu.price_source,
            "resource": gpu.resource,
            "products": list(gpu.products),
            "source": gpu.source,
        }
        for gpu in catalogue()
    ]
    cells = [
        (
            row["name"],
            row["memory_mib"],
            row["cuda_gib"],
            row["compute_capability"] or "-",
            "yes" if row["bf16"] else "no",
            row["fp8"],
            row["usd_per_hour"] or "-",
            ", ".join(gpu.products) or gpu.resource,
        )
        for row, gpu in zip(rows, catalogue(), strict=True)
    ]
    head = ("NAME", "MEMORY MiB", "CUDA GiB", "CC", "BF16", "FP8", "USD/h", "NODE LABEL")
    emit(rows, output, table(head, cells))
