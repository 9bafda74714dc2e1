"""`vllm serve`: from what a resource intends to the arguments of one vLLM release.

The table below says of each option since which release it exists and before which it ended.
Source, where no other is named: the argument parsers of vLLM 0.9.0 to 0.33.0.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal
from typing import Literal

import msgspec
from msgspec.structs import replace

from hybrid_operator.api.base import Problem, quantity_bytes
from hybrid_operator.core.engine.version import Version

GIB = 2**30
PORT = 8000


class WeightOffload(msgspec.Struct, frozen=True):
    """Weights that stay in CPU memory, per GPU."""

    size: str
    backend: Literal["uva", "prefetch"]
    layers: int | None = None
    """Of the model; with `layer_bytes`, what `prefetch` is planned by. None: unknown."""
    layer_bytes: int | None = None
    """Of one layer's weights on one GPU."""


class Intent(msgspec.Struct, frozen=True):
    """What one engine should be, whatever the release calls it."""

    model: str
    """Repository or directory."""
    served_names: tuple[str, ...]
    version: Version
    gpus: int
    """0 means the CPU."""
    half: bool = False
    """Whether the accelerator has no bfloat16."""
    revision: str | None = None
    max_length: int | None = None
    quantization: str | None = None
    kv_offload: str | None = None
    """Quantity of CPU memory, over all GPUs."""
    weight_offload: WeightOffload | None = None
    prefix_caching: bool | None = None
    chunked_prefill: bool | None = None
    sequences: int | None = None
    """Requests running at once; None: vLLM's own choice."""
    batched_tokens: int | None = None
    """Tokens of one step; None: vLLM's own choice."""
    shutdown: int | None = None
    """Seconds for requests under way once the engine is told to end."""
    adapters: tuple[str, ...] = ()
    """LoRA adapters, each as name=directory or name=repository."""
    adapter_rank: int | None = None
    """The highest of them."""
    args: tuple[str, ...] = ()
    """Raw arguments; an option among them replaces ours."""


class Rendered(msgspec.Struct, frozen=True):
    """Arguments after `vllm serve`, and what could not be said in them."""

    argv: tuple[str, ...]
    notes: tuple[Problem, ...] = ()
    """Paths are relative to the model (`engine.kvOffload`)."""


Values = tuple[str, ...] | None
"""Values of an option, () for a flag, None where the option is not wanted."""


class Argument(msgspec.Struct, frozen=True):
    """One option, which releases from `since` up to, not including, `before` have."""

    option: str
    values: Callable[[Intent], Values]
    since: Version | None = None
    before: Version | None = None
    field: str = ""
    """Where the resource asks for it. Empty: nobody misses it in a release that lacks it."""

    def known_to(self, version: Version) -> bool:
        """Whether this release has the option."""
        return (self.since is None or version >= self.since) and (
            self.before is None or version < self.before
        )


def arguments(intent: Intent) -> Rendered:
    """Return what follows `vllm serve` in the release of `intent`, raw arguments last."""
    intent, swapped = _without_swap_space(intent)
    argv = [intent.model]
    notes = [*swapped]
    given = {_bare(option) for option in options(intent.args)}
    for argument in ARGUMENTS:
        values = argument.values(intent)
        if values is None or _bare(argument.option) in given:
            continue
        if argument.known_to(intent.version):
            argv += _tokens(argument.option, values)
        elif argument.field:
            notes.append(Problem(argument.field, _lacks(argument, intent.version)))
    return Rendered((*argv, *intent.args), (*notes, *_offload_notes(intent)))


def options(args: tuple[str, ...]) -> list[str]:
    """Return the options in raw arguments, `--max_model_len=9` as `--max-model-len`."""
    return [name for name in map(_name, args) if name]


def values(args: tuple[str, ...]) -> dict[str, str]:
    """Return the first value of each option in raw arguments; "" for a flag."""
    found = {}
    for index, arg in enumerate(args):
        name = _name(arg)
        if not name:
            continue
        after = args[index + 1] if index + 1 < len(args) else ""
        _, given, value = arg.partition("=")
        found[name] = value if given else "" if _name(after) else after
    return found


def whole(text: str) -> int:
    """Return a value as vLLM reads it, where 4k are 4000 and 4K are 4096; 0 for no whole number."""
    found = _WHOLE.fullmatch(text)
    if found is None:
        return 0
    number, unit = found.groups()
    step = 1024 if unit.isupper() else 1000
    return int(Decimal(number) * step ** _UNITS.index(unit.lower() or " "))


_UNITS = " kmgt"
_WHOLE = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,6}(?=[kmgt]))?)([kmgtKMGT]?)")


def _name(arg: str) -> str:
    """Return the option that `arg` is; "" for a value."""
    name = arg.split("=", 1)[0]
    if name.startswith("--") and len(name) > len("--"):
        return name.replace("_", "-")
    return _SHORT.get(name, "")


SWAP_SPACE = "--swap-space"
SWAP_SPACE_GONE = Version(0, 18)


def _without_swap_space(intent: Intent) -> tuple[Intent, list[Problem]]:
    """Turn a raw `--swap-space` into KV offloading in releases that no longer know it.

    It counted GiB per GPU; `--kv-offloading-size` counts all GPUs together.
    """
    size = values(intent.args).get(SWAP_SPACE, "")
    if intent.version < SWAP_SPACE_GONE or not _SIZE.fullmatch(size):
        return intent, []
    kept = []
    skip = False
    for arg in intent.args:
        if skip:
            skip = False
        elif _name(arg) == SWAP_SPACE:
            skip = "=" not in arg
        else:
            kept.append(arg)
    total = f"{float(size) * max(intent.gpus, 1):g}Gi"
    wanted = intent.kv_offload or (total if float(size) > 0 else None)
    said = f"{SWAP_SPACE} went with vLLM {SWAP_SPACE_GONE}"
    what = f"--kv-offloading-size {wanted}" if wanted else "nothing"
    note = Problem("engine.args", f"{said}; {what} stands for it, say engine.kvOffload instead")
    return replace(intent, args=tuple(kept), kv_offload=wanted), [note]


_SIZE = re.compile("[0-9]{1,5}([.][0-9]{1,3})?")
_SHORT = {"-tp": "--tensor-parallel-size", "-q": "--quantization"}
"""Short forms of the options that this module renders."""


def _bare(option: str) -> str:
    """Return the option's name by which `--x` and `--no-x` are one."""
    return option.removeprefix("--").removeprefix("no-")


def _tokens(option: str, values: tuple[str, ...]) -> list[str]:
    if len(values) == 1:
        return [f"{option}={values[0]}"]
    return [option, *values]


def _lacks(argument: Argument, version: Version) -> str:
    if argument.since is not None and version < argument.since:
        return f"vLLM {version} has no {argument.option}; it came with {argument.since}"
    return f"vLLM {version} has no {argument.option}; it went with {argument.before}"


def _one(value: object) -> Values:
    return None if value is None else (str(value),)


def _gib(quantity: str, parts: int = 1) -> str:
    return f"{quantity_bytes(quantity) / GIB / parts:.4g}"


def _quantization(intent: Intent) -> Values:
    # Formats that a checkpoint was written in are read from its config; naming them would only
    # pick a slower kernel (`awq` instead of `awq_marlin`). These two quantize 16-bit weights as
    # they are loaded.
    in_flight = intent.quantization in {"fp8", "bitsandbytes"}
    return _one(intent.quantization) if in_flight else None


def _kv_offload(intent: Intent) -> Values:
    wanted = intent.kv_offload is not None and intent.gpus > 0
    return (_gib(intent.kv_offload),) if wanted and intent.kv_offload else None


def _kv_backend(intent: Intent) -> Values:
    return ("native",) if _kv_offload(intent) else None


def _swap_space(intent: Intent) -> Values:
    # Per GPU, where --kv-offloading-size counts all GPUs together.
    wanted = intent.kv_offload is not None and intent.gpus > 0
    return (_gib(intent.kv_offload, intent.gpus),) if wanted and intent.kv_offload else None


PREFETCH_SINCE = Version(0, 17)


def _prefetch_groups(intent: Intent) -> tuple[int, int] | None:
    """Return (layers in a group, offloaded of each); None where prefetch is not possible.

    Whole layers move: as many as hold the size asked for, spread over the model so that each is
    copied while the ones before it compute.
    """
    offload = intent.weight_offload
    if offload is None or offload.backend != "prefetch" or intent.version < PREFETCH_SINCE:
        return None
    if not offload.layers or not offload.layer_bytes:
        return None
    layers = offload.layers
    wanted = min(max(-(-quantity_bytes(offload.size) // offload.layer_bytes), 1), layers)
    groups = [
        (_moved(layers, size, part), size, part)
        for size in range(1, min(layers, _LARGEST_GROUP) + 1)
        for part in range(1, size + 1)
    ]
    # The fewest layers that are enough; of these the smallest groups, which spread them best.
    _, size, part = min(group for group in groups if group[0] >= wanted)
    return size, part


_LARGEST_GROUP = 32


def _moved(layers: int, size: int, part: int) -> int:
    """Return how many layers move where the last `part` of each `size` do (0-based `i % size`)."""
    return layers // size * part + max(0, layers % size - (size - part))


def _offload_backend(intent: Intent) -> Values:
    if intent.weight_offload is None or not intent.gpus:
        return None
    return ("prefetch",) if _prefetch_groups(intent) else ("uva",)


def _cpu_offload(intent: Intent) -> Values:
    offload = intent.weight_offload
    if offload is None or not intent.gpus or _prefetch_groups(intent):
        return None
    return (_gib(offload.size),)


def _group_size(intent: Intent) -> Values:
    groups = _prefetch_groups(intent) if intent.gpus else None
    return (str(groups[0]),) if groups else None


def _group_part(intent: Intent) -> Values:
    groups = _prefetch_groups(intent) if intent.gpus else None
    return (str(groups[1]),) if groups else None


def _offload_notes(intent: Intent) -> list[Problem]:
    notes = []
    if not intent.gpus:
        if intent.kv_offload is not None:
            notes.append(Problem("engine.kvOffload", _NO_GPU))
        if intent.weight_offload is not None:
            notes.append(Problem("engine.weightOffload", _NO_GPU))
        return notes
    offload = intent.weight_offload
    if offload is None or offload.backend != "prefetch" or _prefetch_groups(intent):
        return []
    if intent.version < PREFETCH_SINCE:
        why = f"prefetch came with vLLM {PREFETCH_SINCE}, this is {intent.version}"
    else:
        why = "prefetch moves whole layers, and the model's layers are unknown: give architecture"
    return [Problem("engine.weightOffload.backend", f"{why}; uva is used")]


_NO_GPU = "offloading moves data out of a GPU's memory; this model runs on the CPU"


def _flag(*, wanted: bool | None, form: bool) -> Values:
    return () if wanted is form else None


ARGUMENTS: tuple[Argument, ...] = (
    Argument("--served-model-name", lambda i: i.served_names),
    Argument("--host", lambda _: ("0.0.0.0",)),  # noqa: S104  a pod is reached by its address
    Argument("--port", lambda _: (str(PORT),)),
    Argument("--revision", lambda i: _one(i.revision)),
    Argument("--max-model-len", lambda i: _one(i.max_length)),
    Argument("--tensor-parallel-size", lambda i: _one(i.gpus if i.gpus > 1 else None)),
    # float16, because vLLM refuses bfloat16 below compute capability 8.0.
    Argument("--dtype", lambda i: ("half",) if i.half else None),
    Argument("--quantization", _quantization),
    Argument("--max-num-seqs", lambda i: _one(i.sequences)),
    Argument("--max-num-batched-tokens", lambda i: _one(i.batched_tokens)),
    Argument("--kv-offloading-size", _kv_offload, since=Version(0, 11, 1)),
    # Without a backend the size alone did nothing in these releases.
    Argument(
        "--kv-offloading-backend", _kv_backend, since=Version(0, 11, 1), before=Version(0, 14)
    ),
    Argument("--swap-space", _swap_space, before=Version(0, 11, 1)),
    Argument("--offload-backend", _offload_backend, since=PREFETCH_SINCE),
    Argument("--cpu-offload-gb", _cpu_offload),
    Argument("--offload-group-size", _group_size, since=PREFETCH_SINCE),
    Argument("--offload-num-in-group", _group_part, since=PREFETCH_SINCE),
    Argument("--enable-prefix-caching", lambda i: _flag(wanted=i.prefix_caching, form=True)),
    Argument("--no-enable-prefix-caching", lambda i: _flag(wanted=i.prefix_caching, form=False)),
    Argument("--enable-chunked-prefill", lambda i: _flag(wanted=i.chunked_prefill, form=True)),
    Argument("--no-enable-chunked-prefill", lambda i: _flag(wanted=i.chunked_prefill, form=False)),
    Argument("--enable-lora", lambda i: () if i.adapters else None),
    # A slot on the GPU for each, so that requests for all of them run in one step.
    Argument("--max-loras", lambda i: _one(len(i.adapters) or None)),
    Argument("--max-lora-rank", lambda i: _one(i.adapter_rank if i.adapters else None)),
    Argument("--lora-modules", lambda i: i.adapters or None),
    # Without it a pod that ends cuts its requests off (0 means abort).
    Argument("--shutdown-timeout", lambda i: _one(i.shutdown), since=Version(0, 18)),
    # Prompts never reach a log. From 0.10.1 request logs are off by default, from 0.17 the option
    # is gone.
    Argument("--disable-log-requests", lambda _: (), before=Version(0, 10, 1)),
)
