"""The children that a resource should have."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from msgspec.structs import replace

from hybrid_operator.api.base import GROUP, Problem
from hybrid_operator.api.models import ModelSpec
from hybrid_operator.core import calibration, diff, naming, prefill, replicas, table
from hybrid_operator.core.engine import intent
from hybrid_operator.core.engine.fit import Fit
from hybrid_operator.core.engine.judged import judge
from hybrid_operator.core.objects import engine, engine_pod, record, router, router_pod
from hybrid_operator.core.state import Object, Observed, Ref
from hybrid_operator.core.written import canonical

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hybrid_operator.api.resource import HybridInferenceSpec
    from hybrid_operator.core.objects.context import Context

IGNORE_FIT = f"{GROUP}/ignore-fit"
"""Annotation on the resource: "true" starts models that cannot fit, too."""
UPDATE = f"{GROUP}/update"
"""Annotation on the resource: "true" takes the newer engine defaults that UpdateAvailable
offers."""


class Update(msgspec.Struct, frozen=True):
    """A rendering of an engine that is newer than the one that runs."""

    model: str
    what: str
    """What would change, for people: `vLLM 0.32.0 to 0.33.0`."""


class Desired(msgspec.Struct, frozen=True):
    """Everything that should be there, or why that cannot be said."""

    objects: tuple[dict[str, Any], ...] = ()
    """Stamped, in the order of their creation."""
    table: table.Document | None = None
    problems: tuple[Problem, ...] = ()
    """With any, `objects` is not to be applied."""
    notes: tuple[Problem, ...] = ()
    """What the engine's release cannot do of what was asked."""
    updates: tuple[Update, ...] = ()
    fits: tuple[Fit, ...] = ()
    """Of every local model, in the resource's order."""
    held: frozenset[str] = frozenset()
    """Models that are not started, because they cannot run."""
    calibrated: calibration.Decided | None = None
    """Which calibration state holds; None where none is asked for."""

    def refs(self) -> dict[Ref, dict[str, Any]]:
        """Return the objects by kind and name."""
        return {ref(each): each for each in self.objects}


class _Engine(msgspec.Struct, frozen=True):
    """One model's engine: what runs or will run, and what could."""

    model: ModelSpec
    live: Object | None
    kept: record.Record
    fresh: record.Record
    pod: engine_pod.EnginePod
    fit: Fit
    held: bool
    """Whether the model cannot run as it is stated: what ran before goes on, nothing new starts."""

    @property
    def outdated(self) -> bool:
        return canonical(self.kept.template) != canonical(self.fresh.template)


def ref(obj: Object) -> Ref:
    """Return kind and name of an object."""
    return Ref(obj["kind"], obj["metadata"]["name"])


def children(observed: Observed, spec: HybridInferenceSpec, context: Context) -> Desired:
    """Return the children of the resource, with `spec` for what it says."""
    problems = [
        problem
        for index, model in enumerate(spec.models)
        for problem in intent.problems(model, f"spec.models[{index}]")
    ]
    if problems:
        return Desired(problems=tuple(problems))
    engines = _engines(observed, spec, context)
    chosen = _take_updates(observed, engines)
    calibrated = _calibrated(observed, spec)
    state = calibration.in_force(calibrated, observed)
    rates = prefill.rates(observed, ((each.model, each.fit) for each in chosen))
    document = table.render(context, spec, state, rates)
    template, refused = router_pod.build(context, spec)
    objects = [
        *_router(context, spec, document.text),
        *_history(context, calibrated),
        *(obj for each in chosen for obj in _engine_objects(context, each)),
        router.deployment(context, spec, template),
    ]
    return Desired(
        objects=tuple(diff.stamp(obj) for obj in objects),
        table=document,
        problems=(
            *(p for each in engines for p in each.pod.problems),
            *refused,
            *document.problems,
        ),
        notes=tuple(note for each in engines for note in each.pod.notes),
        updates=tuple(_update(each) for each in chosen if each.outdated and not each.held),
        fits=tuple(each.fit for each in chosen),
        held=frozenset(each.model.name for each in chosen if each.held and each.live is None),
        calibrated=calibrated,
    )


def _calibrated(observed: Observed, spec: HybridInferenceSpec) -> calibration.Decided | None:
    if spec.routing.calibration is None:
        return None
    child = observed.children.get(Ref("ConfigMap", naming.calibration(observed.owner.name)))
    name = spec.routing.calibration.config_map
    return calibration.decide(observed, name, calibration.read(child))


def _history(context: Context, calibrated: calibration.Decided | None) -> Iterator[dict[str, Any]]:
    if calibrated is not None and calibrated.history != calibration.History():
        yield router.history(context, calibration.written(calibrated.history))


def _router(context: Context, spec: HybridInferenceSpec, text: str) -> Iterator[dict[str, Any]]:
    yield router.service_account(context)
    yield router.role(context)
    yield router.role_binding(context)
    yield router.table(context, text)
    yield router.service(context, spec)
    if router.replicas(spec) > 1:
        yield router.disruption_budget(context)


def _engine_objects(context: Context, each: _Engine) -> Iterator[dict[str, Any]]:
    number = replicas.to_send(each.model.scaling, each.live)
    yield engine.service(context, each.model)
    if each.held and each.live is None:
        return
    yield engine.deployment(context, each.model, each.kept, number)


def _engines(observed: Observed, spec: HybridInferenceSpec, context: Context) -> list[_Engine]:
    found = []
    for index, model in enumerate(spec.models):
        name = naming.engine(context.owner.name, model.name)
        live = observed.children.get(Ref("Deployment", name))
        pod = engine_pod.build(context, model, f"spec.models[{index}]")
        fresh = record.Record(
            context.defaults.revision, record.spec_hash(model), str(pod.version), pod.template
        )
        was = record.read(live)
        judged = judge(model, context.defaults)
        held = judged.impossible and observed.owner.annotations.get(IGNORE_FIT) != "true"
        keeps = was is not None and (held or was.spec == fresh.spec)
        kept = was if was is not None and keeps else fresh
        found.append(_Engine(model, live, kept, fresh, pod, judged, held))
    return found


def _take_updates(observed: Observed, engines: list[_Engine]) -> list[_Engine]:
    """Let one engine take its newer rendering, where that is asked for and no other does."""
    if observed.owner.annotations.get(UPDATE) != "true":
        return engines
    busy = any(
        each.live is not None and not each.outdated and rolling(each.live) for each in engines
    )
    taken = []
    for each in engines:
        if each.outdated and not each.held and not busy:
            busy = True
            taken.append(replace(each, kept=each.fresh))
        else:
            taken.append(each)
    return taken


def rolling(deployment: Object) -> bool:
    """Whether a Deployment has replicas that are old, or that do not answer yet."""
    status = deployment.get("status", {})
    wanted = replicas.current(deployment) or 0
    seen = status.get("observedGeneration", 0) >= deployment["metadata"].get("generation", 0)
    updated, ready = status.get("updatedReplicas", 0), status.get("readyReplicas", 0)
    return not seen or updated < wanted or ready < wanted or status.get("replicas", 0) > wanted


def _update(each: _Engine) -> Update:
    old, new = each.kept, each.fresh
    changes = []
    if old.version != new.version:
        changes.append(f"vLLM {old.version} to {new.version}")
    images = image_of(old.template), image_of(new.template)
    if images[0] != images[1]:
        changes.append(f"image {images[0]} to {images[1]}")
    return Update(each.model.name, ", ".join(changes) or "the pod template")


def image_of(template: Object) -> str:
    """Return the image of the one container of ours in a pod template."""
    containers = template.get("spec", {}).get("containers") or [{}]
    return str(containers[0].get("image", ""))
