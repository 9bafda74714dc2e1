"""The short way of a streamed chunk: what the client gets and what is accounted stay the same."""

import asyncio
import time
from itertools import pairwise

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hybrid_router.openai.form import HIDING_USAGE
from hybrid_router.openai.plain import plain
from hybrid_router.server.body import ChunkedBody
from hybrid_router.ticker import Ticker
from hybrid_router.upstream.attempt import Clocks
from hybrid_router.upstream.lane import Lane
from hybrid_router.upstream.relay import Relay
from hybrid_router.upstream.wire import Wire
from tests.support.upstreams import delta, event, finish, usage_chunk

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"
CHUNKED = HEAD + b"transfer-encoding: chunked\r\n\r\n"
DONE = b"data: [DONE]\n\n"
IDLE_SECONDS = 30.0


def framed(content):
    return b"%x\r\n%s\r\n" % (len(content), content)


class Socket(asyncio.Transport):
    """A transport that keeps what is written."""

    def __init__(self):
        super().__init__()
        self.written, self.closed, self.reading = [], False, True

    def is_closing(self):
        return self.closed

    def write(self, data):
        assert not self.closed
        self.written.append(data)

    def get_write_buffer_size(self):
        return 0

    def pause_reading(self):
        self.reading = False

    def resume_reading(self):
        self.reading = True

    def close(self):
        self.closed = True

    abort = close


class Client:
    """The client's side: an exchange whose connection is a `Socket`."""

    def __init__(self, *, chunked=True):
        self.socket, self.flow, self.sent = Socket(), None, 0
        self._chunked = chunked

    def start(self, status, headers, length=None):
        pass

    def attach(self, flow):
        self.flow = flow

    def send(self, data):
        self.sent += 1
        self.socket.written.append(framed(data))

    def chunked(self):
        return self.socket if self._chunked else None

    def finish(self):
        self.socket.written.append(framed(b""))

    def body(self):
        reader = ChunkedBody()
        return reader.feed(b"".join(self.socket.written)), reader.complete


class Talk:
    """A stream on its way from a backend's connection to a client, in the hands of `parts`."""

    def __init__(self, client, relay=Relay):
        now = time.monotonic()
        self.clocks = Clocks(now + 5, now + 60, IDLE_SECONDS, now + 600)
        self.client, self.backend = client, Socket()
        self.wire = Wire(lambda _: None, lambda _: None)
        self.wire.connection_made(self.backend)
        self.relay = relay(client, b"", self.clocks, Ticker(60.0), HIDING_USAGE)
        self.ended = asyncio.ensure_future(self.relay._ask(self.wire, b"POST / HTTP/1.1\r\n\r\n"))

    async def gets(self, *parts):
        await asyncio.sleep(0)
        for part in parts:
            self.wire.data_received(part)

    async def stop(self):
        self.ended.cancel()
        await asyncio.gather(self.ended, return_exceptions=True)


def talk(parts, *, chunked=True):
    """Return the client's body, whether it is complete, and how the attempt ended."""

    async def through():
        it = Talk(Client(chunked=chunked))
        await it.gets(*parts)
        ended = await asyncio.wait_for(it.ended, 5)
        return *it.client.body(), ended, it.client.sent

    return asyncio.run(through())


TEXTS = [event(delta(content=text)) for text in (" a", "", 'q"uo\\te', "two\nlines", "é" * 90)]
WHOLE = [
    event(delta(role="assistant", content="")),
    event({"choices": [], "error": None}),
    event(delta(content="a")) + event(delta(content="b")),
    event(delta(reasoning_content="hm")),
    event(delta(content="[DONE]")),
]
OTHERS = [*WHOLE[:-1], b": a comment\n\n", event(delta(content="x"))[:-7]]
TAIL = [event(finish()), event(usage_chunk()), DONE]


@settings(deadline=None)  # a loop for each example
@given(
    st.lists(st.sampled_from(TEXTS + WHOLE), max_size=14),
    st.lists(st.integers(0, 10_000), max_size=9),
)
@example([TEXTS[0], *TEXTS], [])
def test_a_stream_by_chunks_reaches_the_client_like_one_in_pieces(events, places):
    chunks = [framed(content) for content in (TEXTS[0], *events, *TAIL, b"")]
    body = b"".join(chunks)
    cuts = sorted({0, *(place % len(body) for place in places), len(body)})
    by_chunk = talk([CHUNKED, *chunks])
    in_pieces = talk([CHUNKED, *(body[a:b] for a, b in pairwise(cuts))])
    assert in_pieces[:2] == by_chunk[:2]
    assert in_pieces[2].events == by_chunk[2].events
    assert in_pieces[2].usage == by_chunk[2].usage


def test_chunks_like_the_one_before_pass_the_relay_by():
    chunks = [framed(text) for text in TEXTS]
    body, complete, ended, sent = talk(
        [CHUNKED, chunks[0], *chunks, *map(framed, TAIL), framed(b"")]
    )
    assert (body.count(b"\n\n"), complete, ended.events) == (len(TEXTS) + 3, True, len(TEXTS) + 2)
    assert sent < len(TEXTS)


@pytest.mark.parametrize(
    ("head", "frame", "client"),
    [
        pytest.param(HEAD + b"\r\n", bytes, True, id="the answer ends with the connection"),
        pytest.param(HEAD + b"content-length: 100000\r\n\r\n", bytes, True, id="it has a length"),
        pytest.param(CHUNKED, framed, False, id="the client reads no chunks"),
    ],
)
async def test_without_chunks_on_both_sides_every_part_is_read(head, frame, client):
    it = Talk(Client(chunked=client))
    # Contents that look like a chunk of the stream where chunks were expected.
    await it.gets(head, *(frame(TEXTS[0]) for _ in range(4)))
    assert it.client.sent == 4
    await it.stop()


@pytest.mark.parametrize(
    "other",
    [
        *map(framed, (*OTHERS, *TAIL)),
        framed(TEXTS[0])[:-3],
        framed(TEXTS[0]) * 2,
        framed(TEXTS[0]).replace(b"\r\n", b";x\r\n", 1),
        framed(b"x" * 5000),
    ],
)
def test_a_lane_carries_nothing_but_text(other):
    client, pattern = Socket(), plain(TEXTS[0])
    assert pattern is not None
    lane = Lane(client, pattern, None)
    assert not lane.carries(other)
    assert lane.carries(framed(TEXTS[1]))
    assert (client.written, lane.events) == ([framed(TEXTS[1])], 1)


async def test_after_half_an_event_in_a_whole_chunk_the_next_one_is_read():
    it = Talk(Client())
    half, rest = TEXTS[1][:30], TEXTS[1][30:]
    await it.gets(CHUNKED, framed(TEXTS[0]), framed(TEXTS[1]), framed(half))
    sent = it.client.sent
    await it.gets(framed(rest))
    assert it.client.sent == sent + 1
    await it.stop()


async def test_what_comes_by_the_lane_puts_the_deadline_off():
    it = Talk(Client())
    await it.gets(CHUNKED, framed(TEXTS[0]), framed(TEXTS[1]))
    first = it.relay.deadline
    assert it.wire._lane is not None
    it.wire._lane.last = first  # long after the first one
    it.relay.expired(first)
    assert not it.ended.done()
    assert it.relay.deadline == first + IDLE_SECONDS
    it.relay.expired(it.relay.deadline)
    assert (await it.ended).broken


async def test_a_stream_is_over_in_time_however_much_comes():
    it = Talk(Client())
    await it.gets(CHUNKED, framed(TEXTS[0]), framed(TEXTS[1]))
    assert it.wire._lane is not None
    it.wire._lane.last = it.clocks.end_by - 1
    it.relay.expired(it.relay.deadline)
    assert it.relay.deadline == it.clocks.end_by
    it.relay.expired(it.relay.deadline)
    assert (await it.ended).broken


async def test_nothing_is_written_to_a_client_that_has_left():
    it = Talk(Client())
    await it.gets(CHUNKED, framed(TEXTS[0]), framed(TEXTS[1]))
    before = len(it.client.socket.written)
    it.client.socket.close()
    await it.gets(framed(TEXTS[0]))
    assert len(it.client.socket.written) == before
    await it.stop()
