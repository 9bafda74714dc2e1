"""OpenAI's own Python client against the router: what an application sees."""

from typing import Any

import openai
import pytest

from tests.support.routers import backend, router, table
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
    streams,
)

MESSAGES: Any = [{"role": "user", "content": "hi"}]


@pytest.fixture
async def ask():
    """Return what makes a client of a router; each is closed at the end."""
    clients = []

    def make(r, **options):
        url = f"http://127.0.0.1:{r.port}/v1"
        made = openai.AsyncOpenAI(base_url=url, api_key="sk-test", **options)
        clients.append(made)
        return made

    yield make
    for client in clients:
        await client.close()


async def test_chat(ask):
    async with Upstream() as up, router(table({"only": backend(up.url)})) as r:
        answer = await ask(r).chat.completions.create(model="only", messages=MESSAGES)
    assert answer.choices[0].message.content == "hello"
    assert answer.usage.completion_tokens == 2


async def test_streams(ask):
    async with Upstream(streams("a", "b")) as up, router(table({"only": backend(up.url)})) as r:
        create = ask(r).chat.completions.create
        stream = await create(model="only", messages=MESSAGES, stream=True)
        chunks = [chunk async for chunk in stream]
    assert "".join(c.choices[0].delta.content or "" for c in chunks) == "ab"
    assert all(c.usage is None for c in chunks)


async def test_streams_with_usage(ask):
    async with Upstream(streams("a")) as up, router(table({"only": backend(up.url)})) as r:
        stream = await ask(r).chat.completions.create(
            model="only",
            messages=MESSAGES,
            stream=True,
            stream_options={"include_usage": True},
        )
        chunks = [chunk async for chunk in stream]
    assert chunks[-1].usage.prompt_tokens == 7


async def test_tool_calls(ask):
    call = {"index": 0, "id": "t1", "type": "function", "function": {"name": "f"}}
    parts = {"index": 0, "function": {"arguments": '{"x":1}'}}

    async def ends_with_done(talk):
        await talk.event(b"[DONE]")
        await talk.last_chunk()

    behaviour = begins(
        ROLE,
        delta(tool_calls=[call]),
        delta(tool_calls=[parts]),
        finish("tool_calls"),
        then=ends_with_done,
    )
    async with Upstream(behaviour) as up, router(table({"only": backend(up.url)})) as r:
        tool = {"type": "function", "function": {"name": "f", "parameters": {}}}
        stream = await ask(r).chat.completions.create(
            model="only", messages=MESSAGES, tools=[tool], stream=True
        )
        chunks = [chunk async for chunk in stream]
    called = [c.choices[0].delta.tool_calls[0] for c in chunks if c.choices[0].delta.tool_calls]
    assert called[0].function.name == "f"
    assert called[1].function.arguments == '{"x":1}'
    assert up.received[0].json()["tools"] == [tool]


async def test_models(ask):
    async with router(table({"only": backend("http://127.0.0.1:1/v1")})) as r:
        client = ask(r)
        names = [model.id async for model in client.models.list()]
        one = await client.models.retrieve("only")
    assert (names, one.id) == (["m", "auto", "only"], "only")


ERRORS = [
    pytest.param(replies(400, {"error": {"message": "x"}}), openai.BadRequestError, id="400"),
    pytest.param(
        replies(422, {"error": {"message": "x"}}), openai.UnprocessableEntityError, id="422"
    ),
    pytest.param(replies(429), openai.RateLimitError, id="429"),
    pytest.param(replies(401), openai.InternalServerError, id="the router's own key is refused"),
    pytest.param(replies(500), openai.InternalServerError, id="500"),
    pytest.param(closes, openai.InternalServerError, id="a backend that closes"),
]


@pytest.mark.parametrize(("behaviour", "error"), ERRORS)
async def test_errors_are_the_clients_own_exceptions(ask, behaviour, error):
    async with Upstream(behaviour) as up:
        alone = table({"only": backend(up.url)}, policy={"attempts": 1})
        async with router(alone) as r:
            with pytest.raises(error):
                await ask(r).chat.completions.create(model="only", messages=MESSAGES)
    assert len(up.received) == 1  # an exhausted request tells the client not to try again


async def test_an_unknown_model_and_a_wrong_key(ask, tmp_path):
    (tmp_path / "id").write_text("sk-right")
    keyed = table({"only": backend("http://127.0.0.1:1/v1")}, keys={"directory": str(tmp_path)})
    async with router(keyed) as r:
        with pytest.raises(openai.AuthenticationError):
            await ask(r).models.retrieve("only")
    async with router(table({"only": backend("http://127.0.0.1:1/v1")})) as r:
        with pytest.raises(openai.NotFoundError):
            await ask(r).chat.completions.create(model="nope", messages=MESSAGES)


async def test_a_stream_that_breaks_raises(ask):
    broken = begins(ROLE, delta(content="Hel"), then=closes)
    async with Upstream(broken) as up, router(table({"only": backend(up.url)})) as r:
        create = ask(r).chat.completions.create
        stream = await create(model="only", messages=MESSAGES, stream=True)
        with pytest.raises(openai.APIError):
            [chunk async for chunk in stream]


async def test_the_same_call_direct_and_through_the_router_gives_the_same_body(ask):
    async with Upstream(answers("same")) as up, router(table({"only": backend(up.url)})) as r:
        through = await ask(r).chat.completions.with_raw_response.create(
            model="only", messages=MESSAGES
        )
        direct_client = openai.AsyncOpenAI(base_url=up.url, api_key="x")
        direct = await direct_client.chat.completions.with_raw_response.create(
            model="only-model", messages=MESSAGES
        )
        await direct_client.close()
    assert through.content == direct.content
    assert completion("same")["choices"] == through.http_response.json()["choices"]
