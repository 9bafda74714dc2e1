"""The grid of cells on which the planner is held against vLLM's own code, and how to read it."""

from __future__ import annotations

import csv
import tomllib
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hybrid_operator.cli import finding
from hybrid_operator.core.engine import catalog, gpus, huggingface, memory
from hybrid_operator.core.engine.quantization import form_of, tile
from hybrid_operator.core.engine.version import Version, parse

if TYPE_CHECKING:
    from hybrid_operator.core.engine.architecture import Shape
    from hybrid_operator.core.engine.formats import Format

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / "tests/golden/planner"
MODELS = ROOT / "operator/hybrid_operator/core/engine/data/models.toml"
MORE = Path(__file__).with_name("models.toml")
"""Models that the catalogue lacks."""
VERSION = Version(0, 32)
"""The release whose code made the reference."""
GPU_GB = {"t4": 16, "a10g": 24, "l4": 24, "l40s": 48, "a100-80gb": 80, "h100": 80}
"""GPUs of the grid with the memory in GB that their names promise, which llm-d-planner takes."""
CONTEXTS = (8192, 32768, 131072)
COUNTS = (1, 2, 4)
"""Tensor parallel sizes of cells; weights and KV cache are held to vLLM's on 8 GPUs too."""
ON_HOPPER = " on Hopper"
"""Ends the name of a format whose kernels there take other bytes."""
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


@cache
def shape(name: str) -> Shape:
    """Return a model's architecture."""
    model = catalog.find(name)
    if model is not None:
        return model.shape
    more = tomllib.loads(MORE.read_text(encoding="utf-8"))["model"]
    return huggingface.shape(next(row["config"] for row in more if row["name"] == name))


def gpu(name: str) -> gpus.GPU:
    """Return a GPU by name or size."""
    return finding.gpu(name)


@dataclass(frozen=True, slots=True)
class Weights:
    """What vLLM's model classes hold of one model on one GPU."""

    model: str
    gpus: int
    quantization: str
    hopper: bool | None
    """Whether it is so on Hopper only, or everywhere else; None: everywhere."""
    bytes: int | None
    """None where vLLM refuses to build the model."""
    slot_bytes: int | None
    """Of one slot for LoRA adapters of rank 16; None where it was not looked at."""

    @property
    def form(self) -> Format:
        """The format that the planner takes it for."""
        return form_of(shape(self.model), self.quantization)

    @property
    def planned(self) -> int:
        """The planner's bytes."""
        card = gpu("h100" if self.hopper else "a10g")
        multiples = tile(self.form, card, VERSION)
        return memory.weight_bytes(shape(self.model), self.form, self.gpus, multiples)


def weights() -> list[Weights]:
    """Return what vLLM's model classes were asked about weights."""
    found = []
    for row in rows("vllm_weights.csv"):
        name, count = row["model"], int(row["gpus"])
        text = None if row["text_bytes"] == "refused" else int(row["text_bytes"])
        # Encoders are not part of the text model that vLLM built: 16-bit, shared out.
        towers = -(-shape(name).towers // count) * 2
        on_hopper = row["quantization"].endswith(ON_HOPPER)
        form = row["quantization"].removesuffix(ON_HOPPER)
        found.append(
            Weights(
                model=name,
                gpus=count,
                quantization=form,
                hopper=on_hopper if form == "mxfp4" else None,
                bytes=None if text is None else text + towers,
                slot_bytes=int(row["slot_bytes"]) if row["slot_bytes"] else None,
            )
        )
    return found


@cache
def cells() -> tuple[Cell, ...]:
    """Return every cell that vLLM's code was asked about, on every GPU of the grid."""
    requests = {
        (r["model"], int(r["gpus"]), int(r["context"]), int(r["batched_tokens"])): int(
            r["request_bytes"]
        )
        for r in rows("vllm_kv.csv")
        if r["kv_cache_dtype"] == "auto"
    }
    found = []
    for each in weights():
        for card in GPU_GB:
            if each.gpus not in COUNTS or each.hopper not in {None, card == "h100"}:
                continue
            for context in CONTEXTS:
                key = (each.model, each.gpus, context, BATCHED.get(card, 2048))
                if each.bytes is None or key in requests:
                    found.append(
                        Cell(
                            each.model,
                            card,
                            each.quantization,
                            context,
                            each.gpus,
                            each.bytes,
                            requests.get(key, 0),
                        )
                    )
    return tuple(found)


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
