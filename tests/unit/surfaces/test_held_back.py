"""The commit boundary of every dialect's stream, without I/O."""

import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybrid_router.anthropic.sse import MessagesFilter
from hybrid_router.openai.errors import ApiError
from hybrid_router.openai.shapes import Usage
from hybrid_router.openai.sse import DONE
from hybrid_router.responses.sse import ResponsesFilter
from hybrid_router.translate.chat_answer import ChatReader, ChatWriter
from hybrid_router.translate.form import TranslatedStream
from hybrid_router.translate.messages_answer import MessagesReader, MessagesWriter
from hybrid_router.translate.responses_answer import ResponsesWriter
from tests.support import messages_upstreams as m
from tests.support import responses_upstreams as r
from tests.support.upstreams import ROLE, delta, event, finish, usage_chunk

BROKEN = ApiError(502, "stream_broken", "it broke")
CHAT = [
    event(ROLE),
    event(delta(content="Hel")),
    event(delta(content="lo")),
    event(finish()),
    event(usage_chunk()),
    event(DONE),
]
MESSAGES = [m.start(), m.PING, *m.text(0, "Hel", "lo"), *m.tool(1, '{"a":', "1}"), *m.end()]
RESPONSES = r.stream("Hel", "lo")


def stream_of(name):
    return {
        "messages": MessagesFilter,
        "responses": ResponsesFilter,
        "chat for a client of messages": lambda: TranslatedStream(ChatReader(), MessagesWriter()),
        "messages for a client of chat": lambda: TranslatedStream(MessagesReader(), ChatWriter()),
        "chat for a client of responses": lambda: TranslatedStream(ChatReader(), ResponsesWriter()),
    }[name]()


SPOKEN = {
    "messages": MESSAGES,
    "responses": RESPONSES,
    "chat for a client of messages": CHAT,
    "messages for a client of chat": MESSAGES,
    "chat for a client of responses": CHAT,
}
NAMES = list(SPOKEN)
PASSED = ["messages", "responses"]


@pytest.mark.parametrize(
    "said",
    [
        pytest.param(m.named("message_stop"), id="nothing else"),
        pytest.param(m.start() + m.named("message_stop"), id="no content"),
    ],
)
def test_an_end_before_anything_was_generated_is_a_failure_and_no_end(said):
    stream = MessagesFilter()
    assert stream.feed(said) == b""
    assert (stream.done, stream.committed) == (False, False)
    assert stream.failure == "the stream ended before anything was generated"


def cut(data, places):
    places = [0, *sorted(place % len(data) for place in places), len(data)]
    return [data[a:b] for a, b in pairwise(places)]


@pytest.mark.parametrize("name", PASSED)
@given(places=st.lists(st.integers(min_value=0)))
def test_however_a_stream_is_cut_it_passes_as_it_is(name, places):
    whole = b"".join(SPOKEN[name])
    stream = stream_of(name)
    assert b"".join(stream.feed(part) for part in cut(whole, places)) == whole
    assert (stream.done, stream.failure, stream.committed) == (True, None, True)
    assert stream.usage == Usage(7, 2, 2)


@pytest.mark.parametrize("name", [name for name in NAMES if name not in PASSED])
@given(places=st.lists(st.integers(min_value=0)))
def test_however_a_stream_is_cut_it_is_translated_alike(name, places):
    whole = b"".join(SPOKEN[name])
    once, again = stream_of(name), stream_of(name)
    expected = once.feed(whole)
    passed = b"".join(again.feed(part) for part in cut(whole, places))
    assert without_times(passed) == without_times(expected)
    assert (again.done, again.failure) == (True, None)
    assert again.usage in {Usage(7, 2, 2), Usage(7, 2)}


def without_times(data):
    rows = [row.removeprefix(b"data: ") for row in data.split(b"\n") if row.startswith(b"data: {")]
    events = [json.loads(row) for row in rows]
    for each in events:
        each.pop("created", None)
        for name in ("created_at", "completed_at"):
            (each.get("response") or {}).pop(name, None)
    return events


NOTHING_YET = {
    "messages": MESSAGES[:3],
    "responses": RESPONSES[:4],
    "chat for a client of messages": CHAT[:1],
    "messages for a client of chat": MESSAGES[:3],
    "chat for a client of responses": CHAT[:1],
}


@pytest.mark.parametrize("name", NAMES)
def test_what_carries_nothing_generated_is_held_back(name):
    held = NOTHING_YET[name]
    stream = stream_of(name)
    assert b"".join(stream.feed(each) for each in held) == b""
    assert not stream.committed
    assert stream.feed(SPOKEN[name][len(held)])
    assert stream.committed


ERRORS = {
    "messages": m.ERROR,
    "responses": r.FAILED,
    "chat for a client of messages": event({"error": {"message": "x"}}),
    "messages for a client of chat": m.ERROR,
    "chat for a client of responses": event({"error": {"message": "x"}}),
}


@pytest.mark.parametrize("name", NAMES)
def test_an_error_before_that_is_a_failed_attempt(name):
    stream = stream_of(name)
    held = [*NOTHING_YET[name], ERRORS[name]]
    assert b"".join(stream.feed(each) for each in held) == b""
    assert stream.failure
    assert not stream.told


@pytest.mark.parametrize("name", NAMES)
def test_an_error_after_that_is_told_once(name):
    stream = stream_of(name)
    begun = SPOKEN[name][: len(NOTHING_YET[name]) + 1]
    for each in begun:
        stream.feed(each)
    passed = stream.feed(ERRORS[name])
    assert stream.failure
    assert stream.told is (passed == ERRORS[name])
    assert stream.told is (name in PASSED)


@pytest.mark.parametrize("name", NAMES)
def test_an_end_without_anything_generated_is_a_failed_attempt(name):
    stream = stream_of(name)
    whole = SPOKEN[name]
    for each in (*NOTHING_YET[name], whole[-1]):
        stream.feed(each)
    assert stream.failure or not stream.done or name == "responses"


@pytest.mark.parametrize("name", NAMES)
@given(data=st.binary(max_size=300), places=st.lists(st.integers(min_value=0)))
def test_no_bytes_crash_a_stream(name, data, places):
    for begun in (b"", b"".join(SPOKEN[name][: len(NOTHING_YET[name]) + 1])):
        whole = begun + data
        if whole:
            stream = stream_of(name)
            for part in cut(whole, places):
                stream.feed(part)
            assert stream.broken(BROKEN).endswith(b"\n\n")


@pytest.mark.parametrize("name", NAMES)
def test_an_event_without_an_end_is_given_up_at_4_mib(name):
    stream = stream_of(name)
    for _ in range(70):
        stream.feed(b"data: " + b"x" * 65_536)
    assert stream.failure == "an event is too long"


def test_a_broken_stream_of_messages_ends_in_an_error_event():
    stream = stream_of("messages")
    for each in MESSAGES[:4]:
        stream.feed(each)
    head, _, data = stream.broken(BROKEN).partition(b"\ndata: ")
    assert head == b"event: error"
    assert json.loads(data) == {
        "type": "error",
        "error": {"type": "api_error", "message": "it broke"},
    }


def test_a_broken_stream_of_responses_ends_in_response_failed_with_the_next_number():
    stream = stream_of("responses")
    for each in RESPONSES[:6]:
        stream.feed(each)
    head, _, data = stream.broken(BROKEN).partition(b"\ndata: ")
    told = json.loads(data)
    assert head == b"event: response.failed"
    assert told["sequence_number"] == 6
    assert told["response"]["id"] == "resp_1"
    assert told["response"]["status"] == "failed"
    assert told["response"]["error"] == {"code": "server_error", "message": "it broke"}
