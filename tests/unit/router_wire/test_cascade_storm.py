"""A storm on a cascade: engines that die while they draft, and every client gets one answer."""

import asyncio
import random

import pytest

from tests.support.drafts import (
    API,
    LOCAL,
    SURE,
    UNSURE,
    Drafter,
    breaks_after,
    cascade,
    engine,
    said,
)
from tests.support.routers import router, until
from tests.support.upstreams import (
    Upstream,
    answers,
    closes,
    ends,
    half_a_chunk,
    replies,
    resets,
    silence,
)

REQUESTS, AT_ONCE = 160, 16
KEPT = {"data": {"words": {"falcon": ["hi"]}, "keepLocal": ["falcon"]}}
TIMES = {"connect": 5, "firstByte": 0.5, "idle": 0.5}


def misbehaves(draw):
    """Return what answers each request in a way drawn at random."""

    async def behave(talk):
        how = draw.choice([resets, closes, ends, half_a_chunk, silence])
        sure = Drafter(probability=draw.choice([SURE, UNSURE]))
        breaks = breaks_after(sure, draw.randrange(4), how)
        if not talk.request.json().get("stream"):
            breaks = draw.choice([resets, closes, half_a_chunk, replies(500), replies(503)])
        await draw.choice([sure, sure, breaks, breaks, replies(429, None, "retry-after: 0")])(talk)

    return behave


async def storm(r, draw):
    """Ask for so many answers, streamed and not; return them."""

    async def some():
        return [
            await r.chat("auto", stream=draw.random() < 0.7) for _ in range(REQUESTS // AT_ONCE)
        ]

    groups = await asyncio.gather(*(some() for _ in range(AT_ONCE)))
    return [reply for group in groups for reply in group]


@pytest.mark.parametrize("seed", [1, 2])
async def test_every_client_gets_one_whole_answer_of_one_side(seed):
    draw = random.Random(seed)  # noqa: S311  no secret
    async with (
        Upstream(misbehaves(draw)) as one,
        Upstream(misbehaves(draw)) as two,
        Upstream(answers(API)) as api,
    ):
        local = engine(one.url, two.url, timeouts=TIMES, cooldown=0.1)
        described = cascade(local, api, {"attempts": 10}, timeout=0.4)
        async with router(described, classifies=True) as r:
            found = await storm(r, draw)
            pools = [r.registry.pool(name) for name in ("local", "api")]
            await until(lambda: not any(pool.in_flight for pool in pools))
    assert {reply.status for reply in found} == {200}
    assert all(reply.whole for reply in found)
    texts = {"local": LOCAL, "api": API}
    for reply in found:
        assert said(reply) == texts[reply.headers["x-hybrid-source"]]
    assert {reply.headers["x-hybrid-source"] for reply in found} == {"local", "api"}
    assert b"top_logprobs" not in b"".join(reply.body for reply in found)


async def test_what_must_stay_never_reaches_the_api_whatever_its_engines_do():
    draw = random.Random(3)  # noqa: S311  no secret
    async with Upstream(misbehaves(draw)) as one, Upstream(answers(API)) as api:
        local = engine(one.url, timeouts=TIMES, cooldown=0.1)
        async with router(cascade(local, api, KEPT), classifies=True) as r:
            found = await storm(r, draw)
        assert api.received == []
    assert 503 in {reply.status for reply in found}
    texts = [said(reply) for reply in found if reply.status == 200]
    assert all(LOCAL.startswith(text) for text in texts)  # a stream may break after its first token
