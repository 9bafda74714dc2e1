"""What a data policy lets out of the cluster, on every surface, and whatever fails."""

import asyncio
import base64
import gzip
import json

import pytest

from hybrid_router.datapolicy.custom import Custom
from tests.support.routers import backend, router, table
from tests.support.upstreams import (
    Upstream,
    answers,
    begins,
    delta,
    ends,
    replies,
    resets,
    silence,
    streams,
)

CARD = "4111 1111 1111 1111"
FULL_WIDTH = {ord("0") + n: 0xFF10 + n for n in range(10)}
MAIL = "jane.doe@example.com"
NOBODY = "http://127.0.0.1:1/v1"
POLICY = {"keepLocal": ["payment-card"], "redact": ["email", "secret"], "refuse": ["us-ssn"]}


def hybrid(local, api, data=POLICY, **policy):
    """Return a table with a local model, an API model, and `auto` over both."""
    short = {"connect": 0.3, "firstByte": 0.2, "idle": 1}
    return table(
        {
            "local": backend(local, timeouts=short),
            "api": backend(api, trust="external", timeouts=short),
        },
        models={
            "auto": {
                "targets": [
                    {"backend": "local", "model": "small"},
                    {"backend": "api", "model": "large"},
                ],
            },
            "large": {"targets": [{"backend": "api", "model": "large"}]},
            "api-first": {
                "targets": [
                    {"backend": "api", "model": "large"},
                    {"backend": "local", "model": "small"},
                ],
            },
        },
        policy={"data": data, "deadline": 1, **policy},
    )


def user(text):
    return [{"role": "user", "content": text}]


SURFACES = [
    pytest.param("/v1/chat/completions", lambda t: {"messages": user(t)}, id="chat"),
    pytest.param("/v1/completions", lambda t: {"prompt": t}, id="completions"),
    pytest.param("/v1/messages", lambda t: {"max_tokens": 9, "messages": user(t)}, id="messages"),
    pytest.param("/v1/responses", lambda t: {"input": t}, id="responses"),
]
PLACES = [
    pytest.param({"messages": user(CARD)}, id="the user's turn"),
    pytest.param({"messages": [{"role": "system", "content": CARD}, *user("hi")]}, id="system"),
    pytest.param({"messages": [*user(CARD), *user("hi")]}, id="an earlier turn"),
    pytest.param({"messages": user([{"type": "text", "text": CARD}])}, id="a part"),
    pytest.param(
        {"messages": user([{"type": "text", "text": part} for part in (CARD[:9], CARD[9:])])},
        id="two parts together",
    ),
    pytest.param(
        {"messages": user("hi"), "tools": [{"type": "function", "function": {"name": "f",
         "description": f"charges {CARD}"}}]},
        id="a tool's description",
    ),
    pytest.param(
        {"messages": [{"role": "assistant", "tool_calls": [{"id": "1", "type": "function",
         "function": {"name": "f", "arguments": json.dumps({"card": CARD})}}]},
         {"role": "tool", "tool_call_id": "1", "content": "ok"}]},
        id="a tool call's arguments",
    ),
    pytest.param({"messages": user("hi"), "metadata": {"n": 4111111111111111}}, id="a number"),
    pytest.param({"messages": user("hi"), "metadata": {CARD: "x"}}, id="a name"),
    pytest.param({"messages": user(CARD.translate(FULL_WIDTH))}, id="full-width digits"),
    pytest.param({"messages": user("4111\u200b1111\u200b1111\u200b1111")}, id="zero width"),
    pytest.param(
        {"messages": user(base64.b64encode(f"my card is {CARD}".encode()).decode())}, id="base64"
    ),
    pytest.param({"messages": user(r"4111\u00201111\u00201111\u00201111")}, id="escapes"),
    pytest.param(
        {"messages": user([{"type": "image_url", "image_url": {"url": "data:image/png,AA"}}])},
        id="a picture",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("path", "body"), SURFACES)
async def test_what_must_stay_is_answered_inside(path, body):
    async with Upstream(answers()) as local, Upstream(answers()) as api:
        async with router(hybrid(local.url, api.url)) as r:
            reply = await r.post(path, {"model": "api-first", **body(f"card {CARD}")})
        assert not api.received
    assert reply.headers["x-hybrid-data-classes"] == "payment-card"
    if reply.status == 200:  # a surface that this backend speaks
        assert reply.headers["x-hybrid-source"] == "local"
        assert reply.headers["x-hybrid-reason"] == "data-policy"


@pytest.mark.parametrize("body", PLACES)
async def test_it_is_found_wherever_it_stands(body):
    async with Upstream(answers()) as local, Upstream(answers()) as api:
        async with router(hybrid(local.url, api.url)) as r:
            reply = await r.post("/v1/chat/completions", {"model": "api-first", **body})
        assert reply.status == 200
        assert reply.headers["x-hybrid-source"] == "local"
        assert not api.received


@pytest.mark.parametrize(
    "failing",
    [
        pytest.param(replies(500), id="500"),
        pytest.param(replies(429), id="429"),
        pytest.param(replies(503), id="503"),
        pytest.param(resets, id="a reset"),
        pytest.param(silence, id="silence"),
        pytest.param(ends, id="an empty answer"),
        pytest.param(begins(delta(role="assistant"), then=resets), id="a stream that breaks"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
async def test_with_every_engine_down_the_client_gets_503_and_the_api_nothing(failing, stream):
    async with Upstream(failing) as local, Upstream(answers()) as api:
        async with router(hybrid(local.url, api.url)) as r:
            reply = await r.post(
                "/v1/chat/completions",
                {"model": "auto", "stream": stream, "messages": user(f"card {CARD}")},
            )
        assert not api.received
    assert (reply.status, reply.error["code"]) == (503, "data_policy")
    assert reply.headers["retry-after"]
    assert CARD not in str(reply.json())


async def test_nobody_listening_is_503_too():
    async with Upstream(answers()) as api:
        async with router(hybrid(NOBODY, api.url)) as r:
            reply = await r.post("/v1/chat/completions", {"model": "auto", "messages": user(CARD)})
        assert not api.received
    assert (reply.status, reply.error["code"]) == (503, "data_policy")


async def test_a_model_outside_is_refused_what_must_stay():
    async with Upstream(answers()) as local, Upstream(answers()) as api:
        async with router(hybrid(local.url, api.url)) as r:
            reply = await r.post("/v1/chat/completions", {"model": "large", "messages": user(CARD)})
        assert not api.received
        assert not local.received
    assert (reply.status, reply.error["code"]) == (403, "data_policy")


@pytest.mark.parametrize(
    ("model", "policy", "status"),
    [
        pytest.param("api-first", {}, 200, id="estimated where only the API counts"),
        pytest.param("api-first", {"localOnly": "so it is"}, 200, id="where nothing may leave"),
        pytest.param("large", {}, 403, id="of a model outside, refused"),
    ],
)
async def test_tokens_of_what_must_stay_are_counted_inside(model, policy, status):
    async with Upstream(answers()) as local, Upstream(answers()) as api:
        served = hybrid(local.url, api.url, **policy)
        served["backends"]["api"]["dialect"] = "anthropic"
        async with router(served) as r:
            body = {"model": model, "messages": user(CARD)}
            reply = await r.post("/v1/messages/count_tokens", body)
        assert not api.received
    assert reply.status == status
    assert (reply.headers.get("x-hybrid-estimated") == "true") == (status == 200)


async def test_what_is_refused_reaches_nobody():
    async with Upstream(answers()) as local, Upstream(answers()) as api:
        async with router(hybrid(local.url, api.url)) as r:
            reply = await r.post(
                "/v1/chat/completions", {"model": "auto", "messages": user("SSN 219-09-9999")}
            )
            counted = r.sample('hinf_router_data_classes_total{action="refuse",class="us-ssn"}')
        assert not api.received
        assert not local.received
    assert (reply.status, reply.error["code"]) == (403, "data_policy")
    assert "219-09" not in str(reply.json())
    assert counted == 1


async def test_a_name_that_occurs_twice_is_400_while_a_policy_is_in_force():
    body = b'{"model":"auto","messages":[{"role":"user","content":"a","content":"b"}]}'
    async with Upstream(answers()) as local, Upstream(answers()) as api:
        async with router(hybrid(local.url, api.url)) as r:
            reply = await r.post("/v1/chat/completions", body)
        async with router(hybrid(local.url, api.url, data=None)) as r:
            without = await r.post("/v1/chat/completions", body)
    assert (reply.status, without.status) == (400, 200)


async def test_the_api_gets_placeholders_and_the_client_its_values():
    async with Upstream(answers("I wrote to [EMAIL_1].")) as api:
        async with router(hybrid(NOBODY, api.url)) as r:
            reply = await r.post(
                "/v1/chat/completions",
                {"model": "large", "messages": user(f"Write to {MAIL} & {MAIL}"), "seed": 2**64},
            )
        sent = api.received[0]
    assert sent.json()["messages"] == user("Write to [EMAIL_1] & [EMAIL_1]")
    assert b"18446744073709551616" in sent.body
    assert MAIL.encode() not in sent.body
    assert reply.json()["choices"][0]["message"]["content"] == f"I wrote to {MAIL}."
    assert reply.headers["x-hybrid-data-classes"] == "email"


async def test_the_local_model_gets_the_original():
    async with Upstream(answers()) as local, Upstream(answers()) as api:
        async with router(hybrid(local.url, api.url)) as r:
            await r.post("/v1/chat/completions", {"model": "auto", "messages": user(MAIL)})
        assert local.received[0].json()["messages"] == user(MAIL)
        assert not api.received


async def test_after_a_failover_the_api_gets_placeholders():
    async with Upstream(replies(500)) as local, Upstream(answers("to [EMAIL_1]")) as api:
        async with router(hybrid(local.url, api.url)) as r:
            reply = await r.post("/v1/chat/completions", {"model": "auto", "messages": user(MAIL)})
        assert local.received[0].json()["messages"] == user(MAIL)
        assert api.received[0].json()["messages"] == user("[EMAIL_1]")
    assert reply.json()["choices"][0]["message"]["content"] == f"to {MAIL}"


@pytest.mark.parametrize(
    ("count", "in_threads"),
    [pytest.param(1, 0, id="one address"), pytest.param(400, 2, id="hundreds of them")],
)
async def test_where_there_is_much_to_look_at_or_to_redact_a_thread_does_it(
    count, in_threads, monkeypatch
):
    called = []

    async def to_thread(function, *arguments, **named):
        called.append(function)
        return function(*arguments, **named)

    text = ", ".join(f"jane{n}@example.com" for n in range(count))
    async with Upstream(answers("to [EMAIL_1]")) as api, router(hybrid(NOBODY, api.url)) as r:
        await r.post("/v1/chat/completions", {"model": "large", "messages": user("hi")})
        monkeypatch.setattr(asyncio, "to_thread", to_thread)
        reply = await r.post("/v1/chat/completions", {"model": "large", "messages": user(text)})
    assert "@" not in api.received[1].body.decode()
    assert reply.json()["choices"][0]["message"]["content"] == "to jane0@example.com"
    assert len(called) == in_threads


async def test_a_stream_brings_the_values_back_across_its_events():
    tokens = ("Write", " to [", "EM", "AIL", "_1", "] or", " [b]", " now")
    async with Upstream(streams(*tokens)) as api, router(hybrid(NOBODY, api.url)) as r:
        reply = await r.post(
            "/v1/chat/completions",
            {"model": "large", "stream": True, "messages": user(f"Write to {MAIL}")},
        )
    assert reply.text() == f"Write to {MAIL} or [b] now"
    assert reply.events()[-1] == "[DONE]"


async def test_a_tools_arguments_stay_json():
    password = 'Geh"eim\\2024!'
    message = {
        "role": "assistant",
        "tool_calls": [{"function": {"name": "f", "arguments": '{"p": "[OWN_1]"}'}}],
    }
    answer = {"choices": [{"message": message}]}
    data = {"redact": ["own"], "patterns": {"own": "Geh.*!"}}
    async with Upstream(replies(200, answer)) as api:
        async with router(hybrid(NOBODY, api.url, data)) as r:
            reply = await r.post(
                "/v1/chat/completions", {"model": "large", "messages": user(f"it is {password}")}
            )
        assert api.received[0].json()["messages"] == user("it is [OWN_1]")
    called = reply.json()["choices"][0]["message"]["tool_calls"][0]["function"]
    assert json.loads(called["arguments"]) == {"p": password}


async def test_the_small_surface_restores_as_well():
    async with Upstream(answers("to [EMAIL_1]")) as api, router(hybrid(NOBODY, api.url)) as r:
        reply = await r.post("/api/v1/chat", {"prompt": f"Write {MAIL}", "user_id": "x"})
    assert reply.json()["content"] == f"to {MAIL}"


async def test_a_broken_scanner_lets_nothing_out(monkeypatch):
    def breaks(*_):
        raise RuntimeError("no")

    monkeypatch.setattr(Custom, "find", breaks)
    data = {"keepLocal": ["own"], "patterns": {"own": "x"}}
    async with Upstream(answers()) as local, Upstream(answers()) as api:
        async with router(hybrid(local.url, api.url, data)) as r:
            reply = await r.post(
                "/v1/chat/completions", {"model": "api-first", "messages": user("a")}
            )
        assert not api.received
    assert reply.headers["x-hybrid-source"] == "local"
    assert reply.headers["x-hybrid-data-classes"] == "unscanned"


async def test_a_pattern_that_cannot_be_used_lets_nothing_out():
    data = {"keepLocal": ["own"], "patterns": {"own": "("}}
    async with Upstream(answers()) as local, Upstream(answers()) as api:
        async with router(hybrid(local.url, api.url, data)) as r:
            reply = await r.post(
                "/v1/chat/completions", {"model": "api-first", "messages": user("a")}
            )
        assert not api.received
    assert reply.headers["x-hybrid-source"] == "local"


async def test_large_bodies_are_scanned_off_the_loop():
    text = "word " * 80_000 + CARD
    async with Upstream(answers()) as local, Upstream(answers()) as api:
        async with router(hybrid(local.url, api.url)) as r:
            reply = await r.post(
                "/v1/chat/completions", {"model": "api-first", "messages": user(text)}
            )
        assert not api.received
    assert reply.headers["x-hybrid-source"] == "local"


WRITTEN = json.dumps({"model": "api-first", "messages": user(CARD)})


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        pytest.param(gzip.compress(WRITTEN.encode()), ["content-encoding: gzip"], 415, id="gzip"),
        pytest.param(gzip.compress(WRITTEN.encode()), [], 400, id="gzip that does not say so"),
        pytest.param(WRITTEN.encode(), ["content-encoding: br"], 415, id="brotli"),
        pytest.param(WRITTEN.encode("utf-16"), [], 400, id="UTF-16"),
        pytest.param(WRITTEN.encode("utf-16-le"), [], 400, id="UTF-16 without a mark"),
        pytest.param(WRITTEN.encode("utf-32"), [], 400, id="UTF-32"),
        pytest.param(WRITTEN.encode("utf-8-sig"), [], 400, id="a mark before it"),
        pytest.param(WRITTEN.encode() + b"\xff", [], 400, id="bytes that are no UTF-8"),
        pytest.param(WRITTEN.encode() + b"{}", [], 400, id="a second value"),
        pytest.param(WRITTEN.replace('"api', 'NaN,"a":"api').encode(), [], 400, id="NaN"),
        pytest.param(
            b'--x\r\ncontent-disposition: form-data; name="model"\r\n\r\napi-first\r\n--x--\r\n',
            ["content-type: multipart/form-data; boundary=x"],
            400,
            id="multipart",
        ),
    ],
)
async def test_what_cannot_be_read_reaches_nobody(body, headers, status):
    async with Upstream(answers()) as local, Upstream(answers()) as api:
        async with router(hybrid(local.url, api.url)) as r:
            reply = await r.post("/v1/chat/completions", body, *headers)
        assert not api.received
        assert not local.received
    assert reply.status == status


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(WRITTEN.replace("role", r"\u0072ole"), id="a name with an escape"),
        pytest.param(WRITTEN.replace("content", r"\u0063ontent"), id="another"),
        pytest.param(WRITTEN.replace("4111", r"\u0034\u0031\u0031\u0031"), id="escapes in a text"),
        pytest.param(WRITTEN.replace("{", " \n{\t"), id="white space"),
        pytest.param(WRITTEN.replace("}", ',"n":18446744073709551616}', 1), id="a big number"),
    ],
)
async def test_however_json_writes_it_it_is_found(body):
    async with Upstream(answers()) as local, Upstream(answers()) as api:
        async with router(hybrid(local.url, api.url)) as r:
            reply = await r.post("/v1/chat/completions", body.encode())
        assert not api.received
    assert reply.status == 200
    assert reply.headers["x-hybrid-data-classes"] == "payment-card"
