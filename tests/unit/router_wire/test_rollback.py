"""A state under which clients complain is taken back: a running router and the operator's plan.

Clients judge over HTTP, the operator reads what the router's metrics say, plans, and the table it
writes is what the router decides by next. Only the API server between the two is not there.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from msgspec import structs
from msgspec.structs import replace

from hybrid_operator.core.plan import plan
from hybrid_operator.metrics.report import parse
from hybrid_router.classify.identity import shipped_digest
from hybrid_router.table import decode
from tests.support.resources import NOW
from tests.support.routers import Router, backend, router, table
from tests.support.upstreams import Upstream
from tests.unit.core import test_calibration as states

if TYPE_CHECKING:
    from hybrid_operator.core.state import Observed

OLD, NEW = (structs.replace(each, model=shipped_digest()) for each in (states.OLD, states.NEW))
JUDGED = 40


def serves(seen: Observed, local: Upstream, api: Upstream) -> bytes:
    """Return a table with the policy that the operator wrote, and with backends that run here."""
    written = json.loads(seen.children[states.TABLE]["data"]["table.json"])
    sides = {"local": backend(local.url), "api": backend(api.url, trust="external")}
    return json.dumps({"version": 1, **table(sides, policy=written["policy"])}).encode()


async def judges(r: Router, good: int) -> list[str]:
    """Ask so often as answers are judged, judge them, and return by which state each was."""
    for number in range(JUDGED):
        answer = await r.chat("auto", messages=[{"role": "user", "content": "hi there"}])
        assert answer.headers["x-hybrid-source"] == "local"
        said = {"request_id": answer.headers["x-request-id"], "score": float(number < good)}
        assert (await r.post("/v1/feedback", said)).status == 200
    return sorted(parse("r", r.metrics.render().decode()).outcomes)


def reads(seen: Observed, r: Router) -> Observed:
    """Return what the operator observes: the router's own metrics."""
    told = parse("r", r.metrics.render().decode())
    first, *rest = seen.reports
    return replace(
        seen, reports=(replace(first, states=told.states, outcomes=told.outcomes), *rest)
    )


@pytest.mark.parametrize(
    ("good", "after"),
    [
        pytest.param(JUDGED // 2, OLD, id="half of the answers are bad: taken back"),
        pytest.param(JUDGED - 4, NEW, id="as good as before: it stays"),
    ],
)
async def test_a_running_router_goes_back_to_the_state_before_when_clients_complain(
    good: int, after: Any
) -> None:
    seen = states.after(states.offering(states.asking(), OLD))
    async with Upstream() as local, Upstream() as api:
        offered = decode(serves(seen, local, api))
        assert offered.policy.calibration == OLD
        async with router(json.loads(serves(seen, local, api)), classifies=True) as r:
            assert await judges(r, JUDGED - 3) == [OLD.digest]
            seen = states.after(states.offering(reads(seen, r), NEW))
            r.registry.offer(serves(seen, local, api), "file")
            assert await judges(r, good) == sorted([OLD.digest, NEW.digest])

            seen = states.after(reads(seen, r))
            r.registry.offer(serves(seen, local, api), "file")
            states_said = parse("r", r.metrics.render().decode()).states
    reason = states.condition(plan(seen, NOW))[1]
    assert reason == ("RolledBack" if after is OLD else "InForce")
    assert [digest for digest, applied in states_said.items() if applied] == [after.digest]
