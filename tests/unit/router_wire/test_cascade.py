"""A cascade: what clients get of a local model's draft, and what backends are asked."""

import asyncio
import json

import pytest

from tests.support.drafts import (
    API,
    LOCAL,
    SURE,
    UNSURE,
    Drafter,
    ask,
    breaks_after,
    cascade,
    engine,
    position,
    said,
    why,
)
from tests.support.engines import Model, pieces
from tests.support.routers import backend, request, router, table, until
from tests.support.upstreams import (
    SSE_HEAD,
    Upstream,
    answers,
    closes,
    ends,
    event,
    finish,
    half_a_chunk,
    replies,
    resets,
    silence,
    streams,
)

both_ways = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])


@both_ways
async def test_a_sure_draft_is_the_answer(stream):
    reply, _, remote, r = await ask(Drafter(), stream=stream)
    assert (reply.status, said(reply)) == (200, LOCAL)
    assert why(reply) == ("local", "confident", "cascade-uncalibrated", "1")
    assert float(reply.headers["x-hybrid-confidence"]) > 0.95
    assert remote == []
    assert r.sample('hinf_router_drafts_total{backend="local",outcome="accepted"}') == 1


@both_ways
async def test_an_unsure_draft_is_seen_by_nobody_and_the_api_answers(stream):
    reply, local, remote, r = await ask(Drafter(probability=UNSURE), stream=stream)
    assert (reply.status, said(reply)) == (200, API)
    assert why(reply) == ("api", "not-confident", "cascade-uncalibrated", "1")
    assert (len(local), len(remote)) == (1, 1)
    assert "logprobs" not in remote[0].json()
    assert r.sample('hinf_router_drafts_total{backend="local",outcome="escalated"}') == 1


@both_ways
async def test_the_client_sees_no_log_probabilities_that_it_did_not_ask_for(stream):
    reply, local, _, _ = await ask(Drafter(), stream=stream)
    asked = local[0].json()
    assert (asked["logprobs"], asked["top_logprobs"]) == (True, 3)
    chunks = [e for e in reply.events() if e != "[DONE]"] if stream else [reply.json()]
    assert all(choice.get("logprobs") is None for c in chunks for choice in c["choices"])
    assert b"top_logprobs" not in reply.body


@both_ways
async def test_an_accepted_draft_is_what_a_direct_answer_would_be(stream):
    reply, _, _, _ = await ask(Drafter(), stream=stream)
    async with Upstream(Drafter()) as up, router(table({"m": backend(up.url)})) as r:
        direct = await r.chat("m", stream=stream)
    if not stream:
        assert reply.json() == direct.json()
        return
    assert reply.events() == direct.events()


async def test_a_stream_is_held_until_enough_tokens_came_and_then_flows():
    decided = asyncio.Event()

    async def goes_on(talk):
        await decided.wait()
        await talk.event(finish())
        await talk.chunk(event(b"[DONE]"))
        await talk.last_chunk()

    async with (
        Upstream(breaks_after(Drafter(), 4, goes_on)) as local,
        Upstream() as api,
        router(cascade(engine(local.url), api), classifies=True) as r,
    ):
        connection = await r.connect()
        messages = [{"role": "user", "content": "hi"}]
        body = {"model": "auto", "messages": messages, "stream": True}
        await connection.send(request("POST", "/v1/chat/completions", body))
        status, _ = await connection.head()  # and the engine has more to say
        begun = await connection.reader.readuntil(b'"is "')
        assert (status, b'"The "' in begun) == (200, True)
        decided.set()
        assert (await connection.reader.readuntil(b"0\r\n\r\n")).endswith(b"0\r\n\r\n")
        await connection.close()


@both_ways
async def test_the_drafts_tokens_are_counted_whoever_answers(stream):
    _, _, _, r = await ask(Drafter(probability=UNSURE), stream=stream)
    labels = 'backend="local",outcome="escalated"'
    assert r.sample(f"hinf_router_draft_tokens_total{{{labels}}}") == (4 if stream else 2)
    spent = 'backend="local",kind="completion",model="local-model"'
    assert r.sample(f"hinf_router_tokens_total{{{spent}}}") == (4 if stream else 2)


async def test_an_engine_is_freed_as_soon_as_its_draft_is_not_taken():
    async def endless(talk):
        await breaks_after(Drafter(probability=UNSURE), 4, silence)(talk)

    async with (
        Upstream(endless) as local,
        Upstream(answers(API)) as api,
        router(cascade(engine(local.url), api), classifies=True) as r,
    ):
        reply = await r.chat("auto", stream=True)
        assert reply.text() == API
        await until(lambda: local.left)
        assert r.registry.available("local")


async def test_a_draft_that_takes_too_long_goes_to_the_api_and_the_engine_is_not_blamed():
    async with (
        Upstream(Drafter(delay=1.0)) as local,
        Upstream(answers(API)) as api,
        router(
            cascade(engine(local.url), api, {"breakerFailures": 1}, timeout=0.1), classifies=True
        ) as r,
    ):
        reply = await r.chat("auto", stream=True)
        assert reply.text() == API
        assert why(reply) == ("api", "classifier-error", None, "1")
        assert r.registry.available("local")
        assert r.sample('hinf_router_drafts_total{backend="local",outcome="undecided"}') == 1


@both_ways
async def test_an_engine_without_log_probabilities_decides_nothing(stream):
    reply, _, _, _ = await ask(Drafter(gives=False), stream=stream)
    assert (said(reply), why(reply)) == (API, ("api", "classifier-error", None, "1"))


@both_ways
async def test_an_engine_that_refuses_log_probabilities_is_not_the_clients_mistake(stream):
    refusal = {"error": {"message": "Requested sample logprobs of 3, which is greater than 0"}}
    reply, _, _, _ = await ask(replies(400, refusal), stream=stream)
    assert (reply.status, said(reply)) == (200, API)


@both_ways
async def test_a_clients_own_mistake_is_told_and_never_sent_to_the_api(stream):
    reply, _, remote, _ = await ask(replies(400), stream=stream)
    assert (reply.status, remote) == (400, [])


BREAKS = [resets, closes, ends, half_a_chunk]


@pytest.mark.parametrize("how", [pytest.param(b, id=b.__name__) for b in BREAKS])
@pytest.mark.parametrize("probability", [SURE, UNSURE], ids=["sure", "unsure"])
async def test_an_engine_that_dies_in_the_middle_of_its_draft_is_as_if_it_had_not_begun(
    how, probability
):
    dies = breaks_after(Drafter(probability=probability), 2, how)
    reply, _, remote, _ = await ask(dies, streams(*API), stream=True)
    assert reply.text() == API
    assert reply.events()[-1] == "[DONE]"
    assert why(reply)[:2] == ("api", "local-failed")
    assert len(remote) == 1


async def test_another_replica_drafts_where_one_died():
    dies = breaks_after(Drafter(), 2, resets)
    async with (
        Upstream(dies) as bad,
        Upstream(Drafter()) as good,
        Upstream(answers(API)) as api,
        router(
            cascade(engine(bad.url, good.url), api, {"prefixAffinity": False}), classifies=True
        ) as r,
    ):
        for _ in range(12):
            reply = await r.chat("auto", stream=True)
            assert (reply.text(), reply.headers["x-hybrid-reason"]) == (LOCAL, "confident")
        assert len(bad.received) >= 1
        assert api.received == []


@both_ways
async def test_the_local_model_answers_after_all_where_the_api_cannot(stream):
    reply, local, _, _ = await ask(Drafter(probability=UNSURE), replies(500), stream=stream)
    assert (reply.status, said(reply)) == (200, LOCAL)
    assert why(reply)[:2] == ("local", "external-failed")
    assert "logprobs" not in local[-1].json()


def vllm(model, cut):
    """Stream token ids and log-probabilities; break a chat off after so many events."""

    async def behave(talk):
        body = talk.request.json()
        chat = talk.request.path.endswith("/chat/completions")
        events = model.stream(talk.request.path, body)
        await talk.send(SSE_HEAD)
        for each in events[: cut if chat else None]:
            await talk.chunk(surely(each) if body.get("logprobs") else each)
        if chat:
            talk.reset()
        else:
            await talk.last_chunk()

    return behave


def surely(chunk):
    if b'"content"' not in chunk:
        return chunk
    found = json.dumps({"content": [position("x", SURE)]}, separators=(",", ":"))
    return chunk.replace(b'"logprobs":null', b'"logprobs":' + found.encode())


async def test_an_accepted_stream_that_breaks_later_goes_on_at_another_replica():
    model = Model(pieces("words of one token each and more of them", 3))
    async with (
        Upstream(vllm(model, 8)) as one,
        Upstream(vllm(model, 8)) as two,
        Upstream() as api,
    ):
        described = cascade(engine(one.url, two.url), api)
        described["models"]["auto"]["targets"][0]["maxContextTokens"] = 8192
        async with router(described, classifies=True) as r:
            reply = await r.chat("auto", stream=True)
            broken = 'hinf_router_broken_streams_total{backend="local",outcome="continued"}'
            assert r.sample(broken) == 1
    assert (reply.text(), reply.events()[-1]) == (model.text, "[DONE]")
    assert b"top_logprobs" not in reply.body
    assert api.received == []
