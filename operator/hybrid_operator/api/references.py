"""Rules that compare parts of a resource: names that must differ, and names that must exist.

Each rule says the same twice, in CEL for the API server and in Python for everyone else. The
sentences are the same; Python's paths lead to the culprit, which it names, the API server's to the
list that it stands in (an expression that names it would cost more than the API server allows).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hybrid_operator.api.base import Problem, Rule, rule
from hybrid_operator.api.nearest import none_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hybrid_operator.api.resource import HybridInferenceSpec
    from hybrid_operator.api.routing import ApiTarget

AUTO = "auto"
"""The alias that always exists."""

_LOCAL_NAMES_DIFFER = (
    "name, servedNames and names of loras must differ, over all models: "
    "clients ask for a model by any of them"
)
_AUTO_IS_ALIAS = "auto is always an alias; give the model another name"
_REMOTE_IS_LOCAL = (
    "a provider's model must not have the name of a local one; give it another name, and say in "
    "upstream what the provider calls it"
)
_ALIAS_IS_MODEL = "an alias must not have the name of a model, which clients ask for as it is"
_ALIAS_LOCAL = "local of an alias must hold names of models or of their loras"
_ALIAS_API = "api of an alias must hold a provider's name and the name of one of its models"
_CLASSIFIER_MODEL = "model of the classifier must be the name of one of models"
_JUDGE = "judge of a comparison must be a provider's name and the name of one of its models"


def _local_names(spec: HybridInferenceSpec) -> Iterator[tuple[str, str]]:
    """Yield every name that clients may ask a local model by, and where it stands."""
    for index, model in enumerate(spec.models):
        where = f"models[{index}]"
        yield model.name, f"{where}.name"
        yield from ((n, f"{where}.servedNames[{i}]") for i, n in enumerate(model.served_names))
        yield from ((lora.name, f"{where}.loras[{i}].name") for i, lora in enumerate(model.loras))


def _api_names(spec: HybridInferenceSpec) -> Iterator[tuple[str, str]]:
    for index, provider in enumerate(spec.providers):
        for i, model in enumerate(provider.models):
            yield model.name, f"providers[{index}].models[{i}].name"


def _twice(spec: HybridInferenceSpec) -> Iterator[Problem]:
    seen: set[str] = set()
    for name, path in _local_names(spec):
        if name in seen:
            yield Problem(path, _LOCAL_NAMES_DIFFER)
        seen.add(name)


def _reserved(spec: HybridInferenceSpec) -> Iterator[Problem]:
    for name, path in (*_local_names(spec), *_api_names(spec)):
        if name == AUTO:
            yield Problem(path, _AUTO_IS_ALIAS)


def _remote_is_local(spec: HybridInferenceSpec) -> Iterator[Problem]:
    local = {name for name, _ in _local_names(spec)}
    return (Problem(path, _REMOTE_IS_LOCAL) for name, path in _api_names(spec) if name in local)


def _alias_is_model(spec: HybridInferenceSpec) -> Iterator[Problem]:
    models = {name for name, _ in (*_local_names(spec), *_api_names(spec))}
    for index, alias in enumerate(spec.routing.aliases):
        if alias.name in models:
            yield Problem(f"routing.aliases[{index}].name", _ALIAS_IS_MODEL)


def _alias_local(spec: HybridInferenceSpec) -> Iterator[Problem]:
    known = [m.name for m in spec.models] + [lora.name for m in spec.models for lora in m.loras]
    for index, alias in enumerate(spec.routing.aliases):
        for i, name in enumerate(alias.local):
            if name not in known:
                message = _ALIAS_LOCAL + none_of(name, known)
                yield Problem(f"routing.aliases[{index}].local[{i}]", message)


def _alias_api(spec: HybridInferenceSpec) -> Iterator[Problem]:
    """Find API targets that are not there; without any provider, they wait for one to be added."""
    if not spec.providers:
        return
    known = {(p.name, m.name) for p in spec.providers for m in p.models}
    for index, alias in enumerate(spec.routing.aliases):
        for i, target in enumerate(alias.api):
            if (target.provider, target.model) not in known:
                message = _ALIAS_API + _no_target(spec, target)
                yield Problem(f"routing.aliases[{index}].api[{i}]", message)


def _classifier_model(spec: HybridInferenceSpec) -> Iterator[Problem]:
    name = spec.routing.classifier.model
    known = [m.name for m in spec.models]
    if name is not None and name not in known:
        yield Problem("routing.classifier.model", _CLASSIFIER_MODEL + none_of(name, known))


def _judge(spec: HybridInferenceSpec) -> Iterator[Problem]:
    """Find a judge that is not there; without any provider, it waits for one to be added."""
    stated = spec.routing.comparison
    if stated is None or not spec.providers:
        return
    known = {(p.name, m.name) for p in spec.providers for m in p.models}
    if (stated.judge.provider, stated.judge.model) not in known:
        yield Problem("routing.comparison.judge", _JUDGE + _no_target(spec, stated.judge))


def _no_target(spec: HybridInferenceSpec, target: ApiTarget) -> str:
    """Return the end of a sentence about a provider's model that is not there."""
    models = {p.name: [m.name for m in p.models] for p in spec.providers}
    if target.provider not in models:
        return none_of(target.provider, models)
    return none_of(target.model, models[target.provider])


def _is_local(name: str) -> str:
    """Return the CEL expression that says whether a local model is asked for by `name`."""
    return (
        f"self.models.exists(m, m.name == {name}"
        f" || (has(m.servedNames) && {name} in m.servedNames)"
        f" || (has(m.loras) && m.loras.exists(l, l.name == {name})))"
    )


def _is_api(name: str) -> str:
    return f"self.providers.exists(p, p.models.exists(m, m.name == {name}))"


def _no_served_name(condition: str) -> str:
    """Return the CEL expression: of no model `m`, any served name `s` fulfils `condition`."""
    return (
        "!has(self.models) || self.models.all(m, !has(m.servedNames)"
        f" || !m.servedNames.exists(s, {condition}))"
    )


_ANY_ALIAS = "has(self.routing) && has(self.routing.aliases) && self.routing.aliases.exists(a, "
_CLASSIFIER = "has(self.routing) && has(self.routing.classifier)"
_COMPARISON = "has(self.routing) && has(self.routing.comparison)"

_LOCAL_NAMES = (
    _no_served_name("self.models.exists(o, o.name == s)"),
    _no_served_name(
        "self.models.exists(o, o.name != m.name && has(o.servedNames) && s in o.servedNames)"
    ),
    _no_served_name("self.models.exists(o, has(o.loras) && o.loras.exists(l, l.name == s))"),
    (
        "!has(self.models) || self.models.all(m, !has(m.loras)"
        " || !m.loras.exists(x, self.models.exists(o, o.name == x.name)))"
    ),
)
"""One after the other: together they would cost more than the API server allows for one rule. LoRA
adapters of the same name on two models would cost too much even alone: only Python finds those."""

RULES = (
    *(Rule(cel, _LOCAL_NAMES_DIFFER, _twice, ".models") for cel in _LOCAL_NAMES),
    Rule(
        f"(!has(self.models) || !{_is_local(f'{AUTO!r}')})"
        f" && (!has(self.providers) || !{_is_api(f'{AUTO!r}')})",
        _AUTO_IS_ALIAS,
        _reserved,
    ),
    Rule(
        "!has(self.models) || !has(self.providers)"
        f" || !self.providers.exists(p, p.models.exists(r, {_is_local('r.name')}))",
        _REMOTE_IS_LOCAL,
        _remote_is_local,
        ".providers",
    ),
    Rule(
        f"!({_ANY_ALIAS}(has(self.models) && {_is_local('a.name')})"
        f" || (has(self.providers) && {_is_api('a.name')})))",
        _ALIAS_IS_MODEL,
        _alias_is_model,
        ".routing.aliases",
    ),
    Rule(
        f"!({_ANY_ALIAS}has(a.local) && !a.local.all(n, has(self.models)"
        " && self.models.exists(m, m.name == n"
        " || (has(m.loras) && m.loras.exists(l, l.name == n))))))",
        _ALIAS_LOCAL,
        _alias_local,
        ".routing.aliases",
    ),
    Rule(
        "!has(self.providers) || size(self.providers) == 0"
        f" || !({_ANY_ALIAS}has(a.api) && !a.api.all(t, self.providers.exists("
        "p, p.name == t.provider && p.models.exists(m, m.name == t.model)))))",
        _ALIAS_API,
        _alias_api,
        ".routing.aliases",
    ),
    Rule(
        f"!({_CLASSIFIER} && has(self.routing.classifier.model)) || (has(self.models)"
        " && self.models.exists(m, m.name == self.routing.classifier.model))",
        _CLASSIFIER_MODEL,
        _classifier_model,
        ".routing.classifier",
    ),
    Rule(
        f"!({_COMPARISON}) || !has(self.providers) || size(self.providers) == 0"
        " || self.providers.exists(p, p.name == self.routing.comparison.judge.provider"
        " && p.models.exists(m, m.name == self.routing.comparison.judge.model))",
        _JUDGE,
        _judge,
        ".routing.comparison",
    ),
    rule(
        f"!({_CLASSIFIER} && has(self.routing.classifier.type)"
        " && self.routing.classifier.type in ['slm', 'cascade'])"
        " || (has(self.models) && size(self.models) > 0)",
        "classifier types slm and cascade ask a local model, so models needs at least one entry",
        lambda spec: spec.routing.classifier.type not in {"slm", "cascade"} or len(spec.models) > 0,
    ),
)
