"""What becomes of a connection that cannot be made, or of an answer that cannot be had."""

import contextlib
import gc
import socket
import time
import weakref

import pytest

from hybrid_router.upstream.client import UpstreamClient
from hybrid_router.upstream.errors import UpstreamError
from tests.support.routers import PATIENT, backend, router, table
from tests.support.upstreams import Upstream, answers, resets, says, streams

HIDDEN = {**PATIENT, "connect": 0.2}


@pytest.fixture
async def hidden():
    """A port whose host drops what asks for a connection: its queue of those is full."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        while True:  # the kernel lets in one or two more than it was told
            waiting = stack.enter_context(socket.socket())
            waiting.settimeout(0.2)
            try:
                waiting.connect(listener.getsockname())
            except TimeoutError:
                break
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/v1"


@pytest.mark.parametrize(
    ("behaviour", "stream"),
    [
        pytest.param(answers("saved"), False, id="unstreamed"),
        pytest.param(streams("sa", "ved"), True, id="streamed"),
    ],
)
async def test_a_host_that_drops_connections_is_left_for_the_next(hidden, behaviour, stream):
    async with Upstream(behaviour) as other:
        backends = {
            "first": backend(hidden, timeouts=HIDDEN),
            "second": backend(other.url, trust="external", timeouts=PATIENT),
        }
        async with router(table(backends, policy={"breakerFailures": 1})) as r:
            reply = await r.chat(stream=stream)
            breaker = r.registry.pool("first").replicas[0].breaker
            assert not breaker.allows(time.monotonic())  # it counts as a failed attempt
    assert (reply.status, reply.whole) == (200, True)
    assert reply.headers["x-hybrid-attempts"] == "2"
    assert reply.headers["x-hybrid-reason"] == "local-failed"


async def test_a_host_that_drops_connections_fails_within_the_deadline(hidden):
    asks = table({"only": backend(hidden, timeouts=HIDDEN)}, policy={"attempts": 1})
    async with router(asks) as r:
        reply = await r.chat()
    assert (reply.status, reply.error["code"]) == (504, "upstream_timeout")


@pytest.fixture
async def client():
    made = UpstreamClient()
    yield made
    await made.close()


async def fetch(client, url):
    await client.fetch("GET", url, timeout=5)


async def stream(client, url):
    opened = await client.stream("GET", url, connect_timeout=5)
    async for _ in opened.chunks(5):
        pass


HALF = says(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc", close=True)


@pytest.mark.parametrize(
    ("asks", "behaviour"),
    [
        pytest.param(fetch, resets, id="a reset"),
        pytest.param(fetch, HALF, id="half an answer"),
        pytest.param(stream, resets, id="a stream's reset"),
        pytest.param(stream, HALF, id="half a stream"),
    ],
)
async def test_an_error_that_was_dealt_with_is_gone_without_the_collector(client, asks, behaviour):
    async with Upstream(behaviour) as up:
        gc.disable()
        try:
            error = await failing(asks, client, up.url)
            assert error() is None
        finally:
            gc.enable()


async def failing(asks, client, url):
    try:
        await asks(client, url)
    except UpstreamError as error:
        return weakref.ref(error)
    raise AssertionError("it did not fail")
