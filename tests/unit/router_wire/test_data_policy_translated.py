"""What is translated is judged as it is sent: JSON in a text is read there, and its escapes go."""

import pytest

from tests.support.routers import backend, router, table
from tests.support.upstreams import Upstream, replies

ANSWER = {
    "id": "m", "type": "message", "role": "assistant", "model": "up", "stop_reason": "end_turn",
    "content": [{"type": "text", "text": "hi"}], "usage": {"input_tokens": 1, "output_tokens": 1},
}  # fmt: skip
ARGUMENTS = [
    pytest.param(r'{"n": 4.111111111111111e15}', id="a number with an exponent"),
    pytest.param(r'{"n": "4111\/1111\/1111\/1111"}', id="slashes"),
    pytest.param(r'{"n": "4111\u20111111\u20111111\u20111111"}', id="hyphens"),
    pytest.param(r'{"n": "4111\u00a01111\u00a01111\u00a01111"}', id="spaces that break no line"),
    pytest.param(r'{"n": "j\u00fcrgen@b\u00fccher.example"}', id="letters"),
]


def called(arguments):
    """Return a chat in which a tool was called."""
    function = {"name": "f", "arguments": arguments}
    calls = [{"id": "1", "type": "function", "function": function}]
    return [
        {"role": "user", "content": "hi"},
        {"role": "assistant", "tool_calls": calls},
        {"role": "tool", "tool_call_id": "1", "content": "ok"},
    ]


def anthropic(url, data):
    return table(
        {"api": backend(url, trust="external", dialect="anthropic")}, policy={"data": data}
    )


@pytest.mark.parametrize("arguments", ARGUMENTS)
@pytest.mark.parametrize("action", ["keepLocal", "refuse"])
async def test_what_must_stay_reaches_no_api_in_other_words(arguments, action):
    async with Upstream(replies(200, ANSWER)) as api:
        async with router(anthropic(api.url, {action: ["payment-card", "email"]})) as r:
            reply = await r.chat("m", messages=called(arguments))
        assert not api.received
    assert reply.error["code"] == "data_policy"


async def test_what_is_redacted_is_redacted_in_other_words():
    async with Upstream(replies(200, ANSWER)) as api:
        async with router(anthropic(api.url, {"redact": ["email"]})) as r:
            reply = await r.chat("m", messages=called(r'{"n": "j\u00fcrgen@b\u00fccher.example"}'))
        assert api.received[0].json()["messages"][1]["content"][0]["input"] == {"n": "[EMAIL_1]"}
    assert reply.status == 200


async def test_harmless_arguments_are_sent():
    async with Upstream(replies(200, ANSWER)) as api:
        async with router(anthropic(api.url, {"keepLocal": ["payment-card", "email"]})) as r:
            assert (await r.chat("m", messages=called(r'{"n": "b\u00fccher"}'))).status == 200
        assert api.received[0].json()["messages"][1]["content"][0]["input"] == {"n": "bücher"}
