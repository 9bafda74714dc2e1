"""What a limited key sees, and what a limited account is spared."""

import asyncio

import pytest

from tests.support.routers import PATIENT, backend, router, table, until
from tests.support.upstreams import Upstream, answers, begins, delta, replies, silence

KEY = "Authorization: Bearer s3cret"


@pytest.fixture
def directory(tmp_path):
    (tmp_path / "alice").write_text("s3cret")
    (tmp_path / "bob").write_text("0ther")
    return str(tmp_path)


def keyed(up, directory, **limits):
    keys = {"directory": directory, "limits": limits}
    return table({"local": backend(up.url, timeouts=PATIENT)}, keys=keys)


async def test_a_key_above_its_requests_gets_429_with_the_time_to_wait(directory):
    async with Upstream() as up, router(keyed(up, directory, requestsPerMinute=2)) as r:
        first, _, third = [await r.chat("m", KEY) for _ in range(3)]
        other = await r.chat("m", "Authorization: Bearer 0ther")
        health = await r.get("/healthz")
    assert first.headers["x-ratelimit-limit-requests"] == "2"
    assert first.headers["x-ratelimit-remaining-requests"] == "1"
    assert (third.status, third.error["code"]) == (429, "rate_limit_exceeded")
    assert third.headers["x-ratelimit-remaining-requests"] == "0"
    assert 1 <= int(third.headers["retry-after"]) <= 60
    assert (other.status, health.status) == (200, 200)
    assert len(up.received) == 3


async def test_tokens_are_set_aside_and_corrected_by_the_usage(directory):
    async with Upstream() as up, router(keyed(up, directory, tokensPerMinute=1000)) as r:
        replies_ = [await r.chat("m", KEY, max_tokens=900) for _ in range(3)]
        too_much = await r.chat("m", KEY, max_tokens=2000)
    assert [reply.status for reply in replies_] == [200] * 3  # each took 9, not 900
    left = int(replies_[2].headers["x-ratelimit-remaining-tokens"])
    assert 0 < left <= 1000 - 2 * 9 - 900  # what the first two took, and what this one sets aside
    assert too_much.status == 429
    assert too_much.headers["x-should-retry"] == "false"
    assert "retry-after" not in too_much.headers


async def test_a_stream_that_runs_takes_a_place_until_it_ends(directory):
    slow = begins(delta(content="x"), then=silence)
    async with Upstream(slow, answers()) as up, router(keyed(up, directory, concurrency=1)) as r:
        waiting = asyncio.create_task(r.chat("m", KEY, stream=True))
        await until(lambda: up.received)
        second = await r.chat("m", KEY)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        await until(lambda: up.left)
        third = await r.chat("m", KEY)
    assert (second.status, third.status) == (429, 200)


async def test_limits_of_one_key_stand_before_those_of_all(directory):
    async with Upstream() as up:
        limited = keyed(up, directory, requestsPerMinute=1)
        limited["keys"]["limitsByKey"] = {"alice": {"requestsPerMinute": 3}}
        async with router(limited) as r:
            statuses = [(await r.chat("m", KEY)).status for _ in range(4)]
    assert statuses == [200, 200, 200, 429]


async def test_the_backends_limits_are_not_shown_as_the_keys(directory):
    told = replies(200, {"choices": [{}]}, "x-ratelimit-limit-requests: 9999")
    async with Upstream(told) as up, router(keyed(up, directory, requestsPerMinute=5)) as r:
        reply = await r.chat("m", KEY)
    assert reply.headers["x-ratelimit-limit-requests"] == "5"


async def test_an_account_at_its_limit_is_not_asked_and_local_answers():
    async with Upstream() as api, Upstream() as local:
        both = table(
            {
                "api": backend(api.url, trust="external", rateLimits={"requestsPerMinute": 2}),
                "local": backend(local.url),
            }
        )
        async with router(both) as r:
            replies_ = [await r.chat() for _ in range(4)]
            alone = await r.chat("api")
    assert [reply.headers["x-hybrid-source"] for reply in replies_] == ["api"] * 2 + ["local"] * 2
    assert len(api.received) == 2
    assert (alone.status, alone.error["code"]) == (503, "no_backend")
    assert 1 <= int(alone.headers["retry-after"]) <= 60
