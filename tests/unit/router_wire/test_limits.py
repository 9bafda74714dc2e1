"""What a client may use, in bytes, time and number."""

import asyncio

import pytest

from tests.support.routers import (
    backend,
    request,
    router,
    table,
    until,
)
from tests.support.upstreams import (
    Upstream,
    silence,
)

NOWHERE = {"only": backend("http://127.0.0.1:1/v1")}
MESSAGES = [{"role": "user", "content": "hi"}]


def chat(**fields):
    body = {"model": "only", "messages": MESSAGES, **fields}
    return request("POST", "/v1/chat/completions", body)


# What a client may use.


@pytest.mark.parametrize(
    "framing",
    [
        pytest.param("Content-Length: 5000", id="by its length, before it is sent"),
        pytest.param("Transfer-Encoding: chunked", id="while its chunks arrive"),
        pytest.param("transfer-encoding: chunked", id="by the size of a chunk, before it is sent"),
    ],
)
async def test_a_body_above_the_limit_is_413(framing):
    async with router(table(NOWHERE, limits={"maxBodyBytes": 4096})) as r:
        connection = await r.connect()
        head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\n{framing}\r\n\r\n"
        await connection.send(head.encode())
        if framing.startswith("transfer"):
            await connection.send(b"ffffffff\r\n")
        elif "chunked" in framing:
            await connection.send(b"1000\r\n" + b"x" * 4096 + b"\r\n400\r\n" + b"x" * 1024)
        reply = await connection.reply()
        assert (reply.status, reply.error["code"]) == (413, "body_too_large")
        await connection.close()


SLOW = [
    pytest.param(b"GET /healthz HT", 408, id="a head that does not end"),
    pytest.param(b"GET /healthz HTTP/1.1\r\nHost: a\r\nX: ", 408, id="a header that does not end"),
    pytest.param(chat()[:-5], 408, id="a body that does not end"),
    pytest.param(
        b"POST /v1/completions HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
        408,
        id="a chunk that does not end",
    ),
]


@pytest.mark.parametrize(("data", "status"), SLOW)
async def test_what_does_not_arrive_in_time_is_408(data, status):
    async with router(table(NOWHERE, limits={"headerTimeout": 0.15})) as r:
        connection = await r.connect()
        await connection.send(data)
        reply = await connection.reply()
        assert (reply.status, reply.error["code"]) == (status, "request_timeout")
        assert await connection.ended()
        await connection.close()


async def test_a_head_that_trickles_is_408_all_the_same():
    async with router(table(NOWHERE, limits={"headerTimeout": 0.2})) as r:
        connection = await r.connect()
        trickle = asyncio.ensure_future(
            _trickle(connection, b"GET / HTTP/1.1\r\n" + b"X: a\r\n" * 99)
        )
        assert (await connection.reply()).status == 408
        trickle.cancel()
        await connection.close()


async def _trickle(connection, data):
    for at in range(len(data)):
        await connection.send(data[at : at + 1])
        await asyncio.sleep(0.02)


async def test_an_idle_connection_is_closed():
    async with router(table(NOWHERE, limits={"keepAliveTimeout": 0.15})) as r:
        connection = await r.connect()
        await connection.send(request("GET", "/healthz"))
        assert (await connection.reply()).status == 200
        assert await connection.ended()
        await connection.close()


async def test_above_the_connections_only_health_is_answered():
    async with router(table(NOWHERE, limits={"maxConnections": 2})) as r:
        first, second = await r.connect(), await r.connect()
        await until(lambda: len(r.server._connections) == 2)
        refused = await r.get("/v1/models")
        assert (refused.status, refused.headers["retry-after"]) == (503, "1")
        assert (await r.get("/healthz")).status == 200
        await first.close()
        await second.close()
        await until(lambda: not r.server._connections)
        assert (await r.get("/v1/models")).status == 200


async def test_above_the_requests_under_way_the_next_is_503_and_health_is_answered():
    async with (
        Upstream(silence) as up,
        router(table({"only": backend(up.url)}, limits={"maxInFlight": 1})) as r,
    ):
        busy = await r.connect()
        await busy.send(chat())
        await until(lambda: up.received)
        refused = await r.chat("only")
        assert (refused.status, refused.error["code"]) == (503, "overloaded")
        assert refused.headers["retry-after"] == "1"
        assert [(await r.get(p)).status for p in ("/healthz", "/readyz", "/metrics")] == [200] * 3
        await busy.close()
        await until(lambda: not r.server._in_flight)


async def test_above_the_bytes_under_way_the_next_is_503():
    async with (
        Upstream(silence) as up,
        router(table({"only": backend(up.url)}, limits={"maxBytesInFlight": 4096})) as r,
    ):
        busy = await r.connect()
        await busy.send(chat(user="x" * 3000))
        await until(lambda: up.received)
        assert (await r.chat("only", user="x" * 3000)).status == 503
        await busy.close()
        await until(lambda: not r.server._bytes_in_flight)
