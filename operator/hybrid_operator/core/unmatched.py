"""Names that lead to nothing, so that what they ask for never comes to pass.

Of models and aliases that nothing has, and of own classes of data that the policy does not list.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hybrid_operator.api.base import Problem
from hybrid_operator.api.nearest import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from hybrid_operator.api.datapolicy import DataPolicy
    from hybrid_operator.api.resource import HybridInferenceSpec
    from hybrid_operator.api.routing import Match

_AUTO = "auto"


def problems(spec: HybridInferenceSpec) -> Iterator[Problem]:
    """Yield each name that leads to nothing, and each key where no request has one."""
    models, asked = _models(spec), _asked(spec)
    for i, intent in enumerate(spec.routing.intents):
        path = f"spec.routing.intents[{i}].models"
        yield from _unknown_models(intent.models, models, path, "a prompt of this intent")
    for i, rule in enumerate(spec.routing.rules):
        path = f"spec.routing.rules[{i}]"
        matches = _unmatched(rule.match, asked, with_keys=spec.router.client_keys is not None)
        yield from (problem.below(f"{path}.match") for problem in matches)
        yield from _unknown_models(rule.models, models, f"{path}.models", "what the rule matches")
    if spec.routing.data_policy is not None:
        policy = _unlisted(spec.routing.data_policy)
        yield from (problem.below("spec.routing.dataPolicy") for problem in policy)


def _unlisted(policy: DataPolicy) -> Iterator[Problem]:
    listed = {*policy.keep_local, *policy.redact, *policy.refuse}
    own = [(f"patterns[{i}]", each.name) for i, each in enumerate(policy.patterns)]
    own += [(f"words[{i}]", each.name) for i, each in enumerate(policy.words)]
    for path, name in own:
        if name not in listed:
            told = f"nothing is done about {name!r}: add it to keepLocal, redact or refuse"
            yield Problem(path, told)


def local_names(spec: HybridInferenceSpec) -> list[str]:
    """Return what local answers come from: models and their adapters, as backends know them."""
    return [name for m in spec.models for name in (m.name, *(lora.name for lora in m.loras))]


def _unknown_models(
    names: Sequence[str], known: Sequence[str], path: str, refused: str
) -> Iterator[Problem]:
    tail = "" if set(names) & set(known) else f"; {refused} is refused"
    for index, name in enumerate(names):
        if name not in known:
            message = f"{name!r} is no model of the resource{tail}{did_you_mean(name, known)}"
            yield Problem(f"{path}[{index}]", message)


def _unmatched(match: Match, asked: Sequence[str], *, with_keys: bool) -> Iterator[Problem]:
    for index, name in enumerate(match.aliases):
        if name not in asked:
            meant = did_you_mean(name, asked)
            yield Problem(f"aliases[{index}]", f"no client can ask for {name!r}{meant}")
    if match.keys and not with_keys:
        yield Problem("keys", "the rule never matches: without router.clientKeys there are no keys")


def _models(spec: HybridInferenceSpec) -> list[str]:
    api = [m for p in spec.providers for m in p.models]
    return [*local_names(spec), *(m.name for m in api), *(m.upstream for m in api if m.upstream)]


def _asked(spec: HybridInferenceSpec) -> list[str]:
    served = [name for m in spec.models for name in m.served_names]
    full = [f"{p.name}/{m.name}" for p in spec.providers for m in p.models]
    aliases = [_AUTO, *(alias.name for alias in spec.routing.aliases)]
    api = [m.name for p in spec.providers for m in p.models]
    return [*aliases, *local_names(spec), *served, *api, *full]
