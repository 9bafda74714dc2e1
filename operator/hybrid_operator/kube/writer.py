"""Every write to the cluster but the Lease's: only while we lead, and counted."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from hybrid_operator.core.naming import AUTOSCALER
from hybrid_operator.kube.errors import Invalid, NotFound
from hybrid_operator.kube.kinds import CHILDREN, DEPLOYMENT, EVENT, POD, RESOURCE, Key, Kind, key_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from hybrid_operator.kube.client import Kube, Object


DELETION_COST = "controller.kubernetes.io/pod-deletion-cost"
"""By this annotation a ReplicaSet chooses which pods go first: those of the lowest cost."""


class NotLeading(Exception):  # noqa: N818  a state to unwind from, not a fault
    """Another operator may be writing: whoever sees this stops."""


class Writer:
    """Server-side apply, deletion, status and events, under one field manager."""

    def __init__(
        self,
        kube: Kube,
        manager: str,
        leading: Callable[[], bool],
        counted: Callable[[str, str], None],
    ) -> None:
        """Write through `kube`.

        Args:
            kube: The API server.
            manager: Field manager; the status is owned by `<manager>-status`.
            leading: Asked before every write; when it says no, `NotLeading` is raised.
            counted: Called with kind and verb of every write that is sent.
        """
        self._kube = kube
        self._manager = manager
        self._leading = leading
        self._counted = counted

    async def apply(self, obj: Mapping[str, Any], *, force: bool) -> Object:
        """Apply a child and return it as it stands.

        Args:
            obj: The whole child.
            force: Whether to take fields from other managers: right for a child that is known to be
                ours, wrong for one that is believed not to exist yet.
        """
        kind = CHILDREN[obj["kind"]]
        self._permit(kind, "apply")
        try:
            return await self._kube.apply(kind, obj, manager=self._manager, force=force)
        except Invalid:
            if not force:
                raise
            await self._clear(kind, obj)
            self._permit(kind, "apply")
            return await self._kube.apply(kind, obj, manager=self._manager, force=True)

    async def _clear(self, kind: Kind, obj: Mapping[str, Any]) -> None:
        """Take out of a live child what others put in and what cannot stand beside ours.

        Applying merges lists by key and leaves other managers' items, so a port that somebody
        renumbered stays, with its name, beside ours of the same name: invalid. A merge patch
        replaces the lists. Its ownership is then forgotten, or what it set could never be dropped
        by applying.

        Raises:
            Invalid: it is our own content that is refused.
        """
        repair = f"{self._manager}-repair"
        self._permit(kind, "patch")
        live = await self._kube.merge(kind, key_of(obj), obj, manager=repair)
        self._permit(kind, "patch")
        await self._kube.disown(kind, live, repair)

    async def delete(self, kind_name: str, key: Key, uid: str) -> None:
        """Delete the child with that uid; that it is gone already is as good."""
        kind = CHILDREN[kind_name]
        self._permit(kind, "delete")
        with contextlib.suppress(NotFound):
            await self._kube.delete(kind, key, uid)

    async def status(self, key: Key, uid: str, status: Mapping[str, Any]) -> Object:
        """Apply the whole status of the HybridInference with that uid; return the resource."""
        self._permit(RESOURCE, "status")
        obj = {
            "apiVersion": RESOURCE.api_version,
            "kind": RESOURCE.name,
            "metadata": {"name": key.name, "namespace": key.namespace, "uid": uid},
            "status": status,
        }
        return await self._kube.apply_status(RESOURCE, obj, manager=f"{self._manager}-status")

    async def scale(self, key: Key, replicas: int) -> None:
        """Set a Deployment's replicas, under the autoscaler's own field manager."""
        self._permit(DEPLOYMENT, "scale")
        await self._kube.scale(DEPLOYMENT, key, replicas, manager=AUTOSCALER)

    async def deletion_cost(self, key: Key, cost: int) -> None:
        """Say how much is lost with a pod; that it is gone already is as good."""
        self._permit(POD, "patch")
        patch = {"metadata": {"annotations": {DELETION_COST: str(cost)}}}
        with contextlib.suppress(NotFound):
            await self._kube.merge(POD, key, patch, manager=AUTOSCALER)

    async def create_event(self, event: Mapping[str, Any]) -> None:
        """Create an event (`AlreadyExists` when one of that name is there)."""
        self._permit(EVENT, "create")
        await self._kube.create(EVENT, event, manager=self._manager)

    async def repeat_event(self, key: Key, patch: Mapping[str, Any]) -> Object:
        """Merge-patch an event that happened again; return it."""
        self._permit(EVENT, "patch")
        return await self._kube.merge(EVENT, key, patch, manager=self._manager)

    def _permit(self, kind: Kind, verb: str) -> None:
        if not self._leading():
            raise NotLeading
        self._counted(kind.name, verb)
