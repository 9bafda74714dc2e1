"""Policies of other systems do what their sources say, each rule a row."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from hybrid_operator.simulate import peers
from hybrid_operator.simulate.fluid import Seen

if TYPE_CHECKING:
    from collections.abc import Callable

    from hybrid_operator.simulate.fluid import Scaler

STEP = 5.0


def follow(scaler: Scaler, works: list[float], replicas: int = 1, **fields: float) -> list[int]:
    """Return the replicas after each step of 5 s; all that are asked for are ready."""
    found = []
    for index, work in enumerate(works):
        given: dict[str, float] = {
            "active": work,
            "ready": replicas,
            "pressure": work / max(replicas, 1),
        }
        seen = Seen(
            time=STEP * index,
            seconds=STEP,
            work=work,
            api_usd=0.0,
            tokens=work * 1000,
            replicas=replicas,
            **given | fields,  # type: ignore[arg-type]
        )
        replicas = scaler.replicas(seen)
        found.append(replicas)
    return found


def for_seconds(seconds: float, work: float) -> list[float]:
    return [work] * int(seconds / STEP)


ROWS = [
    pytest.param(peers.HPA, for_seconds(90, 0.75), 1, 1, id="hpa: 7 % above its target is near"),
    pytest.param(peers.HPA, for_seconds(90, 0.8), 1, 2, id="hpa: 14 % above it is not"),
    pytest.param(peers.HPA, for_seconds(15, 40.0), 1, 5, id="hpa: one look adds four"),
    pytest.param(peers.HPA, for_seconds(30, 40.0), 1, 10, id="hpa: the next one doubles"),
    pytest.param(peers.HPA, for_seconds(285, 0.0), 9, 9, id="hpa: down waits 300 s"),
    pytest.param(peers.HPA, for_seconds(330, 0.0), 9, 1, id="hpa: and goes all the way, to one"),
    pytest.param(peers.KEDA, for_seconds(50, 40.0), 1, 2, id="keda: one up in a minute"),
    pytest.param(peers.KEDA, for_seconds(110, 40.0), 1, 3, id="keda: and one in the next"),
    pytest.param(peers.KEDA, for_seconds(340, 0.0), 9, 8, id="keda: one down after 300 s"),
    pytest.param(peers.KEDA, for_seconds(1800, 0.0), 2, 1, id="keda: one stays for 1800 s"),
    pytest.param(peers.KEDA, for_seconds(1830, 0.0), 1, 0, id="keda: then it goes to zero"),
    pytest.param(peers.KEDA, for_seconds(20, 0.1), 0, 1, id="keda: a request wakes it"),
    pytest.param(peers.KubeAI, for_seconds(5, 0.1), 0, 1, id="kubeai: a request wakes it at once"),
    pytest.param(peers.KubeAI, for_seconds(60, 8.5), 1, 1, id="kubeai: zeros fill ten minutes"),
    pytest.param(peers.KubeAI, for_seconds(130, 8.5), 1, 3, id="kubeai: and give way slowly"),
    pytest.param(peers.KubeAI, for_seconds(30, 0.0), 3, 3, id="kubeai: three looks ask in vain"),
    pytest.param(peers.KubeAI, for_seconds(40, 0.0), 3, 0, id="kubeai: the fourth is heard"),
    pytest.param(peers.KPA, for_seconds(10, 7.0), 1, 10, id="kpa: panic meets the last 6 s"),
    pytest.param(
        peers.KPA, for_seconds(10, 7.0) + for_seconds(50, 0.7), 1, 10, id="kpa: nothing goes down"
    ),
    pytest.param(
        peers.KPA, for_seconds(10, 7.0) + for_seconds(80, 0.7), 1, 1, id="kpa: until 60 s later"
    ),
    pytest.param(peers.KPA, for_seconds(25, 0.0), 1, 1, id="kpa: zero has a grace of 30 s"),
    pytest.param(peers.KPA, for_seconds(40, 0.0), 1, 0, id="kpa: and comes"),
    pytest.param(peers.LLMD, for_seconds(600, 0.5), 1, 1, id="llmd: in its band nothing moves"),
    pytest.param(peers.LLMD, for_seconds(25, 9.0), 1, 1, id="llmd: up waits 30 s"),
    pytest.param(peers.LLMD, for_seconds(40, 9.0), 1, 4, id="llmd: a signal is cut at two"),
    pytest.param(peers.LLMD, for_seconds(170, 0.0), 5, 5, id="llmd: down waits 180 s"),
    pytest.param(peers.LLMD, for_seconds(200, 0.0), 5, 4, id="llmd: and goes by one"),
    pytest.param(peers.LLMD, for_seconds(320, 0.0), 5, 3, id="llmd: in 120 s"),
]


@pytest.mark.parametrize(("peer", "works", "before", "after"), ROWS)
def test_peer(peer: Callable[[], Scaler], works: list[float], before: int, after: int):
    assert follow(peer(), works, before)[-1] == after


def test_a_period_of_an_hpa_begins_before_all_that_moved_in_it():
    one = peers.Limit(1, 0.0, 60.0)
    behavior = peers.Behavior(0.0, 0.0, one, one)
    assert behavior.apply(1, 3, 0.0) == 2
    assert behavior.apply(9, 2, 15.0) == 4  # from the 3 that the minute began with


def test_replicas_that_start_are_credited_by_llmd():
    assert follow(peers.LLMD(), for_seconds(40, 0.0), 4, pressure=1.1, ready=2)[-1] == 4
    assert follow(peers.LLMD(), for_seconds(40, 0.0), 4, pressure=1.1, ready=4)[-1] == 8
