"""What resources say of their models, as far as scaling goes: read once for each generation."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hybrid_operator.control import observe
from hybrid_operator.control.scaled import room
from hybrid_operator.core import naming
from hybrid_operator.core.engine.defaults import CURRENT
from hybrid_operator.core.engine.judged import judge
from hybrid_operator.core.scaling import intent
from hybrid_operator.core.state import Ref
from hybrid_operator.metrics.load import Price

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hybrid_operator.api.models import ModelSpec
    from hybrid_operator.control.cache import Children, Resources
    from hybrid_operator.core.scaling.capacity import Capacity
    from hybrid_operator.core.scaling.types import Policy
    from hybrid_operator.core.state import Object
    from hybrid_operator.kube.kinds import Key

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Model:
    """What the resource says of one model."""

    spec: ModelSpec
    policy: Policy
    price: Price | None
    seed: Capacity
    recommends: bool
    """Whether nothing is written."""
    decides: bool
    room: int
    """Characters for its long memory in the status."""


class Models:
    """The models of all resources."""

    def __init__(self, resources: Resources, prices: Mapping[str, str]) -> None:
        """Read nothing yet; `prices` are USD per hour of a GPU by accelerator type."""
        self._resources = resources
        self._prices = prices
        self._known: dict[Key, tuple[tuple[str, int], Sequence[Model]]] = {}

    def of(self, key: Key) -> Sequence[Model]:
        """Return a resource's models; none where it is gone or cannot be read."""
        resource = self._resources.get(key)
        if resource is None:
            return ()
        metadata = resource["metadata"]
        stamp = metadata["uid"], int(metadata.get("generation") or 0)
        known = self._known.get(key)
        if known is None or known[0] != stamp:
            known = self._known[key] = (stamp, self._readable(key, resource))
        return known[1]

    def keep(self) -> None:
        """Forget resources that are gone."""
        for key in self._known.keys() - set(self._resources):
            del self._known[key]

    def _readable(self, key: Key, resource: Mapping[str, Any]) -> Sequence[Model]:
        """Read it, and let no resource keep the others from being read."""
        try:
            return self._read(resource)
        except Exception:
            log.exception("%s: not scaled, by a fault of the operator", key)
            return ()

    def _read(self, resource: Mapping[str, Any]) -> Sequence[Model]:
        spec, _ = observe.spec(resource)
        if spec is None:
            return ()
        found = []
        for model in spec.models:
            price = intent.api_price(spec, model.name)
            found.append(
                Model(
                    spec=model,
                    policy=intent.policy(model, self._prices),
                    price=Price(*price) if price is not None else None,
                    seed=intent.seed(model, judge(model, CURRENT)),
                    recommends=model.scaling is not None and model.scaling.mode == "Recommend",
                    decides=intent.decides(model),
                    room=room(len(spec.models)),
                )
            )
        return found


def live(children: Children, key: Key, model: ModelSpec) -> Object | None:
    """Return the Deployment of a resource's model; None where there is none, or not for long."""
    found = children.find(key.namespace, Ref("Deployment", naming.engine(key.name, model.name)))
    return found if found is None or "deletionTimestamp" not in found["metadata"] else None
