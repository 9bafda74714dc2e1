"""Streams: what is held back, hidden and let through; first without I/O, then over sockets."""

import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybrid_router.openai.shapes import Usage
from hybrid_router.openai.sse import Filter, payload, split
from hybrid_router.server.body import ChunkedBody
from tests.support.routers import backend, router, table
from tests.support.upstreams import (
    ROLE,
    USAGE,
    Upstream,
    begins,
    delta,
    ends,
    event,
    finish,
    streams,
    usage_chunk,
)

WITH_NULL = {**delta(content="x"), "usage": None}
STREAM = [
    b": ping\n\n",
    event(ROLE),
    event({**ROLE, "usage": None}),
    event(delta(content="Hello")),
    event(delta(content='"usage" [DONE] "error"')),
    event(WITH_NULL),
    b": ping\n\n",
    event(delta(content="🙂 ünï")),
    event(finish()),
    event(usage_chunk()),
    event(b"[DONE]"),
]
WHOLE = b"".join(STREAM)


def fed(parts, *, hides_usage):
    stream = Filter(hides_usage=hides_usage)
    return b"".join(stream.feed(part) for part in parts), stream


def cut(data, places):
    places = [0, *sorted(place % len(data) for place in places), len(data)]
    return [data[a:b] for a, b in pairwise(places)]


def compact(data):
    """Return the events with JSON in one form, to compare what they say."""
    events, rest = split(data)
    assert rest == b""
    said = [payload(e) for e in events]
    return [json.loads(d) if d and d != b"[DONE]" else d for d in said]


@given(st.lists(st.integers(min_value=0)))
def test_however_a_stream_is_cut_it_passes_as_it_is_where_the_client_asked_for_usage(places):
    passed, stream = fed(cut(WHOLE, places), hides_usage=False)
    assert passed == WHOLE
    assert (stream.done, stream.failure) == (True, None)
    assert stream.usage == Usage(7, 2)


@given(st.lists(st.integers(min_value=0)))
def test_however_a_stream_is_cut_usage_is_hidden_from_a_client_that_did_not_ask(places):
    passed, stream = fed(cut(WHOLE, places), hides_usage=True)
    said = compact(passed)
    assert all("usage" not in e for e in said if isinstance(e, dict))
    assert said[-1] == b"[DONE]"
    expected = compact(WHOLE)
    for e in expected:
        if isinstance(e, dict):
            e.pop("usage", None)
    assert said == [e for e in expected if not isinstance(e, dict) or e["choices"]]
    assert stream.usage == Usage(7, 2)


@given(st.lists(st.integers(min_value=0)), st.sampled_from([b"\r\n", b"\r", b"\n"]))
def test_every_line_end_of_the_format_is_understood(places, line_end):
    data = WHOLE.replace(b"\n", line_end)
    _, stream = fed(cut(data, places), hides_usage=True)
    assert (stream.done, stream.failure, stream.usage) == (True, None, Usage(7, 2))


@given(st.binary(max_size=400), st.lists(st.integers(min_value=0)), st.booleans())
def test_no_bytes_crash_the_filter(data, places, hides):
    if data:
        fed(cut(data, places), hides_usage=hides)
        begun = event(delta(content="x")) + data
        fed(cut(begun, places), hides_usage=hides)


def test_an_event_without_an_end_is_given_up_at_4_mib():
    stream = Filter(hides_usage=False)
    stream.feed(event(delta(content="x")))
    for _ in range(70):
        stream.feed(b"data: " + b"x" * 65_536)
    assert stream.failure == "an event is too long"


def test_a_stream_that_only_pings_is_given_up_at_1_mib():
    stream = Filter(hides_usage=False)
    for _ in range(40):
        stream.feed(b": " + b"x" * 32_768 + b"\n\n")
    assert stream.failure == "the stream says too much before anything is generated"


def test_after_the_terminator_nothing_is_let_through():
    stream = Filter(hides_usage=False)
    stream.feed(WHOLE)
    assert stream.feed(event(delta(content="more"))) == b""


BODY = b"".join(b"%x\r\n%s\r\n" % (n, b"y" * n) for n in (1, 10, 300, 5)) + b"0\r\nA: b\r\n\r\n"


@given(st.lists(st.integers(min_value=0)))
def test_however_chunks_are_cut_they_make_the_same_body(places):
    body = ChunkedBody()
    parts = cut(BODY + b"GET ", places)
    read = b""
    for part in parts:
        if body.complete:
            body.rest += part
        else:
            read += body.feed(part)
    assert (read, body.rest, body.complete) == (b"y" * 316, b"GET ", True)


async def test_the_usage_is_counted_and_hidden():
    async with Upstream(streams("a", "b")) as up, router(table({"only": backend(up.url)})) as r:
        reply = await r.chat("only", stream=True)
        assert up.received[0].json()["stream_options"] == {"include_usage": True}
        assert b"usage" not in reply.body
        tokens = 'hinf_router_tokens_total{backend="only",kind="%s",model="only-model"}'
        assert r.sample(tokens % "prompt") == 7
        assert r.sample(tokens % "completion") == 2


async def test_the_usage_is_shown_to_a_client_that_asks():
    async with Upstream(streams("a", "b")) as up, router(table({"only": backend(up.url)})) as r:
        reply = await r.chat("only", stream=True, stream_options={"include_usage": True})
    assert reply.events()[-2]["usage"] == USAGE


async def test_usage_that_never_came_is_estimated_and_marked():
    broken = begins(ROLE, delta(content="a"), delta(content="b"), then=ends)
    async with Upstream(broken) as up, router(table({"only": backend(up.url)})) as r:
        await r.chat("only", stream=True)
        label = '{backend="only",model="only-model"}'
        assert r.sample("hinf_router_usage_estimated_total" + label) == 1
        tokens = 'hinf_router_tokens_total{backend="only",kind="completion",model="only-model"}'
        assert r.sample(tokens) == 2


async def test_headers_of_a_stream():
    async with Upstream() as up, router(table({"only": backend(up.url)})) as r:
        reply = await r.chat("only", "X-Request-Id: abc", stream=True)
    assert reply.headers["content-type"] == "text/event-stream"
    assert reply.headers["cache-control"] == "no-cache"
    assert reply.headers["x-request-id"] == "abc"
    assert reply.headers["x-hybrid-source"] == "local"
    assert reply.headers["x-hybrid-model"] == "only-model"
    assert reply.headers["x-hybrid-reason"] == "explicit"
    assert reply.headers["x-hybrid-attempts"] == "1"
    assert "x-hybrid-confidence" not in reply.headers


@pytest.mark.parametrize("path", ["/v1/completions", "/v1/chat/completions"])
async def test_both_surfaces_stream(path):
    def chunk(text):
        return {"id": "c", "object": "text_completion", "choices": [{"index": 0, "text": text}]}

    spoken = [chunk("a"), chunk("b")] if path == "/v1/completions" else [delta(content="a")]
    behaviour = begins(*spoken, b"[DONE]", then=ends)
    async with Upstream(behaviour) as up, router(table({"only": backend(up.url)})) as r:
        body = {"model": "only", "prompt": "x", "messages": [{}], "stream": True}
        reply = await r.post(path, body)
        assert (reply.status, reply.events()[-1]) == (200, "[DONE]")
        assert up.received[0].path == path
