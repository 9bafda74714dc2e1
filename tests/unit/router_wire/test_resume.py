"""A local stream that breaks goes on at another replica, and the client sees one stream."""

import asyncio
import json
import time
from contextlib import asynccontextmanager
from itertools import pairwise

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hybrid_router.core.breaker import Outcome
from hybrid_router.openai.continuation import resumable
from hybrid_router.openai.request import parse
from hybrid_router.openai.sse import Filter
from hybrid_router.openai.tokens import Tokens
from hybrid_router.table import Target
from tests.support.engines import BREAKS, FIRST_ID, PROMPT, Model, engine, pieces, whole_events
from tests.support.routers import PATIENT, backend, router, table, until
from tests.support.upstreams import SSE_HEAD, Upstream, answers, replies, response

TEXT = 'Grüße, 世界! 🙂 "token_ids":[9]}]} \\ data: [DONE]\n\nfin'
MODEL = Model(pieces(TEXT, 3))
USAGE = {"stream_options": {"include_usage": True}}
CONTEXT = 8192
TARGET = Target(backend="local", model="up", max_context_tokens=CONTEXT)
SAME = ("id", "object", "created", "model")


def replicas(*ups, idle=PATIENT["idle"], **fields):
    """Return a table with one local model behind these replicas."""
    timeouts = {**PATIENT, "idle": idle}
    local = backend(*(up.url for up in ups), engine="vllm", timeouts=timeouts)
    found = table({"local": local}, **fields)
    found["models"]["m"]["targets"][0]["maxContextTokens"] = CONTEXT
    return found


def check(reply, model=MODEL, *, usage, tokens=None):
    """Check that a reply is one whole stream of everything that the model says."""
    events = reply.events()
    assert (reply.status, reply.whole, events[-1]) == (200, True, "[DONE]")
    chunks = events[:-1]
    assert {tuple(c[key] for key in SAME) for c in chunks} == {
        ("chatcmpl-1", "chat.completion.chunk", 7, "up")
    }
    choices = [choice for c in chunks for choice in c["choices"]]
    assert "".join(choice["delta"].get("content") or "" for choice in choices) == model.text
    assert [c["delta"]["role"] for c in choices if "role" in c["delta"]] == ["assistant"]
    assert [c["finish_reason"] for c in choices if c["finish_reason"]] == [model.finish]
    completion = len(model.tokens) if tokens is None else tokens
    total = {"prompt_tokens": len(PROMPT), "completion_tokens": completion}
    wanted = [{**total, "total_tokens": sum(total.values())}] if usage else []
    assert [c["usage"] for c in chunks if c.get("usage")] == wanted


@asynccontextmanager
async def two(*behaviours, **fields):
    """Serve by two replicas; each request gets the next behaviour, whichever replica it asks."""
    async with Upstream() as a, Upstream() as b:

        async def behave(talk):
            index = len(a.received) + len(b.received) - 1
            await behaviours[min(index, len(behaviours) - 1)](talk)

        a.behaviours = b.behaviours = (behave,)
        async with router(replicas(a, b, **fields)) as r:
            yield r, lambda: [*a.received, *b.received]


async def ask(cut, how="reset", model=MODEL, *, singly=False, **fields):
    """Ask where the first replica breaks off after `cut` bytes."""
    idle = 0.3 if how == "stall" else PATIENT["idle"]
    async with two(engine(model, cut, how, singly=singly), engine(model), idle=idle) as (r, got):
        reply = await r.chat(stream=True, temperature=0, **fields)
        return reply, got(), r.metrics.render().decode()


@pytest.mark.parametrize("usage", [False, True], ids=["usage hidden", "usage shown"])
async def test_a_stream_cut_after_any_event_is_continued_without_a_trace(usage):
    fields = USAGE if usage else {}
    for cut in whole_events(MODEL, **USAGE):
        reply, received, _ = await ask(cut, **fields)
        check(reply, usage=usage)
        assert b'"token_ids"' not in reply.body
        assert len(received) <= 2


@pytest.mark.parametrize("singly", [False, True], ids=["events at once", "event by event"])
@pytest.mark.parametrize("how", BREAKS)
async def test_however_a_stream_breaks_it_is_continued(how, singly):
    middle = whole_events(MODEL)[7]
    reply, received, metrics = await ask(middle, how, singly=singly, **USAGE)
    check(reply, usage=True)
    assert [r.path for r in received if "chat" not in r.path] == ["/v1/completions"]
    line = 'hinf_router_broken_streams_total{backend="local",outcome="continued"} 1.0'
    assert line in metrics


async def test_a_stream_cut_in_the_middle_of_an_event_is_continued():
    for cut in range(whole_events(MODEL)[3], whole_events(MODEL)[5], 7):
        reply, _, _ = await ask(cut, singly=True)
        check(reply, usage=False)


async def test_the_continuation_asks_for_what_is_missing_and_no_more():
    cut = whole_events(MODEL)[6]
    fields = {"max_tokens": 50, "seed": 3, "top_p": 0.5, "user": "u", "min_tokens": 9}
    _, received, _ = await ask(cut, **fields)
    body = next(r.json() for r in received if r.path == "/v1/completions")
    got = len(body["prompt"]) - len(PROMPT)
    assert body["prompt"] == [*PROMPT, *range(FIRST_ID, FIRST_ID + got)]
    assert body["max_tokens"] == 50 - got
    assert body["min_tokens"] == 9 - got
    assert {key: body[key] for key in ("seed", "top_p", "user")} == {
        "seed": 3,
        "top_p": 0.5,
        "user": "u",
    }
    assert "messages" not in body


async def test_a_client_without_a_limit_gets_as_many_tokens_as_fit():
    _, received, _ = await ask(whole_events(MODEL)[6])
    body = next(r.json() for r in received if r.path == "/v1/completions")
    assert body["max_tokens"] == CONTEXT - len(body["prompt"])  # vLLM's own default is 16


async def test_half_a_character_that_nobody_saw_is_asked_for_again():
    model = Model(pieces("ab🙂cd", 1))  # 🙂 is four tokens
    cut = whole_events(model)[4]  # role, a, b, and two of the four
    reply, received, _ = await ask(cut, model=model)
    check(reply, model, usage=False)
    body = next(r.json() for r in received if r.path == "/v1/completions")
    assert len(body["prompt"]) - len(PROMPT) == 2


@pytest.mark.parametrize("together", [2, 3, 5])
async def test_chunks_of_several_tokens_may_end_in_half_a_character(together):
    model = Model(pieces("ab🙂cdé世界!", 1), together=together)
    for cut in whole_events(model):
        reply, _, _ = await ask(cut, model=model)
        check(reply, model, usage=False)


async def test_a_stream_may_break_more_than_once():
    cut = whole_events(MODEL)[4]
    behaviours = engine(MODEL, cut), engine(MODEL, 400), engine(MODEL)
    async with two(*behaviours) as (r, received):
        check(await r.chat(stream=True, **USAGE), usage=True)
        assert len(received()) == 3


async def test_every_attempts_tokens_are_accounted():
    cut = whole_events(MODEL)[6]
    _, received, metrics = await ask(cut)
    rest = next(r.json() for r in received if r.path == "/v1/completions")
    kept = len(rest["prompt"]) - len(PROMPT)
    labels = 'backend="local",kind="{}",model="local-model"'
    line = "hinf_router_tokens_total{{" + labels + "}} {}.0"
    assert line.format("prompt", len(PROMPT) + len(rest["prompt"])) in metrics
    assert line.format("completion", 6 + len(MODEL.tokens) - kept) in metrics


ABORTED = {"finish_reason": "abort", "index": 0}


async def test_what_an_engine_gave_up_before_it_said_anything_is_asked_elsewhere():
    async def aborts(talk):
        if talk.request.json().get("stream"):
            await engine(MODEL, 0, "abort")(talk)
        else:
            body = {"choices": [{**ABORTED, "message": {"content": "ha"}}]}
            await talk.send(response(200, msgspec.json.encode(body)))

    for stream in (True, False):
        async with two(aborts, answers("well")) as (r, received):
            reply = await r.chat(stream=stream, stop=["x"])
            assert reply.status == 200
            assert len(received()) == 2


async def test_what_an_engine_gave_up_and_cannot_be_continued_is_not_shown_as_complete():
    async with two(engine(MODEL, whole_events(MODEL)[6], "abort")) as (r, _):
        events = (await r.chat(stream=True, stop=["x"])).events()
    assert events[-1]["error"]["code"] == "stream_broken"
    assert "[DONE]" not in events


async def test_a_lost_node_breaks_many_streams_and_all_of_them_go_on():
    lost = asyncio.Event()

    async def dies(talk):
        await talk.send(SSE_HEAD)
        body = b"".join(MODEL.stream(talk.request.path, talk.request.json()))
        await talk.chunk(body[: whole_events(MODEL)[6]])
        await lost.wait()
        talk.reset()

    async def lives(talk):
        await lost.wait()
        await engine(MODEL)(talk)

    async with Upstream(dies) as a, Upstream(lives) as b, router(replicas(a, b)) as r:
        asked = [
            asyncio.create_task(r.chat(stream=True, messages=[{"role": "user", "content": str(i)}]))
            for i in range(40)
        ]
        await until(lambda: len(a.received) + len(b.received) == 40)
        lost.set()
        replies_ = await asyncio.gather(*asked)
    assert len(a.received) > 12  # more than any budget of retries
    for reply in replies_:
        check(reply, usage=False)


async def test_where_none_can_continue_the_stream_ends_in_an_error_event():
    cut = whole_events(MODEL)[6]
    async with two(engine(MODEL, cut), replies(500)) as (r, _):
        reply = await r.chat(stream=True)
    events = reply.events()
    assert events[-1]["error"]["code"] == "stream_broken"
    assert "[DONE]" not in events
    assert MODEL.text.startswith("".join(e["choices"][0]["delta"]["content"] for e in events[:-1]))


async def test_replicas_that_have_not_failed_are_asked_before_those_that_have():
    cut = whole_events(MODEL)[6]
    behaviours = engine(MODEL, cut), engine(MODEL, 400), engine(MODEL, 400), engine(MODEL)
    seen = []

    def noted(name):
        async def behave(talk):
            seen.append(name)
            await behaviours[len(seen) - 1](talk)

        return behave

    a, b, c = (Upstream(noted(name)) for name in "abc")
    async with a, b, c, router(replicas(a, b, c)) as r:
        check(await r.chat(stream=True), usage=False)
    assert len(set(seen[:3])) == 3
    assert seen[3] != seen[2]


@asynccontextmanager
async def breaking(**fields):
    """Serve by two replicas; yield how the one that has a stream breaks it, when told to."""
    asked: asyncio.Queue[Upstream] = asyncio.Queue()
    broken = asyncio.Event()

    async def behave(talk):
        if talk.request.path.endswith("/completions") and "chat" not in talk.request.path:
            await engine(MODEL)(talk)
            return
        await talk.send(SSE_HEAD)
        data = b"".join(MODEL.stream(talk.request.path, talk.request.json()))
        await talk.chunk(data[: whole_events(MODEL)[6]])
        asked.put_nowait(talk.upstream)
        await broken.wait()
        talk.reset()

    async with Upstream(behave) as a, Upstream(behave) as b:
        document = replicas(a, b, **fields)
        async with router(document) as r:
            stream = asyncio.create_task(r.chat(stream=True))
            has_it = await asyncio.wait_for(asked.get(), 10)
            yield r, document, (has_it, b if has_it is a else a), broken, stream


async def test_a_pod_that_left_the_endpoints_before_it_broke_its_stream_is_replaced():
    async with breaking() as (r, document, (gone, stays), broken, stream):
        local = document["backends"]["local"]
        local["urls"], local["maxConcurrency"] = [stays.url], 1
        other = r.registry.pool("local").replicas  # one place, and it is taken
        r.registry.offer(json.dumps({"version": 1, "generation": 2, **document}).encode(), "file")
        pool = r.registry.pool("local")
        next(x for x in other if x.url == stays.url).acquire(1)
        broken.set()
        check(await stream, usage=False)
        assert pool.places == 1
        assert gone.url not in [x.url for x in pool.replicas]


async def test_a_stream_waits_for_a_replica_that_rests():
    policy = {"breakerFailures": 1}
    async with breaking(policy=policy) as (r, _, (_, rests), broken, stream):
        replica = next(x for x in r.registry.pool("local").replicas if x.url == rests.url)
        replica.breaker.cooldown = 0.3
        replica.breaker.record(Outcome.FAILED, time.monotonic())
        assert not replica.breaker.allows(time.monotonic())
        broken.set()
        check(await stream, usage=False)


NOT_ARMED = {
    "switched off": ({"policy": {"resume": False}}, {}),
    "tools": ({}, {"tools": [{"type": "function", "function": {"name": "f"}}]}),
}


@pytest.mark.parametrize(("more", "fields"), NOT_ARMED.values(), ids=NOT_ARMED)
async def test_a_stream_that_cannot_be_continued_asks_for_no_ids(more, fields):
    async with two(engine(MODEL), **more) as (r, received):
        await r.chat(stream=True, **fields)
        assert "return_token_ids" not in received()[0].json()


async def test_a_single_replica_is_not_asked_for_ids():
    async with Upstream(engine(MODEL)) as a, router(replicas(a)) as r:
        check(await r.chat(stream=True), usage=False)
        assert "return_token_ids" not in a.received[0].json()


async def test_an_engine_that_knows_no_ids_streams_as_ever():
    old = Model(MODEL.tokens, ids=False)
    async with two(engine(old)) as (r, _):
        check(await r.chat(stream=True, **USAGE), usage=True)


CAN = {
    "plain": {},
    "sampling": {"temperature": 0.7, "top_p": 0.9, "seed": 1, "logit_bias": {"5": 1}},
    "neutral values": {"n": 1, "stop": [], "tools": [], "logprobs": False, "presence_penalty": 0},
    "text format": {"response_format": {"type": "text"}},
    "text parts": {"messages": [{"role": "user", "content": [{"type": "text", "text": "x"}]}]},
    "a limit": {"max_completion_tokens": 5},
}
CANNOT = {
    "not streamed": {"stream": False},
    "two answers": {"n": 2},
    "tools": {"tools": [{"type": "function", "function": {"name": "f"}}]},
    "JSON": {"response_format": {"type": "json_object"}},
    "log-probabilities": {"logprobs": True},
    "a stop string": {"stop": ["\n"]},
    "frequency penalty": {"frequency_penalty": 0.1},
    "repetition penalty": {"repetition_penalty": 1.1},
    "an image": {"messages": [{"role": "user", "content": [{"type": "image_url"}]}]},
    "a grammar": {"structured_outputs": {"regex": "a"}},
    "ids for the client": {"return_token_ids": True},
    "usage in each chunk": {"stream_options": {"continuous_usage_stats": True}},
    "an unknown field": {"beam_me": "up"},
    "a huge prompt": {"messages": [{"role": "user", "content": "x" * 140_000}]},
}


def call(fields):
    body = {"model": "m", "messages": [{"role": "user", "content": "x"}], "stream": True, **fields}
    return parse("chat", json.dumps(body).encode())


@pytest.mark.parametrize("fields", CAN.values(), ids=CAN)
def test_plain_text_can_be_continued(fields):
    assert resumable(call(fields), TARGET)


@pytest.mark.parametrize("fields", CANNOT.values(), ids=CANNOT)
def test_what_looks_back_at_the_answer_cannot_be_continued(fields):
    assert not resumable(call(fields), TARGET)


def test_without_any_limit_nobody_can_say_what_is_missing():
    unbounded = Target(backend="local", model="up")
    assert not resumable(call({}), unbounded)
    assert resumable(call({"max_tokens": 5}), unbounded)


@settings(deadline=None)  # a busy machine may take its time
@given(
    st.text(max_size=60).map(lambda text: text + "."),
    st.lists(st.integers(1, 5), min_size=1),
    st.lists(st.integers(0, 10_000)),
)
def test_however_a_stream_arrives_ids_are_cut_and_nothing_else(text, sizes, places):
    model = Model(pieces(text, *sizes))
    whole = b"".join(model.stream("/v1/chat/completions", {"return_token_ids": True}))
    bare = b"".join(model.stream("/v1/chat/completions", {}))
    cuts = sorted({0, *(place % len(whole) for place in places), len(whole)})
    tokens, stream = Tokens(), Filter(hides_usage=False)
    parts = [tokens.feed(whole[a:b]) for a, b in pairwise(cuts)]
    passed = b"".join(stream.feed(part) for part in parts)
    assert [_load(e) for e in passed.split(b"\n\n")[:-1]] == [
        _load(e) for e in bare.split(b"\n\n")[:-1]
    ]
    assert stream.done
    assert tokens.count == len(model.tokens)
    tokens.rewind()
    assert json.loads(tokens.sequence())[: len(PROMPT)] == [*PROMPT]


def _load(event):
    if event == b"data: [DONE]":
        return event
    chunk = json.loads(event.removeprefix(b"data: "))
    chunk.pop("prompt_token_ids", None)
    for choice in chunk["choices"]:
        choice.pop("token_ids", None)
    return chunk
