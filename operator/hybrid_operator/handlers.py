"""The kopf handlers: event in, "look at this name" out.

Kopf watches HybridInference and nothing else. It runs in a thread with an event loop of its own:
it takes over the signals of the main thread, and when it stops it cancels every task in its loop
that it did not know before, so that next to it no other task's end could be ordered. Handlers
take part in no framework state: no annotations, finalizers, timers or peering, so that nothing
but our status is ever written to the resource.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
from typing import TYPE_CHECKING, Any

import kopf

from hybrid_operator.api.base import GROUP, PLURAL, VERSION

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    Intake = Callable[[str | None, Mapping[str, Any]], None]
    Probe = Callable[[], Mapping[str, Any]]


_IDENTITY: Any = "hybridinference"
"""Who we are in kopf's peering, which is off; kopf would ask for the user's name otherwise, and a
container's user has none."""


class Unhealthy(Exception):  # noqa: N818  a state that a probe reports
    """The operator should be restarted; the message says why."""


def registry(intake: Intake, probe: Probe) -> kopf.OperatorRegistry:
    """Return the handlers.

    Args:
        intake: Called, in kopf's thread, with type (None for what the first list holds) and
            object of every event.
        probe: Called, in kopf's thread, for the liveness endpoint; returns what to show, or
            raises `Unhealthy`.
    """
    handlers = kopf.OperatorRegistry()

    kopf.on.login(registry=handlers)(kopf.login_with_service_account)
    kopf.on.login(registry=handlers)(kopf.login_with_kubeconfig)

    @kopf.on.event(GROUP, VERSION, PLURAL, registry=handlers)
    async def changed(event: kopf.RawEvent, **_: object) -> None:
        intake(event["type"], event["object"])

    @kopf.on.probe(id="operator", registry=handlers)
    async def alive(**_: object) -> Mapping[str, Any]:
        try:
            return probe()
        except Unhealthy as error:
            raise kopf.PermanentError(str(error)) from None

    return handlers


def settings() -> kopf.OperatorSettings:
    """Return kopf's settings: it watches, and does nothing else."""
    chosen = kopf.OperatorSettings()
    chosen.posting.enabled = False
    chosen.scanning.disabled = True
    chosen.peering.standalone = True
    chosen.process.ultimate_exiting_timeout = None
    return chosen


class Watch:
    """Kopf in its thread."""

    def __init__(
        self, handlers: kopf.OperatorRegistry, namespaces: Sequence[str], health: str | None
    ) -> None:
        """Watch with these handlers.

        Args:
            handlers: See `registry`.
            namespaces: Empty for all.
            health: URL of the liveness endpoint to serve, or None.
        """
        self._handlers = handlers
        self._namespaces = namespaces
        self._health = health
        self._stopped = False
        self._wake: Callable[[], object] = _nothing

    async def run(self) -> None:
        """Watch until cancelled; raise what kopf fails with.

        Raises:
            RuntimeError: kopf ended although nobody stopped it.
        """
        work = asyncio.ensure_future(asyncio.to_thread(asyncio.run, self._main()))
        try:
            await asyncio.shield(work)
        finally:
            self._stopped = True
            with contextlib.suppress(RuntimeError):  # its loop is closed: it has ended already
                self._wake()
            await asyncio.wait({work})
        raise RuntimeError("the watch of HybridInferences ended")

    async def _main(self) -> None:
        # An event of this loop: kopf cannot cancel its waiting for one of `threading`.
        stop = asyncio.Event()
        self._wake = functools.partial(asyncio.get_running_loop().call_soon_threadsafe, stop.set)
        if self._stopped:
            return
        await kopf.operator(
            registry=self._handlers,
            settings=settings(),
            standalone=True,
            identity=_IDENTITY,
            clusterwide=not self._namespaces,
            namespaces=self._namespaces,
            liveness_endpoint=self._health,
            stop_flag=stop,
        )


def _nothing() -> None:
    """Stand in until there is something to wake."""
