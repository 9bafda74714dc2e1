"""What a resource becomes, without a cluster: the operator's own plan on an empty one."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

import msgspec

from hybrid_operator.api.base import KIND
from hybrid_operator.api.read import ReadError, read_file
from hybrid_operator.api.resource import HybridInferenceSpec
from hybrid_operator.cli import texts
from hybrid_operator.cli.main import BadInputError
from hybrid_operator.core import table
from hybrid_operator.core.desired import Desired, children
from hybrid_operator.core.engine.defaults import CURRENT
from hybrid_operator.core.objects.context import Context
from hybrid_operator.core.state import Observed, Owner, Settings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hybrid_operator.core.engine.defaults import EngineDefaults
    from hybrid_router.table import RouteTable

NAMESPACE = "default"
ROUTER_IMAGE = "hybrid-inference/router"
"""Stands in rendered manifests where the chart's value would."""


class Resource(msgspec.Struct, frozen=True):
    """One HybridInference of a file."""

    owner: Owner
    spec: HybridInferenceSpec
    settings: Settings

    def desired(self, defaults: EngineDefaults = CURRENT) -> Desired:
        """Return what the operator would make of it in an empty namespace."""
        observed = Observed(owner=self.owner, spec=self.spec, settings=self.settings)
        return children(observed, self.spec, self._context(defaults))

    def sound(self) -> Resource:
        """Return it.

        Raises:
            BadInputError: the operator would not act on it.
        """
        problems = self.desired().problems
        if problems:
            raise BadInputError("; ".join(str(each) for each in problems))
        return self

    def table(self) -> RouteTable:
        """Return the RouteTable that its routers would get."""
        return table.render(self._context(), self.spec).table

    def _context(self, defaults: EngineDefaults = CURRENT) -> Context:
        return Context(self.owner, self.settings, defaults)


def read(path: str) -> list[Resource]:
    """Read every HybridInference in the file `path`, or in standard input for `-`.

    Raises:
        BadInputError: there is no such file, or something in it is wrong; the message says where.
    """
    try:
        found = read_file(texts.read(path))
    except ReadError as error:
        raise BadInputError(f"{path}: {error}") from None
    settings = Settings(router_image=ROUTER_IMAGE)
    return [Resource(_owner(metadata), spec, settings) for metadata, spec in found]


def one(path: str, name: str | None) -> Resource:
    """Return the HybridInference of a file that is called `name`; the only one without a name.

    Raises:
        BadInputError: as `read` does; or it is not there, there are several, or the operator would
            not act on it.
    """
    found = read(path)
    short = [each.owner.name for each in found]
    full = [f"{each.owner.namespace}/{each.owner.name}" for each in found]
    names = ", ".join(short if len({*short}) == len(short) else full)
    known = zip(found, short, full, strict=True)
    chosen = [each for each, *called in known if name is None or name in called]
    if not chosen:
        raise BadInputError(f"{path}: holds no {KIND} {name}; there is {names}")
    if len(chosen) > 1:
        raise BadInputError(f"{path}: holds several: {names}; say which one with --name")
    return chosen[0].sound()


def next_step(path: str, resources: Sequence[Resource]) -> str:
    """Return what to do with resources that are as they should be; empty where no file has them."""
    if path == texts.STDIN:
        return ""
    owner = resources[0].owner
    name = f" {owner.name}" if len(resources) == 1 else ""
    where = f" -n {owner.namespace}" if owner.namespace != NAMESPACE else ""
    return f"next: kubectl apply -f {shlex.quote(path)} && hinf status{name}{where}"


def _owner(metadata: dict[str, object]) -> Owner:
    namespace = metadata.get("namespace")
    return Owner(
        name=str(metadata.get("name", "")),
        namespace=str(namespace) if namespace else NAMESPACE,
        uid="",
        generation=1,
    )
