"""What a backend is asked when it does not have the surface that the client called."""

import json

import pytest

from hybrid_router.anthropic.request import parse_messages
from hybrid_router.openai.errors import ApiError
from hybrid_router.openai.request import parse
from hybrid_router.table import Backend
from hybrid_router.translate.outgoing import outgoing
from hybrid_router.translate.pieces import InexpressibleError

URLS = ("http://a/v1",)
CLAUDE = Backend(trust="external", urls=URLS, dialect="anthropic")
OTHER = Backend(trust="external", urls=URLS)
OPENAI = Backend(trust="external", urls=URLS, provider="openai")
CHAT_VLLM = Backend(trust="internal", urls=URLS, engine="vllm", surfaces=("chat",))
HI = [{"role": "user", "content": "hi"}]
PNG = "data:image/png;base64,aGk="
IMAGE = {"type": "base64", "media_type": "image/png", "data": "aGk="}
PARAMETERS = {"type": "object", "properties": {"x": {"type": "integer"}}}
SCHEMA = {"type": "object", "properties": {}, "additionalProperties": False}


def sent(call, backend):
    """Return the body and what was dropped."""
    found = outgoing(call, "up", backend)
    return json.loads(found.body), found.dropped


def chat(**fields):
    return parse("chat", json.dumps({"model": "m", "messages": HI, **fields}).encode())


def messages(**fields):
    body = {"model": "m", "max_tokens": 9, "messages": HI, **fields}
    return parse_messages("messages", json.dumps(body).encode())


def user(*content):
    return {"role": "user", "content": list(content)}


def text(said):
    return {"type": "text", "text": said}


def call(name="f", arguments='{"x":1}', id_="t1"):
    return {"id": id_, "type": "function", "function": {"name": name, "arguments": arguments}}


FUNCTION = {"name": "f", "description": "does", "parameters": PARAMETERS}
TOOLS = [{"type": "function", "function": FUNCTION}]
CLAUDE_TOOLS = [{"name": "f", "description": "does", "input_schema": PARAMETERS}]
USED = {"type": "tool_use", "id": "t1", "name": "f", "input": {"x": 1}}

TO_CLAUDE = [
    pytest.param({}, {"max_tokens": 8192}, id="a limit is needed"),
    pytest.param({"max_tokens": 7}, {"max_tokens": 7}, id="max_tokens"),
    pytest.param({"max_completion_tokens": 7}, {"max_tokens": 7}, id="its newer name"),
    pytest.param({"stop": "a"}, {"stop_sequences": ["a"]}, id="one stop sequence"),
    pytest.param({"stop": ["a", "b"]}, {"stop_sequences": ["a", "b"]}, id="several"),
    pytest.param({"temperature": 0.5}, {"temperature": 0.5}, id="temperature"),
    pytest.param({"top_p": 0.5, "top_k": 3}, {"top_p": 0.5, "top_k": 3}, id="top_p and top_k"),
    pytest.param({"user": "u"}, {"metadata": {"user_id": "u"}}, id="the user"),
    pytest.param({"stream": True}, {"stream": True}, id="a stream"),
    pytest.param({"n": 1, "logprobs": False, "presence_penalty": 0}, {}, id="the usual values"),
    pytest.param({"tools": TOOLS}, {"tools": CLAUDE_TOOLS}, id="tools"),
    pytest.param(
        {"tools": TOOLS, "tool_choice": "required"},
        {"tools": CLAUDE_TOOLS, "tool_choice": {"type": "any"}},
        id="a tool must be called",
    ),
    pytest.param(
        {"tools": TOOLS, "tool_choice": {"type": "function", "function": {"name": "f"}}},
        {"tools": CLAUDE_TOOLS, "tool_choice": {"type": "tool", "name": "f"}},
        id="this tool must be called",
    ),
    pytest.param(
        {"tools": TOOLS, "parallel_tool_calls": False},
        {
            "tools": CLAUDE_TOOLS,
            "tool_choice": {"type": "auto", "disable_parallel_tool_use": True},
        },
        id="one tool at a time",
    ),
    pytest.param(
        {"response_format": {"type": "json_schema", "json_schema": {"schema": SCHEMA}}},
        {"output_config": {"format": {"type": "json_schema", "schema": SCHEMA}}},
        id="a schema",
    ),
]


@pytest.mark.parametrize(("asked", "expected"), TO_CLAUDE)
def test_a_chat_becomes_a_message(asked, expected):
    body, dropped = sent(chat(**asked), CLAUDE)
    said = {"model": "up", "max_tokens": 8192, "messages": [user(text("hi"))]}
    assert body == {**said, **expected}
    assert dropped == ()


TURNS_TO_CLAUDE = [
    pytest.param(
        [{"role": "system", "content": "a"}, {"role": "developer", "content": "b"}, *HI],
        [user(text("hi"))],
        id="instructions stand apart",
    ),
    pytest.param(
        [user(text("see"), {"type": "image_url", "image_url": {"url": PNG}})],
        [user(text("see"), {"type": "image", "source": IMAGE})],
        id="an image in the request",
    ),
    pytest.param(
        [user({"type": "image_url", "image_url": {"url": "https://a/b.png"}})],
        [user({"type": "image", "source": {"type": "url", "url": "https://a/b.png"}})],
        id="an image elsewhere",
    ),
    pytest.param(
        [
            *HI,
            {"role": "assistant", "content": None, "tool_calls": [call(), call(id_="t2")]},
            {"role": "tool", "tool_call_id": "t1", "content": "one"},
            {"role": "tool", "tool_call_id": "t2", "content": "two"},
            {"role": "user", "content": "and?"},
        ],
        [
            user(text("hi")),
            {"role": "assistant", "content": [USED, {**USED, "id": "t2"}]},
            user(
                {"type": "tool_result", "tool_use_id": "t1", "content": [text("one")]},
                {"type": "tool_result", "tool_use_id": "t2", "content": [text("two")]},
                text("and?"),
            ),
        ],
        id="tools that were called",
    ),
    pytest.param(
        [*HI, {"role": "assistant", "content": ""}, {"role": "user", "content": "?"}],
        [user(text("hi"), text("?"))],
        id="an answer that was empty",
    ),
]


@pytest.mark.parametrize(("turns", "expected"), TURNS_TO_CLAUDE)
def test_turns_of_a_chat_become_turns_of_messages(turns, expected):
    body, _ = sent(chat(messages=turns), CLAUDE)
    assert body["messages"] == expected
    assert body.get("system") == ("a\n\nb" if turns[0]["role"] == "system" else None)


def test_what_anthropic_does_not_know_is_named():
    asked = chat(seed=1, logit_bias={"5": 1}, temperature=1.5, service_tier="flex", min_p=0.1)
    body, dropped = sent(asked, CLAUDE)
    assert dropped == ("logit_bias", "min_p", "seed", "service_tier", "temperature")
    assert body["temperature"] == 1


NOT_FOR_CLAUDE = [
    pytest.param({"n": 2}, id="several answers"),
    pytest.param({"logprobs": True}, id="log-probabilities"),
    pytest.param({"functions": [{"name": "f"}]}, id="functions"),
    pytest.param({"modalities": ["text", "audio"]}, id="speech"),
    pytest.param({"web_search_options": {"x": 1}}, id="a search"),
    pytest.param({"response_format": {"type": "json_object"}}, id="JSON without a schema"),
    pytest.param({"tools": [{"type": "custom", "custom": {"name": "f"}}]}, id="a custom tool"),
    pytest.param({"messages": [user({"type": "input_audio"})]}, id="a recording"),
    pytest.param({"messages": [{"role": "function", "content": "x"}]}, id="an older role"),
    pytest.param({"messages": [{"role": "system", "content": "x"}]}, id="no turn of the user"),
]


@pytest.mark.parametrize("asked", NOT_FOR_CLAUDE)
def test_what_anthropic_cannot_do_leaves_it_out(asked):
    with pytest.raises(InexpressibleError):
        sent(chat(**asked), CLAUDE)


TO_CHAT = [
    pytest.param({"system": "be"}, {}, ["be"], id="a system prompt"),
    pytest.param({"system": [text("a"), text("b")]}, {}, ["a\n\nb"], id="one of blocks"),
    pytest.param({"stop_sequences": ["x"]}, {"stop": ["x"]}, [], id="stop sequences"),
    pytest.param(
        {"temperature": 0.1, "top_p": 0.2}, {"temperature": 0.1, "top_p": 0.2}, [], id="t"
    ),
    pytest.param({"metadata": {"user_id": "u"}}, {"user": "u"}, [], id="the user"),
    pytest.param({"tools": CLAUDE_TOOLS}, {"tools": TOOLS}, [], id="tools"),
    pytest.param(
        {"tools": CLAUDE_TOOLS, "tool_choice": {"type": "any", "disable_parallel_tool_use": True}},
        {"tools": TOOLS, "tool_choice": "required", "parallel_tool_calls": False},
        [],
        id="a tool must be called, and one only",
    ),
    pytest.param(
        {"tools": CLAUDE_TOOLS, "tool_choice": {"type": "tool", "name": "f"}},
        {"tools": TOOLS, "tool_choice": {"type": "function", "function": {"name": "f"}}},
        [],
        id="this tool must be called",
    ),
    pytest.param(
        {"output_config": {"format": {"type": "json_schema", "schema": SCHEMA}}},
        {
            "response_format": {
                "type": "json_schema",
                "json_schema": {"name": "answer", "schema": SCHEMA, "strict": True},
            }
        },
        [],
        id="a schema",
    ),
]


@pytest.mark.parametrize(("asked", "expected", "system"), TO_CHAT)
def test_a_message_becomes_a_chat(asked, expected, system):
    body, dropped = sent(messages(**asked), OTHER)
    first = [{"role": "system", "content": each} for each in system]
    assert body == {"model": "up", "max_tokens": 9, "messages": [*first, *HI], **expected}
    assert dropped == ()


TURNS_TO_CHAT = [
    pytest.param([user(text("a"), text("b"))], [{"role": "user", "content": "a\nb"}], id="texts"),
    pytest.param(
        [user({"type": "image", "source": IMAGE})],
        [user({"type": "image_url", "image_url": {"url": PNG}})],
        id="an image",
    ),
    pytest.param(
        [
            {"role": "assistant", "content": [text("so"), USED]},
            user(
                text("and?"),
                {"type": "tool_result", "tool_use_id": "t1", "content": "one"},
            ),
        ],
        [
            {"role": "assistant", "content": "so", "tool_calls": [call(arguments='{"x": 1}')]},
            {"role": "tool", "tool_call_id": "t1", "content": "one"},
            {"role": "user", "content": "and?"},
        ],
        id="a tool that was called",
    ),
    pytest.param(
        [
            user(
                {
                    "type": "tool_result",
                    "tool_use_id": "t1",
                    "content": [text("see"), {"type": "image", "source": IMAGE}],
                }
            )
        ],
        [
            {"role": "tool", "tool_call_id": "t1", "content": "see"},
            user({"type": "image_url", "image_url": {"url": PNG}}),
        ],
        id="an image that a tool returned",
    ),
    pytest.param(
        [{"role": "assistant", "content": [{"type": "thinking", "thinking": "hm"}, text("so")]}],
        [{"role": "assistant", "content": "so"}],
        id="thinking is not shown to another model",
    ),
]


@pytest.mark.parametrize(("turns", "expected"), TURNS_TO_CHAT)
def test_turns_of_messages_become_turns_of_a_chat(turns, expected):
    body, _ = sent(messages(messages=turns), OTHER)
    assert body["messages"] == expected


def test_openai_gets_its_newer_name_of_the_limit():
    body, _ = sent(messages(), OPENAI)
    assert (body["max_completion_tokens"], "max_tokens" in body) == (9, False)


THINKING = [
    pytest.param({"thinking": {"type": "disabled"}}, "none", id="disabled"),
    pytest.param({"thinking": {"type": "enabled", "budget_tokens": 1024}}, "low", id="a little"),
    pytest.param({"thinking": {"type": "enabled", "budget_tokens": 4096}}, "medium", id="more"),
    pytest.param({"thinking": {"type": "enabled", "budget_tokens": 32_000}}, "high", id="much"),
    pytest.param({"output_config": {"effort": "max"}}, "max", id="an effort"),
]


@pytest.mark.parametrize(("asked", "effort"), THINKING)
def test_thinking_is_an_effort_for_vllm_and_dropped_for_others(asked, effort):
    body, dropped = sent(messages(**asked), CHAT_VLLM)
    assert (body["reasoning_effort"], dropped) == (effort, ())
    body, dropped = sent(messages(**asked), OTHER)
    assert "reasoning_effort" not in body
    assert dropped == (("thinking",) if "thinking" in asked else ("output_config.effort",))


NOT_FOR_CHAT = [
    pytest.param({"mcp_servers": [{"name": "x"}]}, id="servers of tools"),
    pytest.param({"tools": [{"type": "web_search_20250305", "name": "w"}]}, id="a server's tool"),
    pytest.param({"messages": [user({"type": "search_result"})]}, id="a search's result"),
]


@pytest.mark.parametrize("asked", NOT_FOR_CHAT)
def test_what_a_chat_cannot_say_leaves_its_backend_out(asked):
    with pytest.raises(InexpressibleError):
        sent(messages(**asked), OTHER)


MALFORMED = [
    pytest.param(lambda: sent(chat(messages=[1]), CLAUDE), "messages[0]", id="a chat's turn"),
    pytest.param(
        lambda: sent(chat(messages=[{"role": "user", "content": 7}]), CLAUDE),
        "messages[0].content",
        id="its content",
    ),
    pytest.param(
        lambda: sent(
            chat(messages=[{"role": "assistant", "tool_calls": [call(arguments="{")]}]), CLAUDE
        ),
        "messages[0].tool_calls[0].function.arguments",
        id="the arguments of a tool",
    ),
    pytest.param(
        lambda: sent(messages(messages=[{"role": "robot", "content": "x"}]), OTHER),
        "messages[0].role",
        id="a role",
    ),
    pytest.param(lambda: sent(messages(tools=[{}]), OTHER), "tools[0]", id="a tool"),
]


@pytest.mark.parametrize(("ask", "param"), MALFORMED)
def test_what_is_malformed_is_the_clients_error(ask, param):
    with pytest.raises(ApiError) as error:
        ask()
    assert (error.value.status, error.value.param) == (400, param)
