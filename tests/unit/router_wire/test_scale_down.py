"""A replica that leaves ends the streams that it has, and gets none that begin later."""

import asyncio
import json

from tests.support.routers import backend, request, router, table, until
from tests.support.upstreams import Upstream, streams

ANSWER = "a stream that takes a while"


def chat(**fields):
    messages = [{"role": "user", "content": "hi"}]
    return request("POST", "/v1/chat/completions", {"model": "m", "messages": messages, **fields})


def two(*urls):
    return table({"local": backend(*urls)})


async def test_streams_at_a_replica_that_leaves_go_on_to_their_end():
    slow = streams(*ANSWER, delay=0.05)
    async with (
        Upstream(slow) as stays,
        Upstream(slow) as leaves,
        router(two(stays.url, leaves.url)) as r,
    ):
        connections = [await r.connect() for _ in range(8)]
        for each in connections:
            await each.send(chat(stream=True))
        await until(lambda: stays.received and leaves.received)
        await until(lambda: len(stays.received) + len(leaves.received) == len(connections))
        had = len(leaves.received)
        shrunk = two(stays.url) | {"version": 1}
        assert r.registry.offer(json.dumps(shrunk).encode(), "file")
        late = await asyncio.gather(*(r.chat(stream=True) for _ in range(4)))
        replies = [await each.reply() for each in connections]
        for each in connections:
            await each.close()
    assert [(each.whole, each.text()) for each in replies] == [(True, ANSWER)] * len(replies)
    assert [(each.whole, each.text()) for each in late] == [(True, ANSWER)] * len(late)
    assert len(leaves.received) == had
