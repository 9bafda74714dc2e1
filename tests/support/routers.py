"""A router in this process, on a real loopback socket, serving a table that a test writes."""

from __future__ import annotations

import asyncio
import json
import socket
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from hybrid_router.classify.build import ClassifierSource
from hybrid_router.core.decision import Verdict
from hybrid_router.discovery.registry import Registry
from hybrid_router.endpoints.routes import Routes
from hybrid_router.keys import KeyRing
from hybrid_router.pipeline import Pipeline
from hybrid_router.server.server import Server
from hybrid_router.telemetry.metrics import Metrics
from hybrid_router.telemetry.tracing import Tracer
from hybrid_router.upstream.client import UpstreamClient

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from hybrid_router.classify.base import Classifier
    from hybrid_router.classify.prompt import Prompt
    from hybrid_router.telemetry.access import AccessLog
    from hybrid_router.telemetry.tracing import Tracing


class Says:
    """A classifier that always says the same, and remembers what it was asked."""

    def __init__(self, confidence: float | None, error: str | None = None) -> None:
        self.verdict = Verdict(confidence, "chat", "test", error)
        self.prompts: list[Prompt] = []

    async def classify(
        self,
        prompt: Prompt,
        asker: str = "",  # noqa: ARG002
        priors: Mapping[str, float] | None = None,  # noqa: ARG002
    ) -> Verdict:
        self.prompts.append(prompt)
        return self.verdict

    async def close(self) -> None:
        """Nothing to end."""


@dataclass
class Router:
    """A running router and its parts."""

    port: int
    server: Server
    registry: Registry
    metrics: Metrics
    client: UpstreamClient

    async def connect(self) -> Raw:
        """Return a raw connection to it."""
        return Raw(*await asyncio.open_connection("127.0.0.1", self.port))

    async def raw(self, data: bytes) -> Reply:
        """Send bytes on a connection of their own and read one answer."""
        connection = await self.connect()
        try:
            await connection.send(data)
            return await connection.reply()
        finally:
            await connection.close()

    async def post(self, path: str, body: Any, *headers: str) -> Reply:
        """Post JSON (or bytes as they are) and read the answer."""
        return await self.raw(request("POST", path, body, *headers))

    async def get(self, path: str, *headers: str) -> Reply:
        """Get a path."""
        return await self.raw(request("GET", path, b"", *headers))

    async def chat(self, model: str = "m", *headers: str, **fields: Any) -> Reply:
        """Ask for a chat completion."""
        messages = [{"role": "user", "content": "hi"}]
        body = {"model": model, "messages": messages} | fields
        return await self.post("/v1/chat/completions", body, *headers)

    def sample(self, line: str) -> float:
        """Return the value of one metric, named with its labels as Prometheus writes it."""
        for row in self.metrics.render().decode().splitlines():
            if row.startswith(line + " "):
                return float(row.rpartition(" ")[2])
        return 0.0


@asynccontextmanager
async def router(
    table: dict[str, Any],
    *,
    classifier: Classifier | None = None,
    classifies: bool = False,
    access_log: AccessLog | None = None,
    tracing: Tracing | None = None,
) -> AsyncIterator[Router]:
    """Serve `table` (as JSON would write it; `version` may be left out).

    It is classified by `classifier`, or with `classifies` as the table itself says.
    """
    metrics = Metrics()
    registry = Registry(observer=metrics)
    registry.offer(json.dumps({"version": 1, **table}).encode(), "file")
    keys = KeyRing()
    keys.configure(registry.table.keys)
    client = UpstreamClient()
    source = ClassifierSource(registry, client, metrics) if classifies else lambda: classifier
    pipeline = Pipeline(registry, client, metrics, keys, source, access_log)
    if tracing is not None:
        pipeline.tracer = Tracer(tracing, client, metrics)
    server = Server(Routes(pipeline), registry.table.limits)
    port = server.start("127.0.0.1", 0)
    try:
        yield Router(port, server, registry, metrics, client)
    finally:
        await server.close()
        await pipeline.close()
        await client.close()
        await asyncio.sleep(0)


def backend(*urls: str, **fields: Any) -> dict[str, Any]:
    """Return a backend of a table: internal unless it says otherwise."""
    return {"trust": "internal", "urls": list(urls), **fields}


def table(backends: dict[str, dict[str, Any]], **fields: Any) -> dict[str, Any]:
    """Return a table with the model `m`, answered by the backends in their order.

    `auto` is the same, but classified; each backend is also a model of its own.
    """
    targets = [{"backend": name, "model": f"{name}-model"} for name in backends]
    models = {
        "m": {"targets": targets},
        "auto": {"targets": targets, "classified": True},
        **{t["backend"]: {"targets": [t]} for t in targets},
    }
    return {"backends": backends, "models": models, **fields}


def request(method: str, path: str, body: Any = b"", *headers: str) -> bytes:
    """Return the bytes of a request with Host and Content-Length."""
    data = body if isinstance(body, bytes) else msgspec.json.encode(body)
    lines = [f"{method} {path} HTTP/1.1", "Host: router", *headers]
    if data or method == "POST":
        lines.append(f"Content-Length: {len(data)}")
    return "\r\n".join([*lines, "", ""]).encode() + data


@dataclass
class Reply:
    """An answer as the client got it."""

    status: int
    headers: dict[str, str]
    body: bytes
    whole: bool = True
    """Whether it ended as its framing says; False if the connection ended before."""

    def json(self) -> Any:
        """Return the body, decoded."""
        return json.loads(self.body)

    @property
    def error(self) -> Any:
        """The `error` of an OpenAI envelope."""
        return self.json()["error"]

    def events(self) -> list[Any]:
        """Return the events of a stream: JSON decoded, `[DONE]` as text."""
        assert self.body.endswith(b"\n\n"), "the stream ends in the middle of an event"
        rows = self.body.decode().split("\n\n")[:-1]
        data = [row.removeprefix("data: ") for row in rows if row.startswith("data:")]
        return [row if row == "[DONE]" else json.loads(row) for row in data]

    def text(self) -> str:
        """Return what a stream's deltas say together."""
        events = [e for e in self.events() if e != "[DONE]"]
        choices = [choice for e in events for choice in e.get("choices", ())]
        return "".join(choice["delta"].get("content") or "" for choice in choices)


class Raw:
    """A client that speaks bytes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def send(self, data: bytes) -> None:
        """Write."""
        self.writer.write(data)
        await self.writer.drain()

    async def head(self) -> tuple[int, dict[str, str]]:
        """Read a status line and headers."""
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *lines = head.split("\r\n")
        pairs = (line.partition(":") for line in lines if line)
        return int(first.split(" ")[1]), {k.lower(): v.strip() for k, _, v in pairs}

    async def reply(self, *, head_only: bool = False) -> Reply:
        """Read one answer."""
        status, headers = await self.head()
        if head_only or status < 200:
            return Reply(status, headers, b"")
        if headers.get("transfer-encoding") == "chunked":
            return await self._chunked(status, headers)
        if "content-length" not in headers:
            return Reply(status, headers, await self.reader.read())
        try:
            body = await self.reader.readexactly(int(headers["content-length"]))
        except asyncio.IncompleteReadError as error:
            return Reply(status, headers, error.partial, whole=False)
        return Reply(status, headers, body)

    async def _chunked(self, status: int, headers: dict[str, str]) -> Reply:
        parts: list[bytes] = []
        try:
            while size := int(await self.reader.readuntil(b"\r\n"), 16):
                parts.append(await self.reader.readexactly(size))
                await self.reader.readexactly(2)
            await self.reader.readexactly(2)
        except (asyncio.IncompleteReadError, ConnectionError):
            return Reply(status, headers, b"".join(parts), whole=False)
        return Reply(status, headers, b"".join(parts))

    async def ended(self) -> bool:
        """Return whether the router ends the connection without another byte."""
        try:
            return await asyncio.wait_for(self.reader.read(1), 5) == b""
        except ConnectionError:
            return True

    async def close(self) -> None:
        """Leave."""
        self.writer.close()
        with suppress(ConnectionError):
            await self.writer.wait_closed()


PATIENT = {"connect": 5, "firstByte": 10, "idle": 10}
HASTY = {"connect": 5, "firstByte": 0.3, "idle": 10}


def times(code):
    """Return short timeouts only where one is to pass: a test machine may be slow."""
    return HASTY if code == "upstream_timeout" else PATIENT


def two(up, other, timeouts=PATIENT):
    """Return a table in which `up` is tried before `other`."""
    return table(
        {
            "first": backend(up.url, timeouts=timeouts),
            "second": backend(other.url, trust="external", timeouts=PATIENT),
        }
    )


async def until(condition):
    """Wait until something is so."""
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110  what is waited for sets no event
            await asyncio.sleep(0.005)


class Deaf:
    """A client that reads only when it is told to."""

    def __init__(self, port):
        self.loop = asyncio.get_running_loop()
        self.socket = socket.socket()
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
        self.socket.settimeout(0)
        self.port = port

    async def ask(self, data):
        await self.loop.sock_connect(self.socket, ("127.0.0.1", self.port))
        await self.loop.sock_sendall(self.socket, data)

    async def read(self, enough=lambda data: data == b""):
        """Read until a part is enough; return the last bytes."""
        last = b""
        while True:
            part = await self.loop.sock_recv(self.socket, 1_000_000)
            if enough(part):
                return last
            last = (last + part)[-200:]
