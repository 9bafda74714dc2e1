"""Scripted backends: an OpenAI-compatible server on a real loopback socket that behaves as told.

    async with Upstream(streams("Hel", "lo")) as up:
        ...up.url..., up.received[0].json()

A behaviour is an async function of one `Talk`. With several, each request gets the next one and the
last one stays.
"""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Self

Behaviour = Callable[["Talk"], Awaitable[None]]

USAGE = {"prompt_tokens": 7, "completion_tokens": 2, "total_tokens": 9}
SSE_HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
)


@dataclass(frozen=True)
class Received:
    """A request as the backend got it."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        """Return the body, decoded."""
        return json.loads(self.body)


@dataclass
class Talk:
    """One request and the raw connection to answer it on."""

    request: Received
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    upstream: Upstream
    keep: bool = True

    async def send(self, data: bytes) -> None:
        """Write, and wait until the socket takes it."""
        self.writer.write(data)
        await self.writer.drain()

    async def chunk(self, data: bytes) -> None:
        """Write one HTTP chunk."""
        await self.send(b"%x\r\n%s\r\n" % (len(data), data))

    async def event(self, value: Any) -> None:
        """Write one server-sent event as one HTTP chunk."""
        await self.chunk(event(value))

    async def last_chunk(self) -> None:
        """End a chunked body."""
        await self.send(b"0\r\n\r\n")

    def close(self) -> None:
        """End the connection after what was written."""
        self.keep = False

    def reset(self) -> None:
        """Break the connection with a TCP reset."""
        self.keep = False
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()

    async def until_left(self) -> None:
        """Wait until the router drops the connection, and count that."""
        await self.reader.read(1)
        self.upstream.left += 1
        self.upstream.left_event.set()
        self.keep = False


class Upstream:
    """A backend on 127.0.0.1; an async context manager.

    Attributes:
        received: requests so far.
        connections: accepted so far.
        open: connections at the moment.
        left: how often the router dropped a connection in the middle of an answer.
    """

    def __init__(self, *behaviours: Behaviour, host: str = "127.0.0.1", port: int = 0) -> None:
        self.behaviours = behaviours or (answers(),)
        self.received: list[Received] = []
        self.connections = self.open = self.left = 0
        self.left_event = asyncio.Event()
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.host, self.port = host, port

    @property
    def url(self) -> str:
        """The base URL, `/v1` included."""
        return f"http://{self.host}:{self.port}/v1"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, self.host, self.port)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def stop(self) -> None:
        """Stop listening and break every connection."""
        if self._server is not None:
            self._server.close()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.open += 1
        try:
            while True:
                request = await _read(reader)
                index = min(len(self.received), len(self.behaviours) - 1)
                self.received.append(request)
                talk = Talk(request, reader, writer, self)
                await self.behaviours[index](talk)
                if not talk.keep:
                    return
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            self.open -= 1
            writer.close()


async def _read(reader: asyncio.StreamReader) -> Received:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *lines = head.split("\r\n")
    method, path, _ = first.split(" ")
    pairs = (line.partition(":") for line in lines if line)
    headers = {name.lower(): value.strip() for name, _, value in pairs}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Received(method, path, headers, body)


def event(value: Any) -> bytes:
    """Return a server-sent event: JSON, or bytes as they are."""
    data = value if isinstance(value, bytes) else json.dumps(value).encode()
    return b"data: " + data + b"\n\n"


def delta(**fields: Any) -> dict[str, Any]:
    """Return a chat chunk with this delta."""
    return {
        "id": "c1",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "up",
        "choices": [{"index": 0, "delta": fields, "finish_reason": None}],
    }


def finish(reason: str = "stop") -> dict[str, Any]:
    """Return a chat chunk that ends the choice."""
    chunk = delta()
    chunk["choices"][0]["finish_reason"] = reason
    return chunk


def usage_chunk() -> dict[str, Any]:
    """Return the chunk that carries the usage."""
    return {**delta(), "choices": [], "usage": USAGE}


ROLE = delta(role="assistant", content="")


def completion(content: str = "hello") -> dict[str, Any]:
    """Return an unstreamed chat completion."""
    return {
        "id": "c1",
        "object": "chat.completion",
        "created": 1,
        "model": "up",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": content},
                "finish_reason": "stop",
            }
        ],
        "usage": USAGE,
    }


def response(
    status: int, body: bytes, *, headers: Sequence[str] = ("content-type: application/json",)
) -> bytes:
    """Return a whole HTTP response with a length."""
    lines = [f"HTTP/1.1 {status} X", *headers, f"content-length: {len(body)}", "", ""]
    return "\r\n".join(lines).encode() + body


def says(data: bytes, *, close: bool = False) -> Behaviour:
    """Write these bytes, whatever they are."""

    async def behave(talk: Talk) -> None:
        await talk.send(data)
        if close:
            talk.close()

    return behave


def replies(status: int, value: Any = None, *headers: str) -> Behaviour:
    """Answer with a status and a JSON body."""
    body = json.dumps(value if value is not None else {"error": {"message": "no"}}).encode()
    return says(response(status, body, headers=("content-type: application/json", *headers)))


def answers(content: str = "hello") -> Behaviour:
    """Answer as asked: streamed or not."""

    async def behave(talk: Talk) -> None:
        if talk.request.json().get("stream"):
            await streams(*content)(talk)
        else:
            await talk.send(response(200, json.dumps(completion(content)).encode()))

    return behave


def streams(*tokens: str, delay: float = 0.0) -> Behaviour:
    """Stream these tokens, and the usage if it is asked for."""

    async def behave(talk: Talk) -> None:
        await talk.send(SSE_HEAD)
        await talk.event(ROLE)
        for token in tokens:
            await talk.event(delta(content=token))
            await asyncio.sleep(delay)
        await talk.event(finish())
        options = talk.request.json().get("stream_options") or {}
        if options.get("include_usage"):
            await talk.event(usage_chunk())
        await talk.send(b"e\r\n" + event(b"[DONE]") + b"\r\n0\r\n\r\n")

    return behave


def begins(*values: Any, then: Behaviour) -> Behaviour:
    """Begin a stream with these events, and go on as told."""

    async def behave(talk: Talk) -> None:
        await talk.send(SSE_HEAD)
        for value in values:
            await talk.event(value)
        await then(talk)

    return behave


async def silence(talk: Talk) -> None:
    """Say nothing until the router goes away."""
    await talk.until_left()


async def resets(talk: Talk) -> None:
    """Break the connection with a TCP reset."""
    talk.reset()


async def closes(talk: Talk) -> None:
    """Close the connection."""
    talk.close()


async def ends(talk: Talk) -> None:
    """End the chunked body properly, but without the terminator of the events."""
    await talk.last_chunk()


async def half_a_chunk(talk: Talk) -> None:
    """Send a part of an HTTP chunk and close."""
    await talk.send(b"ff\r\ndata: {")
    talk.close()
