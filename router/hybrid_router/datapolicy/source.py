"""The gate of the policy in force, and what it says of a request.

A gate is compiled off the loop and kept by what its policy says: a new table with the policy of the
old one, or of the one before, needs no new gate.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from hybrid_router.datapolicy.budget import FEW_PLACES
from hybrid_router.datapolicy.document import RepeatedNameError
from hybrid_router.datapolicy.gate import UNCONDITIONAL, Broken, Clearance, Gate, build
from hybrid_router.openai.errors import ApiError

if TYPE_CHECKING:
    from hybrid_router.table import DataPolicy, RouteTable
    from hybrid_router.telemetry.metrics import Metrics

OFF_LOOP_BYTES: Final = 256 * 1024
"""Larger bodies are scanned in a thread; the automata let the interpreter go meanwhile."""


class Gates:
    """Judges every request by the policy of the table that it met.

    Args:
        metrics: count what is found, by class.
    """

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._policy: DataPolicy | None = None
        self._gates: list[tuple[DataPolicy, asyncio.Task[Gate | Broken]]] = []
        """Of the policy in force and one other, the next or the last."""

    def follow(self, table: RouteTable) -> None:
        """Judge by the policy of this table from now on."""
        self._policy = table.policy.data
        try:
            self.prepare(table)
        except RuntimeError:
            return  # the loop does not turn yet: the first request builds it

    def prepare(self, table: RouteTable) -> asyncio.Task[Gate | Broken] | None:
        """Begin to build the gate of a table's policy; return None where it is there already.

        Raises:
            RuntimeError: there is no event loop.
        """
        policy = table.policy.data
        if policy is None:
            return None
        building = self._begun(policy)
        return None if building.done() else building

    @property
    def ready(self) -> bool:
        """Whether no request has to wait for a gate."""
        known = [gate for policy, gate in self._gates if policy == self._policy]
        return self._policy is None or (bool(known) and known[0].done())

    async def judge(self, table: RouteTable, body: bytes) -> Clearance:
        """Return what may be done with a request.

        Raises:
            ApiError: 400, an object of the body has a name twice.
        """
        policy = table.policy.data
        if policy is None:
            return UNCONDITIONAL
        building = self._begun(policy)
        gate = building.result() if building.done() else await asyncio.shield(building)
        try:
            clearance = gate.judge(body, FEW_PLACES) if len(body) <= OFF_LOOP_BYTES else None
            if clearance is None or clearance.lengthy:
                clearance = await asyncio.to_thread(gate.judge, body)
                clearance.lengthy = True
        except RepeatedNameError as error:
            raise ApiError(400, "invalid_request", str(error)) from None
        for name, action in clearance.ruling.classes:
            self._metrics.data_class(name, action)
        return clearance

    def _begun(self, policy: DataPolicy) -> asyncio.Task[Gate | Broken]:
        """Return the gate of a policy, which may still be under way."""
        for known, gate in self._gates:
            if known == policy:
                return gate
        loop = asyncio.get_running_loop()
        building = loop.create_task(asyncio.to_thread(build, policy))
        in_force = [each for each in self._gates if each[0] == self._policy]
        self._gates = [(policy, building), *(in_force or self._gates)[:1]]
        return building
