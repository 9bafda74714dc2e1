"""What a client sees of each way in which a backend can misbehave."""

import asyncio
import json

import pytest

from tests.support.routers import (
    PATIENT,
    backend,
    router,
    table,
    times,
    two,
)
from tests.support.upstreams import (
    ROLE,
    SSE_HEAD,
    Upstream,
    answers,
    begins,
    closes,
    completion,
    delta,
    ends,
    event,
    finish,
    half_a_chunk,
    replies,
    resets,
    response,
    says,
    silence,
    streams,
)


async def stops(talk):
    """Say nothing more, and wait for the router to leave."""
    await talk.until_left()


BEFORE = [
    pytest.param(replies(500), 502, "upstream_server_error", id="500"),
    pytest.param(replies(502), 502, "upstream_server_error", id="502"),
    pytest.param(replies(408), 502, "upstream_server_error", id="408"),
    pytest.param(replies(503), 503, "upstream_overloaded", id="503"),
    pytest.param(replies(429), 429, "rate_limit_exceeded", id="429"),
    pytest.param(replies(401), 502, "upstream_refused_key", id="401, the router's own key"),
    pytest.param(replies(403), 502, "upstream_refused_key", id="403, the router's own key"),
    pytest.param(
        replies(302, {}, "location: http://127.0.0.1:1/"), 502, "upstream_redirect", id="a redirect"
    ),
    pytest.param(
        replies(307, {}, "location: http://127.0.0.1:1/"),
        502,
        "upstream_redirect",
        id="a redirect that keeps the method",
    ),
    pytest.param(resets, 502, "upstream_broken", id="a reset"),
    pytest.param(closes, 502, "upstream_broken", id="a close without a byte"),
    pytest.param(silence, 504, "upstream_timeout", id="silence"),
    pytest.param(says(b"HTTP/1.1 200 OK\r\n"), 504, "upstream_timeout", id="half a head"),
    pytest.param(
        says(b"SSH-2.0-OpenSSH_9\r\n\r\n", close=True), 502, "upstream_broken", id="not HTTP"
    ),
    pytest.param(
        says(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n"),
        502,
        "upstream_broken",
        id="a switch of protocols",
    ),
    pytest.param(
        says(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"),
        502,
        "upstream_broken",
        id="a length together with a transfer coding",
    ),
    pytest.param(
        says(b"HTTP/1.1 103 Early Hints\r\n\r\n" * 100),
        502,
        "upstream_broken",
        id="endless interim replies",
    ),
    pytest.param(says(response(200, b"<html>")), 502, "upstream_broken", id="a web page"),
    pytest.param(says(response(200, b"")), 502, "upstream_broken", id="200 with an empty body"),
    pytest.param(says(b"HTTP/1.1 204 X\r\n\r\n"), 502, "upstream_broken", id="204"),
]

WHOLE = [
    *BEFORE,
    pytest.param(says(response(200, b"{}")), 502, "upstream_broken", id="an object of nothing"),
    pytest.param(says(response(200, b"[]")), 502, "upstream_broken", id="not an object"),
    pytest.param(
        says(response(200, b'{"choices":null,"error":"x"}')),
        502,
        "upstream_broken",
        id="choices that are null",
    ),
    pytest.param(
        says(response(200, b'{"choices":[ ]}')), 502, "upstream_broken", id="no choice at all"
    ),
    pytest.param(
        says(response(200, b'{"error":{"message":"x"}}')),
        502,
        "upstream_broken",
        id="an error with status 200",
    ),
    pytest.param(
        says(response(200, json.dumps(completion()).encode())[:-20], close=True),
        502,
        "upstream_broken",
        id="an answer that is cut off",
    ),
    pytest.param(
        begins(then=half_a_chunk), 502, "upstream_broken", id="an answer that breaks within a chunk"
    ),
    pytest.param(
        says(response(200, json.dumps(completion()).encode())[:-20]),
        504,
        "upstream_timeout",
        id="an answer that stops",
    ),
]

STREAMED = [
    *BEFORE,
    pytest.param(
        says(response(200, json.dumps(completion()).encode())),
        502,
        "upstream_broken",
        id="JSON instead of events",
    ),
    pytest.param(begins(then=stops), 504, "upstream_timeout", id="headers, then silence"),
    pytest.param(begins(ROLE, then=stops), 504, "upstream_timeout", id="a role, then silence"),
    pytest.param(begins(ROLE, then=resets), 502, "upstream_broken", id="a role, then a reset"),
    pytest.param(begins(ROLE, then=closes), 502, "upstream_broken", id="a role, then a close"),
    pytest.param(begins(ROLE, then=ends), 502, "upstream_broken", id="a role, then a clean end"),
    pytest.param(
        begins(ROLE, then=half_a_chunk), 502, "upstream_broken", id="a role, then half a chunk"
    ),
    pytest.param(
        begins(ROLE, b"[DONE]", then=ends), 502, "upstream_broken", id="a role, then [DONE]"
    ),
    pytest.param(
        begins({"error": {"message": "x"}}, then=ends), 502, "upstream_broken", id="an error event"
    ),
    pytest.param(
        begins({"object": "error", "message": "x", "code": 500}, b"[DONE]", then=ends),
        502,
        "upstream_broken",
        id="an error event as older vLLM writes it",
    ),
    pytest.param(
        begins(ROLE, {"error": {"message": "x"}}, b"[DONE]", then=ends),
        502,
        "upstream_broken",
        id="a role, then an error event",
    ),
    pytest.param(
        begins(b"{not json", then=ends), 502, "upstream_broken", id="an event that is not JSON"
    ),
    pytest.param(begins(b"[1]", then=ends), 502, "upstream_broken", id="an event not an object"),
    pytest.param(
        says(SSE_HEAD + b"8\r\n: ping\n\nXX" * 4),
        502,
        "upstream_broken",
        id="pings in malformed chunks",
    ),
    pytest.param(
        begins(ROLE, delta(content=""), delta(content=None), then=stops),
        504,
        "upstream_timeout",
        id="empty deltas, then silence",
    ),
]


@pytest.mark.parametrize(("behaviour", "status", "code"), WHOLE)
async def test_an_unstreamed_request_gets_the_next_backends_answer(
    behaviour,
    status,  # noqa: ARG001  of the shared table; asserted elsewhere
    code,
):
    async with (
        Upstream(behaviour) as up,
        Upstream(answers("saved")) as other,
        router(two(up, other, times(code))) as r,
    ):
        reply = await r.chat()
    assert (reply.status, reply.whole) == (200, True)
    assert reply.json()["choices"][0]["message"]["content"] == "saved"
    assert reply.headers["x-hybrid-source"] == "api"
    assert reply.headers["x-hybrid-reason"] == "local-failed"
    assert reply.headers["x-hybrid-attempts"] == "2"
    assert (len(up.received), len(other.received)) == (1, 1)


@pytest.mark.parametrize(("behaviour", "status", "code"), STREAMED)
async def test_a_stream_gets_the_next_backends_before_anything_was_generated(
    behaviour,
    status,  # noqa: ARG001  of the shared table; asserted elsewhere
    code,
):
    async with (
        Upstream(behaviour) as up,
        Upstream(streams("sa", "ved")) as other,
        router(two(up, other, times(code))) as r,
    ):
        reply = await r.chat(stream=True)
    assert (reply.status, reply.whole) == (200, True)
    assert (reply.text(), reply.events()[-1]) == ("saved", "[DONE]")
    assert reply.events()[0]["choices"][0]["delta"]["role"] == "assistant"
    assert reply.headers["x-hybrid-reason"] == "local-failed"
    assert (len(up.received), len(other.received)) == (1, 1)


@pytest.mark.parametrize(
    ("behaviour", "status", "code", "stream"),
    [
        *(pytest.param(*p.values, False, id=f"{p.id}, unstreamed") for p in WHOLE),
        *(pytest.param(*p.values, True, id=f"{p.id}, streamed") for p in STREAMED),
    ],
)
async def test_without_another_backend_the_error_is_an_envelope(behaviour, status, code, stream):
    async with Upstream(behaviour) as up:
        one = table({"only": backend(up.url, timeouts=times(code))}, policy={"attempts": 1})
        async with router(one) as r:
            reply = await r.chat(stream=stream)
    assert (reply.status, reply.error["code"]) == (status, code)
    assert reply.headers["content-type"] == "application/json"
    assert reply.headers["x-should-retry"] == "false"
    assert reply.headers["x-hybrid-attempts"] == "1"


AFTER = [
    pytest.param(closes, id="a close"),
    pytest.param(resets, id="a reset"),
    pytest.param(ends, id="a clean end without the terminator"),
    pytest.param(half_a_chunk, id="half a chunk"),
    pytest.param(stops, id="silence"),
    pytest.param(says(b"zz\r\n"), id="a malformed chunk"),
]


@pytest.mark.parametrize("behaviour", AFTER)
async def test_after_something_generated_a_broken_stream_ends_in_an_error_event(behaviour):
    broken = begins(ROLE, delta(content="Hel"), then=behaviour)
    timeouts = {**PATIENT, "idle": 0.3} if behaviour is stops else PATIENT
    async with Upstream(broken) as up, Upstream() as other, router(two(up, other, timeouts)) as r:
        reply = await r.chat(stream=True)
        assert r.sample('hinf_router_attempts_total{backend="first",outcome="failed"}') == 1
    events = reply.events()
    assert (reply.status, reply.whole) == (200, True)
    assert events[1]["choices"][0]["delta"]["content"] == "Hel"
    assert events[-1]["error"]["code"] == "stream_broken"
    assert "[DONE]" not in events
    assert other.received == []


@pytest.mark.parametrize(
    "error",
    [
        pytest.param({"error": {"message": "out of memory"}}, id="as OpenAI writes it"),
        pytest.param({"error": "out of memory"}, id="as a bare text"),
        pytest.param(
            {"object": "error", "message": "out of memory", "code": 500}, id="as older vLLM does"
        ),
    ],
)
async def test_an_error_event_after_something_generated_is_passed_on_and_ends_the_stream(error):
    broken = begins(ROLE, delta(content="Hel"), error, b"[DONE]", then=ends)
    async with Upstream(broken) as up, Upstream() as other, router(two(up, other)) as r:
        reply = await r.chat(stream=True)
    assert reply.events()[-1] == error
    assert other.received == []


GENERATED = [
    pytest.param(delta(content="x"), id="content"),
    pytest.param(delta(reasoning_content="x"), id="reasoning, as vLLM says"),
    pytest.param(delta(reasoning="x"), id="reasoning"),
    pytest.param(delta(refusal="x"), id="a refusal"),
    pytest.param(delta(tool_calls=[{"index": 0, "id": "t"}]), id="a tool call"),
    pytest.param(delta(function_call={"name": "f"}), id="a function call"),
    pytest.param(finish(), id="a finish reason"),
    pytest.param(
        {"choices": [{"index": 0, "delta": {}, "logprobs": {"content": [{}]}}]},
        id="log-probabilities",
    ),
    pytest.param({"choices": [{"index": 0, "text": "x"}]}, id="a completion's text"),
]


@pytest.mark.parametrize("first", GENERATED)
async def test_the_commit_boundary_is_the_first_event_that_carries(first):
    async with (
        Upstream(begins(ROLE, first, then=closes)) as up,
        Upstream() as other,
        router(two(up, other)) as r,
    ):
        reply = await r.chat(stream=True)
    assert reply.events()[-1]["error"]["code"] == "stream_broken"
    assert other.received == []


async def test_a_slow_first_token_within_its_time_is_waited_for_although_pings_came():
    async def slow(talk):
        await talk.send(SSE_HEAD)
        for _ in range(3):
            await talk.chunk(b": ping\n\n")
            await asyncio.sleep(0.03)
        await talk.chunk(event(delta(content="x")) + event(finish()) + event(b"[DONE]"))
        await talk.last_chunk()

    async with Upstream(slow) as up, Upstream() as other, router(two(up, other)) as r:
        reply = await r.chat(stream=True)
    assert (reply.text(), other.received) == ("x", [])
    assert reply.body.startswith(b": ping\n\n: ping\n\n: ping\n\ndata: ")


CLIENT_ERRORS = [
    pytest.param(400, id="400"),
    pytest.param(404, id="404"),
    pytest.param(409, id="409"),
    pytest.param(413, id="413"),
    pytest.param(415, id="415"),
    pytest.param(422, id="422"),
    pytest.param(420, id="420, which has no name"),
    pytest.param(499, id="499, which has no name"),
]


@pytest.mark.parametrize("status", CLIENT_ERRORS)
@pytest.mark.parametrize("stream", [False, True], ids=["unstreamed", "streamed"])
async def test_a_clients_own_error_is_returned_as_it_is_and_tried_nowhere_else(status, stream):
    error = {"error": {"message": "temperature is too hot", "code": 17, "extra": [1.10]}}
    async with (
        Upstream(replies(status, error)) as up,
        Upstream() as other,
        router(two(up, other)) as r,
    ):
        reply = await r.chat(stream=stream)
        rows = 'hinf_router_attempts_total{backend="first",outcome="client-error"}'
        assert r.sample(rows) == 1
    assert (reply.status, reply.body) == (status, json.dumps(error).encode())
    assert reply.headers["x-hybrid-source"] == "local"
    assert other.received == []


@pytest.mark.parametrize("stream", [False, True], ids=["unstreamed", "streamed"])
async def test_a_clients_own_error_without_a_word_is_an_answer_too(stream):
    mute = says(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n")
    async with Upstream(mute) as up, Upstream() as other, router(two(up, other)) as r:
        reply = await r.chat(stream=stream)
    assert (reply.status, reply.body, reply.whole) == (400, b"", True)
    assert other.received == []


TOO_LONG = [
    pytest.param(
        {
            "object": "error",
            "message": "This model's maximum context length is 4096 tokens. However, you asked.",
            "code": 400,
        },
        id="as older vLLM says",
    ),
    pytest.param(
        {"error": {"message": "This model's maximum context length is 4096 tokens."}},
        id="as vLLM says",
    ),
    pytest.param(
        {"error": {"message": "no", "code": "context_length_exceeded"}}, id="as OpenAI says"
    ),
]


@pytest.mark.parametrize("error", TOO_LONG)
async def test_a_prompt_too_long_for_the_local_model_moves_on_for_an_alias(error):
    async with (
        Upstream(replies(400, error)) as up,
        Upstream(answers("long")) as other,
        router(two(up, other)) as r,
    ):
        moved = await r.chat("m")
        explicit = await r.chat("first")
    assert moved.json()["choices"][0]["message"]["content"] == "long"
    assert (explicit.status, explicit.json()) == (400, error)


async def test_a_prompt_too_long_for_the_api_does_not_move_on():
    error = {"error": {"message": "no", "code": "context_length_exceeded"}}
    async with Upstream(replies(400, error)) as api, Upstream() as local:
        both = table({"api": backend(api.url, trust="external"), "local": backend(local.url)})
        async with router(both) as r:
            reply = await r.chat()
    assert (reply.status, local.received) == (400, [])
