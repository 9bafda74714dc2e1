"""The grid of cells on which the planner is held against vLLM's own code, and how to read it."""

from __future__ import annotations

import csv
import tomllib
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from hybrid_operator.cli import finding
from hybrid_operator.core.engine import catalog, gpus, memory
from hybrid_operator.core.engine.version import Version, parse

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / "tests/golden/planner"
MODELS = ROOT / "operator/hybrid_operator/core/engine/data/models.toml"
VERSION = Version(0, 32)
"""The release whose code made the reference."""
GPU_GB = {"t4": 16, "a10g": 24, "l4": 24, "l40s": 48, "a100-80gb": 80, "h100": 80}
"""GPUs of the grid with the memory in GB that their names promise, which llm-d-planner takes."""
CONTEXTS = (8192, 32768, 131072)
BATCHED = {"h100": 8192}
"""`--max-num-batched-tokens` that vLLM chooses; 2048 on the others."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One combination, with what vLLM's code says of it."""

    model: str
    gpu: str
    quantization: str
    context: int
    gpus: int
    weights: int | None
    """vLLM's bytes on one GPU; None where vLLM refuses to build the model."""
    request: int
    """vLLM's bytes of one request on one GPU."""

    @property
    def plan(self) -> memory.MemoryPlan:
        """What the planner says."""
        return memory.plan_memory(shape(self.model), gpu(self.gpu), self.serving)

    @property
    def serving(self) -> memory.Serving:
        """The cell as the planner is asked."""
        return memory.Serving(
            context=self.context,
            version=VERSION,
            quantization=self.quantization,
            gpus=self.gpus,
        )

    def __str__(self) -> str:
        return f"{self.model} {self.quantization}, {self.gpus} x {self.gpu}, {self.context} tokens"


def rows(name: str) -> list[dict[str, str]]:
    """Return the rows of a reference file; its first line names the versions that made it."""
    lines = (GOLDEN / name).read_text(encoding="utf-8").splitlines()
    return list(csv.DictReader(lines[1:]))


def made_by(name: str) -> str:
    """Return the versions that made a reference file."""
    return (GOLDEN / name).read_text(encoding="utf-8").splitlines()[0].removeprefix("# ")


def shape(name: str) -> Any:
    """Return a catalogue model's architecture."""
    model = catalog.find(name)
    assert model is not None, name
    return model.shape


def gpu(name: str) -> gpus.GPU:
    """Return a GPU by name or size."""
    return finding.gpu(name)


def cells() -> list[Cell]:
    """Return every cell that vLLM's code was asked about, on every GPU of the grid."""
    requests = {
        (r["model"], int(r["gpus"]), int(r["context"]), int(r["batched_tokens"])): int(
            r["request_bytes"]
        )
        for r in rows("vllm_kv.csv")
        if r["kv_cache_dtype"] == "auto"
    }
    found = []
    for row in rows("vllm_weights.csv"):
        count, name = int(row["gpus"]), row["model"]
        text = None if row["text_bytes"] == "refused" else int(row["text_bytes"])
        for each in GPU_GB:
            for context in CONTEXTS:
                key = (name, count, context, BATCHED.get(each, 2048))
                if text is not None and key not in requests:
                    continue
                # Encoders are not part of the text model that vLLM built: 16-bit, shared out.
                towers = -(-shape(name).towers // count) * 2
                weights = None if text is None else text + towers
                found.append(
                    Cell(
                        name,
                        each,
                        row["quantization"],
                        context,
                        count,
                        weights,
                        requests.get(key, 0),
                    )
                )
    return found


@dataclass(frozen=True, slots=True)
class StartUp:
    """One published start of vLLM, and the planner's answer."""

    row: dict[str, Any]
    plan: memory.MemoryPlan

    @property
    def name(self) -> str:
        """The cell in words."""
        r = self.row
        form = r.get("quantization", "none")
        return f"{r['model']} {form}, {r.get('gpus', 1)} x {r['gpu']}, vLLM {r['version']}"

    @property
    def room(self) -> int:
        """Bytes that vLLM had for its KV cache."""
        return int(self.row["kv_gib"] * 2**30)


def start_ups() -> list[StartUp]:
    """Return the published start-ups."""
    text = (GOLDEN / "startup_logs.toml").read_text(encoding="utf-8")
    return [StartUp(row, _planned(row)) for row in tomllib.loads(text)["log"]]


def _planned(row: dict[str, Any]) -> memory.MemoryPlan:
    serving = memory.Serving(
        context=row["context"],
        version=parse(row["version"]),
        quantization=row.get("quantization", "none"),
        gpus=row.get("gpus", 1),
        utilization=Fraction(row["utilization"]),
        batched_tokens=row.get("batched_tokens"),
        sequences=row.get("sequences"),
        eager=row.get("eager", False),
    )
    return memory.plan_memory(shape(row["model"]), gpu(row["gpu"]), serving)
