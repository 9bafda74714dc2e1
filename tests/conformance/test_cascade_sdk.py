"""OpenAI's and Anthropic's clients through a cascade: as if they had asked the model itself."""

from typing import Any

import anthropic
import openai
import pytest

from tests.support.drafts import API, LOCAL, SURE, UNSURE, Drafter, cascade, engine
from tests.support.routers import backend, router, table
from tests.support.upstreams import Upstream, answers

HI: Any = [{"role": "user", "content": "hi"}]
SIDES = [
    pytest.param(SURE, LOCAL, id="a sure draft"),
    pytest.param(UNSURE, API, id="an unsure one"),
]


def base(r):
    return f"http://127.0.0.1:{r.port}"


async def chat(r, model, **options):
    async with openai.AsyncOpenAI(base_url=base(r) + "/v1", api_key="x", max_retries=0) as client:
        if not options.get("stream"):
            return await client.chat.completions.create(model=model, messages=HI, **options)
        stream = await client.chat.completions.create(model=model, messages=HI, **options)
        return [chunk async for chunk in stream]


@pytest.mark.parametrize("usage", [False, True], ids=["without usage", "with usage"])
@pytest.mark.parametrize("probability", [SURE, UNSURE], ids=["a sure draft", "an unsure one"])
async def test_a_stream_is_what_the_answering_model_would_have_streamed(probability, usage):
    options: Any = {"stream": True}
    if usage:
        options["stream_options"] = {"include_usage": True}
    async with Upstream(Drafter(probability=probability)) as local, Upstream(answers(API)) as api:
        alone = table({"local": backend(local.url), "api": backend(api.url)})
        async with (
            router(cascade(engine(local.url), api), classifies=True) as drafting,
            router(alone) as direct,
        ):
            through = await chat(drafting, "auto", **options)
            expected = await chat(direct, "local" if probability == SURE else "api", **options)
    assert through == expected


@pytest.mark.parametrize(("probability", "text"), SIDES)
async def test_a_whole_answer(probability, text):
    async with (
        Upstream(Drafter(probability=probability)) as local,
        Upstream(answers(API)) as api,
        router(cascade(engine(local.url), api), classifies=True) as r,
    ):
        answer = await chat(r, "auto")
    assert answer.choices[0].message.content == text
    assert answer.choices[0].logprobs is None


@pytest.mark.parametrize(("probability", "text"), SIDES)
async def test_anthropics_client_streams_through_it(probability, text):
    async with (
        Upstream(Drafter(probability=probability)) as local,
        Upstream(answers(API)) as api,
        router(cascade(engine(local.url), api), classifies=True) as r,
        anthropic.AsyncAnthropic(base_url=base(r), api_key="x", max_retries=0) as client,
        client.messages.stream(model="auto", max_tokens=64, messages=HI) as stream,
    ):
        said = [piece async for piece in stream.text_stream]
        final = await stream.get_final_message()
    assert "".join(said) == text
    assert final.stop_reason == "end_turn"
