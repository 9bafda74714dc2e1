"""EndpointSlices as the router needs them: which addresses may get new requests.

The rule is Kubernetes' own (KEP-1672): `ready` true or absent, and not `terminating`. A pod that is
shutting down still serves (`serving` true) and finishes what it has; it gets nothing new.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable

SERVICE_LABEL = "kubernetes.io/service-name"


class Conditions(msgspec.Struct, frozen=True):
    """Of an endpoint; each may be absent."""

    ready: bool | None = None
    terminating: bool | None = None


class Endpoint(msgspec.Struct, frozen=True):
    """One pod, with its addresses of one IP family."""

    addresses: tuple[str, ...] = ()
    conditions: Conditions = Conditions()

    @property
    def usable(self) -> bool:
        """Whether it may get new requests."""
        return self.conditions.ready is not False and not self.conditions.terminating


class Port(msgspec.Struct, frozen=True):
    """A port that all endpoints of a slice serve."""

    port: int | None = None
    name: str | None = None


class Metadata(msgspec.Struct, frozen=True, rename="camel"):
    """As much of ObjectMeta as is used here."""

    name: str = ""
    namespace: str = ""
    resource_version: str = ""
    labels: dict[str, str] = {}


class EndpointSlice(msgspec.Struct, frozen=True, rename="camel"):
    """`discovery.k8s.io/v1` EndpointSlice; unknown fields are ignored."""

    metadata: Metadata
    address_type: str = "IPv4"
    endpoints: tuple[Endpoint, ...] | None = None
    ports: tuple[Port, ...] | None = None

    @property
    def service(self) -> tuple[str, str]:
        """Namespace and name of the Service that it belongs to."""
        return self.metadata.namespace, self.metadata.labels.get(SERVICE_LABEL, "")


@dataclass(frozen=True, slots=True, order=True)
class Address:
    """Where one pod listens."""

    host: str
    """As it stands in a URL: IPv6 in brackets."""
    ports: tuple[tuple[str, int], ...]
    """Name and number, in the slice's order."""

    def port(self, name: str | None) -> int | None:
        """Return the port of that name; the first one for None."""
        for known, number in self.ports:
            if name is None or known == name:
                return number
        return None


def addresses(slices: Iterable[EndpointSlice]) -> tuple[Address, ...]:
    """Return the usable addresses of one Service's slices, each once, sorted.

    Slices overlap for a moment while the control plane moves endpoints between them: an address
    that one of them calls usable is usable. Of a dual-stack Service one family is taken, or every
    pod would count twice. Slices of type FQDN are not read: a table lists such hosts as `urls`.
    """
    pieces = tuple(slices)
    return _usable(pieces, "IPv4") or _usable(pieces, "IPv6")


def _usable(slices: tuple[EndpointSlice, ...], family: str) -> tuple[Address, ...]:
    found: set[Address] = set()
    for piece in slices:
        if piece.address_type != family:
            continue
        ports = tuple((p.name or "", p.port) for p in piece.ports or () if p.port is not None)
        for endpoint in piece.endpoints or ():
            if endpoint.usable and endpoint.addresses:
                host = endpoint.addresses[0]
                found.add(Address(f"[{host}]" if ":" in host else host, ports))
    return tuple(sorted(found))
