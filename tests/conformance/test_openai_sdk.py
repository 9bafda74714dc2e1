"""OpenAI's own Python client against the router, whatever the backend speaks."""

import asyncio
import json
from typing import Any

import openai
import pydantic
import pytest

from tests.support import responses_upstreams as p
from tests.support.models import SAYS, TOKENS
from tests.support.routers import Says, backend, router, table
from tests.support.upstreams import Upstream, closes, replies

MODELS = ["chat", "claude"]
HI: Any = [{"role": "user", "content": "How is the weather in Paris?"}]
PARAMETERS: Any = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}
FUNCTION: Any = {"name": "weather", "description": "of a city", "parameters": PARAMETERS}


class City(pydantic.BaseModel):
    city: str


@pytest.fixture
async def make():
    """Return what makes an asynchronous client; each is closed at the end."""
    made = []

    def client(url, **options):
        options = {"api_key": "sk-test", "max_retries": 0, **options}
        made.append(openai.AsyncOpenAI(base_url=url, **options))
        return made[-1]

    yield client
    for each in made:
        await each.close()


def at(r):
    return f"http://127.0.0.1:{r.port}/v1"


@pytest.mark.parametrize("model", MODELS)
async def test_a_chat(served, make, model):
    answer = await make(at(served[0])).chat.completions.create(model=model, messages=HI)
    assert answer.choices[0].message.content == "".join(SAYS)
    assert answer.choices[0].finish_reason == "stop"
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == TOKENS


@pytest.mark.parametrize("model", MODELS)
async def test_a_chat_of_the_client_that_waits(served, model):
    def ask():
        with openai.OpenAI(base_url=at(served[0]), api_key="x", max_retries=0) as client:
            create = client.chat.completions.create
            whole = create(model=model, messages=HI).choices[0].message.content
            parts = create(model=model, messages=HI, stream=True)
            return whole, "".join(part.choices[0].delta.content or "" for part in parts)

    whole, streamed = await asyncio.to_thread(ask)
    assert whole == streamed == "".join(SAYS)


@pytest.mark.parametrize("shows", [True, False], ids=["with usage", "without"])
@pytest.mark.parametrize("model", MODELS)
async def test_a_stream(served, make, model, shows):
    options: Any = {"stream_options": {"include_usage": True}} if shows else {}
    stream = await make(at(served[0])).chat.completions.create(
        model=model, messages=HI, stream=True, **options
    )
    chunks = [chunk async for chunk in stream]
    said = [c.choices[0].delta.content for c in chunks if c.choices and c.choices[0].delta.content]
    assert said == list(SAYS)
    counted = [c.usage for c in chunks if c.usage is not None]
    assert [(u.prompt_tokens, u.completion_tokens) for u in counted] == ([TOKENS] if shows else [])


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("model", MODELS)
async def test_a_tool_is_called_and_its_result_answered(served, make, model, stream):
    completions = make(at(served[0])).chat.completions
    turns = list(HI)
    tools: Any = [{"type": "function", "function": FUNCTION}]
    message: Any = None
    for _ in range(2):
        asked: Any = {"model": model, "messages": turns, "tools": tools}
        if stream:
            async with completions.stream(**asked) as events:
                answer = await events.get_final_completion()
        else:
            answer = await completions.create(**asked)
        message = answer.choices[0].message
        if answer.choices[0].finish_reason != "tool_calls":
            break
        call = message.tool_calls[0]
        assert call.function.name == "weather"
        assert json.loads(call.function.arguments) == {"city": "Paris"}
        turns.append(message.model_dump(exclude_none=True, exclude={"parsed"}))
        turns.append({"role": "tool", "tool_call_id": call.id, "content": "sunny"})
    assert message.content == "".join(SAYS)


@pytest.mark.parametrize("model", MODELS)
async def test_a_structured_output(served, make, model):
    parse = make(at(served[0])).chat.completions.parse
    answer = await parse(model=model, messages=HI, response_format=City)
    assert answer.choices[0].message.parsed == City(city="Paris")


@pytest.mark.parametrize("model", MODELS)
async def test_a_response(served, make, model):
    create = make(at(served[0])).responses.create
    answer = await create(model=model, input="How is the weather?", instructions="Be short.")
    assert answer.output_text == "".join(SAYS)
    assert answer.status == "completed"
    assert (answer.usage.input_tokens, answer.usage.output_tokens) == TOKENS


@pytest.mark.parametrize("model", MODELS)
async def test_a_streamed_response(served, make, model):
    client = make(at(served[0]))
    async with client.responses.stream(model=model, input="How is the weather?") as stream:
        parts = [e.delta async for e in stream if e.type == "response.output_text.delta"]
        final = await stream.get_final_response()
    assert parts == list(SAYS)
    assert final.output_text == "".join(SAYS)
    assert final.usage.total_tokens == sum(TOKENS)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("model", MODELS)
async def test_a_tool_of_a_response(served, make, model, stream):
    responses = make(at(served[0])).responses
    turns = list(HI)
    asked: Any = {"model": model, "tools": [{"type": "function", "strict": True, **FUNCTION}]}
    answer: Any = None
    for _ in range(2):
        if stream:
            async with responses.stream(input=turns, **asked) as events:
                answer = await events.get_final_response()
        else:
            answer = await responses.create(input=turns, **asked)
        if answer.output[0].type != "function_call":
            break
        call = answer.output[0]
        assert (call.name, json.loads(call.arguments)) == ("weather", {"city": "Paris"})
        called = {"type": "function_call", "call_id": call.call_id}
        turns.append({**called, "name": call.name, "arguments": call.arguments})
        output = {"type": "function_call_output", "call_id": call.call_id}
        turns.append({**output, "output": "sunny"})
    assert answer.output_text == "".join(SAYS)


@pytest.mark.parametrize("model", MODELS)
async def test_a_structured_response(served, make, model):
    parse = make(at(served[0])).responses.parse
    answer = await parse(model=model, input="Where?", text_format=City)
    assert answer.output_parsed == City(city="Paris")


@pytest.mark.parametrize("model", MODELS)
async def test_a_backends_refusal_is_its_own_exception(served, make, model):
    client = make(at(served[0]))
    with pytest.raises(openai.BadRequestError, match="that is too little"):
        await client.chat.completions.create(model=model, messages=HI, max_tokens=1)
    with pytest.raises(openai.BadRequestError, match="that is too little"):
        await client.responses.create(model=model, input="x", max_output_tokens=1)


ERRORS = [
    pytest.param(replies(429), openai.RateLimitError, id="429"),
    pytest.param(replies(401), openai.InternalServerError, id="the router's own key is refused"),
    pytest.param(replies(529), openai.InternalServerError, id="overloaded"),
    pytest.param(closes, openai.InternalServerError, id="a backend that closes"),
]


@pytest.mark.parametrize("dialect", ["openai", "anthropic"])
@pytest.mark.parametrize(("behaviour", "error"), ERRORS)
async def test_errors_are_the_clients_own_exceptions(make, behaviour, error, dialect):
    async with Upstream(behaviour) as up:
        alone = table({"only": backend(up.url, dialect=dialect)}, policy={"attempts": 1})
        async with router(alone) as r:
            with pytest.raises(error):
                await make(at(r)).chat.completions.create(model="only", messages=HI)
            with pytest.raises(error):
                await make(at(r)).responses.create(model="only", input="x")


async def test_what_only_a_named_backend_keeps_is_said(make):
    async with Upstream(p.answers_responses()) as up:
        openais = backend(up.url, provider="openai")
        async with router(table({"a": openais, "b": openais})) as r:
            with pytest.raises(openai.BadRequestError, match="name one model"):
                await make(at(r)).responses.create(
                    model="auto", input="x", previous_response_id="resp_1"
                )


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("surface", ["chat", "responses"])
async def test_the_same_call_direct_and_through_the_router_gives_the_same_body(
    served, make, surface, stream
):
    r, chat, _ = served
    asked: Any = {"stream": stream, "extra_body": {"unknown": [1.10, None], "logprobs": True}}
    if surface == "chat":
        asked |= {"messages": HI, "tools": [{"type": "function", "function": FUNCTION}]}
        asked["stream_options"] = {"include_usage": True} if stream else openai.NOT_GIVEN
        await _same(make, at(r), chat, lambda c: c.chat.completions.with_raw_response, asked)
        return
    async with Upstream(p.answers_responses()) as up:
        only = table({"chat": backend(up.url, provider="openai")})
        async with router(only) as other:
            asked["input"] = "hi"
            await _same(make, at(other), up, lambda c: c.responses.with_raw_response, asked)


async def _same(make, url, up, of, asked):
    through = await of(make(url)).create(model="chat", **asked)
    direct = await of(make(up.url)).create(model="chat-model", **asked)
    bodies = [await answer.http_response.aread() for answer in (through, direct)]
    assert bodies[0] == bodies[1]
    assert up.received[-2].body == up.received[-1].body


async def test_the_id_that_the_client_shows_is_what_an_answer_is_judged_by(make):
    async with Upstream() as up, Upstream() as api:
        backends = {"local": backend(up.url), "api": backend(api.url, trust="external")}
        async with router(table(backends), classifier=Says(0.9)) as r:
            client = make(at(r))
            answer = await client.chat.completions.create(model="auto", messages=HI)
            judged = {"request_id": answer._request_id, "score": "good"}
            told = await client.post("/feedback", body=judged, cast_to=dict[str, Any])
            with pytest.raises(openai.NotFoundError) as refused:
                await client.post("/feedback", body=judged | {"request_id": "x"}, cast_to=object)
    assert told["recorded"] is True
    assert (refused.value.code, refused.value.param) == ("request_not_found", "request_id")
