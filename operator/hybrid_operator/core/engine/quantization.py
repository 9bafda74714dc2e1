"""Bytes of weights by their format, and which GPU, model and vLLM release can run it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hybrid_operator.core.engine.architecture import Experts, Shape
from hybrid_operator.core.engine.formats import AMPERE, FORMATS, NONE, Format
from hybrid_operator.core.engine.matrices import Kind, Matrix
from hybrid_operator.core.engine.version import Version

if TYPE_CHECKING:
    from hybrid_operator.core.engine.gpus import GPU

FP8_ON_TURING = Version(0, 14)
"""Before it FP8 weights needed compute capability 8.0 (`Fp8Config.get_min_capability`)."""
BITSANDBYTES_GONE = Version(0, 28)
MXFP4_SINCE = Version(0, 10, 1)
HOPPER = (9, 0)
TRITON_KERNELS_SINCE = Version(0, 11)
"""From it vLLM's package brings the kernels that take MXFP4 experts unpadded on Hopper."""


def form_of(shape: Shape, stated: str | None) -> Format:
    """Return the weights' format: what the checkpoint was written in, unless another is stated."""
    written = shape.checkpoint
    if written is not None and stated in {None, written.name}:
        return written
    return FORMATS[stated or NONE]


def matrix_bytes(matrix: Matrix, form: Format) -> int:
    """Return the bytes of `matrix` in `form`; what is not quantized is 16-bit."""
    if matrix.kind is Kind.COPY:
        return matrix.elements * 2 if Kind.LINEAR in form.kinds else 0
    if matrix.kind not in form.kinds:
        return matrix.elements * 2
    scales = matrix.rows * form.row_bytes + matrix.parts * form.matrix_bytes
    return int(matrix.elements * form.bits / 8) + matrix.count * scales


def tile(form: Format, gpu: GPU, version: Version) -> tuple[int, int]:
    """Return the multiples that experts are padded to on `gpu`: (intermediate, hidden).

    Source: `mxfp4_round_up_hidden_size_and_intermediate_size`. gpt-oss takes 9 % more so.
    """
    if form.name != "mxfp4":
        return 1, 1
    if gpu.compute_capability is None:
        return 256, 256
    unpadded = gpu.compute_capability == HOPPER and version >= TRITON_KERNELS_SINCE
    return (64, 1) if unpadded else (128, 256)


def refusal(shape: Shape, gpu: GPU, form: Format, version: Version) -> str | None:
    """Return why `gpu` or this vLLM release cannot run `shape` in `form`."""
    name = form.name
    if not form.bits:
        return f"the checkpoint is quantized as {name}, which is not planned for"
    written = shape.checkpoint
    if written is not None and written.name != name:
        return f"the checkpoint is written in {written.name}, and vLLM does not load it as {name}"
    if name == "bitsandbytes" and version >= BITSANDBYTES_GONE:
        return f"bitsandbytes left vLLM with {BITSANDBYTES_GONE}; this is {version}"
    if name == "mxfp4":
        if version < MXFP4_SINCE:
            return f"mxfp4 came with vLLM {MXFP4_SINCE}; this is {version}"
        if not any(isinstance(part, Experts) for _, la in shape.layers for part in la.feed_forward):
            return "mxfp4 quantizes experts only, and this model has none"
    return _hardware(gpu, form, version)


def _hardware(gpu: GPU, form: Format, version: Version) -> str | None:
    capability = gpu.compute_capability
    if capability is None:
        amd = form.name == "bitsandbytes"
        return "bitsandbytes needs an NVIDIA GPU" if amd else None
    needed = form.capability
    if form.name == "fp8" and version < FP8_ON_TURING:
        needed = AMPERE
    if capability < needed:
        return (
            f"{form.name} weights need compute capability {_dotted(needed)} in vLLM {version}, "
            f"and {gpu.name} has {_dotted(capability)}"
        )
    return None


def _dotted(capability: tuple[int, int]) -> str:
    return ".".join(map(str, capability))
