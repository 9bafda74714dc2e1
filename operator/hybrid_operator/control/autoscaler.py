"""The autoscaling loop: ask engines and routers, decide for every model, share the GPUs, write.

It owns `spec.replicas` of the models that it decides on, by a field manager of its own through the
scale subresource; the main loop leaves the field alone from then on (`core.replicas`). It takes
the field over with the number that stands there, so that the handover changes nothing, and does
not take it from another autoscaler.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeVar

from hybrid_operator.control import observe
from hybrid_operator.control.cache import family_of
from hybrid_operator.control.quotas import unbounded
from hybrid_operator.control.scalable import Model, Models, live
from hybrid_operator.control.scaled import Scaled, Told, restored, told
from hybrid_operator.control.scalers import rival, unknown
from hybrid_operator.control.sharing import Claim, bounds, demands, rest
from hybrid_operator.core import naming, replicas
from hybrid_operator.core.plan import PAUSED
from hybrid_operator.core.scaling.arbitrate import arbitrate
from hybrid_operator.core.scaling.policy import decide
from hybrid_operator.core.scaling.window import observe as take
from hybrid_operator.core.scaling.window import remember, standing
from hybrid_operator.core.state import Event
from hybrid_operator.kube.errors import KubeError, NotFound
from hybrid_operator.kube.kinds import Key
from hybrid_operator.kube.writer import DELETION_COST, NotLeading
from hybrid_operator.metrics.diverted import NOTHING
from hybrid_operator.metrics.load import Seen, load
from hybrid_operator.metrics.scaling import Shown

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
    from datetime import datetime

    from hybrid_operator.api.models import ModelSpec
    from hybrid_operator.control.cache import Children, Resources
    from hybrid_operator.control.scalers import Scalers
    from hybrid_operator.core.scaling.quota import Quotas
    from hybrid_operator.core.scaling.types import Decision
    from hybrid_operator.core.state import Object, Owner, Settings
    from hybrid_operator.kube.events import Recorder
    from hybrid_operator.kube.writer import Writer
    from hybrid_operator.metrics.gather import Engine, Gatherer, Round
    from hybrid_operator.metrics.scaling import ScalingMetrics

T = TypeVar("T")
log = logging.getLogger(__name__)

TICK_SECONDS = 3.0
"""Between two looks, or as long as one takes: the loop uses at most half of its time."""
TURN_SECONDS = 0.005
"""After which others go first."""
WRITES = 8
"""Models whose replicas are set at once."""


@dataclass(frozen=True, slots=True)
class World:
    """What the loop reads."""

    resources: Resources
    children: Children
    settings: Settings
    gatherer: Gatherer
    quotas: Callable[[], Awaitable[Quotas]] = unbounded
    scalers: Scalers = unknown


@dataclass(frozen=True, slots=True)
class Hands:
    """What the loop writes with."""

    writer: Writer
    recorder: Recorder
    metrics: ScalingMetrics


@dataclass(frozen=True, slots=True)
class _Wanted:
    """One model's decision of this round, before the GPUs are shared."""

    owner: Owner
    model: Model
    scaled: Scaled
    live: Object
    current: int
    decision: Decision
    engines: Sequence[Engine]
    rival: str | None = None
    """Who else scales it."""

    @property
    def key(self) -> str:
        """Unique among all models."""
        return f"{self.owner.namespace}/{self.owner.name}/{self.model.spec.name}"

    @property
    def left_alone(self) -> bool:
        """Whether its replicas are not ours to set: it only recommends, or another scales it."""
        return self.model.recommends or self.rival is not None

    @property
    def resource(self) -> Key:
        """Whose model it is."""
        return Key(self.owner.namespace, self.owner.name)


class Autoscaler:
    """Decides on the replicas of all models, one round after another."""

    def __init__(
        self,
        world: World,
        hands: Hands,
        changed: Callable[[Key], None],
        now: Callable[[], datetime],
    ) -> None:
        """Decide on nothing yet.

        Args:
            world: What is read.
            hands: What is written with.
            changed: Called with the key of a resource whose status should tell something new.
            now: The wall clock, for schedules and for what people read.
        """
        self._world = world
        self._hands = hands
        self._changed = changed
        self._now = now
        self._models = Models(world.resources, world.settings.gpu_prices)
        self._scaled: dict[Key, dict[str, Scaled]] = {}
        self._warned: dict[str, str] = {}
        self._writing = asyncio.Semaphore(WRITES)

    def status(self, key: Key) -> Told | None:
        """Return what the status is to tell; None: what it told, for nothing newer is known."""
        known = self._scaled.get(key)
        if known is None:
            not_ours = self._models.of(key) and not self._ours(key)
            return Told({}) if not_ours else None
        found = {name: scaled.status() for name, scaled in known.items()}
        models = {name: each for name, each in found.items() if each is not None}
        kept = {name: each.kept for name, each in known.items() if each.kept}
        return Told(models, kept, frozenset(name for name, each in known.items() if each.blind))

    async def run(self) -> None:
        """Look until cancelled. What was known before is forgotten: it starts from the status."""
        self._scaled.clear()
        while True:
            began = _clock()
            await self.look()
            took = _clock() - began
            self._hands.metrics.looked(took)
            await asyncio.sleep(max(TICK_SECONDS - took, took, 0.1))

    async def look(self) -> None:
        """Look once at every model that is the operator's to decide on."""
        keys = [key async for key in _in_turns(self._world.resources) if self._ours(key)]
        self._models.keep()
        for key in self._scaled.keys() - set(keys):
            self._hands.metrics.forget(key.namespace, key.name, list(self._scaled.pop(key)))
        children, ask = self._world.children, self._world.gatherer.ask
        said = await ask({key: children.pods(family_of(key)) async for key in _in_turns(keys)})
        wanted = [
            each
            async for key, told in _in_turns(said.items())
            for each in await self._decided(key, told)
        ]
        granted = await self._share(wanted)
        settled = [self._settle(each, granted.get(each.key)) async for each in _in_turns(wanted)]
        due = [each for each in settled if self._differs(each)]
        await asyncio.gather(*map(self._carry_out, due))

    def _ours(self, key: Key) -> list[Model]:
        """Return the models that the operator decides on, or has decided on before."""
        resource = self._world.resources.get(key)
        if resource is None:
            return []
        owner = observe.owner(resource)
        if owner.deleting or owner.annotations.get(PAUSED, "false") != "false":
            return []
        return [each for each in self._models.of(key) if each.decides or self._was_ours(key, each)]

    def _was_ours(self, key: Key, model: Model) -> bool:
        """Whether a model was ours to decide on, and nobody else's since."""
        external = model.spec.scaling is not None and model.spec.scaling.mode == "External"
        found = live(self._world.children, key, model.spec)
        return not external and found is not None and replicas.owned_by_autoscaler(found)

    async def _decided(self, key: Key, said: Round) -> list[_Wanted]:
        """Decide, and let no resource keep the others from it."""
        try:
            return await self._decide(key, said)
        except Exception as error:
            if self._warned.get(str(key)) != repr(error):
                self._warned[str(key)] = repr(error)
                log.exception("%s: not scaled, by a fault of the operator", key)
            return []

    async def _decide(self, key: Key, said: Round) -> list[_Wanted]:
        resource = self._world.resources.get(key)
        if resource is None:
            return []
        owner, found = observe.owner(resource), []
        known = self._scaled.setdefault(key, {})
        present = self._ours(key)
        gone = known.keys() - {each.spec.name for each in present}
        self._hands.metrics.forget(key.namespace, key.name, list(gone))
        for name in gone:
            del known[name]
        for model in present:
            deployed = live(self._world.children, key, model.spec)
            current = replicas.current(deployed) if deployed is not None else None
            if deployed is None or current is None:
                continue
            name = model.spec.name
            if name not in known:
                was = told(resource["status"])
                memory = was.memories.get(name, "")
                known[name] = restored(was.models.get(name, {}), model.seed, memory)
            known[name].expects(model.seed)
            other = await rival(deployed, self._world.scalers)
            alone = model.recommends or other is not None
            each = self._look_at(known[name], model, said, deployed, alone=alone)
            if each is not None:
                engines = said.engines.get(naming.fit(name), ())
                wanted = _Wanted(owner, model, known[name], deployed, current, each, engines, other)
                found.append(wanted)
        return found

    def _look_at(
        self, scaled: Scaled, model: Model, told: Round, deployed: Object, *, alone: bool
    ) -> Decision | None:
        now, looked, scaled.looked = self._now(), scaled.looked, True
        if not looked:
            return None
        engines = told.engines.get(naming.fit(model.spec.name), ())
        backend = f"local/{model.spec.name}"
        seen = Seen(
            seconds=told.seconds,
            engines=[(each.before, each.now) for each in engines],
            routers=[None if past is None else past.get(backend, NOTHING) for past in told.routers],
            replicas=replicas.current(deployed) or 0,
            ready=(deployed.get("status") or {}).get("readyReplicas", 0),
        )
        found = load(seen, scaled.capacity, model.price)
        scaled.capacity = found.capacity
        scaled.silent = bool(told.routers) and not found.sample.complete
        window = scaled.window = take(scaled.window, found.sample, model.policy, now)
        if alone and scaled.decision is not None:
            # What we would do next, had we done what we decided: else it would not settle.
            window = standing(window, scaled.decision.replicas)
        decision = decide(window, model.policy, now)
        scaled.window = remember(scaled.window, decision)
        return decision

    async def _share(self, wanted: Sequence[_Wanted]) -> dict[str, int]:
        """Return what models may have; those that are not set, or not yet, keep what they hold."""
        pool, pods = self._world.settings.pool, self._world.children.pods
        claims = [
            Claim(each.key, each.resource, each.model.spec, each.model.policy.least,
                  each.decision.replicas, each.current)
            for each in wanted if not each.left_alone
        ]  # fmt: skip
        quotas = await self._world.quotas() if any(each.grows for each in claims) else {}
        bounded = bounds(claims, quotas, lambda key: pods(family_of(key)))
        held = await self._held({each.key for each in claims}) if pool.gpus else []
        return arbitrate(demands(claims, pool), {**rest(pool.gpus, held), **bounded})

    async def _held(self, claimed: set[str]) -> list[tuple[ModelSpec, int]]:
        """Return the replicas of all models of which none is claimed."""
        children, found = self._world.children, []
        async for key in _in_turns(self._world.resources):
            for model in self._models.of(key):
                if f"{key.namespace}/{key.name}/{model.spec.name}" not in claimed:
                    deployed = live(children, key, model.spec)
                    current = replicas.current(deployed) if deployed is not None else None
                    found.append((model.spec, current or 0))
        return found

    def _settle(self, each: _Wanted, granted: int | None) -> _Wanted:
        """Return what is decided now that the GPUs are shared, and tell it; None: it has none."""
        decision, owner, name = each.decision, each.owner, each.model.spec.name
        if granted is not None and granted < decision.replicas:
            why = f"the pool or the quota has no more GPUs; {decision.replicas} are wanted"
            decision = replace(decision, replicas=granted, reason="Pool", message=why)
        key = Key(owner.namespace, owner.name)
        now, clock = self._now(), _clock()
        news = each.scaled.decided(decision, each.current, now)
        learnt = each.scaled.learnt(clock)
        kept = each.scaled.keeps(clock, now, each.model.room, news=news)
        if each.scaled.blinded() or learnt or kept or news:
            self._changed(key)
        if news:
            self._hands.metrics.decided(decision.reason)
        shown = Shown(decision, each.scaled.capacity, each.model.policy.objectives)
        self._hands.metrics.model((owner.namespace, owner.name, name), shown)
        return replace(each, decision=decision)

    def _differs(self, each: _Wanted) -> bool:
        """Whether anything is to be done: a number to set, or another autoscaler to warn of."""
        if each.model.recommends:
            return False
        ours = replicas.owned_by_autoscaler(each.live)
        return each.decision.replicas != each.current or not ours

    async def _carry_out(self, each: _Wanted) -> None:
        async with self._writing:
            try:
                if each.rival is not None:
                    await self._warn(each, each.rival)
                    return
                self._warned.pop(each.key, None)
                await self._write(each)
            except NotLeading:
                return  # whoever leads decides; we are about to be stopped
            except KubeError as error:
                log.warning("%s: %s; trying again", each.key, error)

    async def _write(self, each: _Wanted) -> None:
        decision, owner, name = each.decision, each.owner, each.model.spec.name
        target = Key(owner.namespace, naming.engine(owner.name, name))
        if decision.replicas < each.current:
            await self._mark(each)
        try:
            await self._hands.writer.scale(target, decision.replicas)
        except NotFound:
            return  # it is made anew, and taken over then
        if decision.replicas != each.current:
            text = f"{each.current} to {decision.replicas} replicas: {decision.message}"
            log.info("%s: %s", each.key, text)
            event = Event("Normal", f"Scaled{decision.reason}", f"Model {name}: {text}.")
            await self._hands.recorder.record(owner, event)

    async def _mark(self, each: _Wanted) -> None:
        """Tell which pods have least to lose, so that those go first."""
        pods = {
            pod["metadata"]["name"]: pod
            for pod in self._world.children.pods(family_of(each.resource))
        }
        for engine in each.engines:
            now = engine.now
            cost = 10_000 if now is None else round(now.running + now.waiting)
            annotations = pods.get(engine.pod, {"metadata": {}})["metadata"].get("annotations", {})
            if int(annotations.get(DELETION_COST, "0")) != cost:
                key = Key(each.owner.namespace, engine.pod)
                await self._hands.writer.deletion_cost(key, cost)

    async def _warn(self, each: _Wanted, rival: str) -> None:
        if self._warned.get(each.key) == rival:
            return
        self._warned[each.key] = rival
        message = (
            f"Model {each.model.spec.name}: {rival} scales it too, so the operator leaves it "
            "alone; set scaling.mode to External, or delete the other autoscaler."
        )
        await self._hands.recorder.record(each.owner, Event("Warning", "OtherScaler", message))


async def _in_turns(each: Iterable[T]) -> AsyncIterator[T]:
    """Yield each, and let others go first: a thousand in one go would hold them for a second.

    Not after each: a turn of the loop, where pods answer meanwhile, costs as much as one does.
    """
    until = _clock() + TURN_SECONDS
    for one in each:
        yield one
        if _clock() >= until:
            await asyncio.sleep(0)
            until = _clock() + TURN_SECONDS


def _clock() -> float:
    return asyncio.get_running_loop().time()
