"""What a request leaves behind: nothing."""

import asyncio
import gc

import pytest

from hybrid_router.answering import Answering
from hybrid_router.openai.request import Call
from hybrid_router.server.exchange import Exchange
from hybrid_router.upstream.job import Job
from tests.support.routers import backend, router, table
from tests.support.upstreams import Upstream, answers, streams

OF_A_REQUEST = (Answering, Call, Exchange, Job)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
async def test_reference_counting_frees_all_of_an_answered_request(stream):
    behaviour = streams("Hel", "lo") if stream else answers()
    async with Upstream(behaviour) as up, router(table({"a": backend(up.url)})) as r:
        gc.collect()
        gc.disable()
        try:
            for _ in range(3):
                assert (await r.chat(stream=stream)).status == 200
            await asyncio.sleep(0.05)  # the last connection has still to be closed
            left = [type(o).__name__ for o in gc.get_objects() if isinstance(o, OF_A_REQUEST)]
        finally:
            gc.enable()
    assert left == []
