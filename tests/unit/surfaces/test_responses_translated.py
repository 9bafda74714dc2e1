"""What a backend without the Responses API is asked for a response."""

import json

import pytest

from hybrid_router.openai.errors import ApiError
from hybrid_router.responses.request import parse_responses
from hybrid_router.table import Backend
from hybrid_router.translate.outgoing import outgoing
from hybrid_router.translate.pieces import InexpressibleError

URLS = ("http://a/v1",)
CLAUDE = Backend(trust="external", urls=URLS, dialect="anthropic")
OTHER = Backend(trust="external", urls=URLS)
HI = [{"role": "user", "content": "hi"}]
SCHEMA = {"type": "object", "properties": {}, "additionalProperties": False}
PARAMETERS = {"type": "object", "properties": {"x": {"type": "integer"}}}
FUNCTION = {"name": "f", "description": "does", "parameters": PARAMETERS}
TOOLS = [{"type": "function", "function": FUNCTION}]
CALL = {"id": "t1", "type": "function", "function": {"name": "f", "arguments": '{"x":1}'}}


def sent(backend, **fields):
    """Return the body and what was dropped."""
    body = json.dumps({"model": "m", "input": "hi", **fields}).encode()
    found = outgoing(parse_responses(body), "up", backend)
    return json.loads(found.body), found.dropped


TO_CHAT_OF_RESPONSES = [
    pytest.param({}, {}, id="text"),
    pytest.param({"max_output_tokens": 9}, {"max_tokens": 9}, id="a limit"),
    pytest.param({"store": False, "truncation": "disabled"}, {}, id="the usual values"),
    pytest.param({"reasoning": {"effort": "low"}}, {"reasoning_effort": "low"}, id="an effort"),
    pytest.param({"tools": [{"type": "function", **FUNCTION}]}, {"tools": TOOLS}, id="tools"),
    pytest.param(
        {"text": {"format": {"type": "json_schema", "name": "n", "schema": SCHEMA}}},
        {
            "response_format": {
                "type": "json_schema",
                "json_schema": {"name": "n", "schema": SCHEMA},
            }
        },
        id="a schema",
    ),
    pytest.param(
        {
            "instructions": "be",
            "input": [
                {"role": "user", "content": [{"type": "input_text", "text": "hi"}]},
                {"type": "reasoning", "summary": []},
                {"type": "function_call", "call_id": "t1", "name": "f", "arguments": '{"x":1}'},
                {"type": "function_call_output", "call_id": "t1", "output": "one"},
            ],
        },
        {
            "messages": [
                {"role": "system", "content": "be"},
                *HI,
                {"role": "assistant", "content": None, "tool_calls": [CALL]},
                {"role": "tool", "tool_call_id": "t1", "content": "one"},
            ]
        },
        id="items",
    ),
]


@pytest.mark.parametrize(("asked", "expected"), TO_CHAT_OF_RESPONSES)
def test_a_response_becomes_a_chat(asked, expected):
    body, dropped = sent(OTHER, **asked)
    assert body == {"model": "up", "messages": HI, **expected}
    assert dropped == ()


NOT_FOR_CHAT_OF_RESPONSES = [
    pytest.param({"previous_response_id": "r"}, id="an earlier response"),
    pytest.param({"conversation": "c"}, id="a conversation"),
    pytest.param({"background": True}, id="in the background"),
    pytest.param({"prompt": {"id": "p"}}, id="a stored prompt"),
    pytest.param({"tools": [{"type": "web_search"}]}, id="a tool of OpenAI's"),
    pytest.param({"input": [{"type": "item_reference", "id": "x"}]}, id="a stored item"),
    pytest.param({"top_logprobs": 3}, id="log-probabilities"),
]


@pytest.mark.parametrize("asked", NOT_FOR_CHAT_OF_RESPONSES)
def test_what_only_the_responses_api_does_leaves_a_backend_without_it_out(asked):
    with pytest.raises(InexpressibleError):
        sent(OTHER, **asked)


def test_a_response_reaches_anthropic_through_a_chat():
    body, _ = sent(CLAUDE, instructions="be", max_output_tokens=9)
    turn = {"role": "user", "content": [{"type": "text", "text": "hi"}]}
    assert body == {"model": "up", "max_tokens": 9, "system": "be", "messages": [turn]}


def test_an_item_that_is_malformed_is_the_clients_error():
    with pytest.raises(ApiError) as error:
        sent(OTHER, input=[7])
    assert (error.value.status, error.value.param) == (400, "input[0]")
