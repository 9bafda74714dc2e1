"""What goes past a local model is counted, for the operator scales by it."""

from hybrid_operator.metrics import diverted
from tests.support.routers import Router, Says, backend, router, table
from tests.support.upstreams import Upstream, answers

AWAY = "http://127.0.0.1:1/v1"


def past(r: Router) -> dict[str, diverted.Past]:
    return diverted.parse(r.metrics.render().decode())


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
