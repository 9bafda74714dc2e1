"""Which of a client's header fields reach a provider, and with which values."""

import pytest

from tests.support.routers import backend, router, table
from tests.support.upstreams import Upstream, replies

ANSWER = {
    "id": "m", "type": "message", "role": "assistant", "model": "up", "stop_reason": "end_turn",
    "content": [{"type": "text", "text": "hi"}], "usage": {"input_tokens": 1, "output_tokens": 1},
}  # fmt: skip


async def passed(field: str, value: str, dialect: str, data: object = None) -> str | None:
    """Return the value that a provider gets of a client's header field."""
    behaviour = [replies(200, ANSWER)] if dialect == "anthropic" else []
    async with Upstream(*behaviour) as up:
        out = table(
            {"api": backend(up.url, trust="external", dialect=dialect)}, policy={"data": data}
        )
        async with router(out) as r:
            assert (await r.chat("m", f"{field}: {value}")).status == 200
    found: str | None = up.received[0].headers.get(field)
    return found


@pytest.mark.parametrize(
    ("field", "value", "dialect"),
    [
        ("openai-beta", "assistants=v2", "openai"),
        ("openai-beta", "responses=experimental, realtime=v1", "openai"),
        ("openai-beta", "responses_multi_agent=v1", "openai"),
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


NAMED = {
    "keepLocal": ["payment-card", "falcon"],
    "redact": ["secret"],
    "words": {"falcon": ["project-falcon"]},
}


@pytest.mark.parametrize(
    "value",
    [
        pytest.param("a=4111111111111111", id="a card"),
        pytest.param("skills,cards=4111111111111111", id="a card among names"),
        pytest.param("AKIA" + "QX7M" * 4, id="a key"),
        pytest.param("project-falcon", id="a word of the policy's"),
    ],
)
async def test_what_the_data_policy_names_stays(value):
    assert await passed("openai-beta", value, "openai", NAMED) is None
    assert await passed("anthropic-beta", value, "anthropic", NAMED) is None


@pytest.mark.parametrize("value", ["files-api-2025-04-14,context-1m-2025-08-07", "a=v2"])
async def test_names_of_features_pass_a_data_policy(value):
    assert await passed("openai-beta", value, "openai", NAMED) == value


async def test_everything_else_that_a_client_says_of_itself_stays():
    person = "jane.doe@example.com"
    named = (
        "openai-organization", "openai-project", "idempotency-key", "x-request-id", "user-agent",
        "x-client-request-id", "x-stainless-os", "cookie", "referer", "baggage", "traceparent",
        "tracestate", "from", "x-forwarded-for", "forwarded", "x-user", "anthropic-workspace-id",
    )  # fmt: skip
    async with Upstream() as up:
        out = table({"api": backend(up.url, trust="external")})
        async with router(out) as r:
            asked = await r.chat("m", *[f"{name}: {person}" for name in named])
            assert asked.status == 200
    sent = up.received[0]
    assert person not in str(sent.headers)


async def test_the_query_stays():
    async with Upstream() as up:
        out = table({"api": backend(up.url, trust="external")})
        async with router(out) as r:
            body = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
            assert (await r.post("/v1/chat/completions?of=jane%40example.com", body)).status == 200
    assert "jane" not in up.received[0].path
