"""The client towards backends: connections, deadlines, TLS, and the budget of retries."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybrid_router.table import Timeouts
from hybrid_router.ticker import Ticker
from hybrid_router.upstream.budget import RetryBudget
from hybrid_router.upstream.client import UpstreamClient, client_context
from hybrid_router.upstream.errors import (
    Closed,
    ConnectFailed,
    ProtocolBroken,
    TimedOut,
    UpstreamError,
)
from hybrid_router.upstream.pace import Pace
from tests.support.upstreams import Upstream, closes, half_a_chunk, resets, response, says, silence


@pytest.fixture
async def client():
    made = UpstreamClient()
    yield made
    await made.close()


async def test_fetch_returns_status_headers_and_body(client):
    answer = response(418, b"tea", headers=("X-Kind: green", "x-kind: black"))
    async with Upstream(says(answer)) as up:
        got = await client.fetch(
            "PUT", up.url + "/pot?x=1", headers=[(b"x-a", b"b")], body=b"hot", timeout=5
        )
    assert (got.status, got.headers.get(b"x-kind"), got.body) == (418, b"green", b"tea")
    sent = up.received[0]
    assert (sent.method, sent.path, sent.body) == ("PUT", "/v1/pot?x=1", b"hot")
    assert (sent.headers["x-a"], sent.headers["host"]) == ("b", f"127.0.0.1:{up.port}")


FAILURES = [
    pytest.param(resets, Closed, id="a reset"),
    pytest.param(closes, Closed, id="a close"),
    pytest.param(silence, TimedOut, id="silence"),
    pytest.param(says(b"what?\r\n\r\n"), ProtocolBroken, id="something else than HTTP"),
    pytest.param(says(b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 20_000), ProtocolBroken, id="a head"),
    pytest.param(
        says(b"HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n"),
        ProtocolBroken,
        id="a transfer coding that was not asked for",
    ),
    pytest.param(
        says(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc", close=True),
        Closed,
        id="half a body",
    ),
]


@pytest.mark.parametrize(("behaviour", "error"), FAILURES)
async def test_failures_have_a_type_and_name_no_content(client, behaviour, error):
    async with Upstream(behaviour) as up:
        with pytest.raises(error) as caught:
            await client.fetch("GET", up.url + "/secret", timeout=0.3)
    assert isinstance(caught.value, UpstreamError)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        pytest.param("http://127.0.0.1:1/v1", id="a refused connection"),
        pytest.param("http://nowhere.invalid/v1", id="an unknown name"),
        pytest.param("http:///v1", id="no host"),
    ],
)
async def test_without_a_connection_it_is_connect_failed(client, url):
    with pytest.raises(ConnectFailed):
        await client.fetch("GET", url, timeout=5)


@pytest.mark.parametrize(
    ("head", "connections"),
    [
        pytest.param(b"HTTP/1.1 200 X\r\n", 1, id="an empty answer keeps the connection"),
        pytest.param(b"HTTP/1.1 200 X\r\nConnection: Close\r\n", 2, id="unless it says close"),
        pytest.param(b"HTTP/1.0 200 X\r\n", 2, id="and HTTP 1.0 never does"),
    ],
)
async def test_connections_after_answers_without_a_body(client, head, connections):
    async with Upstream(says(head + b"content-length: 0\r\n\r\n")) as up:
        for _ in range(2):
            assert (await client.fetch("GET", up.url, timeout=5)).body == b""
    assert up.connections == connections


async def test_redirects_are_answers(client):
    moved = b"HTTP/1.1 301 X\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n"
    async with Upstream(says(moved)) as up:
        assert (await client.fetch("GET", up.url, timeout=5)).status == 301


async def test_a_stream_yields_parts_as_they_come_and_may_be_dropped(client):
    async def counts(talk):
        await talk.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        await talk.chunk(b"one")
        await talk.until_left()

    async with Upstream(counts) as up:
        stream = await client.stream("GET", up.url, connect_timeout=5)
        parts = stream.chunks(idle=0.2)
        assert (stream.status, await anext(parts)) == (200, b"one")
        with pytest.raises(TimedOut):
            await anext(parts)
        await asyncio.wait_for(up.left_event.wait(), 5)


async def test_a_stream_that_breaks_says_so_after_what_came(client):
    async def breaks(talk):
        await talk.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        await talk.chunk(b"one")
        await half_a_chunk(talk)

    async with Upstream(breaks) as up:
        stream = await client.stream("GET", up.url, connect_timeout=5)
        got: list[bytes] = []

        async def read():
            async for part in stream.chunks(idle=5):
                got.append(part)  # noqa: PERF401  what came before the error is wanted

        with pytest.raises(Closed):
            await read()
    assert got[0].startswith(b"one")


async def test_a_stream_nobody_reads_is_not_collected(client):
    sent = 0

    async def much(talk):
        nonlocal sent
        await talk.send(b"HTTP/1.1 200 OK\r\n\r\n")
        for _ in range(400):
            await talk.send(b"x" * 65_536)
            sent += 65_536
        talk.close()

    async with Upstream(much) as up:
        stream = await client.stream("GET", up.url, connect_timeout=5)
        await asyncio.sleep(0.5)
        assert stream._size < 4_000_000
        total = 0
        async for part in stream.chunks(idle=5):
            total += len(part)
    assert total == 400 * 65_536


async def test_tls_is_verified_and_speaks_http_1_1(client, certificate, tls_port):
    url = f"https://localhost:{tls_port}/"
    context = client_context(str(certificate[1]))
    for _ in range(2):
        assert (await client.fetch("GET", url, timeout=5, tls=context)).body == b"http/1.1"
    with pytest.raises(ConnectFailed):
        await client.fetch("GET", url, timeout=5)
    with pytest.raises(ConnectFailed):
        await client.fetch("GET", url.replace("localhost", "127.0.0.1"), timeout=5, tls=context)


def test_the_retry_budget_is_a_fifth_plus_three_and_forgets_after_ten_seconds():
    budget = RetryBudget()
    for _ in range(50):
        budget.request(100.0)
    assert [budget.retry(101.0) for _ in range(20)] == [True] * 13 + [False] * 7
    assert budget.retry(109.9) is False
    assert [budget.retry(112.0) for _ in range(5)] == [True] * 3 + [False] * 2


@given(st.lists(st.tuples(st.floats(0, 30), st.booleans()), max_size=200))
def test_a_retry_is_granted_exactly_while_the_window_has_room(steps):
    budget = RetryBudget()
    now = 1000.0
    seen: list[tuple[int, str]] = []
    for gap, is_request in steps:
        now += gap / 10
        if is_request:
            budget.request(now)
            seen.append((int(now), "request"))
            continue
        window = [kind for second, kind in seen if second > int(now) - 10]
        room = window.count("retry") < 3 + 0.2 * window.count("request")
        assert budget.retry(now) is room
        if room:
            seen.append((int(now), "retry"))


def test_a_whole_answer_gets_the_time_that_it_takes_unless_the_table_sets_one():
    pace = Pace()
    assert pace.limit(Timeouts(first_byte=2.0), 10_000) == 2.0
    assert pace.limit(Timeouts(), 1) == 30.0
    assert pace.limit(Timeouts(), 2_000) == pytest.approx(1.0 + 2_000 * 0.05)


def test_the_pace_follows_what_is_seen_to_its_99th_percentile():
    pace = Pace()
    for n in range(20_000):
        pace.streamed(0.1 + 0.1 * (n * 7919 % 1000) / 1000)
        pace.whole(10.0, 1000)
    assert 0.18 < pace.ttft < 0.22
    assert 0.009 < pace.itl < 0.012


async def test_the_ticker_tells_what_has_passed_and_sleeps_when_there_is_nothing():
    class Item:
        def __init__(self, deadline):
            self.deadline = deadline
            self.told = asyncio.Event()

        def expired(self, now):
            assert now >= self.deadline
            self.deadline = float("inf")
            self.told.set()

    ticker = Ticker(0.01)
    passed, later = Item(0.0), Item(float("inf"))
    ticker.add(passed)
    ticker.add(later)
    await asyncio.wait_for(passed.told.wait(), 5)
    assert not later.told.is_set()
    ticker.discard(passed)
    ticker.discard(later)
    await asyncio.sleep(0.03)
    assert ticker._handle is None
