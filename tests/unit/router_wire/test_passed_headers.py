"""Which of a client's header fields reach a provider, and with which values."""

import pytest

from tests.support.routers import backend, router, table
from tests.support.upstreams import Upstream, replies

ANSWER = {
    "id": "m", "type": "message", "role": "assistant", "model": "up", "stop_reason": "end_turn",
    "content": [{"type": "text", "text": "hi"}], "usage": {"input_tokens": 1, "output_tokens": 1},
}  # fmt: skip


async def passed(field: str, value: str, dialect: str) -> str | None:
    """Return the value that a provider gets of a client's header field."""
    behaviour = [replies(200, ANSWER)] if dialect == "anthropic" else []
    async with Upstream(*behaviour) as up:
        out = table({"api": backend(up.url, trust="external", dialect=dialect)})
        async with router(out) as r:
            assert (await r.chat("m", f"{field}: {value}")).status == 200
    found: str | None = up.received[0].headers.get(field)
    return found


@pytest.mark.parametrize(
    ("field", "value", "dialect"),
    [
        ("openai-beta", "assistants=v2", "openai"),
        ("openai-beta", "responses=experimental, realtime=v1", "openai"),
        ("anthropic-beta", "context-1m-2025-08-07,files-api-2025-04-14", "anthropic"),
        ("anthropic-version", "2023-01-01", "anthropic"),
    ],
)
async def test_versions_and_features_reach_a_provider(field, value, dialect):
    assert await passed(field, value, dialect) == value


@pytest.mark.parametrize(
    "value",
    [
        pytest.param("jane.doe@example.com", id="an address"),
        pytest.param("4111 1111 1111 1111", id="a card"),
        pytest.param("4111111111111111", id="its digits"),
        pytest.param("+49 30 1234567", id="a telephone number"),
        pytest.param("my name is Jane", id="words"),
        pytest.param("a" * 65, id="longer than a name"),
        pytest.param(",".join(["a-feature"] * 60), id="longer than a list of names"),
    ],
)
async def test_what_is_no_name_of_a_feature_stays(value):
    assert await passed("openai-beta", value, "openai") is None
    assert await passed("anthropic-beta", value, "anthropic") is None
    assert await passed("anthropic-version", value, "anthropic") == "2023-06-01"
