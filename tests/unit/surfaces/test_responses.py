"""/v1/responses over real sockets: passed, translated, and what only one backend can answer."""

import json

import pytest

from tests.support import messages_upstreams as m
from tests.support import responses_upstreams as p
from tests.support.routers import Says, backend, router, table
from tests.support.upstreams import ROLE, Upstream, answers, begins, closes, delta, replies


def openai(up):
    """Return OpenAI's API as a backend."""
    return backend(up.url, trust="external", provider="openai")


async def ask(r, model="only", **fields):
    return await r.post("/v1/responses", {"model": model, "input": "hi", **fields})


def events(reply):
    rows = [row.partition("\ndata: ")[2] for row in reply.body.decode().split("\n\n")[:-1]]
    return [json.loads(row) for row in rows]


async def test_a_response_passes_and_its_usage_is_counted():
    async with Upstream(p.answers_responses("ab")) as up:
        only = table({"only": openai(up)})
        async with router(only) as r:
            reply = await ask(r, store=True, new_field={"a": 1}, tools=[{"type": "web_search"}])
            streamed = await ask(r, stream=True)
            tokens = 'hinf_router_tokens_total{backend="only",kind="%s",model="only-model"}'
            counted = [r.sample(tokens % kind) for kind in ("prompt", "completion", "cached")]
    assert reply.json() == p.whole("ab")
    assert streamed.body == b"".join(p.stream("a", "b"))
    assert counted == [14, 4, 4]
    sent = up.received[0].json()
    assert sent == {
        "model": "only-model",
        "input": "hi",
        "store": True,
        "new_field": {"a": 1},
        "tools": [{"type": "web_search"}],
    }


@pytest.mark.parametrize("given", [None, True, False])
async def test_an_alias_stores_nothing(given):
    fields = {} if given is None else {"store": given}
    async with Upstream(p.answers_responses()) as up:
        both = table({"a": openai(up), "b": openai(up)})
        async with router(both) as r:
            reply = await ask(r, "m", **fields)
    assert up.received[0].json()["store"] is False
    assert reply.headers.get("x-hybrid-dropped") == ("store" if given else None)


PINNED = [
    pytest.param({"previous_response_id": "resp_1"}, id="an earlier response"),
    pytest.param({"conversation": "conv_1"}, id="a conversation"),
    pytest.param({"background": True}, id="in the background"),
    pytest.param({"prompt": {"id": "pmpt_1"}}, id="a stored prompt"),
]


@pytest.mark.parametrize("fields", PINNED)
async def test_what_one_backend_keeps_needs_its_name(fields):
    async with Upstream(p.answers_responses()) as up:
        both = table({"a": openai(up), "b": openai(up)})
        async with router(both, classifier=Says(0.9)) as r:
            alias = await ask(r, "auto", **fields)
            pinned = await ask(r, "a", **fields)
    assert (alias.status, alias.error["param"]) == (400, next(iter(fields)))
    assert "name one model" in alias.error["message"]
    assert pinned.status == 200
    assert len(up.received) == 1


async def test_a_backend_without_it_answers_through_a_chat():
    async with Upstream(answers("hello")) as up, router(table({"only": backend(up.url)})) as r:
        reply = (await ask(r, instructions="be")).json()
        told = events(await ask(r, stream=True))
    assert up.received[0].path == "/v1/chat/completions"
    assert (reply["status"], reply["object"]) == ("completed", "response")
    assert reply["output"][0]["content"][0]["text"] == "hello"
    assert (reply["instructions"], reply["store"]) == ("be", False)
    assert reply["usage"]["total_tokens"] == 9
    assert [each["sequence_number"] for each in told] == list(range(len(told)))
    assert [each["type"] for each in told[:4]] == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
    ]
    said = [each["delta"] for each in told if each["type"] == "response.output_text.delta"]
    assert "".join(said) == "hello"
    assert told[-1]["type"] == "response.completed"
    assert told[-1]["response"]["usage"]["output_tokens"] == 2


async def test_anthropic_answers_through_a_chat():
    spoken = [m.start(), *m.text(0, "so"), *m.tool(1, '{"x":', "1}"), *m.end("tool_use")]
    async with Upstream(m.plays(*spoken)) as up:
        only = backend(up.url, trust="external", dialect="anthropic")
        async with router(table({"only": only})) as r:
            told = events(await ask(r, stream=True))
    items = told[-1]["response"]["output"]
    assert [item["type"] for item in items] == ["message", "function_call"]
    assert (items[1]["name"], items[1]["arguments"]) == ("f", '{"x":1}')


async def test_a_failure_before_anything_is_generated_is_answered_by_another():
    begun = m.plays(*p.stream("a")[:3], p.FAILED)
    async with Upstream(begun) as first, Upstream(answers("hello")) as second:
        both = table({"a": openai(first), "b": backend(second.url)})
        async with router(both) as r:
            reply = await ask(r, "m", stream=True)
    assert events(reply)[-1]["type"] == "response.completed"
    assert reply.headers["x-hybrid-attempts"] == "2"


BROKEN = [
    pytest.param(m.plays(*p.stream("a", "b")[:5], cut=True), id="its own"),
    pytest.param(begins(ROLE, delta(content="a"), then=closes), id="translated"),
]


@pytest.mark.parametrize("behaviour", BROKEN)
async def test_a_stream_that_breaks_ends_in_response_failed(behaviour, request):
    provider = "openai" if "own" in request.node.callspec.id else None
    async with Upstream(behaviour) as up:
        only = backend(up.url, trust="external", provider=provider)
        async with router(table({"only": only})) as r:
            reply = await ask(r, stream=True)
    told = events(reply)
    assert reply.whole
    assert told[-1]["type"] == "response.failed"
    assert told[-1]["sequence_number"] == len(told) - 1
    assert told[-1]["response"]["error"]["code"] == "server_error"


async def test_errors_are_openais():
    async with Upstream(replies(500)) as up:
        only = table({"only": openai(up)}, policy={"attempts": 1})
        async with router(only) as r:
            failed = await ask(r)
            missing = await r.post("/v1/responses", {"model": "only"})
    assert (failed.status, failed.error["code"]) == (502, "upstream_server_error")
    assert (missing.status, missing.error["param"]) == (400, "input")
