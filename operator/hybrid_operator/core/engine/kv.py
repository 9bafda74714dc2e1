"""The KV cache: bytes of a request, as vLLM's own block manager counts them.

Source: `vllm/v1/kv_cache_interface.py` and `vllm/v1/core/kv_cache_utils.py` of vLLM 0.32. All
sizes are those of one GPU.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import msgspec
from msgspec.structs import replace

from hybrid_operator.core.engine.architecture import Attention, LinearAttention
from hybrid_operator.core.engine.statespace import Mamba, Mamba2
from hybrid_operator.core.engine.version import Version

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hybrid_operator.core.engine.architecture import Mixer, Shape

BLOCK = 16
"""Tokens of a block on CUDA (`CacheConfig.DEFAULT_BLOCK_SIZE`)."""
STATES_PER_REQUEST = 2
"""Of a linear layer where prefix caching is on, as it is by default: the last block's and this."""
MAMBA_2_STATES = 3
"""The same of Mamba 2, which keeps one more while a prompt is taken in."""
CHECKPOINTS_SINCE = Version(0, 26)
"""Before it (0.25 has none, 0.32 has them) Mamba 2 kept no more than other layers with a state."""
HYBRID_SINCE = Version(0, 9, 1)
"""Before it, layers with a window kept every token."""
TWO_BATCHES_SINCE = Version(0, 26)
"""From it, a window's layer keeps the tokens of two batches in flight, before of one."""
CHUNKED_SINCE = Version(0, 19)
"""Before it (0.10.2 to 0.19.1: the default changed between them) Llama 4's chunks kept every token
too."""
MIXED_GROUPS = 1.5
"""Up to this ratio of layers of two kinds, groups are as large as the larger kind."""


class Schedule(msgspec.Struct, frozen=True):
    """What the scheduler may hold at once."""

    batched_tokens: int
    """Of one step (`--max-num-batched-tokens`)."""
    sequences: int
    """Running at once (`--max-num-seqs`)."""
    version: Version

    @property
    def in_flight(self) -> int:
        """Tokens scheduled whose blocks are not freed yet."""
        return self.batched_tokens * (2 if self.version >= TWO_BATCHES_SINCE else 1)


class _Cache(msgspec.Struct, frozen=True):
    """What one layer keeps."""

    token_bytes: int = 0
    kept: int | None = None
    """Tokens of the window or chunk; None: all."""
    chunked: bool = False
    state_bytes: int = 0
    states: int = STATES_PER_REQUEST
    block: int = BLOCK
    """Tokens of a block."""
    padded: int = 0
    """Bytes of a page where it is larger than its content."""

    @property
    def page(self) -> int:
        """Bytes of one block of this layer."""
        return max(self.padded, self.state_bytes or self.token_bytes * self.block)

    def blocks(self, context: int, schedule: Schedule) -> int:
        """Return the blocks of one request of `context` tokens."""
        if self.state_bytes:
            return self.states
        if self.kept is None:
            return -(-context // self.block)
        if self.chunked:
            return -(-min(self.kept + schedule.in_flight, context) // self.block)
        # One more, because the window need not begin where a block does.
        return -(-min(self.kept - 1 + schedule.in_flight, context) // self.block) + 1


class Pool(msgspec.Struct, frozen=True):
    """Blocks of equal size that all layers draw from."""

    block_bytes: int
    groups: tuple[tuple[int, _Cache], ...]
    """(how many groups of layers, what each of their layers keeps)."""
    schedule: Schedule

    def request_blocks(self, context: int) -> int:
        """Return the blocks that one request of `context` tokens may take."""
        return sum(count * each.blocks(context, self.schedule) for count, each in self.groups)

    def request_bytes(self, context: int) -> int:
        """Return the bytes that one request of `context` tokens may take."""
        return self.block_bytes * self.request_blocks(context)

    def sequences(self, room: int, context: int) -> int:
        """Return how many requests of `context` tokens fit into `room` bytes at once."""
        # One block is always held back (the null block).
        return max(room // self.block_bytes - 1, 0) // max(self.request_blocks(context), 1)

    def longest(self, room: int, limit: int) -> int:
        """Return the longest request, of at most `limit` tokens, that fits into `room` bytes."""
        low, high = 0, limit
        while low < high:
            middle = (low + high + 1) // 2
            if self.sequences(room, middle):
                low = middle
            else:
                high = middle - 1
        return low


def pool(shape: Shape, gpus: int, element_bytes: int, schedule: Schedule) -> Pool:
    """Return how vLLM lays out the KV cache of `shape` on each of `gpus` GPUs.

    `element_bytes` is 2 for 16-bit keys and values, 1 for FP8.
    """
    layers = _caches(shape, gpus, element_bytes)
    if schedule.version < HYBRID_SINCE:
        layers = [replace(each, kept=None, chunked=False) for each in layers]
    elif schedule.version < CHUNKED_SINCE:
        layers = [
            replace(each, kept=None, chunked=False) if each.chunked else each for each in layers
        ]
    if schedule.version < CHECKPOINTS_SINCE:
        layers = [replace(each, states=STATES_PER_REQUEST) for each in layers]
    counted = Counter(layers)
    if all(each.kept is None and not each.state_bytes for each in counted):
        # Every layer keeps every token: one group, whatever the sizes of their pages.
        block_bytes = sum(count * each.page for each, count in counted.items())
        return Pool(block_bytes, ((1, next(iter(counted), _Cache())),), schedule)
    unified = _one_page_size(counted)
    size = _group_size(unified.values())
    groups = tuple((-(-count // size), each) for each, count in unified.items())
    return Pool(size * max(each.page for each in unified), groups, schedule)


def bytes_per_token(shape: Shape, gpus: int, element_bytes: int) -> int:
    """Return what one token takes in all layers that keep it."""
    return sum(each.token_bytes for each in _caches(shape, gpus, element_bytes))


def bytes_per_distant_token(shape: Shape, gpus: int, element_bytes: int) -> int:
    """Return what one token takes once every window has moved past it."""
    layers = _caches(shape, gpus, element_bytes)
    return sum(each.token_bytes for each in layers if each.kept is None)


def state_bytes(shape: Shape, gpus: int) -> int:
    """Return what layers keep of a request whatever its length, in one state each."""
    return sum(each.state_bytes for each in _caches(shape, gpus, 2))


def bytes_read(shape: Shape, gpus: int, element_bytes: int, context: int) -> int:
    """Return what one step reads of a request that has `context` tokens, windows counted."""
    return sum(
        each.state_bytes + each.token_bytes * min(context, each.kept or context)
        for each in _caches(shape, gpus, element_bytes)
    )


def _caches(shape: Shape, gpus: int, element_bytes: int) -> list[_Cache]:
    found: list[_Cache] = []
    for count, layer in shape.layers:
        for mixer in layer.mixers:
            cache = _cache(mixer, gpus, element_bytes)
            if cache is not None:
                found += [cache] * count
    return _aligned(found)


def _cache(mixer: Mixer, gpus: int, element_bytes: int) -> _Cache | None:
    if isinstance(mixer, LinearAttention):
        return _Cache(state_bytes=_state(mixer, gpus))
    if isinstance(mixer, Mamba):
        return _Cache(state_bytes=mixer.state_bytes(gpus))
    if isinstance(mixer, Mamba2):
        return _Cache(state_bytes=mixer.state_bytes(gpus), states=MAMBA_2_STATES)
    if not isinstance(mixer, Attention):
        # The compressed vector serves all heads: every GPU keeps all of it.
        return _Cache((mixer.rank + mixer.rope) * element_bytes)
    if mixer.shares_kv:
        return None
    heads = max(1, mixer.kv_heads // gpus)
    token = 2 * heads * mixer.head_dimension * element_bytes
    return _Cache(token, mixer.window or mixer.chunk, chunked=mixer.chunk is not None)


def _state(mixer: LinearAttention, gpus: int) -> int:
    keys = mixer.key_heads * mixer.key_dimension
    values = mixer.value_heads * mixer.value_dimension
    convolution = (2 * keys + values) // gpus * (mixer.kernel - 1) * 2
    recurrent = mixer.value_heads // gpus * mixer.value_dimension * mixer.key_dimension
    return convolution + recurrent * mixer.state_bytes


def _aligned(layers: list[_Cache]) -> list[_Cache]:
    """Raise blocks until a page holds a linear layer's state, as vLLM does."""
    state = max((each.state_bytes for each in layers), default=0)
    if not state:
        return layers
    token = max(each.token_bytes for each in layers)
    block = BLOCK * -(-state // (BLOCK * token))
    return [
        replace(each, padded=block * token) if each.state_bytes else replace(each, block=block)
        for each in layers
    ]


def _one_page_size(counted: Counter[_Cache]) -> dict[_Cache, int]:
    """Give every layer pages of the largest one's size: longer blocks, else padding."""
    page = max(each.page for each in counted)
    found: dict[_Cache, int] = {}
    for each, count in counted.items():
        if page % each.page == 0 and not each.state_bytes:
            same = replace(each, block=each.block * (page // each.page))
        else:
            same = replace(each, padded=page)
        found[same] = found.get(same, 0) + count
    return found


def _group_size(counts: Iterable[int]) -> int:
    """Return how many layers share one table of blocks."""
    sizes = list(counts)
    smallest, largest = min(sizes), max(sizes)
    return largest if largest < smallest * MIXED_GROUPS else smallest
