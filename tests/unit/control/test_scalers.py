"""Who else scales a model: as long as it is there, whatever stands in the Deployment."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from hybrid_operator.control.scalers import KNOWN_SECONDS, ScalerLook, rival
from hybrid_operator.kube.client import Page
from hybrid_operator.kube.errors import Forbidden, Unavailable
from tests.support import virtual_time


class Server:
    """An API server that lists HorizontalPodAutoscalers, or does not."""

    def __init__(self, **scalers: str) -> None:
        self.scalers = scalers
        self.asked = 0
        self.refuse: Exception | None = None

    async def list(self, _: object, namespace: str) -> Page:
        assert namespace == "ns"
        self.asked += 1
        if self.refuse is not None:
            raise self.refuse
        items: list[dict[str, Any]] = [
            {
                "metadata": {"name": name},
                "spec": {"scaleTargetRef": {"kind": kind, "name": "engine"}},
            }
            for name, kind in self.scalers.items()
        ]
        return Page(items, "1")


def deployment(manager: str, subresource: str = "scale") -> dict[str, Any]:
    entry = {"manager": manager, "fieldsV1": {"f:spec": {"f:replicas": {}}}}
    managed = [entry | ({"subresource": subresource} if subresource else {})]
    return {"metadata": {"namespace": "ns", "name": "engine", "managedFields": managed}}


MANAGER, AWAY, NO_RIGHT = "kube-controller-manager", Unavailable("away"), Forbidden("no right")
RIVALS = [
    pytest.param(MANAGER, {"a": "Deployment"}, None, "HorizontalPodAutoscaler a", id="an HPA is"),
    pytest.param("k3s", {"a": "Deployment"}, None, "HorizontalPodAutoscaler a", id="on k3s, too"),
    pytest.param(MANAGER, {"a": "StatefulSet"}, None, None, id="one of another object is not"),
    pytest.param(MANAGER, {}, None, None, id="nor is one that was deleted"),
    pytest.param("kubectl", {}, None, None, id="nor is a person"),
    pytest.param(MANAGER, {}, AWAY, MANAGER, id="while nothing is known it is believed"),
    pytest.param("keda-operator", {}, NO_RIGHT, "keda-operator", id="and without the right to ask"),
    pytest.param("kubectl", {}, AWAY, None, id="a person is not even then"),
    pytest.param("hybridinference-autoscaler", {}, AWAY, None, id="nor are we ourselves"),
]


@pytest.mark.parametrize(("manager", "scalers", "refuse", "found"), RIVALS)
def test_who_scales_besides_us(manager, scalers, refuse, found):
    async def play():
        server = Server(**scalers)
        server.refuse = refuse
        look = ScalerLook(server)  # type: ignore[arg-type]
        return await rival(deployment(manager), look)

    assert virtual_time.run(play()) == found


def test_the_api_server_is_asked_twice_a_minute_and_only_where_somebody_else_has_scaled():
    async def play():
        server = Server(a="Deployment")
        look = ScalerLook(server)  # type: ignore[arg-type]
        await rival(deployment("hybridinference", ""), look)
        assert server.asked == 0
        for _ in range(3):
            assert await rival(deployment(MANAGER), look)
        assert server.asked == 1
        server.scalers = {}
        server.refuse = AWAY
        await asyncio.sleep(KNOWN_SECONDS)
        assert await rival(deployment(MANAGER), look), "as it was, while the API server is away"
        server.refuse = None
        assert await rival(deployment(MANAGER), look) is None

    virtual_time.run(play())
