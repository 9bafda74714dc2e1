"""Anthropic's own Python client against the router, whatever the backend speaks."""

import asyncio
from typing import Any

import anthropic
import pydantic
import pytest

from tests.support import messages_upstreams as m
from tests.support.models import SAYS, TOKENS
from tests.support.routers import backend, router, table
from tests.support.upstreams import Upstream, closes, replies

MODELS = ["chat", "claude"]
HI: Any = [{"role": "user", "content": "How is the weather in Paris?"}]
TOOL: Any = {
    "name": "weather",
    "description": "of a city",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}},
}


class City(pydantic.BaseModel):
    city: str


@pytest.fixture
async def make():
    """Return what makes an asynchronous client; each is closed at the end."""
    made = []

    def client(r, **options):
        url = f"http://127.0.0.1:{r.port}"
        options = {"api_key": "sk-test", "max_retries": 0, **options}
        made.append(anthropic.AsyncAnthropic(base_url=url, **options))
        return made[-1]

    yield client
    for each in made:
        await each.close()


@pytest.mark.parametrize("model", MODELS)
async def test_a_message(served, make, model):
    answer = await make(served[0]).messages.create(model=model, max_tokens=99, messages=HI)
    assert answer.content[0].text == "".join(SAYS)
    assert (answer.stop_reason, answer.role) == ("end_turn", "assistant")
    usage = answer.usage
    assert (usage.input_tokens + (usage.cache_read_input_tokens or 0)) == TOKENS[0]
    assert usage.output_tokens == TOKENS[1]


@pytest.mark.parametrize("model", MODELS)
async def test_a_message_of_the_client_that_waits(served, model):
    def ask():
        url = f"http://127.0.0.1:{served[0].port}"
        with anthropic.Anthropic(base_url=url, api_key="x", max_retries=0) as client:
            whole = client.messages.create(model=model, max_tokens=99, messages=HI)
            with client.messages.stream(model=model, max_tokens=99, messages=HI) as stream:
                return whole, "".join(stream.text_stream)

    whole, streamed = await asyncio.to_thread(ask)
    assert whole.content[0].text == streamed == "".join(SAYS)


@pytest.mark.parametrize("model", MODELS)
async def test_a_stream(served, make, model):
    create = make(served[0]).messages.stream
    async with create(model=model, max_tokens=99, messages=HI) as stream:
        parts = [part async for part in stream.text_stream]
        final = await stream.get_final_message()
    assert parts == list(SAYS)
    assert final.stop_reason == "end_turn"
    usage = final.usage
    assert usage.output_tokens == TOKENS[1]
    assert usage.input_tokens + (usage.cache_read_input_tokens or 0) == TOKENS[0]


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("model", MODELS)
async def test_a_tool_is_called_and_its_result_answered(served, make, model, stream):
    messages = make(served[0]).messages
    turns = list(HI)
    answer: Any = None
    for _ in range(2):
        asked: Any = {"model": model, "max_tokens": 99, "messages": turns, "tools": [TOOL]}
        if stream:
            async with messages.stream(**asked) as events:
                answer = await events.get_final_message()
        else:
            answer = await messages.create(**asked)
        turns.append({"role": "assistant", "content": answer.content})
        if answer.stop_reason != "tool_use":
            break
        call = answer.content[-1]
        assert (call.name, call.input) == ("weather", {"city": "Paris"})
        result = {"type": "tool_result", "tool_use_id": call.id, "content": "sunny"}
        turns.append({"role": "user", "content": [result]})
    assert answer.content[0].text == "".join(SAYS)


@pytest.mark.parametrize("model", MODELS)
async def test_a_structured_output(served, make, model):
    parse = make(served[0]).messages.parse
    answer = await parse(model=model, max_tokens=99, messages=HI, output_format=City)
    assert answer.parsed_output == City(city="Paris")


@pytest.mark.parametrize("model", MODELS)
async def test_tokens_are_counted(served, make, model):
    found = await make(served[0]).messages.count_tokens(model=model, messages=HI)
    assert found.input_tokens > 0


@pytest.mark.parametrize("model", MODELS)
async def test_a_backends_refusal_is_its_own_exception(served, make, model):
    with pytest.raises(anthropic.BadRequestError, match="that is too little"):
        await make(served[0]).messages.create(model=model, max_tokens=1, messages=HI)


ERRORS = [
    pytest.param(replies(429), anthropic.RateLimitError, id="429"),
    pytest.param(replies(401), anthropic.InternalServerError, id="the router's own key is refused"),
    pytest.param(replies(500), anthropic.InternalServerError, id="500"),
    pytest.param(replies(529), anthropic.ServiceUnavailableError, id="overloaded"),
    pytest.param(closes, anthropic.InternalServerError, id="a backend that closes"),
]


@pytest.mark.parametrize("dialect", ["openai", "anthropic"])
@pytest.mark.parametrize(("behaviour", "error"), ERRORS)
async def test_errors_are_the_clients_own_exceptions(make, behaviour, error, dialect):
    async with Upstream(behaviour) as up:
        alone = table({"only": backend(up.url, dialect=dialect)}, policy={"attempts": 1})
        async with router(alone) as r:
            with pytest.raises(error):
                await make(r).messages.create(model="only", max_tokens=9, messages=HI)
    assert len(up.received) == 1


async def test_an_unknown_model_and_a_wrong_key(served, make, tmp_path):
    with pytest.raises(anthropic.NotFoundError):
        await make(served[0]).messages.create(model="nope", max_tokens=9, messages=HI)
    (tmp_path / "id").write_text("sk-right")
    keyed = table({"only": backend("http://127.0.0.1:1/v1")}, keys={"directory": str(tmp_path)})
    async with router(keyed) as r:
        with pytest.raises(anthropic.AuthenticationError):
            await make(r).messages.create(model="only", max_tokens=9, messages=HI)
        right = make(r, api_key="sk-right")
        with pytest.raises(anthropic.NotFoundError):
            await right.messages.create(model="nope", max_tokens=9, messages=HI)


@pytest.mark.parametrize("cut", ["openai", "anthropic"])
async def test_a_stream_that_breaks_raises(make, cut):
    broken = {
        "openai": m.plays(b'data: {"choices":[{"delta":{"content":"a"}}]}\n\n', cut=True),
        "anthropic": m.plays(m.start(), *m.text(0, "a")[:2], cut=True),
    }[cut]
    async with Upstream(broken) as up, router(table({"only": backend(up.url, dialect=cut)})) as r:
        create = make(r).messages.create
        stream = await create(model="only", max_tokens=9, messages=HI, stream=True)
        with pytest.raises(anthropic.APIError):
            [event async for event in stream]


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
async def test_the_same_call_direct_and_through_the_router_gives_the_same_body(
    served, make, stream
):
    r, _, claude = served
    asked: Any = {"max_tokens": 99, "messages": HI, "tools": [TOOL], "stream": stream}
    through = await make(r).messages.with_raw_response.create(model="claude", **asked)
    url = claude.url.removesuffix("/v1")
    direct_client = anthropic.AsyncAnthropic(base_url=url, api_key="x")
    direct = await direct_client.messages.with_raw_response.create(model="claude-model", **asked)
    bodies = [await answer.http_response.aread() for answer in (through, direct)]
    await direct_client.close()
    assert bodies[0] == bodies[1]
    assert claude.received[0].body == claude.received[1].body
