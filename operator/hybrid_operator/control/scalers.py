"""Whether another autoscaler still scales a Deployment; asked only where one has set its replicas.

The field manager of an autoscaler that is gone stays in the Deployment. KEDA makes a
HorizontalPodAutoscaler, too, so those that exist tell who is still at work.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from hybrid_operator.core import replicas
from hybrid_operator.kube.errors import Forbidden, KubeError
from hybrid_operator.kube.kinds import HPA

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from hybrid_operator.core.state import Object
    from hybrid_operator.kube.client import Kube

    Scalers = Callable[[str], Awaitable[Mapping[str, str] | None]]
    """Returns a namespace's autoscalers by the Deployment that they scale; None: not known."""

log = logging.getLogger(__name__)

KNOWN_SECONDS = 30.0
"""For which an answer stands."""
REFUSED_SECONDS = 300.0
"""Until the next question, where listing them is forbidden."""


class ScalerLook:
    """What HorizontalPodAutoscalers said when they were last looked at."""

    def __init__(self, kube: Kube) -> None:
        """Know nothing yet."""
        self._kube = kube
        self._known: dict[str, tuple[float, Mapping[str, str] | None]] = {}
        """By namespace: when to ask again, and what was said."""

    async def __call__(self, namespace: str) -> Mapping[str, str] | None:
        """Return them as they were 30 s ago at most, or where the API server does not answer."""
        now = asyncio.get_running_loop().time()
        due, known = self._known.get(namespace, (now, None))
        if now < due:
            return known
        try:
            page = await self._kube.list(HPA, namespace)
        except Forbidden as error:
            log.warning("%s; an autoscaler that set replicas once keeps them", error)
            due, known = now + REFUSED_SECONDS, None
        except KubeError as error:
            log.warning("%s; trying again", error)
        else:
            due, known = now + KNOWN_SECONDS, dict(map(_target, page.items))
        self._known[namespace] = due, known
        return known


async def unknown(_: str) -> None:
    """Know of none."""


async def rival(live: Object, scalers: Scalers) -> str | None:
    """Return who scales a Deployment besides us; two must not, so we leave it alone."""
    manager = replicas.other_scaler(live)
    if manager is None:
        return None
    known = await scalers(live["metadata"]["namespace"])
    if known is None:
        return manager if manager in replicas.SCALERS else None
    name = known.get(live["metadata"]["name"])
    return None if name is None else f"HorizontalPodAutoscaler {name}"


def _target(scaler: Object) -> tuple[str, str]:
    target = scaler["spec"]["scaleTargetRef"]
    named = target["name"] if target["kind"] == "Deployment" else ""
    return named, scaler["metadata"]["name"]
