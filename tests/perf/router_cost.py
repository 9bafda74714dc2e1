"""What one request costs in the router itself: its own protocols, on transports that do nothing.

    python -m tests.perf.router_cost chat-1k 1000         microseconds of CPU per request, or chunk
    python -m tests.perf.router_cost chat-1k --count      instructions per request, by valgrind

No system call is in the way, so that the instructions are the same on a busy machine; of the
microseconds that is not true. Rows are those of `bench_router`.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import uvloop

from hybrid_router.classify.build import ClassifierSource
from hybrid_router.discovery.registry import Registry
from hybrid_router.endpoints.routes import Routes
from hybrid_router.keys import KeyRing
from hybrid_router.pipeline import Pipeline
from hybrid_router.server.connection import Connection
from hybrid_router.server.server import Server
from hybrid_router.telemetry.metrics import Metrics
from hybrid_router.upstream.client import UpstreamClient
from tests.perf.router import bodies
from tests.perf.router.gateways import KEY, MODEL, Setting, table
from tests.perf.router.rows import DETECTORS

ROWS = ("chat-1k", "chat-64k", "judged-1k", "judged-64k", "streams", "streams-armed")
CHUNKS = 64
WARM = bodies.VARIANTS
"""Requests before: every body once, as a conversation is remembered from its last turn."""
SHORT, LONG = 20, 120
"""Requests of the two runs whose difference is counted."""

_SAID = "The invoice of 12 January comes to 1,280.40 EUR; it is due within 30 days." * 2
_ANSWER = json.dumps(
    {
        "id": "chatcmpl-7f2c", "object": "chat.completion", "created": 1767225600, "model": MODEL,
        "choices": [
            {
                "index": 0, "message": {"role": "assistant", "content": _SAID},
                "finish_reason": "stop",
            }
        ],
        "usage": {"prompt_tokens": 231, "total_tokens": 276, "completion_tokens": 45},
    }
).encode()  # fmt: skip
_HEAD = b"HTTP/1.1 200 OK\r\nserver: uvicorn\r\ncontent-type: %s\r\n%s\r\n\r\n"
_REPLY = _HEAD % (b"application/json", b"content-length: %d" % len(_ANSWER)) + _ANSWER


def _chunk(rest: str) -> bytes:
    stem = '"id":"chatcmpl-7f2c","object":"chat.completion.chunk","created":1767225600'
    event = f'data: {{{stem},"model":"{MODEL}",{rest}}}\n\n'.encode()
    return b"%x\r\n%s\r\n" % (len(event), event)


def _stream(*, ids: bool) -> list[bytes]:
    """Return what a stream's backend writes, part by part."""
    first = _chunk('"choices":[{"index":0,"delta":{"role":"assistant","content":""}}]')
    parts = [_HEAD % (b"text/event-stream", b"transfer-encoding: chunked") + first]
    for number in range(CHUNKS):
        given = f',"token_ids":[{1000 + number}]' if ids else ""
        reason = '"stop"' if number == CHUNKS - 1 else "null"
        parts.append(
            _chunk(
                f'"choices":[{{"index":0,"delta":{{"content":" word{number:04}"}},"logprobs":null,'
                f'"finish_reason":{reason}{given}}}]'
            )
        )
    usage = '"choices":[],"usage":{"prompt_tokens":231,"total_tokens":295,"completion_tokens":64}'
    parts[-1] += _chunk(usage) + b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n"
    return parts


_STREAMS = {ids: _stream(ids=ids) for ids in (False, True)}


class _Nothing(asyncio.Transport):
    """A transport that is open and does nothing."""

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        del high, low

    def is_closing(self) -> bool:
        return False

    def get_write_buffer_size(self) -> int:
        return 0

    def abort(self) -> None:
        pass

    def close(self) -> None:
        pass


class _Backend(_Nothing):
    """Answers in the loop's next turns, a part in each."""

    def __init__(self, loop: asyncio.AbstractEventLoop, protocol: asyncio.Protocol) -> None:
        super().__init__()
        self._loop, self._protocol = loop, protocol

    def write(self, data: bytes | bytearray | memoryview[Any]) -> None:
        written = bytes(data)
        parts = [_REPLY]
        if b'"stream":true' in written:
            parts = _STREAMS[b'"return_token_ids":true' in written]
        self._loop.call_soon(self._feed, iter(parts))

    def _feed(self, parts: Iterator[bytes]) -> None:
        part = next(parts, None)
        if part is not None:
            self._protocol.data_received(part)
            self._loop.call_soon(self._feed, parts)


class _Client(_Nothing):
    """Notes when it has its answer."""

    def __init__(self) -> None:
        super().__init__()
        self.answered: asyncio.Future[None]

    def write(self, data: bytes | bytearray | memoryview[Any]) -> None:
        written = bytes(data)
        if written.startswith(b"HTTP/1.1") and not written.startswith(b"HTTP/1.1 200"):
            self.answered.set_exception(RuntimeError(written.decode()))
        elif b"content-length" in written or written == b"0\r\n\r\n":
            self.answered.set_result(None)


class _Loop(uvloop.Loop):
    """Connects to `_Backend`, whatever the address."""

    async def create_connection(  # type: ignore[override]  # as much as the router asks for
        self, factory: Any, *_: Any, **__: Any
    ) -> Any:
        protocol = factory()
        transport = _Backend(self, protocol)
        protocol.connection_made(transport)
        return transport, protocol


def _requests(row: str, folder: Path) -> list[tuple[bytes, bytes]]:
    """Return requests, each as what stands before and after its counter."""
    size = 65_536 if row.endswith("64k") else 1024
    model = "auto" if row.startswith("judged") else MODEL
    file = folder / "bodies"
    bodies.write(file, size, model=model, key=KEY, stream=row.startswith("streams"))
    data, found = file.read_bytes(), []
    while data:
        length, _, rest = data.partition(b"\n")
        before, _, after = rest[: int(length)].partition(bodies.COUNTER.encode())
        found.append((before, after))
        data = rest[int(length) :]
    return found


def _registry(row: str, folder: Path, metrics: Metrics) -> Registry:
    options: dict[str, Any] = {"resume": row == "streams-armed"}
    if row.startswith("judged"):
        options = {"data": DETECTORS}
    (folder / "keys").mkdir()
    (folder / "keys" / "bench").write_text(KEY)
    registry = Registry(metrics)
    registry.offer(json.dumps(table(Setting(folder, 0, (1, 2, 3), options))).encode(), "file")
    return registry


async def _measure(row: str, count: int, folder: Path) -> float:
    """Return the seconds of CPU per request, or per chunk of a stream."""
    metrics = Metrics()
    registry = _registry(row, folder, metrics)
    keys, client = KeyRing(), UpstreamClient()
    keys.configure(registry.table.keys)
    source = ClassifierSource(registry, client, metrics)
    server = Server(
        Routes(Pipeline(registry, client, metrics, keys, source)), registry.table.limits
    )
    connection, transport = Connection(server), _Client()
    connection.connection_made(transport)
    asked, loop = _requests(row, folder), asyncio.get_running_loop()

    async def ask(times: int) -> None:
        for number in range(times):
            before, after = asked[number % len(asked)]
            transport.answered = loop.create_future()
            connection.data_received(b"%s%016x%s" % (before, number, after))
            await transport.answered

    gc.collect()
    gc.freeze()
    await ask(WARM)
    began = time.process_time()
    await ask(count)
    spent = time.process_time() - began
    connection.connection_lost(None)
    await client.close()
    return spent / count / (CHUNKS if row.startswith("streams") else 1)


def _instructions(row: str, count: int) -> int:
    """Return the instructions of a whole run."""
    valgrind = shutil.which("valgrind")
    if valgrind is None:
        raise SystemExit("counting needs valgrind: apt-get install valgrind")
    options = ("--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null")
    program = (sys.executable, "-m", "tests.perf.router_cost", row, str(count))
    said = subprocess.run(
        [valgrind, *options, *program], capture_output=True, text=True, check=True
    )
    found = re.search(r"I +refs: +([\d,]+)", said.stderr)
    if found is None:
        raise SystemExit("valgrind counted nothing")
    return int(found.group(1).replace(",", ""))


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure one row."""
    p = argparse.ArgumentParser(
        "router_cost", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    p.add_argument("row", choices=ROWS)
    p.add_argument("requests", type=int, nargs="?", default=1000, help="(default %(default)s)")
    p.add_argument("--count", action="store_true", help="instructions instead of microseconds")
    options = p.parse_args(arguments)
    per = CHUNKS if options.row.startswith("streams") else 1
    if options.count:
        more = _instructions(options.row, LONG) - _instructions(options.row, SHORT)
        sys.stdout.write(f"{options.row}: {more // (LONG - SHORT) // per:,} instructions\n")
        return 0
    with tempfile.TemporaryDirectory() as folder, asyncio.Runner(loop_factory=_Loop) as runner:
        seconds = runner.run(_measure(options.row, options.requests, Path(folder)))
    sys.stdout.write(f"{options.row}: {seconds * 1e6:.1f} us\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
