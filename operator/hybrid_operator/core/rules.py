"""From `spec.routing`'s intents and rules to the table's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hybrid_operator.core import naming
from hybrid_router.table import IntentPolicy, RoutingRule

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hybrid_operator.api.resource import HybridInferenceSpec
    from hybrid_operator.api.routing import RoutingRule as Stated


def intents(spec: HybridInferenceSpec) -> dict[str, IntentPolicy]:
    """Return what holds for intents, by name."""
    return {
        intent.name: IntentPolicy(
            threshold=float(intent.threshold) if intent.threshold is not None else None,
            prefer=intent.prefer,
            models=_upstream(spec, intent.models),
        )
        for intent in spec.routing.intents
    }


def rules(spec: HybridInferenceSpec) -> tuple[RoutingRule, ...]:
    """Return the rules, in order."""
    return tuple(_rule(spec, rule) for rule in spec.routing.rules)


def _rule(spec: HybridInferenceSpec, rule: Stated) -> RoutingRule:
    match = rule.match
    return RoutingRule(
        name=rule.name,
        aliases=tuple(match.aliases),
        keys=tuple(match.keys),
        headers={header.name: header.value or "" for header in match.headers},
        min_tokens=match.min_prompt_tokens,
        max_tokens=match.max_prompt_tokens,
        prefer=rule.prefer,
        threshold=float(rule.threshold) if rule.threshold is not None else None,
        models=_upstream(spec, rule.models),
    )


def _upstream(spec: HybridInferenceSpec, names: Sequence[str]) -> tuple[str, ...]:
    """Return the models as their backends call them, whichever of its names each has here.

    One whose name another backend uses as well, for a model that is not meant, has its backend's
    before it: a provider may call its model what a local one is called.
    """
    targets = _targets(spec)
    meant = {target for name in names for target in targets.get(name, ())}
    others = {model for each in targets.values() for _, model in {*each} - meant}
    found = []
    for name in names:
        for backend, model in targets.get(name, [("", name)]):
            found.append(f"{backend}/{model}" if model in others and backend else model)
    return tuple(found)


def _targets(spec: HybridInferenceSpec) -> dict[str, list[tuple[str, str]]]:
    """Return the backends' and their models' names that each name stands for."""
    named: dict[str, list[tuple[str, str]]] = {}
    for provider in spec.providers:
        for each in provider.models:
            target = naming.api_backend(provider.name), each.upstream or each.name
            for name in (each.name, f"{provider.name}/{each.name}"):
                named.setdefault(name, []).append(target)
    for model in spec.models:
        backend = naming.local_backend(model.name)
        for name in (model.name, *model.served_names):
            named.setdefault(name, []).append((backend, model.name))
        for lora in model.loras:
            named.setdefault(lora.name, []).append((backend, lora.name))
    return named
