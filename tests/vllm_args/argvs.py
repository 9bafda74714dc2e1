"""Arguments that the project renders, of one vLLM release: of the examples and of every option."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING

import yaml
from msgspec.structs import replace

from hybrid_operator.api.read import parse_stored
from hybrid_operator.core.engine.arguments import Intent, WeightOffload, arguments
from hybrid_operator.core.engine.defaults import CURRENT
from hybrid_operator.core.engine.intent import intent
from tests.support.golden import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hybrid_operator.core.engine.version import Version

PREFETCH = WeightOffload("2Gi", "prefetch", layers=32, layer_bytes=250_937_500)


def argvs(version: Version) -> list[list[str]]:
    """Return what follows `vllm serve` for every example and for combinations of all fields."""
    found = [arguments(replace(each, version=version)).argv for each in _intents(version)]
    return [list(each) for each in dict.fromkeys(found)]


def _intents(version: Version) -> Iterator[Intent]:
    for path in sorted((ROOT / "examples").glob("*.yaml")):
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
        for model in parse_stored(document["spec"]).models:
            yield replace(intent(model, CURRENT), args=())
    base = Intent("org/model", ("small", "other"), version, gpus=1, sequences=256, shutdown=45)
    for adapters in (("sql=/adapters/sql",), ("sql=/adapters/sql", "json=org/json")):
        yield replace(base, adapters=adapters, adapter_rank=32)
    choices = product(
        (None, "fp8"),
        (None, "4Gi"),
        (None, WeightOffload("1.5Gi", "uva"), PREFETCH),
        (None, True, False),
        ((1, False), (2, False), (1, True), (0, False)),
    )
    for quantization, kv_offload, weights, flag, (gpus, half) in choices:
        yield replace(
            base,
            gpus=gpus,
            half=half,
            quantization=quantization,
            kv_offload=kv_offload,
            weight_offload=weights,
            prefix_caching=flag,
            chunked_prefill=flag,
            revision="3f2a91c" if flag else None,
            max_length=8192 if flag else None,
            batched_tokens=2048 if flag else None,
        )
