"""Clients that do not read or that leave, many at once, and the end of a router."""

import asyncio
import contextlib
import os
import resource
import socket
import time

import pytest

from hybrid_router.server import acceptor
from tests.support.routers import (
    Deaf,
    backend,
    request,
    router,
    table,
    until,
)
from tests.support.upstreams import (
    ROLE,
    SSE_HEAD,
    Upstream,
    answers,
    begins,
    completion,
    delta,
    event,
    finish,
    replies,
    silence,
    streams,
)

NOWHERE = {"only": backend("http://127.0.0.1:1/v1")}
MESSAGES = [{"role": "user", "content": "hi"}]


def chat(**fields):
    body = {"model": "only", "messages": MESSAGES, **fields}
    return request("POST", "/v1/chat/completions", body)


# Clients that do not read.


@pytest.fixture
async def deaf():
    clients = []

    def make(r):
        clients.append(Deaf(r.port))
        return clients[-1]

    yield make
    for client in clients:
        client.socket.close()


class Endless:
    """A backend that streams as fast as the router reads."""

    def __init__(self):
        self.sent = 0

    async def __call__(self, talk):
        await talk.send(SSE_HEAD)
        block = event(delta(content="x" * 1000)) * 16
        while True:
            await talk.chunk(block)
            self.sent += len(block)

    async def settles(self):
        """Wait until the router reads no more."""
        before = -1
        while self.sent != before:
            before = self.sent
            await asyncio.sleep(0.3)
        return before


async def test_a_client_that_does_not_read_stops_the_backend_and_memory_stays_bounded(deaf):
    endless = Endless()
    async with Upstream(endless) as up, router(table({"only": backend(up.url)})) as r:
        client = deaf(r)
        await client.ask(chat(stream=True))
        await until(lambda: any(c.congested for c in r.server._connections))
        held = next(iter(r.server._connections))
        before = await endless.settles()
        assert held.transport.get_write_buffer_size() < 1024 * 1024
        await client.read(lambda _: endless.sent > before + 1_000_000)


async def test_a_client_that_reads_nothing_for_too_long_is_dropped_and_the_engine_freed(deaf):
    async with (
        Upstream(Endless()) as up,
        router(table({"only": backend(up.url)}, limits={"writeStallTimeout": 0.3})) as r,
    ):
        await deaf(r).ask(chat(stream=True))
        await until(lambda: up.open == 1)
        await until(lambda: up.open == 0)
        await until(lambda: not r.server._in_flight)


async def test_the_time_between_chunks_does_not_pass_while_the_client_holds_it_up(deaf):
    async def much_then_more(talk):
        await talk.send(SSE_HEAD)
        for _ in range(400):
            await talk.chunk(event(delta(content="x" * 1000)) * 16)
        await talk.chunk(event(finish()) + event(b"[DONE]"))
        await talk.last_chunk()

    async with (
        Upstream(much_then_more) as up,
        router(table({"only": backend(up.url, timeouts={"idle": 0.2})})) as r,
    ):
        client = deaf(r)
        await client.ask(
            chat(stream=True).replace(b"Host: router", b"Host: a\r\nConnection: close")
        )
        await until(lambda: any(c.congested for c in r.server._connections))
        await asyncio.sleep(0.5)
        assert (await client.read()).endswith(b"data: [DONE]\n\n\r\n0\r\n\r\n")


# Clients that leave.

LEAVING = [
    pytest.param(silence, False, id="while an unstreamed answer is awaited"),
    pytest.param(silence, True, id="while a stream's head is awaited"),
    pytest.param(begins(ROLE, then=silence), True, id="before anything is generated"),
    pytest.param(
        begins(ROLE, delta(content="x"), then=silence), True, id="in the middle of a stream"
    ),
]


@pytest.mark.parametrize(("behaviour", "stream"), LEAVING)
@pytest.mark.parametrize("how", ["close", "abort", "half-close"])
async def test_a_client_that_leaves_stops_the_backend(behaviour, stream, how):
    async with Upstream(behaviour) as up, router(table({"only": backend(up.url)})) as r:
        connection = await r.connect()
        await connection.send(chat(stream=stream))
        await until(lambda: up.received)
        await asyncio.sleep(0.02)
        if how == "half-close":
            connection.writer.write_eof()
        elif how == "close":
            connection.writer.close()
        else:
            connection.writer.transport.abort()
        left_at = time.monotonic()
        await asyncio.wait_for(up.left_event.wait(), 5)
        assert time.monotonic() - left_at < 1  # the promise is 100 ms; a test machine may be busy
        attempts = 'hinf_router_attempts_total{backend="only",outcome="cancelled"}'
        await until(lambda: r.sample(attempts) == 1)
        await until(lambda: not r.server._in_flight and not r.server._connections)
        assert r.registry.pool("only").in_flight == 0
        connection.writer.close()


async def test_a_client_that_leaves_before_a_retry_causes_none():
    async with (
        Upstream(silence) as up,
        Upstream() as other,
        router(
            table(
                {"a": backend(up.url, timeouts={"firstByte": 0.3}), "b": backend(other.url)},
            )
        ) as r,
    ):
        connection = await r.connect()
        body = {"model": "m", "messages": MESSAGES}
        await connection.send(request("POST", "/v1/chat/completions", body))
        await until(lambda: up.received)
        connection.writer.close()
        await until(lambda: not r.server._in_flight)
        await asyncio.sleep(0.4)
        assert other.received == []


def judged(local, api):
    """Return a table whose alias `auto` asks the local model first."""
    slm = {"type": "slm", "target": {"backend": "local", "model": "judge"}, "timeout": 30}
    backends = {"local": backend(local.url), "api": backend(api.url, trust="external")}
    return table(backends, policy={"classifier": slm})


async def test_a_client_that_leaves_while_its_prompt_is_judged_stops_the_judge():
    async with (
        Upstream(silence) as local,
        Upstream() as api,
        router(judged(local, api), classifies=True) as r,
    ):
        connection = await r.connect()
        body = {"model": "auto", "messages": MESSAGES}
        await connection.send(request("POST", "/v1/chat/completions", body))
        await until(lambda: local.received)
        connection.writer.close()
        await asyncio.wait_for(local.left_event.wait(), 5)
        await until(lambda: not r.server._in_flight)
        attempts = 'hinf_router_attempts_total{backend="local",outcome="cancelled"}'
        await until(lambda: r.sample(attempts) == 1)
        assert api.received == []


async def test_what_the_judge_costs_is_counted():
    token = {"token": "SIMPLE", "logprob": 0.0}
    verdict = completion()
    verdict["choices"][0]["logprobs"] = {"content": [token]}
    async with (
        Upstream(replies(200, verdict), answers()) as local,
        Upstream() as api,
        router(judged(local, api), classifies=True) as r,
    ):
        reply = await r.chat("auto")
        assert (reply.status, reply.headers["x-hybrid-reason"]) == (200, "confident")
        assert r.sample('hinf_router_attempts_total{backend="local",outcome="ok"}') == 2
        labels = 'backend="local",kind="prompt",model="judge"'
        assert r.sample(f"hinf_router_tokens_total{{{labels}}}") == 7


async def test_tokens_of_a_stream_that_the_client_left_are_estimated():
    begun = begins(ROLE, delta(content="a"), delta(content="b"), then=silence)
    async with Upstream(begun) as up, router(table({"only": backend(up.url)})) as r:
        connection = await r.connect()
        await connection.send(chat(stream=True))
        await connection.head()
        await until(lambda: up.received)
        await asyncio.sleep(0.05)
        connection.writer.close()
        tokens = 'hinf_router_tokens_total{backend="only",kind="completion",model="only-model"}'
        await until(lambda: r.sample(tokens) == 2)


# Many at once.


async def test_a_hundred_streams_at_once_each_get_their_own_words():
    async def echoes(talk):
        content = talk.request.json()["messages"][0]["content"]
        await streams(*content, delay=0.005)(talk)

    async def ask(r, n):
        body = {"model": "only", "messages": [{"role": "user", "content": f"{n:08}"}]}
        reply = await r.post("/v1/chat/completions", {**body, "stream": True})
        return reply.text() == f"{n:08}" and reply.events()[-1] == "[DONE]"

    async with Upstream(echoes) as up, router(table({"only": backend(up.url)})) as r:
        assert all(await asyncio.gather(*(ask(r, n) for n in range(100))))
        assert (r.server._in_flight, r.server._bytes_in_flight) == (0, 0)
        pool = r.registry.pool("only")
        assert (pool.in_flight, pool.replicas[0].outstanding) == (0, 0)


async def test_clients_that_come_together_are_let_in_together_not_one_in_each_turn_of_the_loop():
    async with router(table({"only": backend("http://127.0.0.1:9")})) as r:
        clients = [socket.create_connection(("127.0.0.1", r.port)) for _ in range(100)]
        for _ in range(8):
            await asyncio.sleep(0)
        assert len(r.server._connections) == len(clients)
        for client in clients:
            client.close()
        await until(lambda: not r.server._connections)


async def test_small_answers_do_not_wait_for_one_another_in_the_kernel():
    async with router(table({"only": backend("http://127.0.0.1:9")})) as r:
        connection = await r.connect()
        await until(lambda: r.server._connections)
        held = next(iter(r.server._connections)).transport.get_extra_info("socket")
        assert held.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        await connection.close()


async def test_without_descriptors_nobody_is_accepted_and_afterwards_everybody(monkeypatch):
    monkeypatch.setattr(acceptor, "PAUSE_SECONDS", 0.05)
    async with router(table({"only": backend("http://127.0.0.1:9")})) as r:
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        client = socket.create_connection(("127.0.0.1", r.port))
        resource.setrlimit(resource.RLIMIT_NOFILE, (client.fileno() + 1, hard))
        taken = []
        try:
            with contextlib.suppress(OSError):  # until there are no more
                while True:
                    taken.append(os.dup(client.fileno()))
            await asyncio.sleep(0.1)
            assert not r.server._connections
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            for descriptor in taken:
                os.close(descriptor)
        await until(lambda: r.server._connections)
        client.close()


# The end.


async def test_draining_finishes_what_is_under_way_and_closes_what_is_idle():
    slow = streams(*"slow", delay=0.1)
    async with Upstream(slow) as up, router(table({"only": backend(up.url)})) as r:
        idle, busy = await r.connect(), await r.connect()
        await busy.send(chat(stream=True))
        await until(lambda: up.received)
        drained = asyncio.ensure_future(r.server.drain(10))
        assert await idle.ended()
        assert [(await r.get(p)).status for p in ("/healthz", "/readyz")] == [200, 503]
        late = await r.chat("only")
        assert (late.status, late.error["code"]) == (503, "shutting_down")
        reply = await busy.reply()
        assert (reply.whole, reply.text()) == (True, "slow")
        assert await busy.ended()
        await drained
        with pytest.raises(ConnectionError):
            await r.connect()
        await idle.close()
        await busy.close()


async def test_an_answer_begun_before_the_drain_ends_its_connection_too():
    short, long = streams(*"ab", delay=0.1), streams(*"slow", delay=0.3)
    async with Upstream(long, short) as up, router(table({"only": backend(up.url)})) as r:
        waits, ends = await r.connect(), await r.connect()
        await waits.send(chat(stream=True))
        await until(lambda: len(up.received) == 1)
        await ends.send(chat(stream=True))
        await until(lambda: len(up.received) == 2)
        status, headers = await ends.head()
        assert "connection" not in headers
        drained = asyncio.ensure_future(r.server.drain(10))
        assert (await ends._chunked(status, headers)).text() == "ab"
        assert await ends.ended()
        assert not drained.done()
        assert (await waits.reply()).text() == "slow"
        await drained
        await waits.close()
        await ends.close()


async def test_while_draining_answers_end_their_connections():
    async with Upstream(answers()) as up, router(table({"only": backend(up.url)})) as r:
        gate = asyncio.Event()

        async def waits(talk):
            await gate.wait()
            await answers()(talk)

        up.behaviours = (waits,)
        connection = await r.connect()
        await connection.send(chat())
        await until(lambda: up.received)
        drained = asyncio.ensure_future(r.server.drain(10))
        await asyncio.sleep(0)
        gate.set()
        assert (await connection.reply()).headers["connection"] == "close"
        await drained
        await connection.close()


async def test_draining_is_bounded():
    async with Upstream(silence) as up, router(table({"only": backend(up.url)})) as r:
        connection = await r.connect()
        await connection.send(chat())
        await until(lambda: up.received)
        await r.server.drain(0.1)
        assert await connection.ended()
        await asyncio.wait_for(up.left_event.wait(), 5)
        await connection.close()


async def test_draining_waits_until_slow_clients_have_their_answers(deaf):
    words = ["x" * 50_000] * 300
    async with Upstream(streams(*words)) as up, router(table({"only": backend(up.url)})) as r:
        client = deaf(r)
        await client.ask(chat(stream=True))
        await until(lambda: any(c.congested for c in r.server._connections))
        drained = asyncio.ensure_future(r.server.drain(10))
        assert (await client.read()).endswith(b"data: [DONE]\n\n\r\n0\r\n\r\n")
        await drained
