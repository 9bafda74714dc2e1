"""/v1/messages over real sockets: passed, translated, failed over, and refused in its own form."""

import json

import pytest

from tests.support import messages_upstreams as m
from tests.support.routers import Says, backend, router, table
from tests.support.upstreams import (
    ROLE,
    Upstream,
    answers,
    begins,
    closes,
    completion,
    delta,
    finish,
    replies,
    response,
    says,
)

HI = [{"role": "user", "content": "hi"}]


def claude(up, **fields):
    """Return a backend that speaks Anthropic's dialect."""
    return backend(up.url, dialect="anthropic", trust="external", auth="x-api-key", **fields)


async def ask(r, model="only", *headers, path="/v1/messages", **fields):
    body = {"model": model, "max_tokens": 9, "messages": HI, **fields}
    return await r.post(path, body, *headers)


def events(reply):
    rows = [row.partition("\ndata: ")[2] for row in reply.body.decode().split("\n\n")[:-1]]
    return [json.loads(row) for row in rows]


async def test_a_request_for_anthropic_passes_byte_by_byte():
    body = b'{ "model":"only", "max_tokens":9,\n"messages":[{"role":"user","content":"\\u00e9"}],'
    body += b'"temperature":1.00, "new_field":{"a":[1e400,18446744073709551616]} }'
    same = table({"only": {}})
    async with Upstream(m.answers_messages()) as up:
        same["backends"] = {"only": claude(up)}
        same["models"] = {"only": {"targets": [{"backend": "only", "model": "only"}]}}
        async with router(same) as r:
            reply = await r.post("/v1/messages", body, "anthropic-beta: a", "cookie: b")
    assert up.received[0].body == body
    assert up.received[0].path == "/v1/messages"
    assert up.received[0].headers["anthropic-version"] == "2023-06-01"
    assert up.received[0].headers["anthropic-beta"] == "a"
    assert "cookie" not in up.received[0].headers
    assert reply.json() == m.message()


async def test_a_stream_of_anthropics_passes_byte_by_byte():
    spoken = [m.start(), m.PING, *m.text(0, "a", "b"), *m.tool(1, "{", "}"), *m.end("tool_use")]
    async with Upstream(m.plays(*spoken)) as up, router(table({"only": claude(up)})) as r:
        reply = await ask(r, stream=True)
        tokens = 'hinf_router_tokens_total{backend="only",kind="%s",model="only-model"}'
        assert (r.sample(tokens % "prompt"), r.sample(tokens % "completion")) == (7, 2)
    assert reply.body == b"".join(spoken)
    assert reply.headers["content-type"] == "text/event-stream"


async def test_a_stream_that_ends_before_it_says_anything_is_tried_elsewhere():
    empty = m.plays(m.start(), m.named("message_stop"))
    spoken = [m.start(), *m.text(0, "a", "b"), *m.end()]
    async with Upstream(empty) as first, Upstream(m.plays(*spoken)) as second:
        both = table({"first": claude(first), "second": claude(second)})
        async with router(both) as r:
            reply = await ask(r, "m", stream=True)
    assert reply.body == b"".join(spoken)
    assert (len(first.received) > 0, len(second.received)) == (True, 1)


async def test_vllms_own_messages_are_used():
    async with Upstream(m.answers_messages()) as up:
        own = table({"only": backend(up.url, engine="vllm")})
        async with router(own) as r:
            await ask(r)
            await ask(r, path="/v1/messages/count_tokens")
    assert [each.path for each in up.received] == ["/v1/messages", "/v1/messages/count_tokens"]


async def test_an_older_vllm_is_asked_for_a_chat():
    surfaces = ["chat", "completions", "embeddings"]
    async with Upstream(answers("hello")) as up:
        older = backend(up.url, engine="vllm", surfaces=surfaces)
        async with router(table({"only": older})) as r:
            reply = await ask(r)
    assert up.received[0].path == "/v1/chat/completions"
    assert reply.json()["content"][0]["text"] == "hello"


TOOL = {"id": "t1", "type": "function", "function": {"name": "f", "arguments": '{"x":1}'}}


async def test_a_whole_chat_becomes_a_message():
    chat = completion("so")
    chat["choices"][0]["message"] |= {"tool_calls": [TOOL], "reasoning": "hm"}
    chat["choices"][0]["finish_reason"] = "tool_calls"
    answer = says(response(200, json.dumps(chat).encode()))
    async with Upstream(answer) as up, router(table({"only": backend(up.url)})) as r:
        reply = await ask(r)
    assert reply.json() == {
        "id": "c1",
        "type": "message",
        "role": "assistant",
        "model": "up",
        "content": [
            {"type": "thinking", "thinking": "hm", "signature": ""},
            {"type": "text", "text": "so", "citations": None},
            {
                "type": "tool_use",
                "id": "t1",
                "name": "f",
                "input": {"x": 1},
                "caller": {"type": "direct"},
            },
        ],
        "stop_reason": "tool_use",
        "stop_sequence": None,
        "stop_details": None,
        "container": None,
        "usage": {
            "cache_creation": None,
            "inference_geo": None,
            "service_tier": None,
            "output_tokens_details": None,
            "server_tool_use": None,
            "input_tokens": 7,
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": 0,
            "output_tokens": 2,
        },
    }
    assert reply.headers["content-type"] == "application/json"


async def test_a_streamed_chat_becomes_events():
    first = {"index": 0, "id": "t1", "type": "function", "function": {"name": "f", "arguments": ""}}
    rest = {"index": 0, "function": {"arguments": '{"x":1}'}}

    async def done(talk):
        await talk.event(b"[DONE]")
        await talk.last_chunk()

    spoken = [ROLE, delta(reasoning="hm"), delta(content="so"), delta(tool_calls=[first])]
    behaviour = begins(*spoken, delta(tool_calls=[rest]), finish("tool_calls"), then=done)
    async with Upstream(behaviour) as up, router(table({"only": backend(up.url)})) as r:
        reply = await ask(r, stream=True)
    told = events(reply)
    assert [each["type"] for each in told] == [
        "message_start",
        *["content_block_start", "content_block_delta", "content_block_stop"] * 3,
        "message_delta",
        "message_stop",
    ]
    blocks = [each["content_block"]["type"] for each in told if "content_block" in each]
    assert blocks == ["thinking", "text", "tool_use"]
    deltas = [each["delta"] for each in told if each["type"] == "content_block_delta"]
    assert deltas == [
        {"type": "thinking_delta", "thinking": "hm"},
        {"type": "text_delta", "text": "so"},
        {"type": "input_json_delta", "partial_json": '{"x":1}'},
    ]
    assert told[-2]["delta"]["stop_reason"] == "tool_use"


@pytest.mark.parametrize("stream", [False, True])
async def test_it_fails_over_from_one_dialect_to_the_other(stream):
    early = m.plays(m.start(), m.PING, m.ERROR) if stream else replies(529)
    async with Upstream(early) as first, Upstream(answers("hello")) as second:
        both = table({"a": claude(first), "b": backend(second.url)})
        async with router(both) as r:
            reply = await ask(r, "m", stream=stream)
    assert reply.status == 200
    assert reply.headers["x-hybrid-attempts"] == "2"
    assert b"hello" in reply.body or b'"text":"o"' in reply.body


async def test_a_chat_fails_over_to_anthropic():
    async with Upstream(replies(500)) as first, Upstream(m.answers_messages("hi")) as second:
        both = table({"a": backend(first.url), "b": claude(second)})
        async with router(both) as r:
            reply = await r.chat("m", stream=True, seed=7)
    assert reply.text() == "hi"
    assert reply.events()[-1] == "[DONE]"
    assert reply.headers["x-hybrid-dropped"] == "seed"
    assert b"usage" not in reply.body


async def test_a_stream_that_breaks_ends_in_an_error_event():
    broken = begins(ROLE, delta(content="Hel"), then=closes)
    async with Upstream(broken) as up, router(table({"only": backend(up.url)})) as r:
        reply = await ask(r, stream=True)
    assert reply.whole
    assert events(reply)[-1]["error"]["type"] == "api_error"


REFUSED = [
    pytest.param({"model": "nope"}, 404, "not_found_error", id="an unknown model"),
    pytest.param({"messages": []}, 400, "invalid_request_error", id="no message"),
    pytest.param({"max_tokens": None}, 400, "invalid_request_error", id="no limit"),
    pytest.param({"max_tokens": 0}, 400, "invalid_request_error", id="a limit of nothing"),
    pytest.param({"stream": "yes"}, 400, "invalid_request_error", id="a stream that is text"),
]


@pytest.mark.parametrize(("fields", "status", "kind"), REFUSED)
async def test_errors_have_anthropics_form(fields, status, kind):
    async with router(table({"only": backend("http://127.0.0.1:1/v1")})) as r:
        reply = await r.post(
            "/v1/messages", {"model": "only", "max_tokens": 9, "messages": HI, **fields}
        )
    assert (reply.status, reply.json()["type"], reply.error["type"]) == (status, "error", kind)
    assert reply.json()["request_id"] == reply.headers["x-request-id"]


ERRORS = [
    pytest.param(400, "invalid_request_error", id="the client's mistake"),
    pytest.param(404, "not_found_error", id="an unknown deployment"),
    pytest.param(422, "invalid_request_error", id="a request that is not understood"),
]


@pytest.mark.parametrize(("status", "kind"), ERRORS)
async def test_a_backends_error_is_told_in_the_clients_form(status, kind):
    said = {"error": {"message": "no such thing", "type": "x"}}
    async with Upstream(replies(status, said)) as up:
        both = table({"only": backend(up.url), "claude": claude(up)})
        async with router(both) as r:
            reply = await ask(r)
            chat = await r.chat("claude")
    assert (reply.status, reply.json()["type"]) == (status, "error")
    assert reply.error == {"type": kind, "message": "no such thing"}
    assert (chat.status, chat.error["message"]) == (status, "no such thing")
    assert set(chat.error) == {"message", "type", "param", "code"}


async def test_vllms_errors_in_openais_form_are_told_in_anthropics():
    said = {"error": {"message": "no such role", "type": "Bad Request", "code": 400}}
    own = {"type": "error", "error": {"type": "x", "message": "y"}}
    async with Upstream(replies(400, said), replies(400, own)) as up:
        vllm = table({"only": backend(up.url, engine="vllm")})
        async with router(vllm) as r:
            first, second = await ask(r), await ask(r)
    assert first.error == {"type": "invalid_request_error", "message": "no such role"}
    assert (first.json()["type"], second.json()) == ("error", own)


async def test_paths_methods_and_keys_are_refused_in_that_form(tmp_path):
    (tmp_path / "team").write_text("sk-right")
    keyed = table({"only": backend("http://127.0.0.1:1/v1")}, keys={"directory": str(tmp_path)})
    async with router(keyed) as r:
        missing = await ask(r, path="/v1/messages/batches")
        wrong = await ask(r, "only", "x-api-key: sk-wrong")
        method = await r.get("/v1/messages", "x-api-key: sk-right")
        right = await ask(r, "nope", "x-api-key: sk-right")
    assert [each.json()["type"] for each in (missing, wrong, method)] == ["error"] * 3
    assert [each.status for each in (missing, wrong, method, right)] == [404, 401, 405, 404]


async def test_tokens_are_counted_by_a_backend_that_counts_else_estimated():
    async with Upstream(m.answers_messages()) as up:
        both = table({"a": backend("http://127.0.0.1:1/v1"), "b": claude(up)})
        async with router(both, classifier=Says(0.99)) as r:
            counted = await ask(r, "auto", path="/v1/messages/count_tokens")
            estimated = await ask(r, "a", path="/v1/messages/count_tokens")
            spent = 'hinf_router_tokens_total{backend="b",kind="completion",model="b-model"}'
            assert r.sample(spent) == 0
    assert counted.json() == {"input_tokens": 42}
    assert "x-hybrid-estimated" not in counted.headers
    assert estimated.json()["input_tokens"] > 0
    assert estimated.headers["x-hybrid-estimated"] == "true"


async def test_what_no_backend_can_be_asked_is_400_and_named():
    async with Upstream(m.answers_messages()) as up, router(table({"only": claude(up)})) as r:
        several = await r.chat("only", n=2)
        sound = await r.chat("only", messages=[{"role": "user", "content": [{"type": "a"}]}])
        embedded = await r.post("/v1/embeddings", {"model": "only", "input": "x"})
    for reply, what in ((several, ": n"), (sound, "of type a"), (embedded, "/v1/embeddings")):
        assert (reply.status, reply.error["code"]) == (400, "unsupported_capability")
        assert reply.error["message"].endswith(what)
    assert up.received == []


async def test_an_alias_leaves_out_what_cannot_be_asked():
    async with Upstream() as local, Upstream(m.answers_messages()) as api:
        both = table({"local": backend(local.url), "api": claude(api)})
        async with router(both, classifier=Says(0.1)) as r:
            several = await r.chat("auto", n=2)
            sound = await r.chat("auto", messages=[{"role": "user", "content": [{"type": "a"}]}])
    assert several.headers["x-hybrid-reason"] == "no-external-target"
    assert [each.headers["x-hybrid-source"] for each in (several, sound)] == ["local"] * 2
    assert api.received == []


async def test_the_small_surface_is_answered_by_anthropic_too():
    async with Upstream(m.answers_messages("hi")) as up:
        only = table({"api": claude(up, provider="anthropic")})
        async with router(only) as r:
            reply = await r.post("/api/v1/chat", {"prompt": "x"})
    assert reply.json() == {"source": "openai_api", "content": "hi", "provider": "anthropic"}
