"""The short way of a chunk with token ids: what the client gets and what is kept stay the same."""

import asyncio
import json
import time
from types import SimpleNamespace
from typing import NamedTuple

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hybrid_router.openai.continuation import continuation, left
from hybrid_router.openai.plain import plain
from hybrid_router.openai.request import parse
from hybrid_router.openai.tokens import Tokens
from hybrid_router.table import Target
from hybrid_router.upstream.attempt import Ended
from hybrid_router.upstream.draft import DraftStream, Judge
from hybrid_router.upstream.lane import Lane
from hybrid_router.upstream.resume import Continuation, Resumable
from tests.support.engines import PROMPT, Model, pieces
from tests.unit.router_wire.test_lane import CHUNKED, DONE, Client, Socket, Talk, framed

TARGET = Target(backend="local", model="up", max_context_tokens=8192)
CHATS, TEXTS = "/v1/chat/completions", "/v1/completions"
CALLS = {
    CHATS: parse("chat", b'{"model":"m","messages":[{"role":"user","content":"x"}]}'),
    TEXTS: parse("completions", b'{"model":"m","prompt":"x"}'),
}
MODEL = Model(pieces('Grüße, 世界! 🙂 "token_ids":[9]}]} \\ data: [DONE]\n\nfin', 3))


def said(*, path=CHATS, model=MODEL):
    """Return the events of a stream with ids and usage."""
    asked = {"return_token_ids": True, "stream_options": {"include_usage": True}}
    return model.stream(path, {**asked, "prompt": list(PROMPT)})


def text(content, ids, **more):
    """Return a text event of `said()`'s form."""
    event = said()[1]
    start = event.index(b'"content":') + len(b'"content":')
    stop, at = event.index(b'},"logprobs"'), event.index(b'"token_ids":')
    written = json.dumps(content, ensure_ascii=False).encode()
    choice = json.dumps({"token_ids": ids, **more}, separators=(",", ":"))[1:-1].encode()
    return event[:start] + written + event[stop:at] + choice + b"}]}\n\n"


OF_TEXT = [
    text(" a", [7]),
    text("世界", [8]),
    text("é🙂", [9, 10, 11]),
    text('q"uo\\te\n', [12]),
    text(' "token_ids":[1]}]} ', [13, 14]),
    text("", [15]),
    text("", [1_999_999_999, 16]),
    text("\\", [17]),
    text("x", [17]).replace(b'"x"', b'"\\u00e9\\ud83d\\ude42"'),
]
PLAIN = text("x", [18])
OTHERS = {
    "no ids": text("x", []),
    "null for ids": text("x", None),
    "ids left out": PLAIN.replace(b',"token_ids":[18]', b""),
    "ids apart": PLAIN.replace(b"[18]", b"[18, 19]"),
    "a list behind the ids": text("x", [18], stop_reason=[3]),
    "two events": PLAIN + text("y", [19]),
    "a finish reason": PLAIN.replace(b'"finish_reason":null', b'"finish_reason":"stop"'),
    "given up": PLAIN.replace(b'"finish_reason":null', b'"finish_reason":"abort"'),
    "log-probabilities": PLAIN.replace(b'"logprobs":null', b'"logprobs":{"content":[]}'),
    "reasoning": PLAIN.replace(b'"content":', b'"reasoning":'),
    "another moment": PLAIN.replace(b'"created":7', b'"created":8'),
    "a text that begins and does not end": PLAIN.replace(b'"content":"x"', b'"content":"'),
    "an error": b'data: {"error":{"message":"EngineDeadError"}}\n\n',
    "a comment": b": a comment\n\n",
    "no JSON": b"data: {\n\n",
    "half an event": PLAIN[:-7],
    "the terminator": DONE,
}


class Seen(NamedTuple):
    """What has become of a stream."""

    written: bytes
    """To the client, framing included."""
    ended: Ended
    kept: tuple[object, ...]
    """Of the tokens."""
    events: int
    """Passed, as accounted."""


def kept(tokens):
    resumable = tokens.resumable
    return (
        bytes(tokens._ids), tokens.sequence(), tokens.doubtful, tokens.count, tokens.prompt_count,
        tokens.form, tokens.plain, tokens.finished, tokens.failure, resumable,
    )  # fmt: skip


async def through(parts, *, chunked):
    """Pass the parts of a stream, and lose its connection; return who had it."""
    it = Talk(Client(chunked=chunked), Resumable)
    await it.gets(CHUNKED, *parts)
    it.wire.connection_lost(None)
    await asyncio.wait([it.ended], timeout=5)
    return it


async def seen(parts, *, chunked):
    """Return what has become of a stream: by the lane, or read in full where it is not chunked."""
    it = await through(parts, chunked=chunked)
    ended = msgspec.structs.replace(it.ended.result(), first_token=None)
    written = b"".join(it.client.socket.written)
    return Seen(written, ended, kept(it.relay.tokens), it.relay._passed())


@settings(deadline=None)  # a loop for each example
@given(
    st.lists(st.sampled_from([*OF_TEXT, *OF_TEXT, *OTHERS.values()]), max_size=16),
    st.lists(st.tuples(st.integers(0, 30), st.integers(0, 400)), max_size=3),
    st.sampled_from([CHATS, TEXTS]),
)
@example(OF_TEXT * 2, [], CHATS)
@example([OF_TEXT[0], OTHERS["half an event"], OF_TEXT[1]], [], CHATS)
def test_by_the_lane_or_read_in_full_it_is_the_same_stream(events, cuts, path):
    whole = said(path=path)
    if path == TEXTS:
        events = [event.replace(b'"delta":{"content":', b'"text":', 1) for event in events]
    parts = [framed(event) for event in (*whole[:3], *events, *whole[3:])] + [framed(b"")]
    for number, at in cuts:  # some chunks arrive in two pieces, the second with what follows
        if number + 1 < len(parts):
            part = parts[number]
            parts[number], parts[number + 1] = part[:at], part[at:] + parts[number + 1]
    by_lane, in_full = (asyncio.run(seen(parts, chunked=each)) for each in (True, False))
    assert by_lane == in_full


@pytest.mark.parametrize("together", [1, 2])
@pytest.mark.parametrize("path", [CHATS, TEXTS], ids=["chat", "completion"])
async def test_text_chunks_with_ids_pass_the_relay_by(path, together):
    events = said(path=path, model=Model(MODEL.tokens, together=together))
    it = await through([framed(event) for event in (*events, b"")], chunked=True)
    assert it.client.sent <= 6  # the first ones, the finish reason, [DONE]
    assert it.client.body()[0].count(b"\n\n") == len(events) - 1  # without the usage
    assert b"token_ids" not in it.client.body()[0]
    assert it.relay.tokens.count == len(MODEL.tokens)


@pytest.mark.parametrize("other", OTHERS.values(), ids=OTHERS)
def test_a_lane_that_cuts_carries_nothing_but_text_with_ids(other):
    client, tokens = Socket(), Tokens()
    pattern = plain(tokens.feed(OF_TEXT[0]))
    assert pattern is not None
    assert tokens.makes(pattern)
    lane = Lane(client, pattern, tokens)
    before = kept(tokens)
    assert not lane.carries(framed(other))
    assert not lane.carries(framed(OF_TEXT[1])[:-1])
    assert kept(tokens) == before
    assert lane.carries(framed(OF_TEXT[1]))
    assert (lane.events, tokens.sequence()) == (1, b"[,7,8]")
    assert client.written == [framed(OF_TEXT[1].replace(b',"token_ids":[8]', b""))]


def test_what_the_filter_would_not_pass_unread_is_not_cut_by_the_lane():
    tokens = Tokens()
    passed = tokens.feed(OF_TEXT[0])
    for other in (passed.replace(b'"created":7', b'"created":8'), passed.replace(b"null", b"{}")):
        pattern = plain(other)
        assert pattern is not None
        assert not tokens.makes(pattern)


def test_while_an_event_is_read_in_part_nothing_passes_by():
    tokens = Tokens()
    pattern = plain(tokens.feed(OF_TEXT[0]))
    assert pattern is not None
    tokens.feed(OF_TEXT[1][:20])
    assert not tokens.makes(pattern)


async def resumed(path, cut, *, chunked):
    """Break a stream behind so many events and continue it; return the client's body, if any."""
    it = await through([framed(event) for event in said(path=path)[:cut]], chunked=chunked)
    ended, broken, call = await it.ended, it.relay, CALLS[path]
    if not ended.unfinished:
        assert cut <= 2  # no text has come yet
        return None
    if not broken.settle(call, TARGET):
        assert not broken.tokens.doubtful
        asked = json.loads(continuation(call, TARGET, broken.tokens))
        assert asked["max_tokens"] == left(call, TARGET, broken.tokens)
        more = Talk(
            it.client, lambda c, _, clocks, ticker, __: Continuation(c, clocks, ticker, broken)
        )
        await more.gets(CHUNKED, *map(framed, MODEL.stream(TEXTS, asked)), framed(b""))
        await more.ended
        assert more.relay.complete
        assert more.relay._lane is None  # none of these is written as it came
    body, complete = it.client.body()
    assert complete
    return body


@pytest.mark.parametrize("path", [CHATS, TEXTS], ids=["chat", "completion"])
async def test_a_stream_that_breaks_in_the_lane_is_continued_exactly(path):
    for cut in range(len(said(path=path))):
        by_lane, in_full = [await resumed(path, cut, chunked=each) for each in (True, False)]
        assert by_lane == in_full
        if by_lane is not None:
            *events, done, _ = by_lane.split(b"\n\n")
            assert done == b"data: [DONE]"
            choices = [json.loads(event[6:])["choices"][0] for event in events]
            assert "".join(map(_content, choices)) == MODEL.text
            assert [c["finish_reason"] for c in choices if c["finish_reason"]] == ["length"]
            assert b"token_ids" not in by_lane


def _content(choice):
    return choice["text"] if "text" in choice else choice["delta"].get("content") or ""


async def test_what_follows_a_judged_draft_is_read_in_full():
    def drafting(client, _, clocks, ticker, form):
        draft = SimpleNamespace(tokens=1, seconds=9.0, judged=lambda *_: True)
        return DraftStream(client, clocks, ticker, form, Judge(draft, bytes, clocks.commit_by))

    it = Talk(Client(), drafting)
    likely = b'"logprobs":{"content":[{"token":"x","logprob":-0.1,"top_logprobs":[]}]}'
    events = [event.replace(b'"logprobs":null', likely) for event in said()[:6]]
    await it.gets(CHUNKED, *map(framed, events + said()[6:]), framed(b""))
    await it.ended
    assert it.relay._held.released
    assert it.relay._lane is None
    assert b'"logprob":' not in it.client.body()[0]


async def test_what_comes_by_the_lane_puts_the_deadline_off_and_a_stall_is_continued():
    it = Talk(Client(), Resumable)
    await it.gets(CHUNKED, *(framed(event) for event in said()[:6]))
    assert it.relay._lane is not None
    now = time.monotonic()
    assert it.relay._lane.last <= now
    it.relay.expired(it.relay._lane.last)
    assert not it.ended.done()
    it.relay.expired(it.relay.deadline)
    ended = await it.ended
    assert (ended.broken, ended.unfinished) == (True, True)
    assert it.client.flow is None


async def test_a_client_that_does_not_read_stops_what_comes_by_the_lane():
    it = Talk(Client(), Resumable)
    await it.gets(CHUNKED, *(framed(event) for event in said()[:6]))
    assert it.client.flow is it.relay
    it.relay.pause()
    assert (it.backend.reading, it.relay.deadline) == (False, it.clocks.end_by)
    it.relay.resume()
    assert it.backend.reading
    await it.gets(framed(said()[6]))
    assert b"token_ids" not in it.client.socket.written[-1]
    await it.stop()


async def test_of_a_client_that_has_left_ids_are_still_counted_and_nothing_is_written():
    it = Talk(Client(), Resumable)
    events = said()
    await it.gets(CHUNKED, *(framed(event) for event in events[:6]))
    before, count = len(it.client.socket.written), it.relay.tokens.count
    it.client.socket.close()
    await it.gets(framed(events[6]))
    assert len(it.client.socket.written) == before
    assert it.relay.tokens.count == count + 1
    await it.stop()
