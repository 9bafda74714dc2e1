"""What the watches have told: the resources, and their children and pods.

Writes are put here too, as the API server answered them, so that a reconciliation right after a
write does not decide on what stood before it; the watch's own, later word about the same version
changes nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from hybrid_operator.core.naming import INSTANCE_LABEL, instance
from hybrid_operator.core.state import Ref
from hybrid_operator.kube import trim
from hybrid_operator.kube.kinds import POD, RESOURCE, Key, Kind, key_of, version_of
from hybrid_operator.kube.share import Sharer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

Object = dict[str, Any]


class _Place(NamedTuple):
    namespace: str
    kind: str
    name: str


class Family(NamedTuple):
    """All that belongs to one resource, by label: namespace and value of the instance label."""

    namespace: str
    instance: str


class Children:
    """The children and pods of all resources; a `kube.watch.Sink`."""

    def __init__(self, changed: Callable[[Family], None]) -> None:
        """Start empty; `changed` is called with the family of whatever differs from before."""
        self._changed = changed
        self._objects: dict[_Place, Object] = {}
        self._families: dict[Family, set[_Place]] = {}
        self._share = Sharer()

    def keep(self, kind: Kind, obj: Mapping[str, Any]) -> Object:
        """Return what is kept of an object, made of parts that are shared."""
        kept: Object = self._share(trim.pod(obj) if kind is POD else trim.child(obj))
        return kept

    def replace(
        self, kind: Kind, namespace: str | None, items: Sequence[Mapping[str, Any]], version: str
    ) -> None:
        """Take `items` as all objects of a kind; what we wrote after `version` stays."""
        present = {key_of(item) for item in items}
        as_of = int(version) if version.isdigit() else 0
        for place, obj in list(self._objects.items()):
            ours = place.kind == kind.name and namespace in (None, place.namespace)
            if ours and (place.namespace, place.name) not in present and version_of(obj) <= as_of:
                self._drop(place)
        for item in items:
            self.upsert(kind, item)

    def upsert(self, kind: Kind, obj: Mapping[str, Any]) -> None:
        """Take an object, unless it is older than what is here."""
        place = _Place(*_at(kind, obj))
        known = self._objects.get(place)
        if known is not None and _same_object(known, obj) and version_of(obj) <= version_of(known):
            return
        kept = self.keep(kind, obj)
        touched = {family_in(kept)}
        if known is not None:
            touched.add(family_in(known))
            self._unindex(place)
        self._objects[place] = kept
        self._families.setdefault(family_in(kept), set()).add(place)
        if known is None or _content(known) != _content(kept):
            for family in touched:
                self._changed(family)

    def remove(self, kind: Kind, obj: Mapping[str, Any]) -> None:
        """Forget an object that was deleted, unless a newer one has taken its place."""
        place = _Place(*_at(kind, obj))
        known = self._objects.get(place)
        if known is not None and version_of(known) <= version_of(obj):
            self._drop(place)

    def discard(self, namespace: str, ref: Ref, uid: str) -> None:
        """Forget an object that we deleted, before the watch says so."""
        place = _Place(namespace, ref.kind, ref.name)
        known = self._objects.get(place)
        if known is not None and known["metadata"].get("uid") == uid:
            self._unindex(place)
            del self._objects[place]

    def find(self, namespace: str, ref: Ref) -> Object | None:
        """Return the object of that kind and name, whoever owns it."""
        return self._objects.get(_Place(namespace, ref.kind, ref.name))

    def owned(self, family: Family, uid: str) -> dict[Ref, Object]:
        """Return the children that the resource with `uid` owns, pods not among them."""
        return {
            Ref(place.kind, place.name): obj
            for place, obj in self._of(family)
            if place.kind != POD.name and owned_by(obj, uid)
        }

    def pods(self, family: Family) -> list[Object]:
        """Return the pods of a family, by name."""
        return [obj for place, obj in sorted(self._of(family)) if place.kind == POD.name]

    def unschedulable(self) -> bool:
        """Whether the scheduler finds no node for some pod."""
        return any(
            entry.get("type") == "PodScheduled" and entry.get("status") == "False"
            for place, obj in self._objects.items()
            if place.kind == POD.name
            for entry in (obj.get("status") or {}).get("conditions") or ()
        )

    def _of(self, family: Family) -> Iterator[tuple[_Place, Object]]:
        return ((place, self._objects[place]) for place in self._families.get(family, ()))

    def _drop(self, place: _Place) -> None:
        family = family_in(self._objects[place])
        self._unindex(place)
        del self._objects[place]
        self._changed(family)

    def _unindex(self, place: _Place) -> None:
        family = family_in(self._objects[place])
        members = self._families[family]
        members.discard(place)
        if not members:
            del self._families[family]


class Resources:
    """The HybridInferences that the operator looks after."""

    def __init__(self, changed: Callable[[Key], None]) -> None:
        """Start empty; `changed` is called with the key of what must be reconciled."""
        self._changed = changed
        self._objects: dict[Key, Object] = {}
        self._by_family: dict[Family, Key] = {}
        self._written: dict[Key, Mapping[str, Any]] = {}
        self._share = Sharer()

    def __iter__(self) -> Iterator[Key]:
        """Iterate over a copy of the keys."""
        return iter(list(self._objects))

    def accept(self, event: str | None, obj: Mapping[str, Any]) -> None:
        """Take an event of the watch; `event` is None for what the first list holds.

        Our own status writes, and whatever else differs in nothing that a reconciliation reads,
        change nothing; a status that somebody else wrote does.
        """
        key = key_of(obj)
        if event == "DELETED":
            self.forget(key, obj["metadata"].get("uid", ""))
            self._changed(key)
            return
        known = self._objects.get(key)
        if known is not None and _same_object(known, obj) and version_of(obj) <= version_of(known):
            return
        kept = self._objects[key] = self._share(trim.resource(obj))
        self._by_family[family_of(key)] = key
        if known is None or not self._equal(key, known, kept):
            self._changed(key)

    def get(self, key: Key) -> Object | None:
        """Return the resource as last seen."""
        return self._objects.get(key)

    def of(self, family: Family) -> Key | None:
        """Return whose family that is; None when no such resource is known."""
        return self._by_family.get(family)

    def writing(self, key: Key, status: Mapping[str, Any]) -> None:
        """Expect to see `status` come back on the watch, for we are about to write it."""
        self._written[key] = status

    def forget(self, key: Key, uid: str) -> None:
        """Drop a resource that is gone, unless a new one of that name has taken its place."""
        known = self._objects.get(key)
        if known is not None and known["metadata"]["uid"] == uid:
            del self._objects[key]
            del self._by_family[family_of(key)]
            self._written.pop(key, None)

    def _equal(self, key: Key, known: Object, new: Object) -> bool:
        ours = self._written.get(key)
        status_same = new["status"] in (known["status"], ours)
        return status_same and _content(known, status=False) == _content(new, status=False)


def family_of(key: Key) -> Family:
    """Return the family of a resource."""
    return Family(key.namespace, instance(key.name))


def owned_by(obj: Mapping[str, Any], uid: str) -> bool:
    """Whether `obj` names the resource with `uid` as an owner."""
    return any(owner.get("uid") == uid for owner in obj["metadata"].get("ownerReferences") or [])


def owners(obj: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the HybridInferences that `obj` names as owners."""
    references = obj["metadata"].get("ownerReferences") or []
    return [
        owner
        for owner in references
        if owner.get("kind") == RESOURCE.name and owner.get("apiVersion") == RESOURCE.api_version
    ]


def _at(kind: Kind, obj: Mapping[str, Any]) -> tuple[str, str, str]:
    key = key_of(obj)
    return key.namespace, kind.name, key.name


def family_in(obj: Mapping[str, Any]) -> Family:
    """Return the family of a child or pod."""
    metadata = obj["metadata"]
    return Family(metadata["namespace"], (metadata.get("labels") or {}).get(INSTANCE_LABEL, ""))


def _same_object(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    return bool(one["metadata"].get("uid") == other["metadata"].get("uid"))


def _content(obj: Mapping[str, Any], *, status: bool = True) -> Object:
    """Return everything of `obj` but what every write changes."""
    skipped = {"metadata"} if status else {"metadata", "status"}
    kept = {name: value for name, value in obj.items() if name not in skipped}
    kept["metadata"] = {k: v for k, v in obj["metadata"].items() if k != "resourceVersion"}
    return kept
