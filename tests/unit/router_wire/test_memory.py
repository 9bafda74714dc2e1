"""What a request leaves behind: nothing."""

import asyncio
import gc
import json
from collections import Counter

import pytest

from hybrid_router.answering import Answering
from hybrid_router.openai.request import Call
from hybrid_router.server.connection import Connection
from hybrid_router.server.exchange import Exchange
from hybrid_router.upstream.attempt import Attempt
from hybrid_router.upstream.job import Job
from hybrid_router.upstream.wire import Wire
from tests.support.engines import Model, engine, pieces
from tests.support.routers import HASTY, PATIENT, backend, request, router, table, until
from tests.support.upstreams import (
    Upstream,
    answers,
    begins,
    closes,
    delta,
    half_a_chunk,
    replies,
    resets,
    says,
    silence,
    streams,
)

OF_A_REQUEST = (Answering, Attempt, Call, Exchange, Job)
OF_A_CONNECTION = (Connection, Wire)
MODEL = Model(pieces("Hello, world", 3))


def left_of(types):
    """Return what is there of these types; the collector has not run."""
    return [type(o).__name__ for o in gc.get_objects() if isinstance(o, types)]


@pytest.fixture(autouse=True)
def _uncollected():
    """Let nothing go but by reference counting, and see only what comes from now on."""
    gc.disable()
    gc.freeze()
    yield
    gc.unfreeze()
    gc.enable()


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
async def test_reference_counting_frees_all_of_an_answered_request(stream):
    behaviour = streams("Hel", "lo") if stream else answers()
    async with Upstream(behaviour) as up, router(table({"a": backend(up.url)})) as r:
        for _ in range(3):
            assert (await r.chat(stream=stream)).status == 200
        await asyncio.sleep(0.05)  # the last connection has still to be closed
        assert left_of(OF_A_REQUEST) == []


FAILS = {
    "reset": resets,
    "closed": closes,
    "half an answer": half_a_chunk,
    "silence": silence,
    "garbage": says(b"garbage garbage garbage\r\n\r\n", close=True),
    "more than was asked": says(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\n{}{}"),
    "500": replies(500),
    "role and reset": begins(delta(role="assistant"), then=resets),
    "broken after the first token": engine(MODEL, 700, "reset"),
}


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("behaviour", FAILS.values(), ids=FAILS)
async def test_reference_counting_frees_all_of_a_request_that_failed(behaviour, stream):
    async with Upstream(behaviour) as bad, Upstream(answers()) as good:
        times = HASTY if behaviour is silence else PATIENT
        tried = {
            "bad": backend(bad.url, timeouts=times), "good": backend(good.url, timeouts=PATIENT)
        }  # fmt: skip
        async with router(table(tried)) as r:
            for _ in range(3):
                await r.chat(stream=stream)
            await asyncio.sleep(0.05)
            assert left_of(OF_A_REQUEST) == []
            await r.client.close()
            assert left_of(OF_A_CONNECTION) == []


async def test_reference_counting_frees_all_of_a_request_whose_client_left():
    async with Upstream(silence) as up, router(table({"a": backend(up.url)})) as r:
        for number in range(3):
            connection = await r.connect()
            body = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
            await connection.send(request("POST", "/v1/chat/completions", body))
            await until(lambda seen=number: len(up.received) > seen)
            await connection.close()
        await until(lambda: not r.registry.pool("a").in_flight)
        await asyncio.sleep(0.05)
        assert left_of((*OF_A_REQUEST, *OF_A_CONNECTION)) == []


def ours():
    """Return how many objects of the router's there are, by type."""
    gc.collect()
    kinds = (type(each) for each in gc.get_objects())
    return Counter(f"{k.__module__}.{k.__name__}" for k in kinds if "hybrid_router" in k.__module__)


@pytest.mark.parametrize("asks", [False, True], ids=["idle", "asked"])
async def test_tables_that_follow_each_other_leave_nothing(asks):
    gone = [f"http://127.0.0.1:{port}/v1" for port in range(1, 9)]
    data = {"keepLocal": ["nut"], "words": {"nut": ["walnut"]}}

    def following(number, url):
        """Return another table, with other replicas and every other time one backend more."""
        urls = [url, gone[number % 8], gone[number % 7]]
        backends = {"a": backend(*urls, engine="vllm", timeouts=PATIENT)}
        if number % 2:
            backends["b"] = backend(gone[0], trust="external")
        fields = {"version": 1, "generation": number, "policy": {"data": data}}
        return json.dumps(fields | table(backends)).encode()

    async with Upstream(answers()) as up, router(json.loads(following(1, up.url))) as r:
        await r.chat("a")  # waits for the policy's gate
        # Later, by the ports of a run, a dead replica is the first one tried often, once or never.
        r.registry.offer(following(2, gone[7]), "watch")
        assert (await r.chat("a")).status == 502
        seen, pages = [], []
        for number in range(3, 122):
            r.registry.offer(following(number, up.url), "watch")
            if asks:
                assert (await r.chat("a")).status == 200
            if number in {81, 121}:
                await asyncio.sleep(0.05)
                seen.append(ours())
                pages.append(r.metrics.render().splitlines())
        assert r.registry.table.generation == 121
    for counted in seen:  # of the eleven addresses, closed when nobody has used them for a while
        assert counted.pop("hybrid_router.upstream.pool.Origin", 0) <= 11
    assert seen[1] - seen[0] == {}, set(pages[1]) - set(pages[0])
