"""Formats of weights: how many bytes they take, and what a checkpoint's config says of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from msgspec.structs import replace

from hybrid_operator.core.engine.matrices import Kind

if TYPE_CHECKING:
    from collections.abc import Mapping

NONE = "none"
AMPERE = (8, 0)
TURING = (7, 5)


class Format(msgspec.Struct, frozen=True):
    """One format of weights.

    Sources: `create_weights` of vLLM's quantization methods. AWQ with groups of 128: 4 bits, a
    16-bit scale and a 4-bit zero per group. GPTQ: the same without zeros. bitsandbytes NF4: 4 bits
    and a 32-bit maximum per 64. MXFP4: 4 bits and an 8-bit exponent per 32.
    """

    name: str
    bits: float
    """Per weight, scales of groups included."""
    row_bytes: int = 0
    """Per output."""
    matrix_bytes: int = 0
    """Per matrix of the checkpoint."""
    group: int = 1
    """Inputs that share a scale: one GPU's share of them must be a multiple of it."""
    capability: tuple[int, int] = (0, 0)
    """NVIDIA's lowest compute capability."""
    kinds: tuple[Kind, ...] = (Kind.LINEAR, Kind.EXPERT)
    """What it quantizes; the rest stays 16-bit."""


FORMATS = {
    each.name: each
    for each in (
        Format(NONE, 16, kinds=()),
        Format("fp8", 8, matrix_bytes=4, capability=TURING),
        Format("awq", 4 + 16 / 128 + 4 / 128, group=128, capability=TURING),
        Format("gptq", 4 + 16 / 128, group=128, capability=(6, 0)),
        Format("bitsandbytes", 4 + 32 / 64, capability=(7, 0)),
        # Its groups of 32 divide no further: vLLM pads what does not divide.
        Format("mxfp4", 4 + 8 / 32, capability=AMPERE, kinds=(Kind.EXPERT,)),
    )
}
"""By the names of `spec.models[].quantization`, as they are usually written."""

INT8 = Format("int8", 8, row_bytes=4, capability=TURING)
"""8-bit weights and activations with a scale per output (compressed-tensors' W8A8)."""
NVFP4 = Format("nvfp4", 4 + 8 / 16, matrix_bytes=4, group=16, capability=TURING)
BLOCK = 128
"""Rows and columns of FP8 weights that share a scale, where a checkpoint says nothing else."""


def written(config: Mapping[str, Any]) -> Format | None:
    """Return the format that `quantization_config` of a config.json describes.

    One that is not planned for comes back with its own name and 0 bits.
    """
    method = str(config.get("quant_method", "")).removesuffix("_marlin")
    read = _METHODS.get(method)
    if read is not None:
        return read(config)
    return FORMATS.get(method) or (Format(method, 0) if method else None)


def _number(config: Mapping[str, Any], name: str, default: int) -> int:
    value = config.get(name)
    return value if isinstance(value, int) and value else default


def _grouped(name: str, config: Mapping[str, Any], *, zeros: bool) -> Format:
    """Return a format of whole numbers in groups; a group of -1 is a whole row."""
    bits = _number(config, "bits", 4)
    group = _number(config, "group_size", 128)
    whole_rows = group < 1
    scale = 0.0 if whole_rows else (16 + (bits if zeros else 0)) / group
    return replace(
        FORMATS[name],
        bits=bits + scale,
        row_bytes=2 if whole_rows else 0,
        group=1 if whole_rows else group,
    )


def _awq(config: Mapping[str, Any]) -> Format:
    return _grouped("awq", config, zeros=config.get("zero_point") is not False)


def _gptq(config: Mapping[str, Any]) -> Format:
    return _grouped("gptq", config, zeros=config.get("sym") is False)


def _fp8(config: Mapping[str, Any]) -> Format:
    block = config.get("weight_block_size")
    if not isinstance(block, list) or len(block) != len("rc"):
        return FORMATS["fp8"]
    sides = [int(each) if isinstance(each, int) and each > 0 else BLOCK for each in block]
    scale = 32 / (sides[0] * sides[1])
    return replace(FORMATS["fp8"], bits=8 + scale, matrix_bytes=0, group=sides[1])


_FP8_ROWS = replace(FORMATS["fp8"], matrix_bytes=0, row_bytes=4)
"""With a scale per output."""


def _modelopt(config: Mapping[str, Any]) -> Format:
    algorithm = str(config.get("quant_algo", "")).upper()
    known = {"FP8": FORMATS["fp8"], "NVFP4": NVFP4}
    return known.get(algorithm, Format(f"modelopt {algorithm}".strip(), 0))


def _bitsandbytes(config: Mapping[str, Any]) -> Format:
    return INT8 if config.get("load_in_8bit") else FORMATS["bitsandbytes"]


def _compressed(config: Mapping[str, Any]) -> Format:
    """Read compressed-tensors' first group; mixed checkpoints are planned as all of it."""
    groups = config.get("config_groups")
    first = next(iter(groups.values()), None) if isinstance(groups, dict) else None
    weights = first.get("weights") if isinstance(first, dict) else None
    if not isinstance(weights, dict):
        return Format("compressed-tensors", 0)
    bits, kind = _number(weights, "num_bits", 8), weights.get("type", "int")
    group = _number(weights, "group_size", -1)
    by_block = weights.get("strategy") == "block"
    if kind == "float" and bits == _FOUR:
        return NVFP4
    if kind == "float":
        return (
            _fp8({"weight_block_size": weights.get("block_structure")}) if by_block else _FP8_ROWS
        )
    if weights.get("strategy") == "group" or bits == _FOUR:
        return _gptq({"bits": bits, "group_size": group, "sym": weights.get("symmetric")})
    return INT8


_FOUR = 4
_METHODS = {
    "awq": _awq,
    "auto_awq": _awq,
    "gptq": _gptq,
    "auto_gptq": _gptq,
    "fp8": _fp8,
    "fbgemm_fp8": lambda _: _FP8_ROWS,
    "modelopt": _modelopt,
    "modelopt_fp4": lambda _: NVFP4,
    "bitsandbytes": _bitsandbytes,
    "compressed-tensors": _compressed,
}
