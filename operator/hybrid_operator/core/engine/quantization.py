"""Formats of weights: bytes, and which GPU, model and vLLM release can run them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hybrid_operator.core.engine.architecture import Experts, Kind, Matrix, Shape
from hybrid_operator.core.engine.version import Version

if TYPE_CHECKING:
    from hybrid_operator.core.engine.gpus import GPU

NONE = "none"
FP8_ON_TURING = Version(0, 14)
"""Before it FP8 weights needed compute capability 8.0 (`Fp8Config.get_min_capability`)."""
BITSANDBYTES_GONE = Version(0, 28)
MXFP4_SINCE = Version(0, 10, 1)
AMPERE = (8, 0)


@dataclass(frozen=True, slots=True)
class Format:
    """One format of weights.

    Sources: `create_weights` of vLLM's quantization methods. AWQ with groups of 128: 4 bits, a
    16-bit scale and a 4-bit zero per group. GPTQ: the same without zeros. bitsandbytes NF4: 4 bits
    and a 32-bit maximum per 64. MXFP4: 4 bits and an 8-bit exponent per 32.
    """

    name: str
    bits: float
    """Per weight, scales included."""
    row_bytes: int = 0
    """Per output."""
    group: int = 1
    """Inputs that share a scale: one GPU's share of them must be a multiple of it."""
    capability: tuple[int, int] = (0, 0)
    """NVIDIA's lowest compute capability."""
    kinds: tuple[Kind, ...] = (Kind.LINEAR, Kind.EXPERT)
    """What it quantizes; the rest stays 16-bit."""


FORMATS = {
    each.name: each
    for each in (
        Format(NONE, 16),
        # A 32-bit scale per output, or one per matrix: never more.
        Format("fp8", 8, row_bytes=4, capability=(7, 5)),
        Format("awq", 4 + 16 / 128 + 4 / 128, group=128, capability=(7, 5)),
        Format("gptq", 4 + 16 / 128, group=128, capability=(6, 0)),
        Format("bitsandbytes", 4 + 32 / 64, capability=(7, 0)),
        Format("mxfp4", 4 + 8 / 32, group=32, capability=AMPERE, kinds=(Kind.EXPERT,)),
    )
}
"""By the names of `spec.models[].quantization`."""


def matrix_bytes(matrix: Matrix, form: Format) -> int:
    """Return the bytes of `matrix` in `form`; what is not quantized is 16-bit."""
    if form.name == NONE or matrix.kind not in form.kinds:
        return matrix.elements * 2
    return int(matrix.elements * form.bits / 8) + matrix.rows * matrix.count * form.row_bytes


def refusal(shape: Shape, gpu: GPU, name: str, version: Version) -> str | None:
    """Return why `gpu` or this vLLM release cannot run `shape` in the format `name`."""
    form = FORMATS[name]
    capability = gpu.compute_capability
    if name == "bitsandbytes" and version >= BITSANDBYTES_GONE:
        return f"bitsandbytes left vLLM with {BITSANDBYTES_GONE}; this is {version}"
    if name == "mxfp4":
        if version < MXFP4_SINCE:
            return f"mxfp4 came with vLLM {MXFP4_SINCE}; this is {version}"
        if not any(isinstance(part, Experts) for _, la in shape.layers for part in la.feed_forward):
            return "mxfp4 quantizes experts only, and this model has none"
    if capability is None:
        return _amd(name)
    needed = form.capability
    if name == "fp8" and version < FP8_ON_TURING:
        needed = AMPERE
    if capability < needed:
        return (
            f"{name} weights need compute capability {_dotted(needed)} in vLLM {version}, "
            f"and {gpu.name} has {_dotted(capability)}"
        )
    return None


def _amd(name: str) -> str | None:
    return "bitsandbytes needs an NVIDIA GPU" if name == "bitsandbytes" else None


def _dotted(capability: tuple[int, int]) -> str:
    return ".".join(map(str, capability))
