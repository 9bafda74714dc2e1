"""A local model that has many prompts to compute: what would begin late goes to the API."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybrid_router.core.prefill import PRIOR, Prefill
from tests.support.routers import PATIENT, Says, backend, router, table, until
from tests.support.upstreams import (
    Upstream,
    answers,
    begins,
    delta,
    replies,
    silence,
    streams,
)

LONG = [{"role": "user", "content": "word " * 8_000}]
"""About 10,000 tokens: 2.5 s at the rate that is assumed before anything was seen."""


def held(event):
    """Answer once the event is set."""

    async def behave(talk):
        await event.wait()
        await answers()(talk)

    return behave


def both(local, api, **fields):
    return table(
        {
            "local": backend(local.url, timeouts=PATIENT, **fields),
            "api": backend(api.url, trust="external"),
        }
    )


async def sources(spec, local, free, second):
    """Return who answers a long prompt, and `second` that is sent while it is computed."""
    async with router(spec, classifier=Says(0.99)) as r:
        first = asyncio.create_task(r.chat("auto", messages=LONG))
        await until(lambda: local.received)
        asked = asyncio.create_task(r.chat(second.pop("model", "auto"), **second))
        await asyncio.sleep(0.2)
        free.set()
        replies = [await first, await asked]
    assert [reply.status for reply in replies] == [200, 200]
    return [reply.headers["x-hybrid-source"] for reply in replies]


async def asked(second, **fields):
    free = asyncio.Event()
    async with Upstream(held(free)) as local, Upstream() as api:
        return await sources(both(local, api, **fields), local, free, second)


async def test_what_would_begin_late_behind_others_goes_to_the_api():
    assert await asked({"messages": LONG}, beginWithin=2.0) == ["local", "api"]


async def test_what_would_begin_in_time_does_not():
    assert await asked({}, beginWithin=5.0) == ["local", "local"]


async def test_without_an_objective_nothing_does():
    assert await asked({"messages": LONG}) == ["local", "local"]


async def test_what_only_the_local_model_may_answer_stays():
    assert await asked({"messages": LONG, "model": "local"}, beginWithin=2.0) == ["local", "local"]


async def test_one_alone_is_never_late():
    async with Upstream() as local, Upstream() as api:
        spec = both(local, api, beginWithin=0.1)
        async with router(spec, classifier=Says(0.99)) as r:
            reply = await r.chat("auto", messages=LONG)
    assert reply.headers["x-hybrid-source"] == "local"


async def test_where_the_api_fails_it_comes_back():
    free = asyncio.Event()
    async with Upstream(held(free)) as local, Upstream(replies(500)) as api:
        found = await sources(both(local, api, beginWithin=2.0), local, free, {"messages": LONG})
        assert len(api.received) >= 1
    assert found == ["local", "local"]


async def test_an_engine_that_is_faster_than_thought_gets_more():
    async with (
        Upstream(streams("a", "b")) as local,
        Upstream() as api,
        router(both(local, api, beginWithin=2.0), classifier=Says(0.99)) as r,
    ):
        pool = r.registry.pool("local")
        before = pool.prefill.rate
        await r.chat("auto", messages=LONG, stream=True)
        assert pool.prefill.rate > before


async def test_an_engine_that_the_table_calls_slow_gets_less_from_the_start():
    second = {"messages": [{"role": "user", "content": "word " * 80}]}  # about 100 tokens
    slow = {"beginWithin": 50.0, "prefillTokensPerSecond": 100.0}
    assert await asked(dict(second), **slow) == ["local", "api"]
    assert await asked(dict(second), beginWithin=50.0) == ["local", "local"]


async def test_a_client_that_left_leaves_nothing_to_compute():
    async with (
        Upstream(silence) as local,
        Upstream() as api,
        router(both(local, api, beginWithin=2.0), classifier=Says(0.99)) as r,
    ):
        (replica,) = r.registry.pool("local").replicas
        asked = asyncio.create_task(r.chat("auto", messages=LONG, stream=True))
        await until(lambda: replica.prefilling > 5_000)
        asked.cancel()
        await asyncio.gather(asked, return_exceptions=True)
        await until(lambda: replica.prefilling == 0)


async def test_what_has_begun_is_computed():
    async with (
        Upstream(begins(delta(content="x"), then=silence)) as local,
        Upstream() as api,
        router(both(local, api, beginWithin=2.0), classifier=Says(0.99)) as r,
    ):
        (replica,) = r.registry.pool("local").replicas
        asked = asyncio.create_task(r.chat("auto", messages=LONG, stream=True))
        await until(lambda: local.received and not replica.prefilling)
        asked.cancel()
        await asyncio.gather(asked, return_exceptions=True)


@given(st.floats(50, 50_000), st.lists(st.integers(600, 20_000), min_size=80, max_size=80))
def test_the_rate_comes_near_to_what_an_engine_does(rate, prompts):
    prefill = Prefill()
    for tokens in prompts:
        prefill.took(tokens, tokens / rate)
    assert rate / 1.5 < prefill.rate < rate * 1.5


def test_the_rate_is_one_that_nine_of_ten_reach():
    prefill = Prefill()
    for number in range(2_000):
        prefill.took(1_000, 1.0 if number % 20 == 0 else 0.25)
    assert 2_000 < prefill.rate < 4_400
    for number in range(2_000):
        prefill.took(1_000, 1.0 if number % 5 == 0 else 0.25)
    assert prefill.rate < 1_500


@pytest.mark.parametrize(
    ("expected", "within", "tokens", "learns"),
    [
        pytest.param(None, 2.0, 300, False, id="short ones say nothing"),
        pytest.param(None, None, 511, False, id="nor without an objective"),
        pytest.param(None, 2.0, 512, True, id="long ones do"),
        pytest.param(8_000.0, 2.0, 512, True, id="at a fast engine, too"),
        pytest.param(500.0, 2.0, 250, True, id="short ones that take a quarter of the objective"),
        pytest.param(500.0, 2.0, 249, False, id="not shorter ones"),
        pytest.param(500.0, 8.0, 511, False, id="nor where there is time"),
    ],
)
def test_what_is_learnt_from(expected, within, tokens, learns):
    prefill = Prefill()
    prefill.expect(expected, within)
    before = prefill.rate
    prefill.took(tokens, 10.0)
    assert (prefill.rate < before) is learns


@given(st.floats(20, 400), st.lists(st.integers(130, 200), min_size=80, max_size=80))
def test_a_slow_engine_is_known_by_the_short_prompts_that_it_gets(rate, prompts):
    prefill = Prefill()
    prefill.expect(500.0, 1.0)
    for tokens in prompts:
        prefill.took(tokens, tokens / rate)
    assert rate / 1.5 < prefill.rate < rate * 1.5


def test_what_is_learnt_outlives_a_table_that_expects_the_same():
    prefill = Prefill()
    prefill.expect(500.0, 2.0)
    prefill.took(1_000, 10.0)
    learnt = prefill.rate
    prefill.expect(500.0, 1.0)
    assert prefill.rate == learnt < 500.0
    prefill.expect(2_000.0, 1.0)
    assert prefill.rate == 2_000.0
    prefill.expect(None, 1.0)
    assert prefill.rate == PRIOR
