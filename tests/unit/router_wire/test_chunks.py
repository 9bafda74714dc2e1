"""What passes by its place alone: whole chunks, and events that are alike but for their text."""

import asyncio
import json
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hybrid_router.chunks import MAX_CONTENT, whole_chunk
from hybrid_router.openai.plain import plain
from hybrid_router.openai.sse import Filter, payload, split
from hybrid_router.openai.tokens import Tokens
from hybrid_router.server.body import ChunkedBody
from hybrid_router.upstream.wire import Wire
from tests.support.routers import Deaf, backend, request, router, table, until
from tests.support.upstreams import SSE_HEAD, Upstream, delta, event, finish


def framed(content):
    return b"%x\r\n%s\r\n" % (len(content), content)


@given(st.integers(1, MAX_CONTENT))
@example(15)
@example(16)
@example(255)
@example(256)
@example(MAX_CONTENT)
def test_a_whole_chunk_is_told_by_its_length(size):
    assert whole_chunk(framed(b"y" * size)) == b"y" * size


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"0\r\n\r\n", id="the last chunk"),
        pytest.param(framed(b"abc")[:-1], id="without its end"),
        pytest.param(framed(b"abc") + b"1", id="with the beginning of the next"),
        pytest.param(framed(b"abc") + framed(b"def"), id="two"),
        pytest.param(b"3\r\nabc\n\n", id="another line end"),
        pytest.param(b"3;x\r\nabc\r\n", id="with an extension"),
        pytest.param(b"03\r\nabc\r\n", id="with a leading zero"),
        pytest.param(framed(b"y" * (MAX_CONTENT + 1)), id="a large one"),
    ],
)
def test_anything_else_is_left_to_the_parser(data):
    assert whole_chunk(data) == b""


class Open(asyncio.Transport):
    """A transport that takes everything."""

    def __init__(self):
        super().__init__()
        self.aborted = False

    def is_closing(self):
        return self.aborted

    def write(self, data):
        pass

    def get_write_buffer_size(self):
        return 0

    def abort(self):
        self.aborted = True


class Sink:
    def __init__(self):
        self.parts, self.over, self.error = [], False, None

    def head(self, status, headers):
        pass

    def data(self, data):
        self.parts.append(data)

    def end(self):
        self.over = True

    def failed(self, error):
        self.error = error


def asked():
    """Return a connection that waits for the head of an answer, and where that goes."""
    wire, sink = Wire(lambda _: None, lambda _: None), Sink()
    wire.connection_made(Open())
    wire.send(b"GET / HTTP/1.1\r\n\r\n", sink)
    return wire, sink


HEAD = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
# Contents that look like chunks themselves, wherever the network cuts.
CONTENTS = [b"abc", framed(b"abc"), b"\r\n" + framed(b"d" * 20), b"z" * 300, b"1\r\n2\r\n", b"\r\n"]
LAST = b"0\r\n\r\n"


@given(
    st.lists(st.sampled_from(CONTENTS), min_size=1, max_size=8),
    st.lists(st.integers(0, 10_000), max_size=12),
    st.booleans(),
)
def test_however_chunks_arrive_the_sink_gets_their_contents(contents, places, by_chunk):
    chunks = [framed(content) for content in contents]
    body = b"".join(chunks) + LAST
    cuts = sorted({0, *(place % len(body) for place in places), len(body)})
    parts = [*chunks, LAST] if by_chunk else [body[a:b] for a, b in pairwise(cuts)]
    wire, sink = asked()
    for part in [HEAD, *parts]:
        wire.data_received(part)
    assert b"".join(sink.parts) == b"".join(contents)
    assert (sink.over, sink.error) == (True, None)


def test_half_a_size_line_makes_no_chunk_of_what_follows():
    """The second part is a chunk by its length, but the parser has read half of a size line."""
    wire, sink = asked()
    for part in (HEAD, framed(b"abc"), framed(b"def") + b"1", b"3\r\nabc\r\n"):
        wire.data_received(part)
    assert b"".join(sink.parts) == b"abcdefabc\r\n"
    assert not sink.over


STEM = {"id": "c-1", "object": "chat.completion.chunk", "created": 1, "model": "m"}


def chunk(text, **fields):
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": None, **fields}
    return b"data: " + json.dumps({**STEM, "choices": [choice]}).encode() + b"\n\n"


def compact(text, ids):
    """Return a chunk as vLLM writes it, with the ids of its tokens."""
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": None, "token_ids": ids}
    said = json.dumps({**STEM, "choices": [choice]}, separators=(",", ":"), ensure_ascii=False)
    return b"data: " + said.encode() + b"\n\n"


@given(st.text(), st.text())
def test_every_text_is_recognised_once_one_was_seen(first, text):
    form = plain(chunk(first))
    assert form is not None
    assert form.holds(chunk(text))


@given(st.binary(max_size=30))
@example(b'","usage":{"total_tokens":1},"x":"')
@example(b"a\\")
@example(b'"}}]}\n\ndata: [DONE]\n\ndata: {"choices":[{"delta":{"content":"')
@example(b"a\rdata: [DONE]\r\r")
@example(b"\\\n")
def test_nothing_but_a_text_is_taken_for_one(said):
    before, _, behind = chunk("~").partition(b"~")
    form = plain(before + b"a" + behind)
    data = before + said + behind
    if form is not None and form.holds(data):
        assert split(data) == ([data], b"")
        text = (payload(data) or b"").decode(errors="replace")
        try:
            read = json.loads(text)
        except ValueError:
            return  # an escape or bytes that JSON does not know, within the text's quotes
        read["choices"][0]["delta"]["content"] = "~"
        assert read == json.loads(payload(chunk("~")) or b"")


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(chunk("a", usage={"total_tokens": 1}), id="usage"),
        pytest.param(chunk("a") + chunk("b"), id="two events"),
        pytest.param(chunk("a")[:-1], id="half an event"),
        pytest.param(b"data: [DONE]\n\n", id="the end"),
        pytest.param(chunk("", finish_reason="stop"), id="a finish reason"),
    ],
)
def test_an_event_of_another_kind_is_looked_at(other):
    form = plain(chunk("first"))
    assert form is not None
    assert not form.holds(other)


def test_events_that_pass_by_their_form_are_counted():
    stream = Filter(hides_usage=True)
    said = [chunk(text) for text in ("Hello", ",", " wor\n", 'l"d', "")]
    assert [stream.feed(part) for part in said] == said
    assert stream.events == len(said)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_ids_are_cut_from_each_of_several_events_in_one_part(count):
    tokens = Tokens()
    tokens.feed(compact("a", [1]))
    assert tokens.form is not None
    passed = tokens.feed(b"".join(compact('b"', [n]) for n in range(2, 2 + count)))
    assert b"token_ids" not in passed
    assert passed.count(b"\n\n") == count
    assert json.loads(b"[0%s]" % tokens._ids) == list(range(2 + count))


async def test_a_client_that_reads_late_gets_every_byte_in_order():
    said = [event(delta(content=f"{number:06} " * 400)) for number in range(4000)]
    said.append(event(finish()) + b"data: [DONE]\n\n")

    async def many(talk):
        await talk.send(SSE_HEAD)
        for part in said:
            await talk.chunk(part)
        await talk.last_chunk()

    async with Upstream(many) as up, router(table({"only": backend(up.url)})) as r:
        client = Deaf(r.port)
        messages = [{"role": "user", "content": "hi"}]
        asks = {"model": "only", "messages": messages, "stream": True}
        await client.ask(request("POST", "/v1/chat/completions", asks))
        await until(lambda: any(c.congested for c in r.server._connections))
        parts = []

        def ended(part):
            parts.append(part)
            return part == b"" or part.endswith(b"0\r\n\r\n")

        await client.read(ended)
        client.socket.close()
    _, _, answer = b"".join(parts).partition(b"\r\n\r\n")
    body = ChunkedBody()
    assert body.feed(answer) == b"".join(said)
    assert body.complete
