"""What ResourceQuotas leave to models, and how they are looked at."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from hybrid_operator.control.quotas import REFUSED_SECONDS, QuotaLook
from hybrid_operator.core.scaling.quota import Quota, read, room
from hybrid_operator.kube.client import Page
from hybrid_operator.kube.errors import Forbidden, Unavailable
from tests.support import virtual_time

GPU = "nvidia.com/gpu"


def quota(hard: dict[str, str], used: dict[str, str], **spec: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": "q", "namespace": "ns"},
        "spec": {"hard": hard} | spec,
        "status": {"hard": hard, "used": used},
    }


FOUR = {f"requests.{GPU}": "4"}
TWO = {f"requests.{GPU}": "2"}
PRIORITY = {"scopeName": "PriorityClass", "operator": "In", "values": ["high"]}


@pytest.mark.parametrize(
    ("obj", "found"),
    [
        pytest.param(quota(FOUR, TWO), [Quota(4, 2)], id="hard and used"),
        pytest.param(quota(FOUR, {}), [Quota(4, 0)], id="before anybody counted"),
        pytest.param(quota({"requests.cpu": "4", "pods": "9"}, {}), None, id="not about GPUs"),
        pytest.param(quota({GPU: "4"}, {}), None, id="not a name that Kubernetes takes"),
        pytest.param(
            quota(FOUR, TWO, scopes=["NotTerminating"]), [Quota(4, 2)], id="a scope of all engines"
        ),
        pytest.param(quota(FOUR, TWO, scopes=["Terminating"]), None, id="a scope of no engine"),
        pytest.param(
            quota(FOUR, TWO, scopeSelector={"matchExpressions": [PRIORITY]}),
            None,
            id="a scope of some engines, perhaps",
        ),
    ],
)
def test_what_a_quota_says(obj: dict[str, Any], found: list[Quota] | None):
    assert read([obj]).get(("ns", GPU)) == found


@pytest.mark.parametrize(
    ("quotas", "ours", "asked", "left"),
    [
        pytest.param([Quota(4, 0)], 0, 0, 4, id="all of it"),
        pytest.param([Quota(4, 3)], 3, 3, 4, id="what ours hold is theirs to keep"),
        pytest.param([Quota(4, 3)], 1, 1, 2, id="others hold two"),
        pytest.param([Quota(4, 4)], 1, 2, 2, id="a pod of ours is counted and not seen yet"),
        pytest.param([Quota(2, 5)], 0, 0, 0, id="lowered below what others hold"),
        pytest.param([Quota(2, 5)], 3, 3, 3, id="lowered below what is asked for"),
        pytest.param([Quota(9, 1), Quota(3, 1)], 1, 1, 3, id="the smaller of two"),
    ],
)
def test_what_is_left_to_models(quotas: list[Quota], ours: int, asked: int, left: int):
    assert room(quotas, ours, asked) == left


class Server:
    """An API server that lists quotas, or does not."""

    def __init__(self) -> None:
        self.asked: list[str | None] = []
        self.refuse: Exception | None = None

    async def list(self, _: object, namespace: str | None) -> Page:
        self.asked.append(namespace)
        if self.refuse is not None:
            raise self.refuse
        return Page([quota(FOUR, TWO)], "1")


def test_while_the_api_server_is_away_quotas_stay_as_they_were():
    async def play():
        server = Server()
        look = QuotaLook(server, ("a", "b"))  # type: ignore[arg-type]
        assert (await look())["ns", GPU] == [Quota(4, 2), Quota(4, 2)]
        assert server.asked == ["a", "b"]
        server.refuse = Unavailable("away")
        assert (await look())["ns", GPU] == [Quota(4, 2), Quota(4, 2)]

    virtual_time.run(play())


def test_without_the_right_to_look_nothing_is_bounded_and_nobody_is_pestered():
    async def play():
        server = Server()
        server.refuse = Forbidden("no right")
        look = QuotaLook(server, ())  # type: ignore[arg-type]
        assert await look() == {}
        await asyncio.sleep(REFUSED_SECONDS - 1)
        await look()
        assert server.asked == [None]

    virtual_time.run(play())
