"""From the resource to the RouteTable of its routers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import msgspec
from msgspec.structs import replace

from hybrid_operator.api.base import Problem, duration
from hybrid_operator.api.routing import Alias, ApiTarget
from hybrid_operator.core import comparison, limits, naming, prices, rules
from hybrid_operator.core.engine import intent, priors, weights
from hybrid_operator.core.engine.concurrency import at_once
from hybrid_operator.core.engine.surfaces import surfaces
from hybrid_operator.core.objects.router_pod import KEYS, key_file
from hybrid_router.table import (
    Backend,
    Calibration,
    Classifier,
    DataPolicy,
    Model,
    Policy,
    Price,
    RouteTable,
    SecretRef,
    Service,
    Surface,
    TableError,
    Target,
    decode,
    encode,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hybrid_operator.api import datapolicy as data
    from hybrid_operator.api.models import ModelSpec
    from hybrid_operator.api.providers import Provider
    from hybrid_operator.api.resource import HybridInferenceSpec
    from hybrid_operator.core.engine.defaults import EngineDefaults
    from hybrid_operator.core.objects.context import Context

AUTO = "auto"
MAX_BYTES = 900 * 1024
"""Of a table; the API server takes no ConfigMap above 1 MiB."""
BASE_URLS = {
    "anthropic": "https://api.anthropic.com/v1",
    "openai": "https://api.openai.com/v1",
}
AZURE_PATH = "/openai/v1"
"""Of Azure's API that needs no version; other paths that a resource states are kept."""

CASCADE_SECONDS = 10.0
"""A draft takes as long as its tokens do; a verdict of two tokens does not."""

_DEFAULT = Policy()
_DEPLOYMENTS: tuple[Surface, ...] = ("chat", "completions", "embeddings")
"""What an Azure deployment's own URL has below it."""
_COOLDOWN = Backend(trust="external").cooldown
_AUTH: dict[str, Literal["bearer", "api-key", "x-api-key"]] = {
    "anthropic": "x-api-key",
    "azure-openai": "api-key",
}


class Document(msgspec.Struct, frozen=True):
    """A rendered table."""

    text: str
    table: RouteTable
    problems: tuple[Problem, ...] = ()


def render(
    context: Context,
    spec: HybridInferenceSpec,
    state: Calibration | None = None,
    prefill: Mapping[str, float] | None = None,
) -> Document:
    """Return the table, and why it cannot be served if so.

    Args:
        context: whose it is.
        spec: what it is made from.
        state: calibration, if any.
        prefill: prompt tokens/s of a replica, by local model, as far as they are known.
    """
    owner = context.owner
    table = RouteTable(
        name=f"{owner.namespace}/{owner.name}",
        generation=owner.generation,
        models=_models(spec, context.defaults),
        backends=_backends(context, spec, prefill or {}),
        policy=replace(
            _policy(spec, context.defaults), calibration=state, comparison=comparison.of(spec)
        ),
        keys=limits.client_keys(spec, KEYS),
        routers=limits.sharers(owner, spec),
        access_log=spec.router.access_log is True,
    )
    document = encode(table)
    return Document(document.decode(), table, _problems(document))


def kind(provider: Provider) -> str:
    """Return the provider's type; a known name brings its own."""
    return provider.type or provider.name


def aliases(spec: HybridInferenceSpec) -> list[Alias]:
    """Return the aliases, `auto` among them whether or not the resource says so."""
    stated = list(spec.routing.aliases)
    if any(alias.name == AUTO for alias in stated):
        return stated
    firsts = [
        ApiTarget(provider=p.name, model=p.models[0].name) for p in spec.providers if p.models
    ]
    auto = Alias(name=AUTO, local=[m.name for m in spec.models], api=firsts)
    return [auto, *stated]


def _problems(document: bytes) -> tuple[Problem, ...]:
    if len(document) > MAX_BYTES:
        size = f"{len(document) // 1024} KiB, above the limit of {MAX_BYTES // 1024} KiB"
        advice = "use fewer aliases, served names or provider models"
        return (Problem("spec", f"the RouteTable has {size}; {advice}"),)
    try:
        decode(document)
    except TableError as error:
        return (Problem("spec", f"no router could serve this: {error}"),)
    return ()


def _models(spec: HybridInferenceSpec, defaults: EngineDefaults) -> dict[str, Model]:
    targets = _Targets(spec, defaults)
    models: dict[str, Model] = {}
    for alias in aliases(spec):
        found = targets.of_alias(alias)
        if found is not None:
            models[alias.name] = found
    for model in spec.models:
        target = targets.local[model.name]
        for name in (model.name, *model.served_names):
            models.setdefault(name, Model(targets=(target,)))
        for lora in model.loras:
            models.setdefault(lora.name, Model(targets=(targets.local[lora.name],)))
    for (provider, name), target in targets.api.items():
        models.setdefault(f"{provider}/{name}", Model(targets=(target,), owned_by=provider))
        models.setdefault(name, Model(targets=(target,), owned_by=provider))
    return models


class _Targets:
    """The models that a request can end at, by what the resource calls them."""

    def __init__(self, spec: HybridInferenceSpec, defaults: EngineDefaults) -> None:
        self._spec = spec
        self.local = {
            name: _local_target(model, defaults, name)
            for model in spec.models
            for name in (model.name, *(lora.name for lora in model.loras))
        }
        self.api = {
            (provider.name, model.name): Target(
                backend=naming.api_backend(provider.name), model=model.upstream or model.name
            )
            for provider in spec.providers
            for model in provider.models
        }

    def of_alias(self, alias: Alias) -> Model | None:
        """Return what an alias leads to; None where this release cannot speak to any of it."""
        local = [self.local[name] for name in alias.local if name in self.local]
        keys = [(each.provider, each.model) for each in alias.api]
        api = [self.api[key] for key in keys if key in self.api]
        if not local and not api:
            return None
        if not local or not api:
            return Model(targets=(*local, *api))
        known = priors.of_alias(self._spec, alias)
        return Model(
            targets=(*local, *api),
            classified=True,
            priors={name: prior.probability for name, prior in known.items()},
        )


def _local_target(model: ModelSpec, defaults: EngineDefaults, name: str) -> Target:
    """Return the model, or the adapter of it that has this name."""
    return Target(
        backend=naming.local_backend(model.name),
        model=name,
        max_context_tokens=intent.max_length(model, defaults),
    )


def _backends(
    context: Context, spec: HybridInferenceSpec, prefill: Mapping[str, float]
) -> dict[str, Backend]:
    breaker = spec.routing.failover.breaker if spec.routing.failover else None
    cooldown = _seconds(breaker.cooldown if breaker else None, _COOLDOWN)
    backends: dict[str, Backend] = {}
    for model in spec.models:
        service = Service(
            namespace=context.owner.namespace,
            name=naming.engine(context.owner.name, model.name),
            port="http",
        )
        backends[naming.local_backend(model.name)] = Backend(
            trust="internal",
            service=service,
            engine="vllm",
            surfaces=surfaces(intent.version(model, context.defaults)),
            cooldown=cooldown,
            max_concurrency=at_once(model, context.defaults),
            begin_within=intent.ttft_seconds(model),
            prefill_tokens_per_second=prefill.get(model.name),
        )
    for provider in spec.providers:
        backends[naming.api_backend(provider.name)] = _external(provider, cooldown)
    return backends


def _external(provider: Provider, cooldown: float) -> Backend:
    type_ = kind(provider)
    return Backend(
        trust="external",
        urls=(_url(provider),),
        provider=type_,
        dialect="anthropic" if type_ == "anthropic" else "openai",
        surfaces=_DEPLOYMENTS if provider.api_version else None,
        api_key=SecretRef(file=key_file(provider.name)) if provider.api_key else None,
        auth=_AUTH.get(type_, "bearer"),
        cooldown=cooldown,
        rate_limits=limits.of_account(provider),
        prices={
            model.upstream or model.name: _price(found)
            for model in provider.models
            if (found := prices.price(provider, model)) is not None
        },
    )


def _url(provider: Provider) -> str:
    """Return the provider's base URL; Azure's holds the deployment where it has a version."""
    type_ = kind(provider)
    url = (provider.base_url or BASE_URLS.get(type_, "")).rstrip("/")
    if type_ != "azure-openai":
        return url
    root = url.removesuffix("/v1").removesuffix("/openai")
    if provider.api_version:
        return f"{root}/openai/deployments/{{model}}?api-version={provider.api_version}"
    return root + AZURE_PATH if root.count("/") == 2 else url  # noqa: PLR2004  scheme://host


def _price(found: prices.Price) -> Price:
    return Price(
        input=float(found.input), output=float(found.output), cached_input=float(found.cached_input)
    )


def _policy(spec: HybridInferenceSpec, defaults: EngineDefaults) -> Policy:
    failover = spec.routing.failover
    breaker = failover.breaker if failover else None
    threshold = spec.routing.threshold
    return Policy(
        classifier=_classifier(spec, defaults),
        threshold=float(threshold) if threshold else _DEFAULT.threshold,
        quality=_number(spec.routing.quality),
        share=_number(spec.routing.share),
        intents=rules.intents(spec),
        rules=rules.rules(spec),
        shadow=spec.routing.shadow,
        deadline=_seconds(failover.deadline if failover else None, _DEFAULT.deadline),
        attempts=(failover.attempts if failover else None) or _DEFAULT.attempts,
        breaker_failures=(breaker.failures if breaker else None) or _DEFAULT.breaker_failures,
        resume=failover is None or failover.resume is not False,
        prefix_affinity=spec.routing.prefix_affinity is not False,
        data=_data(spec.routing.data_policy),
    )


def _data(stated: data.DataPolicy | None) -> DataPolicy | None:
    """Return what requests are scanned for; None where nothing is."""
    if stated is None or not (stated.keep_local or stated.redact or stated.refuse):
        return None
    return DataPolicy(
        keep_local=tuple(stated.keep_local),
        redact=tuple(stated.redact),
        refuse=tuple(stated.refuse),
        patterns={each.name: each.pattern for each in stated.patterns},
        words={each.name: tuple(each.words) for each in stated.words},
    )


def _classifier(spec: HybridInferenceSpec, defaults: EngineDefaults) -> Classifier:
    wanted = spec.routing.classifier
    timeout = _seconds(wanted.timeout, _DEFAULT.classifier.timeout)
    asked = next((m for m in spec.models if wanted.model in {None, m.name}), None)
    if wanted.type == "slm" and asked is not None:
        target = _local_target(asked, defaults, asked.name)
        return Classifier(
            type="slm", target=target, timeout=timeout, weights=weights.digest([asked])
        )
    if wanted.type == "cascade":
        return Classifier(
            type="cascade",
            timeout=_seconds(wanted.timeout, CASCADE_SECONDS),
            draft_tokens=wanted.draft_tokens or _DEFAULT.classifier.draft_tokens,
            weights=weights.digest(spec.models),
        )
    return Classifier(type="none" if wanted.type == "none" else "embedded", timeout=timeout)


def _number(text: str | None) -> float | None:
    return None if text is None else float(text)


def _seconds(text: str | None, default: float) -> float:
    return default if text is None else duration(text).total_seconds()
