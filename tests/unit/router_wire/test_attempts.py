"""Which attempts are made, over which connections, and what a client sees of that."""

import asyncio
import json
import time
from email.utils import formatdate

import pytest

from hybrid_router.upstream.failures import of_status
from hybrid_router.upstream.wire import Headers
from tests.support.routers import (
    HASTY,
    Says,
    backend,
    router,
    table,
    two,
)
from tests.support.upstreams import (
    ROLE,
    Upstream,
    answers,
    begins,
    completion,
    delta,
    ends,
    event,
    finish,
    replies,
    resets,
    response,
    says,
    silence,
)


def sse(*events: bytes) -> bytes:
    """Return a stream in one block, with a length."""
    return response(200, b"".join(events), headers=("content-type: text/event-stream",))


async def test_failover_goes_from_the_api_to_the_local_model_too():
    async with Upstream() as local, Upstream(replies(500)) as api:
        both = table({"local": backend(local.url), "api": backend(api.url, trust="external")})
        async with router(both, classifier=Says(0.1)) as r:
            reply = await r.chat("auto")
    assert reply.status == 200
    assert reply.headers["x-hybrid-source"] == "local"
    assert reply.headers["x-hybrid-reason"] == "external-failed"
    assert reply.headers["x-hybrid-confidence"] == "0.100"


async def test_another_replica_is_tried_before_another_backend():
    async with Upstream(replies(500)) as bad, Upstream() as good, Upstream() as api:
        urls = [bad.url, good.url]
        both = table({"local": backend(*urls), "api": backend(api.url, trust="external")})
        async with router(both) as r:
            replies_ = [await r.chat() for _ in range(3)]
    assert {reply.headers["x-hybrid-source"] for reply in replies_} == {"local"}
    assert api.received == []


async def test_the_last_attempt_is_kept_for_another_backend():
    async with Upstream(replies(500)) as a, Upstream(replies(500)) as b, Upstream() as api:
        both = table(
            {"local": backend(a.url, b.url), "api": backend(api.url, trust="external")},
            policy={"attempts": 2},
        )
        async with router(both) as r:
            reply = await r.chat()
    assert reply.headers["x-hybrid-source"] == "api"
    assert len(a.received) + len(b.received) == 1


async def test_the_only_replica_is_asked_again_after_a_failure_that_may_pass():
    async with (
        Upstream(resets, answers("now")) as up,
        router(table({"only": backend(up.url)})) as r,
    ):
        reply = await r.chat()
    assert reply.json()["choices"][0]["message"]["content"] == "now"
    assert reply.headers["x-hybrid-attempts"] == "2"


async def test_attempts_are_bounded():
    async with (
        Upstream(replies(500)) as up,
        router(table({"only": backend(up.url)}, policy={"attempts": 2})) as r,
    ):
        assert (await r.chat()).status == 502
    assert len(up.received) == 2


async def test_the_deadline_bounds_all_attempts_together():
    async with Upstream(silence) as a, Upstream(silence) as b:
        slow = {"firstByte": 0.2}
        both = table(
            {"a": backend(a.url, timeouts=slow), "b": backend(b.url, timeouts=slow)},
            policy={"deadline": 0.1, "attempts": 5},
        )
        async with router(both) as r:
            reply = await r.chat()
            assert (reply.status, len(a.received), len(b.received)) == (504, 1, 0)


async def test_the_retry_budget_of_a_pool_bounds_retries():
    async with Upstream(replies(500)) as a, Upstream(replies(500)) as b:
        pool = backend(a.url, b.url)
        async with router(
            table({"only": pool}, policy={"attempts": 2, "breakerFailures": 1000})
        ) as r:
            for _ in range(20):
                await r.chat()
    retries = len(a.received) + len(b.received) - 20
    assert retries == 3 + 20 // 5


async def test_retries_after_refused_connections_are_free():
    async with (
        Upstream() as up,
        router(
            table(
                {"only": backend("http://127.0.0.1:1/v1", up.url)},
                policy={"breakerFailures": 1000},
            )
        ) as r,
    ):
        statuses = {(await r.chat()).status for _ in range(40)}
    assert statuses == {200}


@pytest.mark.parametrize("stream", [False, True], ids=["unstreamed", "streamed"])
async def test_a_stale_connection_is_retried_on_a_fresh_one_and_does_not_count(stream):
    async with (
        Upstream(answers(), resets, answers("again")) as up,
        router(table({"only": backend(up.url)})) as r,
    ):
        await r.chat()
        reply = await r.chat(stream=stream)
        assert reply.status == 200
        assert reply.headers["x-hybrid-attempts"] == "1"
        assert len(up.received) == 3


async def test_connections_are_kept_and_used_again():
    async with Upstream() as up, router(table({"only": backend(up.url)})) as r:
        for _ in range(5):
            assert (await r.chat()).status == 200
            assert (await r.chat(stream=True)).status == 200
    assert up.connections == 1


NOT_KEPT = [
    pytest.param(
        says(response(200, json.dumps(completion()).encode()) + b"HTTP/1.1 200 OK\r\n"),
        id="more bytes than the answer",
    ),
    pytest.param(
        says(
            response(
                200,
                json.dumps(completion()).encode(),
                headers=("content-type: application/json", "connection: close"),
            )
        ),
        id="a connection that is to be closed",
    ),
    pytest.param(
        says(
            b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n"
            + json.dumps(completion()).encode(),
            close=True,
        ),
        id="an answer that ends with the connection",
    ),
]


@pytest.mark.parametrize("behaviour", NOT_KEPT)
async def test_connections_are_not_used_again_after(behaviour):
    async with Upstream(behaviour) as up, router(table({"only": backend(up.url)})) as r:
        for _ in range(3):
            assert (await r.chat()).json()["object"] == "chat.completion"
    assert up.connections == 3


async def test_bytes_on_an_idle_connection_end_it_and_answer_nobody():
    async def then_says_more(talk):
        await answers("right")(talk)
        await asyncio.sleep(0.05)
        await talk.send(response(200, json.dumps(completion("wrong")).encode()))
        await talk.until_left()

    async with (
        Upstream(then_says_more, answers("right")) as up,
        router(table({"only": backend(up.url)})) as r,
    ):
        await r.chat()
        await asyncio.wait_for(up.left_event.wait(), 5)
        reply = await r.chat()
    assert reply.json()["choices"][0]["message"]["content"] == "right"
    assert up.connections == 2


async def test_interim_replies_are_skipped():
    early = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"
    whole = response(200, json.dumps(completion()).encode())
    async with Upstream(says(early + whole)) as up, router(table({"only": backend(up.url)})) as r:
        assert (await r.chat()).json()["object"] == "chat.completion"
        assert (await r.chat()).status == 200
    assert up.connections == 1


NOW = 1_800_000_000.0
WAITS = {
    "seconds": ([(b"retry-after", b"7")], 7.0),
    "milliseconds count more": ([(b"retry-after", b"9"), (b"retry-after-ms", b"1500")], 1.5),
    "a date": ([(b"retry-after", formatdate(NOW + 30, usegmt=True).encode())], 30.0),
    "a date that has passed": ([(b"retry-after", formatdate(NOW - 9, usegmt=True).encode())], 0.0),
    "a day is too long": ([(b"retry-after", b"86400")], None),
    "words": ([(b"retry-after", b"soon")], None),
    "nothing": ([], None),
}


@pytest.mark.parametrize(("fields", "seconds"), WAITS.values(), ids=WAITS)
def test_the_time_to_wait_is_read_in_every_form(fields, seconds, monkeypatch):
    monkeypatch.setattr(time, "time", lambda: NOW)
    failure = of_status(429, b"", Headers(fields))
    assert failure is not None
    assert failure.retry_after == seconds


async def test_retry_after_is_honoured_and_passed_on():
    async with (
        Upstream(replies(429, None, "retry-after: 7")) as up,
        Upstream() as other,
        router(two(up, other)) as r,
    ):
        alone = await r.chat("first")
        assert (alone.status, alone.headers["retry-after"]) == (429, "7")
        for _ in range(3):
            assert (await r.chat("m")).headers["x-hybrid-source"] == "api"
        waiting = await r.chat("first")
        assert (waiting.status, waiting.error["code"]) == (503, "no_backend")
        assert 1 <= int(waiting.headers["retry-after"]) <= 7
    assert len(up.received) == 1


async def test_an_unstreamed_answer_above_4_mib_flows_and_is_cut_when_it_breaks():
    big = json.dumps(completion("x" * 6_000_000)).encode()
    flows, breaks = response(200, big), response(200, big)[:5_500_000]
    async with Upstream(says(flows)) as up, router(table({"only": backend(up.url)})) as r:
        reply = await r.chat()
        assert (reply.whole, reply.body == big) == (True, True)
    async with (
        Upstream(says(breaks, close=True)) as up,
        Upstream() as other,
        router(two(up, other)) as r,
    ):
        reply = await r.chat()
        assert (reply.status, reply.whole, other.received) == (200, False, [])


async def test_an_unstreamed_answer_below_4_mib_that_is_cut_off_is_made_again():
    big = json.dumps(completion("x" * 3_000_000)).encode()
    async with (
        Upstream(says(response(200, big)[:-5], close=True)) as up,
        Upstream() as other,
        router(two(up, other)) as r,
    ):
        reply = await r.chat()
    assert (reply.status, reply.whole) == (200, True)
    assert reply.headers["x-hybrid-source"] == "api"


async def test_no_backend_at_all_is_503_with_retry_after():
    async with router(table({"only": backend("http://127.0.0.1:1/v1")})) as r:
        r.registry.pool("only").replicas = ()
        reply = await r.chat()
    assert (reply.status, reply.error["code"]) == (503, "no_backend")
    assert reply.headers["retry-after"] == "1"


USAGES = [
    pytest.param({"prompt_tokens": 7.5}, id="half a token"),
    pytest.param({"prompt_tokens": "seven"}, id="a word"),
    pytest.param({"prompt_tokens": None, "completion_tokens": None}, id="nulls"),
    pytest.param([], id="a list"),
]


@pytest.mark.parametrize("usage", USAGES)
async def test_an_answer_whose_usage_is_odd_is_an_answer_all_the_same(usage):
    whole = says(response(200, json.dumps({**completion(), "usage": usage}).encode()))
    stream = begins({**ROLE, "usage": usage}, delta(content="x"), finish(), b"[DONE]", then=ends)
    async with Upstream(whole, stream) as up, router(table({"only": backend(up.url)})) as r:
        first = await r.chat()
        second = await r.chat(stream=True)
    assert (first.status, first.json()["usage"]) == (200, usage)
    assert (second.status, second.text(), second.events()[-1]) == (200, "x", "[DONE]")
    assert len(up.received) == 2


async def test_a_stream_in_one_block_is_relayed_whole():
    block = sse(event(ROLE), event(delta(content="x")), event(finish()), event(b"[DONE]"))
    async with Upstream(says(block)) as up, router(table({"only": backend(up.url)})) as r:
        reply = await r.chat(stream=True)
    assert (reply.text(), reply.events()[-1], len(reply.events())) == ("x", "[DONE]", 4)


async def test_a_table_that_forbids_the_api_forbids_it_for_requests_under_way_too():
    async with Upstream(silence) as local, Upstream() as api:
        both = table(
            {
                "local": backend(local.url, timeouts=HASTY),
                "api": backend(api.url, trust="external"),
            }
        )
        async with router(both) as r:
            waiting = asyncio.ensure_future(r.chat())
            while not local.received:  # noqa: ASYNC110  a list sets no event
                await asyncio.sleep(0.005)
            stricter = {"version": 1, **both, "policy": {"localOnly": "personal data"}}
            r.registry.offer(json.dumps(stricter).encode(), "file")
            assert ((await waiting).status, api.received) == (504, [])
