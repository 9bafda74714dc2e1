"""A tool loop: each request repeats the conversation and adds to it, and decides as its first."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybrid_router.anthropic.request import parse_messages
from hybrid_router.classify.loop import tokens_at_turn
from hybrid_router.openai.request import parse
from hybrid_router.responses.request import parse_responses
from tests.support.routers import PATIENT, Says, backend, router, table
from tests.support.upstreams import Upstream, answers, replies

SYSTEM: dict[str, Any] = {"role": "system", "content": "You are the help desk of a shop."}
ASKS: dict[str, Any] = {"role": "user", "content": "Where is my order 1234?"}
LOOK_UP = {"name": "look_up", "arguments": '{"order": 1234}'}
CALLS: dict[str, Any] = {
    "role": "assistant",
    "content": None,
    "tool_calls": [{"id": "call_1", "type": "function", "function": LOOK_UP}],
}
LONG = json.dumps({"events": ["left the warehouse"] * 200})
FOUND = {"role": "tool", "tool_call_id": "call_1", "content": LONG}
TOOLS = [{"type": "function", "function": {"name": "look_up", "parameters": {}}}]

LENGTHS = {
    "a longest local prompt": [{"name": "long", "minTokens": 100, "prefer": "api"}],
    "a shortest one for the API": [
        {"name": "short", "maxTokens": 100, "prefer": "local"},
        {"name": "rest", "prefer": "api"},
    ],
    "a threshold for long prompts": [{"name": "long", "minTokens": 100, "threshold": 0.99}],
    "models for long prompts": [{"name": "long", "minTokens": 100, "models": ["api-model"]}],
}


def both(local, api, **policy):
    backends = {
        "local": backend(local.url, timeouts=PATIENT),
        "api": backend(api.url, trust="external", timeouts=PATIENT),
    }
    return table(backends, policy=policy)


@pytest.mark.parametrize("rules", LENGTHS.values(), ids=LENGTHS)
@pytest.mark.parametrize("model", ["auto", "local"])
async def test_a_long_result_does_not_move_a_loop_to_another_model(rules, model):
    messages = [SYSTEM, ASKS]
    async with (
        Upstream(answers()) as local,
        Upstream(answers()) as api,
        router(both(local, api, rules=rules), classifier=Says(0.9)) as r,
    ):
        first = await r.chat(model, messages=messages, tools=TOOLS)
        for _ in range(3):
            messages += [CALLS, FOUND]
            later = await r.chat(model, messages=messages, tools=TOOLS)
            for name in ("x-hybrid-source", "x-hybrid-reason"):
                assert later.headers[name] == first.headers[name]
            assert later.headers.get("x-hybrid-rule") == first.headers.get("x-hybrid-rule")
        asked = await r.chat("auto", messages=[*messages, ASKS], tools=TOOLS)
    assert first.headers["x-hybrid-source"] == "local"
    assert asked.headers["x-hybrid-source"] == "api"  # the user's next turn is long


async def test_a_loop_is_classified_by_what_the_user_said():
    classifier = Says(0.9)
    async with (
        Upstream(answers()) as local,
        Upstream(answers()) as api,
        router(both(local, api), classifier=classifier) as r,
    ):
        await r.chat("auto", messages=[SYSTEM, ASKS], tools=TOOLS)
        await r.chat("auto", messages=[SYSTEM, ASKS, CALLS, FOUND], tools=TOOLS)
    first, later = classifier.prompts
    assert first == later


async def test_a_loop_whose_first_call_failed_over_goes_back_to_the_side_that_is_preferred():
    """What failed is not in the request: it is documented that a failover is not followed."""
    async with (
        Upstream(replies(500), answers()) as local,
        Upstream(answers()) as api,
        router(both(local, api), classifier=Says(0.9)) as r,
    ):
        first = await r.chat("auto", messages=[SYSTEM, ASKS], tools=TOOLS)
        later = await r.chat("auto", messages=[SYSTEM, ASKS, CALLS, FOUND], tools=TOOLS)
    assert (first.headers["x-hybrid-source"], later.headers["x-hybrid-source"]) == ("api", "local")


def chat(messages, indent=None):
    return parse("chat", json.dumps({"model": "m", "messages": messages}, indent=indent).encode())


USED = {"type": "tool_use", "id": "t", "name": "look_up", "input": {}}
GIVEN = {"type": "tool_result", "tool_use_id": "t", "content": LONG}


def anthropic(messages):
    body = {"model": "m", "max_tokens": 9, "system": "x" * 400, "messages": messages}
    return parse_messages("messages", json.dumps(body).encode())


def responses(items):
    body = {"model": "m", "instructions": "x" * 400, "input": items}
    return parse_responses(json.dumps(body).encode())


DONE = {"type": "function_call", "call_id": "c", **LOOK_UP}
OUTPUT = {"type": "function_call_output", "call_id": "c", "output": LONG}
PICTURE = {
    "role": "user",
    "content": [
        {"type": "text", "text": "What is this?"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 9_000}},
    ],
}


@pytest.mark.parametrize(
    ("read", "asked", "since"),
    [
        pytest.param(chat, [SYSTEM, ASKS], [CALLS, FOUND], id="a chat"),
        pytest.param(chat, [PICTURE], [CALLS, FOUND], id="an image is its tokens, not its bytes"),
        pytest.param(
            anthropic,
            [ASKS],
            [{"role": "assistant", "content": [USED]}, {"role": "user", "content": [GIVEN]}],
            id="messages, whose results stand in a user's turn",
        ),
        pytest.param(responses, [ASKS], [DONE, OUTPUT], id="responses, whose results are items"),
    ],
)
def test_the_length_is_that_of_the_last_user_turn(read, asked, since):
    first, later, again = read(asked), read(asked + since), read([*asked, *since, ASKS])
    assert tokens_at_turn(first) == first.prompt_tokens
    assert tokens_at_turn(later) == first.prompt_tokens < later.prompt_tokens
    assert tokens_at_turn(again) == again.prompt_tokens


@pytest.mark.parametrize(
    "messages",
    [
        pytest.param([SYSTEM], id="no user"),
        pytest.param([CALLS, FOUND], id="a loop without its question"),
        pytest.param([1, "x", None], id="no messages at all"),
        pytest.param([{"role": "user"}], id="a turn of nothing"),
    ],
)
def test_where_no_turn_is_found_the_whole_prompt_counts(messages):
    call = chat(messages)
    assert tokens_at_turn(call) == call.prompt_tokens


@pytest.mark.parametrize(
    ("kind", "content"), [("completions", {"prompt": "hi"}), ("embeddings", {"input": ["a", "b"]})]
)
def test_text_in_one_piece_is_one_turn(kind: Any, content: Any) -> None:
    call = parse(kind, json.dumps({"model": "m", **content}).encode())
    assert tokens_at_turn(call) == call.prompt_tokens


@given(
    st.lists(st.text(max_size=40), min_size=1, max_size=4),
    st.lists(st.text(max_size=40), max_size=4),
    st.sampled_from([None, 0, 2]),
)
def test_what_tools_say_never_changes_the_length_that_rules_see(said, results, indent):
    turns = [{"role": "user", "content": f"x{text}"} for text in said]
    loop = [{"role": "tool", "content": text} for text in results]
    first, later = chat(turns, indent), chat(turns + loop, indent)
    slack = 1 if indent is not None else 0  # white space before the last bracket
    assert abs(tokens_at_turn(later) - first.prompt_tokens) <= slack
