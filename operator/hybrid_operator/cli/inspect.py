"""`hinf inspect`: what memory planning reads from a model's config.json."""

from __future__ import annotations

from typing import Any

import click

from hybrid_operator.cli import finding
from hybrid_operator.cli.main import output_option
from hybrid_operator.cli.output import emit, table
from hybrid_operator.core.engine import kv
from hybrid_operator.core.engine.architecture import (
    Attention,
    Experts,
    LatentAttention,
    LinearAttention,
    Shape,
)
from hybrid_operator.core.engine.formats import FORMATS, NONE
from hybrid_operator.core.engine.matrices import parameters
from hybrid_operator.core.engine.memory import weight_bytes
from hybrid_operator.core.engine.statespace import Mamba, Mamba2

GIB = 2**30


@click.command()
@click.argument("path")
@output_option
def inspect(path: str, output: str) -> None:
    """Read the config.json at PATH, or in the directory PATH.

    Shows what the resource's `architecture` block takes, and the bytes of weights and KV cache.
    """
    name, shape = finding.shape(path)
    document = _document(name, shape)
    emit(document, output, table(("FIELD", "VALUE"), [(k, _cell(v)) for k, v in document.items()]))


def _document(name: str, shape: Shape) -> dict[str, Any]:
    mixers = [each for _, layer in shape.layers for each in layer.mixers]
    attention = next((each for each in mixers if isinstance(each, Attention)), None)
    latent = next((each for each in mixers if isinstance(each, LatentAttention)), None)
    return {
        "model": name,
        "model_type": shape.model_type,
        "parameters": parameters(shape),
        "layers": shape.layer_count,
        "kv_heads": attention.kv_heads if attention else 1,
        "head_dimension": attention.head_dimension if attention else _width(latent),
        "sliding_window_layers": sum(
            count
            for count, layer in shape.layers
            if isinstance(layer.mixer, Attention) and layer.mixer.window
        ),
        "state_layers": sum(
            count
            for count, layer in shape.layers
            for each in layer.mixers
            if isinstance(each, (LinearAttention, Mamba, Mamba2))
        ),
        "experts": max(
            (
                part.count
                for _, layer in shape.layers
                for part in layer.feed_forward
                if isinstance(part, Experts)
            ),
            default=0,
        ),
        "max_length": shape.max_length,
        "quantization": shape.checkpoint.name if shape.checkpoint else NONE,
        "runs_in_float16": shape.float16,
        "weights_gib": round(weight_bytes(shape, shape.checkpoint or FORMATS[NONE]) / GIB, 3),
        "kv_bytes_per_token": kv.bytes_per_token(shape, 1, 2),
        "kv_bytes_per_distant_token": kv.bytes_per_distant_token(shape, 1, 2),
        "state_bytes_per_request": kv.state_bytes(shape, 1),
    }


def _width(latent: LatentAttention | None) -> int:
    return latent.rank + latent.rope if latent else 0


def _cell(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
