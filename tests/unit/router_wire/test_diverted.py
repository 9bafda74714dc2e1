"""What goes past a local model, or may go nowhere else, is counted: the operator scales by it."""

import json
from collections.abc import Mapping

import pytest

from hybrid_operator.metrics import diverted
from tests.support.routers import Router, Says, backend, router, table
from tests.support.upstreams import USAGE, Upstream, answers, completion, response, says

AWAY = "http://127.0.0.1:1/v1"


def past(r: Router) -> Mapping[str, diverted.Past]:
    return diverted.read(r.metrics.render().decode()).past


async def test_what_a_provider_answers_instead_is_counted_with_its_usage():
    async with Upstream(answers("hi")) as api:
        spec = table({"local": backend(AWAY), "api": backend(api.url, trust="external")})
        async with router(spec, classifier=Says(0.99)) as r:
            reply = await r.chat("auto")
            found = past(r)
    assert reply.status == 200
    assert found["local"].api.requests == 1
    assert found["local"].api.prompt > 0
    assert found["local"].unserved.requests == 0


async def test_what_the_api_should_answer_anyway_is_none_of_it():
    async with Upstream(answers("hi")) as api:
        spec = table({"local": backend(AWAY), "api": backend(api.url, trust="external")})
        async with router(spec, classifier=Says(0.01)) as r:
            await r.chat("auto")
            assert past(r) == {}


async def test_what_nobody_answers_is_counted_as_estimated():
    async with router(table({"local": backend(AWAY)})) as r:
        statuses = [(await r.chat("local")).status for _ in range(12)]
        found = past(r)
    assert statuses[-1] == 503  # its circuit breaker is open
    assert found["local"].unserved.requests >= 1
    assert found["local"].unserved.prompt >= 1


KEPT = {"localOnly": "personal data"}
MAIL = {"data": {"keepLocal": ["email"]}}
WORDS = "write to jane.doe@example.com"


@pytest.mark.parametrize(
    ("policy", "name", "words", "kept"),
    [
        pytest.param({}, "auto", "hi", False, id="an API could have answered"),
        pytest.param({}, "auto", WORDS, False, id="it holds an address, and nobody minds"),
        pytest.param(KEPT, "auto", "hi", True, id="nothing may leave the cluster"),
        pytest.param(MAIL, "auto", "hi", False, id="what must stay is not in it"),
        pytest.param(MAIL, "auto", WORDS, True, id="what must stay is in it"),
        pytest.param({}, "local", "hi", True, id="the client names a model that no API has"),
        pytest.param({}, "both", "hi", True, id="its alias has local models only"),
    ],
)
async def test_what_a_local_model_serves_and_nobody_else_may_is_counted_with_its_usage(
    policy, name, words, kept
):
    async with Upstream(answers("hi")) as up:
        spec = table(
            {"local": backend(up.url), "api": backend(AWAY, trust="external")}, policy=policy
        )
        local = [{"backend": "local", "model": each} for each in ("one", "other")]
        spec["models"]["both"] = {"targets": local, "classified": True}
        async with router(spec, classifier=Says(0.99)) as r:
            reply = await r.chat(name, messages=[{"role": "user", "content": words}])
            found = past(r).get("local", diverted.NOTHING)
    assert reply.status == 200
    assert found.local_only == (diverted.Flow(0.0, 7.0, 2.0) if kept else diverted.Flow())
    assert (found.api, found.unserved) == (diverted.Flow(), diverted.Flow())


async def test_prompt_tokens_that_its_cache_had_are_none_of_that_work():
    used = {**USAGE, "prompt_tokens_details": {"cached_tokens": 5}}
    answer = json.dumps({**completion("hi"), "usage": used}).encode()
    async with (
        Upstream(says(response(200, answer))) as up,
        router(table({"local": backend(up.url)})) as r,
    ):
        await r.chat("local")
        found = past(r)
    assert found["local"].local_only == diverted.Flow(0.0, 2.0, 2.0)
