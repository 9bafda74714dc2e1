"""What runs, part by part: the engines, the routers and the providers, as conditions judge them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hybrid_operator.core import causes, naming, replicas
from hybrid_operator.core.desired import image_of, rolling
from hybrid_operator.core.engine import gated
from hybrid_operator.core.objects import engine_pod, record
from hybrid_operator.core.objects import router as router_objects
from hybrid_operator.core.objects.router_pod import TABLE_KEY
from hybrid_operator.core.state import BackendReport, Object, Observed, PodView, Ref, RouterReport
from hybrid_router.table import content_hash

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hybrid_operator.api.base import SecretKeyRef
    from hybrid_operator.api.models import ModelSpec
    from hybrid_operator.api.providers import Provider
    from hybrid_operator.core.desired import Desired
    from hybrid_operator.core.placement import Wanted


@dataclass(frozen=True, slots=True)
class Workload:
    """A Deployment and its pods."""

    name: str
    """For people: `model llama-3-8b`, `the routers`."""
    namespace: str
    live: Object | None
    wanted: int
    pods: tuple[PodView, ...] = ()
    foreign: tuple[Ref, ...] = ()
    """Objects of somebody else that have names which we need."""
    secret: SecretKeyRef | None = None
    """What its containers cannot start without."""
    gated: str = ""
    """Repository that it asks for without the token that this one wants; "" for none."""
    held: bool = False
    """Whether it is not started, because it cannot run as it is stated."""

    @property
    def ready(self) -> int:
        """Replicas that answer."""
        found = (self.live or {}).get("status", {}).get("readyReplicas", 0)
        return found if isinstance(found, int) else 0

    @property
    def settled(self) -> bool:
        """Whether every replica is of the newest kind and answers."""
        if self.live is None or self.foreign:
            return False
        return not rolling(self.live) and replicas.current(self.live) == self.wanted

    @property
    def cause(self) -> causes.Cause | None:
        """Why fewer replicas answer than are wanted; None when all do."""
        if not self.foreign and self.ready >= self.wanted and self.live is not None:
            return None
        return causes.find(self)

    @property
    def stuck(self) -> causes.Cause | None:
        """What a person must mend, of replicas that are wanted and of those that replace others."""
        if self.settled:
            return None
        cause = causes.find(self)
        return cause if cause.blocked else None


@dataclass(frozen=True, slots=True)
class Engine(Workload):
    """The engine of a model."""

    model: str = ""
    version: str | None = None
    image: str | None = None
    wants: Wanted | None = None
    """What a replica needs of a node's accelerators; None on the CPU."""

    @property
    def asleep(self) -> bool:
        """Whether it is at zero by decision."""
        return self.wanted == 0 and self.live is not None and not self.foreign


@dataclass(frozen=True, slots=True)
class Routers(Workload):
    """The routers, and the table that they should serve."""

    table_hash: str = ""
    reports: tuple[RouterReport, ...] = ()

    @property
    def ready_pods(self) -> tuple[str, ...]:
        """Names of the pods that answer."""
        return tuple(pod.name for pod in self.pods if pod.ready and not pod.terminating)

    @property
    def current(self) -> tuple[str, ...]:
        """Names of the pods that answer by the current table."""
        serving = {r.pod for r in self.reports if r.table_hash == self.table_hash}
        return tuple(name for name in self.ready_pods if name in serving)


@dataclass(frozen=True, slots=True)
class Account:
    """A provider, as the routers know it."""

    provider: Provider
    namespace: str
    reports: tuple[BackendReport, ...] = ()

    @property
    def failure(self) -> BackendReport | None:
        """A report that it does not answer; None when every router is content."""
        failing = (r for r in self.reports if r.secret_missing or r.up is False)
        return next(failing, None)

    @property
    def tried(self) -> bool:
        """Whether any router has had an answer, good or bad."""
        return any(report.up is not None for report in self.reports)

    @property
    def usable(self) -> bool:
        """Whether some router may get an answer from it."""
        good = any(not r.secret_missing and r.up is not False for r in self.reports)
        return good or not self.reports


@dataclass(frozen=True, slots=True)
class View:
    """All of it."""

    engines: tuple[Engine, ...]
    routers: Routers
    accounts: tuple[Account, ...]


def view(observed: Observed, desired: Desired) -> View:
    """Return what runs, of the last good spec where the present one cannot be used."""
    if observed.spec is None or desired.problems:
        engines = _left(observed)
    else:
        stated = desired.refs()
        engines = [_engine(observed, stated, model) for model in observed.spec.models]
    return View(tuple(engines), _routers(observed, desired), _accounts(observed))


def _engine(observed: Observed, objects: Mapping[Ref, Object], model: ModelSpec) -> Engine:
    ref = Ref("Deployment", naming.engine(observed.owner.name, model.name))
    stated = objects.get(ref)
    if stated is None:
        return _held(observed, model)
    live = observed.children.get(ref)
    kept = record.read(stated)
    wanted = stated["spec"].get("replicas", replicas.current(live or {}) or 0)
    hub = model.source.hugging_face if model.source else None
    return Engine(
        name=f"model {model.name}",
        namespace=observed.owner.namespace,
        live=live,
        wanted=wanted,
        pods=_pods(observed, model.name),
        foreign=_foreign(observed, ref.name),
        secret=hub.token.secret_key_ref if hub and hub.token else None,
        gated=gated.untokened(model),
        model=model.name,
        version=kept.version if kept else None,
        image=image_of(stated["spec"]["template"]),
        wants=engine_pod.wanted(model),
    )


def _held(observed: Observed, model: ModelSpec) -> Engine:
    """Return an engine that is not started, because it cannot run."""
    return Engine(
        name=f"model {model.name}",
        namespace=observed.owner.namespace,
        live=None,
        wanted=replicas.initial(model.scaling),
        held=True,
        model=model.name,
    )


def _left(observed: Observed) -> list[Engine]:
    """Return the engines that run although the spec cannot be read, by their Deployments."""
    found = []
    for ref, live in sorted(observed.children.items()):
        model = live["metadata"].get("labels", {}).get(naming.MODEL_LABEL)
        if ref.kind == "Deployment" and model is not None:
            kept = record.read(live)
            engine = Engine(
                name=f"model {model}",
                namespace=observed.owner.namespace,
                live=live,
                wanted=replicas.current(live) or 0,
                pods=_pods(observed, model),
                model=model,
                version=kept.version if kept else None,
                image=image_of(live.get("spec", {}).get("template", {})) or None,
            )
            found.append(engine)
    return found


def _foreign(observed: Observed, name: str) -> tuple[Ref, ...]:
    return tuple(sorted(ref for ref in observed.foreign if ref.name == name))


def _pods(observed: Observed, model: str | None) -> tuple[PodView, ...]:
    component = "router" if model is None else "engine"
    return tuple(p for p in observed.pods if p.component == component and p.model == model)


def _routers(observed: Observed, desired: Desired) -> Routers:
    name = naming.router(observed.owner.name)
    live = observed.children.get(Ref("Deployment", name))
    if desired.table is not None and not desired.problems and observed.spec is not None:
        document = desired.table.text
        wanted = router_objects.replicas(observed.spec)
    else:
        kept = observed.children.get(Ref("ConfigMap", name), {})
        document = kept.get("data", {}).get(TABLE_KEY, "")
        wanted = replicas.current(live or {}) or 0
    return Routers(
        name="the routers",
        namespace=observed.owner.namespace,
        live=live,
        wanted=wanted,
        pods=_pods(observed, None),
        foreign=_foreign(observed, name),
        table_hash=content_hash(document.encode()),
        reports=observed.reports,
    )


def _accounts(observed: Observed) -> tuple[Account, ...]:
    spec = observed.spec
    if spec is None:
        return ()
    found = []
    for provider in spec.providers:
        name = naming.api_backend(provider.name)
        reports = [b for r in observed.reports for b in r.backends if b.backend == name]
        found.append(Account(provider, observed.owner.namespace, tuple(reports)))
    return tuple(found)
