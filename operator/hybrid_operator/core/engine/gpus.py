"""The catalogue of accelerators (`data/gpus.toml`), read when it is first asked for."""

from __future__ import annotations

from decimal import Decimal
from functools import cache
from typing import Literal

import msgspec

from hybrid_operator.core.engine import data

CPU = "cpu"
NVIDIA = "nvidia.com/gpu"
AMD = "amd.com/gpu"
MIB = 2**20
CUDA_RESERVE_MIB = 640
"""Between what nvidia-smi lists and what CUDA reports, for a GPU that the catalogue lacks. 448 to
882 MiB in the catalogue."""


class GPU(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One kind of GPU. The head of `data/gpus.toml` says where the figures come from."""

    name: str
    memory_mib: int
    """As nvidia-smi lists it."""
    compute_capability: tuple[int, int] | None = None
    """None for what is not NVIDIA's."""
    products: tuple[str, ...] = ()
    """As GPU Feature Discovery writes them in the node label `nvidia.com/gpu.product`."""
    resource: str = NVIDIA
    cuda_mib: int = 0
    """Total that CUDA reports, of which vLLM takes its share. 0: not known."""
    bandwidth_gbs: int | None = None
    """Memory bandwidth in GB/s."""
    tflops: int | None = None
    """Dense 16-bit TFLOPS."""
    fp8: Literal["native", "weight-only", "none"] = "none"
    usd_per_hour: Decimal | None = None
    """Usual price; a resource states its own."""
    price_source: str = ""
    source: str = ""

    @property
    def bf16(self) -> bool:
        """Whether vLLM runs bfloat16 on it: compute capability 8.0 or higher."""
        return self.compute_capability is None or self.compute_capability >= (8, 0)

    @property
    def cuda_bytes(self) -> int:
        """Memory in bytes that CUDA reports."""
        return (self.cuda_mib or max(self.memory_mib - CUDA_RESERVE_MIB, 0)) * MIB


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    gpu: tuple[GPU, ...]


@cache
def catalogue() -> tuple[GPU, ...]:
    """Return every GPU of the catalogue."""
    return msgspec.toml.decode(data.text("gpus.toml"), type=_File).gpu


SHARED_SUFFIX = "-SHARED"
"""What GPU Feature Discovery appends to a product under time slicing."""


def find(name: str) -> GPU | None:
    """Return the catalogue's entry; None for `cpu` and for what it lacks."""
    row = data.rows("gpus.toml", "gpu").get(name)
    return None if row is None else _read(row)


@cache
def _read(row: str) -> GPU:
    (found,) = msgspec.toml.decode(row, type=_File).gpu
    return found
