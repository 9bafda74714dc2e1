"""Why the scheduler finds no node for an engine, told apart by what the nodes offer.

The scheduler's own words count taints, affinities and resources; these sentences name the GPU. A
pod is created all the same, because a node autoscaler may add the node.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import msgspec

from hybrid_operator.core.engine import gpus
from hybrid_operator.core.state import MEMORY_LABEL, PRODUCT_LABEL

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hybrid_operator.core.state import Nodes, NodeView

_LISTED_SHARE = 0.95
"""GPUs of one kind differ by some MiB between drivers."""
_NAMED = 3


class Wanted(msgspec.Struct, frozen=True):
    """What one replica needs of one node."""

    resource: str
    """`nvidia.com/gpu`, or the resource of a slice."""
    count: int
    products: tuple[str, ...] = ()
    """Values of the node label nvidia.com/gpu.product that will do; () for any."""
    memory_mib: int = 0
    """Of each GPU, as nvidia-smi lists it; 0 where nobody says."""


class Finding(msgspec.Struct, frozen=True):
    """What the nodes say."""

    reason: str
    message: str


def explain(wanted: Wanted, nodes: Nodes) -> Finding | None:
    """Return why no node will do; None where nothing is known yet, or the nodes are no reason."""
    if nodes.views is None:
        if not nodes.unknown:
            return None
        message = f"whether any node has such a GPU is not known: {nodes.unknown}"
        return Finding("Unschedulable", message)
    offering = [each for each in nodes.views if each.offers(wanted.resource)]
    if not offering:
        return Finding("NoSuchGPU", f"no node offers {wanted.resource}")
    matching = [each for each in offering if _right_kind(each, wanted)]
    if not matching:
        return Finding("NoSuchGPU", f"no node has this GPU: {_what_there_is(offering, wanted)}")
    large = [each for each in matching if _large_enough(each, wanted)]
    if not large:
        sizes = sorted({each.memory_mib for each in matching if each.memory_mib})
        listed = ", ".join(map(str, sizes))
        message = (
            f"wrong GPU memory: {wanted.memory_mib} MiB are needed per GPU, and the nodes' label "
            f"{MEMORY_LABEL} says {listed}"
        )
        return Finding("WrongGPUMemory", message)
    return _room(wanted, large)


def _room(wanted: Wanted, nodes: Sequence[NodeView]) -> Finding | None:
    most = max(each.offers(wanted.resource) for each in nodes)
    if most < wanted.count:
        message = f"a replica needs {wanted.count} GPUs on one node, and no node has over {most}"
        return Finding("TooFewGPUs", message)
    if any(each.free(wanted.resource) >= wanted.count for each in nodes):
        return None
    total = sum(each.offers(wanted.resource) for each in nodes)
    taken = sum(each.taken.get(wanted.resource, 0) for each in nodes)
    where = f"{len(nodes)} node{'s' if len(nodes) > 1 else ''}"
    need = f", and a replica needs {wanted.count} free on one node" if wanted.count > 1 else ""
    return Finding("GPUsTaken", f"{taken} of {total} such GPUs on {where} are taken{need}")


def _right_kind(node: NodeView, wanted: Wanted) -> bool:
    return not wanted.products or node.product in wanted.products


def _large_enough(node: NodeView, wanted: Wanted) -> bool:
    return not node.memory_mib or node.memory_mib >= wanted.memory_mib * _LISTED_SHARE


def _known(product: str) -> str:
    """Return a product with the type that asks for it, where the catalogue has one."""
    bare = product.removesuffix(gpus.SHARED_SUFFIX)
    names = [each.name for each in gpus.catalogue() if bare in each.products]
    return f"{product} (accelerator.type {names[0]})" if names else product


def _what_there_is(nodes: Sequence[NodeView], wanted: Wanted) -> str:
    products: Counter[str] = Counter()
    for each in nodes:
        products[each.product] += each.offers(wanted.resource)
    unlabelled = products.pop("", 0)
    found = [f"{count} x {_known(name)}" for name, count in products.most_common(_NAMED)]
    more = len(products) - len(found)
    if more:
        found.append(f"{more} more kind{'s' if more > 1 else ''}")
    if unlabelled:
        found.append(
            f"{unlabelled} without the label {PRODUCT_LABEL} (GPU Feature Discovery sets it)"
        )
    return f"{wanted.products[0]} is wanted, and nodes have {', '.join(found)}"
