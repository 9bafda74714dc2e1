from __future__ import annotations

import asyncio
import contextlib
import tracemalloc
from typing import Any

import pytest

from hybrid_operator.metrics import connections as connections_module
from hybrid_operator.metrics import fetch
from hybrid_operator.metrics.connections import Connections
from hybrid_operator.metrics.fetch import Direct, FetchError


@contextlib.asynccontextmanager
async def answering(*parts: bytes, hang: bool = False):
    """A pod on loopback that answers every request with these bytes, then closes or hangs."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            asked.append(await reader.readuntil(b"\r\n\r\n"))
            for part in parts:
                writer.write(part)
            await writer.drain()
            if hang:
                await reader.read()
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
        ended.set()

    asked: list[bytes] = []
    ended = asyncio.Event()
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        with contextlib.closing(Connections(fetch.MAX_BYTES)) as connections:
            port = server.sockets[0].getsockname()[1]
            yield Direct(connections), pod(port), asked
        await ended.wait()


def pod(port: int, name: str = "http", address: str = "127.0.0.1") -> dict[str, Any]:
    ports = [{"name": name, "containerPort": port}]
    return {
        "metadata": {"name": "r", "namespace": "ns"},
        "spec": {"containers": [{"name": "router", "ports": ports}]},
        "status": {"podIP": address},
    }


OK = b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n"


async def test_a_pod_is_asked_for_its_metrics():
    async with answering(OK, b"hinf 1\n") as (get, target, asked):
        assert await get(target) == "hinf 1\n"
    assert asked[0].startswith(b"GET /metrics HTTP/1.1\r\n")


async def test_what_a_webhook_put_into_a_pod_is_not_asked():
    async with answering(OK, b"hinf 1\n") as (get, target, _):
        beside = {"ports": [{"name": "metrics", "containerPort": 1}]}
        proxy = {"ports": [{"name": "http", "containerPort": 1}]}
        for sidecar in (beside, proxy):
            target["spec"]["containers"].insert(0, {"name": "sidecar"} | sidecar)
            target["spec"]["containers"].append({"name": "sidecar"} | sidecar)
        assert await get(target) == "hinf 1\n"


async def test_a_text_in_chunks_is_put_together():
    head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
    async with answering(head + b"4\r\nhinf\r\n3\r\n 1\n\r\n", b"0\r\n\r\n") as (get, target, _):
        assert await get(target) == "hinf 1\n"


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        pytest.param(
            [b"HTTP/1.1 503 No\r\ncontent-length: 0\r\n\r\n"], "answered 503", id="not ready"
        ),
        pytest.param([b"SSH-2.0-OpenSSH\r\n"], ".", id="another protocol"),
        pytest.param([], ".", id="a connection that is closed at once"),
        pytest.param(
            [b"HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n"],
            "answered 302",
            id="a redirect, which is not followed",
        ),
        pytest.param(
            [b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhinf"],
            "before the answer was complete",
            id="a text that is cut short",
        ),
        pytest.param(
            [b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhinf\r\n"],
            "before the answer was complete",
            id="chunks without an end",
        ),
        pytest.param([OK, b"x" * (fetch.MAX_BYTES + 1)], "longer than", id="a text without an end"),
    ],
)
async def test_what_is_no_answer_is_an_error(parts, said):
    async with answering(*parts) as (get, target, _):
        with pytest.raises(FetchError, match=said):
            await get(target)


async def test_a_pod_that_hangs_is_given_up(monkeypatch):
    monkeypatch.setattr(fetch, "DEADLINE_SECONDS", 0.05)
    async with answering(OK, hang=True) as (get, target, _):
        with pytest.raises(FetchError, match="no answer within"):
            await get(target)


@pytest.mark.parametrize(
    ("target", "said"),
    [
        pytest.param(pod(1, address=""), "no address yet", id="a pod without an address"),
        pytest.param(pod(1, name="grpc"), "no container port named", id="a pod without the port"),
        pytest.param(pod(1), ".", id="a port that nobody listens on"),
    ],
)
async def test_a_pod_that_cannot_be_asked(target, said):
    with pytest.raises(FetchError, match=said):
        await Direct(Connections(fetch.MAX_BYTES))(target)


async def test_two_scrapes_share_a_connection_and_one_that_was_closed_is_made_anew():
    async with serving(replies=2) as (get, target, connections):
        for _ in range(5):
            assert await get(target) == "hinf 1\n"
    assert connections == [2, 2, 1]


async def test_scrapes_at_the_same_time_have_a_connection_each_of_which_one_stays():
    async with serving(replies=9) as (get, target, connections):
        for _ in range(2):
            await asyncio.gather(get(target), get(target))
    assert sorted(connections) == [1, 1, 2]


async def test_who_speaks_unasked_is_asked_on_another_connection():
    async with serving(replies=9, more=b"HTTP/1.1 200 OK\r\n") as (get, target, connections):
        for _ in range(2):
            assert await get(target) == "hinf 1\n"
    assert connections == [1, 1]


async def test_what_nobody_used_for_long_is_closed(monkeypatch):
    monkeypatch.setattr(connections_module, "KEPT_SECONDS", 0.0)
    async with serving(replies=9) as (get, target, connections):
        for _ in range(2):
            await get(target)
    assert connections == [1, 1]


async def test_an_idle_connection_keeps_nothing_of_what_it_read():
    async with serving(replies=9, body=b"x" * 2**21) as (get, target, _):
        await get(target)
        tracemalloc.start()
        try:
            for _ in range(2):
                await get(target)
            await asyncio.sleep(0)  # what woke us holds the last answer
            ours = [
                tracemalloc.Filter(inclusive=True, filename_pattern=connections_module.__file__)
            ]
            found = tracemalloc.take_snapshot().filter_traces(ours).statistics("filename")
            assert sum(each.size for each in found) < 2**20
        finally:
            tracemalloc.stop()


@contextlib.asynccontextmanager
async def serving(replies: int, more: bytes = b"", body: bytes = b"hinf 1\n"):
    """A pod that answers so often on a connection, and how often it did on each."""
    connections: list[int] = []
    handlers: set[asyncio.Task[None] | None] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        handlers.add(asyncio.current_task())
        number = len(connections)
        connections.append(0)
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while connections[number] < replies:
                await reader.readuntil(b"\r\n\r\n")
                connections[number] += 1
                head = f"HTTP/1.1 200 OK\r\ncontent-length: {len(body)}\r\n\r\n"
                writer.write(head.encode() + body + more)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        with contextlib.closing(Connections(fetch.MAX_BYTES)) as opened:
            yield Direct(opened), pod(server.sockets[0].getsockname()[1]), connections
        await asyncio.gather(*(each for each in handlers if each is not None))
