# mypy: ignore-errors
# Its imports are in environments of their own, which the type checker does not see.
"""What llm-d-planner and hf-mem say of the same cells: written to CSV, read by tests without them.

Runs beside vLLM's environment, with both packages on the path. Neither is asked for weights (they
read the Hub for them): llm-d-planner gets the planner's own total, hf-mem none.
"""

from __future__ import annotations

import csv
import tomllib
from importlib.metadata import version
from types import SimpleNamespace
from typing import Any

from hf_mem.safetensors.kv_cache import compute_safetensors_kv_cache_size
from planner import capacity_planner
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from hybrid_operator.core.engine.catalog import find
from hybrid_operator.core.engine.formats import FORMATS
from hybrid_operator.core.engine.memory import weight_bytes
from tests.accuracy.grid import GOLDEN, GPU_GB, MODELS

GIB = 2**30
CONTEXTS = (8192, 32768, 131072)
ARCHITECTURES = {
    "llama": "LlamaForCausalLM",
    "mistral": "MistralForCausalLM",
    "phi3": "Phi3ForCausalLM",
    "qwen2": "Qwen2ForCausalLM",
    "qwen3": "Qwen3ForCausalLM",
    "qwen3_moe": "Qwen3MoeForCausalLM",
    "gemma2": "Gemma2ForCausalLM",
    "gemma3": "Gemma3ForConditionalGeneration",
    "gpt_oss": "GptOssForCausalLM",
}


def configuration(row: dict[str, Any]) -> Any:
    """Return transformers' configuration of a catalogue row."""
    fields = dict(row["config"])
    kind = fields.pop("model_type")
    config = CONFIG_MAPPING[kind](**fields)
    config.architectures = [ARCHITECTURES.get(kind, kind)]
    config.dtype = "bfloat16"
    return config


def rows_of(row: dict[str, Any]) -> list[dict[str, Any]]:
    """Return both peers' answers for one model."""
    name = row["name"]
    config = configuration(row)
    text = row["config"].get("text_config", row["config"])
    shape = find(name).shape
    weights = weight_bytes(shape, shape.checkpoint or FORMATS["none"]) / GIB
    capacity_planner.model_memory_req = lambda *_, **__: weights
    rows = []
    for gpu, size in GPU_GB.items():
        for gpus in (1, 2, 4):
            room = capacity_planner.allocatable_kv_cache_memory(name, config, size, 0.92, tp=gpus)
            for context in CONTEXTS:
                detail = capacity_planner.KVCacheDetail(name, config, context)
                rows.append(
                    {
                        "model": name,
                        "gpu": gpu,
                        "gpus": gpus,
                        "context": context,
                        "llm_d_room_gib": round(room / gpus, 3),
                        "llm_d_request_bytes": int(detail.per_request_kv_cache_bytes),
                        "hf_mem_request_bytes": compute_safetensors_kv_cache_size(
                            SimpleNamespace(**text).__dict__, "BF16", context
                        ),
                    }
                )
    return rows


def main() -> None:
    """Ask both for every model that both can describe."""
    rows: list[dict[str, Any]] = []
    for row in tomllib.loads(MODELS.read_text(encoding="utf-8"))["model"]:
        try:
            rows += rows_of(row)
        except Exception as error:  # noqa: BLE001  a model that a peer does not know
            print(f"{row['name']}: {error!r:.200}")  # noqa: T201
    with (GOLDEN / "peers.csv").open("w", encoding="utf-8", newline="") as file:
        file.write(f"# llm-d-planner {version('llm-d-planner')}, hf-mem {version('hf-mem')}\n")
        table = csv.DictWriter(file, rows[0], lineterminator="\n")
        table.writeheader()
        table.writerows(rows)


if __name__ == "__main__":
    main()
