"""Looking at ResourceQuotas, just before a model takes more GPUs."""

from __future__ import annotations

import asyncio
import logging
import math
from typing import TYPE_CHECKING

from hybrid_operator.core.scaling.quota import Quotas, read
from hybrid_operator.kube.errors import Forbidden, KubeError
from hybrid_operator.kube.kinds import QUOTA

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hybrid_operator.kube.client import Kube

log = logging.getLogger(__name__)

REFUSED_SECONDS = 300.0


class QuotaLook:
    """What ResourceQuotas said when they were last looked at."""

    def __init__(self, kube: Kube, namespaces: Sequence[str]) -> None:
        """Know nothing yet; look in `namespaces`, in all where there are none."""
        self._kube = kube
        self._namespaces = namespaces or (None,)
        self._known: Quotas = {}
        self._due = -math.inf

    async def __call__(self) -> Quotas:
        """Return them as they are; as they were where the API server does not answer."""
        now = asyncio.get_running_loop().time()
        if now >= self._due:
            try:
                pages = [await self._kube.list(QUOTA, each) for each in self._namespaces]
            except Forbidden as error:
                log.warning("%s; quotas bound no autoscaling (the chart grants it)", error)
                self._known, self._due = {}, now + REFUSED_SECONDS
            except KubeError as error:
                log.warning("%s; trying again", error)
            else:
                self._known = read(item for page in pages for item in page.items)
        return self._known


async def unbounded() -> Quotas:
    """Know of no quota."""
    return {}
