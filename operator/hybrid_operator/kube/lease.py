"""The Lease object behind `control.leader`."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from hybrid_operator.control.leader import Record
from hybrid_operator.kube.errors import NotFound
from hybrid_operator.kube.kinds import LEASE, Key

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hybrid_operator.kube.client import Kube

NAME = "hybridinference-operator"


class LeaseStore:
    """One Lease in one namespace."""

    def __init__(self, kube: Kube, key: Key, manager: str) -> None:
        self._kube = kube
        self._key = key
        self._manager = manager

    async def read(self) -> Record | None:
        """Return what stands there; None when there is no Lease."""
        try:
            return _record(await self._kube.get(LEASE, self._key))
        except NotFound:
            return None

    async def write(self, record: Record) -> Record:
        """Write it if it still has `record.version`; return it as written.

        Raises:
            Conflict: somebody else wrote it, or made it, in the meantime.
        """
        body = _body(self._key, record)
        send = self._kube.replace if record.version else self._kube.create
        return _record(await send(LEASE, body, manager=self._manager))


def _record(lease: Mapping[str, Any]) -> Record:
    spec = lease.get("spec") or {}
    return Record(
        holder=spec.get("holderIdentity") or "",
        seconds=float(spec.get("leaseDurationSeconds") or 0),
        acquired=_time(spec.get("acquireTime")),
        renewed=_time(spec.get("renewTime")),
        transitions=int(spec.get("leaseTransitions") or 0),
        version=lease["metadata"]["resourceVersion"],
    )


def _body(key: Key, record: Record) -> dict[str, Any]:
    metadata = {"name": key.name, "namespace": key.namespace}
    if record.version:
        metadata["resourceVersion"] = record.version
    return {
        "apiVersion": LEASE.api_version,
        "kind": LEASE.name,
        "metadata": metadata,
        "spec": {
            "holderIdentity": record.holder,
            "leaseDurationSeconds": max(1, round(record.seconds)),
            "acquireTime": _stamp(record.acquired),
            "renewTime": _stamp(record.renewed),
            "leaseTransitions": record.transitions,
        },
    }


def _time(text: str | None) -> datetime:
    return datetime.fromisoformat(text) if text else datetime.fromtimestamp(0, UTC)


def _stamp(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
