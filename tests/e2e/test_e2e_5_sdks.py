"""The vendors' own clients ask a real vLLM through the router, streamed, with tools and schemas.

The model's weights are random: what it says means nothing. What vLLM makes it say by a grammar, a
tool's arguments and a schema's object, must arrive whole, on whichever surface it was asked for.
"""

import json

import anthropic
import httpx2 as httpx
import pytest

from tests.e2e import stack

LOCAL = "tiny-llama"
HI = [{"role": "user", "content": "What is the weather like in Paris?"}]
UNIT = {
    "type": "object",
    "properties": {"unit": {"enum": ["celsius", "kelvin"]}},
    "required": ["unit"],
    "additionalProperties": False,
}
TOOL = {"type": "function", "function": {"name": "weather", "parameters": UNIT}}
CALLS = {"type": "function", "function": {"name": "weather"}}
SCHEMA = {"type": "json_schema", "json_schema": {"name": "unit", "schema": UNIT, "strict": True}}
pytestmark = pytest.mark.timeout(420)  # the first one waits for vLLM


@pytest.fixture(scope="module")
def asked(main):
    with stack.client(main) as found:
        yield found


@pytest.fixture(scope="module")
def claude(main):
    with (
        stack.reach(f"{main}-router") as url,
        anthropic.Anthropic(base_url=url, api_key="none", max_retries=0, timeout=60) as found,
    ):
        yield found


def is_a_unit(text):
    return json.loads(text)["unit"] in {"celsius", "kelvin"}


def test_openai_calls_a_tool(asked):
    answer = asked.chat.completions.create(
        model=LOCAL, messages=HI, tools=[TOOL], tool_choice=CALLS, max_tokens=60
    )
    (call,) = answer.choices[0].message.tool_calls
    assert call.function.name == "weather"
    assert is_a_unit(call.function.arguments)


def test_openai_calls_a_tool_in_a_stream(asked):
    stream = asked.chat.completions.create(
        model=LOCAL, messages=HI, tools=[TOOL], tool_choice=CALLS, max_tokens=60, stream=True
    )
    calls = [
        call
        for chunk in stream
        for choice in chunk.choices
        for call in choice.delta.tool_calls or ()
    ]
    assert [call.function.name for call in calls if call.function.name] == ["weather"]
    assert is_a_unit("".join(call.function.arguments or "" for call in calls))


def test_openai_gets_an_object_of_its_schema(asked):
    answer = asked.chat.completions.create(
        model=LOCAL, messages=HI, response_format=SCHEMA, max_tokens=60
    )
    assert is_a_unit(answer.choices[0].message.content)


def test_openai_gets_log_probabilities(asked):
    answer = asked.chat.completions.create(
        model=LOCAL, messages=HI, logprobs=True, top_logprobs=2, max_tokens=3
    )
    assert [len(each.top_logprobs) for each in answer.choices[0].logprobs.content] == [2, 2, 2]


def test_anthropics_client_gets_a_message(claude):
    answer = claude.messages.create(model=LOCAL, messages=HI, max_tokens=8, system="Be brief.")
    assert (answer.role, answer.stop_reason) == ("assistant", "max_tokens")
    assert answer.usage.output_tokens == 8
    assert answer.usage.input_tokens > 8


def test_anthropics_client_gets_a_stream(claude):
    with claude.messages.stream(model=LOCAL, messages=HI, max_tokens=8) as stream:
        kinds = [event.type for event in stream]
        answer = stream.get_final_message()
    assert kinds[0] == "message_start"
    assert kinds[-1] == "message_stop"
    assert (answer.stop_reason, answer.usage.output_tokens) == ("max_tokens", 8)


def test_anthropics_client_counts_tokens(claude):
    found = claude.messages.count_tokens(model=LOCAL, messages=HI)
    assert found.input_tokens > 8


def test_anthropics_client_calls_a_tool(claude):
    tool = {"name": "weather", "input_schema": UNIT}
    choice = {"type": "tool", "name": "weather"}
    answer = claude.messages.create(
        model=LOCAL, messages=HI, tools=[tool], tool_choice=choice, max_tokens=60
    )
    (block,) = [each for each in answer.content if each.type == "tool_use"]
    assert (answer.stop_reason, block.name) == ("tool_use", "weather")
    assert block.input["unit"] in {"celsius", "kelvin"}


def test_what_the_router_passes_on_is_what_vllm_says(asked, main):
    """The same greedy call, direct and through the router."""
    labels = f"app.kubernetes.io/instance={main},app.kubernetes.io/component=engine"
    engine = stack.get("services", "--selector", labels)["items"][0]["metadata"]["name"]
    body = {"model": LOCAL, "messages": HI, "max_tokens": 12, "temperature": 0, "seed": 1}
    with stack.reach(engine, 8000) as url:
        direct = httpx.post(f"{url}/v1/chat/completions", json=body, timeout=60).json()
    through = asked.post("/chat/completions", body=body, cast_to=object)
    for answer in (direct, through):
        del answer["id"], answer["created"]
    assert through == direct
