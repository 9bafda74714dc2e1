"""A local model that is busy: wait, spill to the API, or be told when to come back."""

import asyncio

from hybrid_router.discovery.endpoints import Address
from tests.support.routers import PATIENT, Says, backend, router, table, until
from tests.support.upstreams import Upstream, answers, begins, delta, silence


def held(event):
    """Answer once the event is set."""

    async def behave(talk):
        await event.wait()
        await answers()(talk)

    return behave


async def test_a_request_that_must_stay_waits_for_its_turn_and_turns_keep_their_order():
    free = asyncio.Event()
    async with Upstream(held(free)) as up:
        one = table({"local": backend(up.url, maxConcurrency=1, timeouts=PATIENT)})
        async with router(one) as r:
            asked = [asyncio.create_task(r.chat(user=str(i))) for i in range(4)]
            waiting = 'hinf_router_requests_waiting{backend="local"}'
            await until(lambda: r.sample(waiting) == 3)
            in_flight = r.sample('hinf_router_tokens_in_flight{backend="local"}')
            health = await r.get("/healthz")
            free.set()
            replies = await asyncio.gather(*asked)
            assert r.sample(waiting) == 0
            assert r.sample('hinf_router_tokens_in_flight{backend="local"}') == 0
    assert in_flight > 0
    assert [reply.status for reply in replies] == [200] * 4
    assert [received.json()["user"] for received in up.received] == ["0", "1", "2", "3"]
    assert health.status == 200


async def test_a_request_that_waits_in_vain_gets_503_and_the_time_to_wait():
    async with Upstream(begins(delta(content="x"), then=silence)) as up:
        one = table(
            {"local": backend(up.url, maxConcurrency=1, timeouts=PATIENT)},
            policy={"deadline": 0.3},
        )
        async with router(one) as r:
            first = asyncio.create_task(r.chat(stream=True))
            await until(lambda: up.received)
            reply = await r.chat()
            first.cancel()
            await asyncio.gather(first, return_exceptions=True)
    assert (reply.status, reply.error["code"]) == (503, "no_backend")
    assert int(reply.headers["retry-after"]) >= 1
    assert len(up.received) == 1


async def test_it_spills_to_the_api_when_the_local_wait_is_longer_than_the_apis():
    free = asyncio.Event()
    async with Upstream(held(free)) as local, Upstream() as api:
        both = table(
            {
                "local": backend(local.url, maxConcurrency=1, timeouts=PATIENT),
                "api": backend(api.url, trust="external"),
            }
        )
        async with router(both, classifier=Says(0.99)) as r:
            first = asyncio.create_task(r.chat("auto"))
            await until(lambda: local.received)
            reply = await r.chat("auto")
            free.set()
            assert (await first).headers["x-hybrid-source"] == "local"
    assert reply.headers["x-hybrid-source"] == "api"
    assert reply.headers["x-hybrid-reason"] == "local-unavailable"


async def test_a_client_that_leaves_the_queue_leaves_its_place():
    free = asyncio.Event()
    async with Upstream(held(free)) as up:
        one = table({"local": backend(up.url, maxConcurrency=1, timeouts=PATIENT)})
        async with router(one) as r:
            waiting = 'hinf_router_requests_waiting{backend="local"}'
            first = asyncio.create_task(r.chat())
            await until(lambda: up.received)
            leaves = asyncio.create_task(r.chat(user="left"))
            await until(lambda: r.sample(waiting) == 1)
            stays = asyncio.create_task(r.chat(user="stays"))
            await until(lambda: r.sample(waiting) == 2)
            leaves.cancel()
            await until(lambda: r.sample(waiting) == 1)
            free.set()
            assert [(await task).status for task in (first, stays)] == [200, 200]
    assert [received.json().get("user") for received in up.received] == [None, "stays"]


async def test_a_model_that_sleeps_is_waited_for_by_what_must_stay():
    async with Upstream() as up:
        service = {"namespace": "ml", "name": "engine"}
        local = {"trust": "internal", "service": service, "timeouts": PATIENT}
        async with router(table({"local": local})) as r:
            asked = asyncio.create_task(r.chat())
            await until(lambda: r.sample('hinf_router_requests_waiting{backend="local"}') == 1)
            r.registry.locate("ml", "engine", [Address("127.0.0.1", (("http", up.port),))])
            assert (await asked).status == 200


async def test_a_model_that_sleeps_is_bridged_by_the_api_at_once_and_counted_at_once():
    free = asyncio.Event()
    async with Upstream(held(free)) as api:
        service = {"namespace": "ml", "name": "engine"}
        both = table(
            {
                "local": {"trust": "internal", "service": service},
                "api": backend(api.url, trust="external"),
            }
        )
        async with router(both, classifier=Says(0.99)) as r:
            asked = asyncio.create_task(r.chat("auto"))
            await until(lambda: r.sample('hinf_router_passed_requests_total{backend="local"}') == 1)
            free.set()
            reply = await asked
    assert reply.headers["x-hybrid-source"] == "api"
