"""The gate of the policy in force, and what it says of a request."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from hybrid_router.datapolicy.document import RepeatedNameError
from hybrid_router.datapolicy.gate import UNCONDITIONAL, Broken, Clearance, Gate, build
from hybrid_router.openai.errors import ApiError

if TYPE_CHECKING:
    from hybrid_router.table import DataPolicy, RouteTable
    from hybrid_router.telemetry.metrics import Metrics

OFF_LOOP_BYTES = 256 * 1024
"""Larger bodies are scanned in a thread; the automata let the interpreter go meanwhile."""


class Gates:
    """Judges every request by the policy of the table that it met.

    Args:
        metrics: count what is found, by class.
    """

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._policy: DataPolicy | None = None
        self._building: asyncio.Task[Gate | Broken] | None = None

    def follow(self, table: RouteTable) -> None:
        """Begin to build the gate of another policy, off the loop; requests wait for it."""
        policy = table.policy.data
        if policy == self._policy:
            return
        self._policy = policy
        self._building = None
        if policy is not None:
            try:
                loop = asyncio.get_running_loop()
            except RuntimeError:
                return  # the loop does not turn yet: the first request builds it
            self._building = loop.create_task(asyncio.to_thread(build, policy))

    async def judge(self, table: RouteTable, body: bytes) -> Clearance:
        """Return what may be done with a request.

        Raises:
            ApiError: 400, an object of the body has a name twice.
        """
        policy = table.policy.data
        if policy is None:
            return UNCONDITIONAL
        gate = await self._gate(policy, table)
        try:
            if len(body) > OFF_LOOP_BYTES:
                clearance = await asyncio.to_thread(gate.judge, body)
            else:
                clearance = gate.judge(body)
        except RepeatedNameError as error:
            raise ApiError(400, "invalid_request", str(error)) from None
        for name, action in clearance.ruling.classes:
            self._metrics.data_class(name, action)
        return clearance

    async def _gate(self, policy: DataPolicy, table: RouteTable) -> Gate | Broken:
        if policy != self._policy:
            self.follow(table)
        if self._building is None:
            self._building = asyncio.create_task(asyncio.to_thread(build, policy))
        building = self._building
        if building.done():
            return building.result()
        return await asyncio.shield(building)
