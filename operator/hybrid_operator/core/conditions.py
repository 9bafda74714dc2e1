"""The conditions of the resource: what is so, why, and what to do.

docs/conditions.md has the table of states and what each condition says in them; it is a golden
test.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from hybrid_operator.core import causes, contest, keyless, naming, supported, table
from hybrid_operator.core.desired import IGNORE_FIT, UPDATE
from hybrid_operator.core.placement import explain
from hybrid_operator.core.view import Engine

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from hybrid_operator.api.base import Problem
    from hybrid_operator.core.causes import Cause
    from hybrid_operator.core.desired import Desired
    from hybrid_operator.core.state import Nodes, Observed
    from hybrid_operator.core.view import Account, Routers, View

MAX_MESSAGE = 640
"""Characters of a message, as the CRD has it."""
_NAMED = 5
"""Problems that a message names before it counts the rest."""
_FORBIDDEN = frozenset({401, 403})
_TOO_MANY = 429


@dataclass(frozen=True, slots=True)
class Condition:
    """One aspect of the state, without the time of its change."""

    type: str
    status: Literal["True", "False", "Unknown"]
    reason: str
    message: str

    @property
    def holds(self) -> bool:
        """Whether it is true."""
        return self.status == "True"


@dataclass(frozen=True, slots=True)
class Facts:
    """What all conditions are judged by."""

    observed: Observed
    desired: Desired
    view: View
    problems: tuple[Problem, ...]
    """Of the spec; nothing is applied while there are any."""


def conditions(facts: Facts) -> tuple[Condition, ...]:
    """Return every condition that applies."""
    view = facts.view
    engines = engines_ready(view.engines)
    routers = routers_ready(view.routers)
    providers = providers_reachable(view.accounts)
    ready = is_ready(facts, routers)
    parts = (engines, routers, providers)
    fought = contest.cause(facts.observed.contested, facts.desired.refs())
    undone = [_false("Progressing", fought.reason, fought.message)] if fought else []
    return (
        ready,
        degraded(facts, ready, (*undone, *parts)),
        progressing(facts, parts, undone),
        engines,
        routers,
        providers,
        fits(facts.desired),
        schedulable(view, facts.observed.nodes),
        valid(facts),
        acted_on(facts),
        update_available(facts.desired),
        *calibrated(facts.desired),
        *scaling_active(facts.observed),
    )


def valid(facts: Facts) -> Condition:
    """Whether the spec can be acted on."""
    if not facts.problems:
        return Condition("Valid", "True", "Valid", "")
    tail = "nothing was changed; what ran before goes on"
    return _false("Valid", "InvalidSpec", f"{_list(facts.problems)}; {tail}")


def acted_on(facts: Facts) -> Condition:
    """Whether all of the spec has an effect in this release."""
    spec = facts.observed.spec
    found = [*supported.not_acted_on(spec)] if spec is not None else []
    found += facts.desired.notes
    if not found:
        return Condition("Supported", "True", "AllActedOn", "")
    message = "; ".join(str(each) for each in found)
    if len(message) > MAX_MESSAGE:
        message = f"no effect yet: {', '.join(each.path for each in found)}"
    return _false("Supported", "NotActedOnYet", message)


def fits(desired: Desired) -> Condition:
    """Whether every local model can run on what it asks for, as planned before it starts."""
    name = "Fits"
    judged = [each for each in desired.fits if each.message]
    impossible = [each for each in judged if each.impossible]
    open_ones = [each for each in judged if each.missing]
    partly = [each for each in judged if each not in impossible and each not in open_ones]
    message = "; ".join(each.message for each in (*impossible, *open_ones, *partly))
    warnings = [f"model {f.model}: {w}" for f in desired.fits for w in f.warnings]
    message = "; ".join(filter(None, [message, *warnings]))
    if impossible:
        how = f'it starts all the same with the annotation {IGNORE_FIT}="true"'
        return _false(name, "DoesNotFit", f"{message}; {how}")
    if any(each.verdict is False for each in partly):
        return _false(name, "HoldsFewer", message)
    if open_ones:
        return Condition(name, "Unknown", "NotPlanned", message)
    if partly:
        return Condition(name, "Unknown", "Borderline", message)
    if not desired.fits:
        return Condition(name, "True", "NoModels", "")
    return Condition(name, "True", "AllFit", message)


def engines_ready(engines: Sequence[Engine]) -> Condition:
    """Whether every local model answers, or sleeps by decision."""
    name = "EnginesReady"
    if not engines:
        return Condition(name, "True", "NoModels", "there are no local models")
    failing = [engine.cause for engine in engines if engine.cause is not None]
    if failing:
        worst = _worst(failing)
        return _false(name, worst.reason, "; ".join(cause.message for cause in failing))
    asleep = [engine.model for engine in engines if engine.asleep]
    if len(asleep) == len(engines):
        return Condition(name, "True", "ScaledToZero", _asleep(asleep))
    answering = sum(engine.ready for engine in engines)
    message = f"{answering} of {sum(e.wanted for e in engines)} replicas answer"
    return Condition(
        name, "True", "AllReady", "; ".join([message, *filter(None, [_asleep(asleep)])])
    )


def routers_ready(routers: Routers) -> Condition:
    """Whether every router answers, by the current table."""
    name = "RouterReady"
    cause = routers.cause
    if cause is not None:
        return _false(name, cause.reason, cause.message)
    behind = sorted(set(routers.ready_pods) - set(routers.current))
    if behind or not routers.current:
        message = (
            f"{len(behind)} of {len(routers.ready_pods)} routers do not serve the current table"
        )
        return _false(name, "TableNotServed", f"{message}: {', '.join(behind) or 'none is seen'}")
    message = f"{len(routers.current)} of {routers.wanted} routers serve the current table"
    return Condition(name, "True", "AllReady", message)


def providers_reachable(accounts: Sequence[Account]) -> Condition:
    """Whether the providers answered when they were last used."""
    name = "ProvidersReachable"
    if not accounts:
        return Condition(name, "True", "NoProviders", "no provider is used")
    failing = [_account_failure(account) for account in accounts if account.failure]
    if failing:
        return _false(name, failing[0].reason, "; ".join(cause.message for cause in failing))
    untried = [account.provider.name for account in accounts if not account.tried]
    if untried:
        message = f"not used yet: {', '.join(untried)}; they are known by what requests get"
        keyless_ones = [a.provider.name for a in accounts if keyless.refuses(a.provider)]
        if keyless_ones:
            message += f"; without an apiKey, they will refuse them: {', '.join(keyless_ones)}"
        return Condition(name, "Unknown", "NotUsedYet", message)
    return Condition(name, "True", "Answering", "every provider answered when last used")


def _account_failure(account: Account) -> Cause:
    report, provider = account.failure, account.provider
    name = f"provider {provider.name}"
    status = report.last_status if report else None
    secret = provider.api_key.secret_key_ref if provider.api_key else None
    if report and report.secret_missing and secret:
        missing = f"{name}: there is no key {secret.key} in a Secret {secret.name}"
        return causes.Cause(
            "SecretMissing",
            f"{missing}; create it: {causes.create_secret(secret, account.namespace)}",
        )
    if status in _FORBIDDEN:
        held = f"key {secret.key} of Secret {secret.name}" if secret else "apiKey, which is not set"
        return causes.Cause("KeyRefused", f"{name} answered {status}: check {held}")
    if status == _TOO_MANY:
        return causes.Cause("RateLimited", f"{name} answered 429: its account allows no more now")
    if status:
        return causes.Cause("ProviderErrors", f"{name} answered {status}")
    message = f"{name} does not answer: check its baseURL and the cluster's way out"
    return causes.Cause("Unreachable", message)


def schedulable(view: View, nodes: Nodes) -> Condition:
    """Whether there are nodes for all pods, in the scheduler's own words and by what nodes have."""
    waiting = []
    for part in (*view.engines, view.routers):
        cause = causes.unschedulable(part)
        if cause is not None:
            wanted = part.wants if isinstance(part, Engine) else None
            found = explain(wanted, nodes) if wanted is not None else None
            why = f"{found.message}; the scheduler says: " if found else ""
            words = cause.message.removeprefix(f"{part.name}: ")
            message = f"{part.name}: {why}{words}"
            waiting.append((found.reason if found else cause.reason, message))
    if not waiting:
        return Condition("Schedulable", "True", "NodesFound", "")
    return _false("Schedulable", waiting[0][0], "; ".join(message for _, message in waiting))


def update_available(desired: Desired) -> Condition:
    """Whether engines run with older defaults than this operator has."""
    if not desired.updates:
        return Condition("UpdateAvailable", "False", "UpToDate", "")
    what = "; ".join(f"model {update.model}: {update.what}" for update in desired.updates)
    how = f'comes with the next change of the model, or now with the annotation {UPDATE}="true"'
    return Condition("UpdateAvailable", "True", "NewerDefaults", f"{what}; {how}")


def calibrated(desired: Desired) -> Iterator[Condition]:
    """Yield whether the calibration state that is offered is in force, where one is asked for."""
    found = desired.calibrated
    if found is not None:
        status: Literal["True", "False"] = "True" if found.good else "False"
        yield Condition("Calibrated", status, found.reason, found.message)


def scaling_active(observed: Observed) -> Iterator[Condition]:
    """Yield whether autoscaling sees what it goes by, where it has something to decide."""
    name, seen = "ScalingActive", observed.scaling
    if seen is None:  # an operator that has just started: as it was
        for each in observed.status.get("conditions") or ():
            if each["type"] == name:
                yield Condition(name, each["status"], each["reason"], each["message"])
        return
    blind = [model for model, found in seen.items() if not found]
    if blind:
        pods = f"kubectl get pods -l {naming.INSTANCE_LABEL}={naming.instance(observed.owner.name)}"
        message = (
            f"the load of {_names(blind)} is not seen: an engine or a router does not answer at "
            "/metrics, or not with what is known. No replica is taken away meanwhile, and none is "
            "added for what is not seen. Does a NetworkPolicy keep the operator from port http "
            f"of these pods, or are they at fault? See {pods}"
        )
        yield _false(name, "NoMetrics", message)
    elif seen:
        yield Condition(name, "True", "LoadSeen", "")


def is_ready(facts: Facts, routers: Condition) -> Condition:
    """Whether the routers answer this generation's aliases, each by at least one backend."""
    if facts.problems:
        return _false("Ready", "InvalidSpec", f"the spec is not valid: {_list(facts.problems)}")
    view, spec = facts.view, facts.observed.spec
    if not view.routers.current or spec is None:
        return _false(
            "Ready", "NoRouter", f"no router serves this generation yet: {routers.message}"
        )
    usable = {naming.local_backend(e.model) for e in view.engines if e.ready}
    usable |= {naming.api_backend(a.provider.name) for a in view.accounts if a.usable}
    document = facts.desired.table
    models = document.table.models if document else {}
    served = [alias.name for alias in table.aliases(spec)]
    silent = [
        name
        for name in served
        if name not in models or not any(t.backend in usable for t in models[name].targets)
    ]
    if silent:
        message = f"nothing answers for {', '.join(silent)}: no backend of theirs is usable"
        return _false("Ready", "NoBackend", message)
    return Condition(
        "Ready", "True", "Serving", f"{endpoint(facts.observed)} answers {_names(served)}"
    )


def degraded(facts: Facts, ready: Condition, parts: Iterable[Condition]) -> Condition:
    """Whether less is served than asked for, by a fault or while the other side bridges."""
    if facts.problems:
        return Condition("Degraded", "True", "InvalidSpec", "what ran before goes on")
    faulty = [part for part in parts if part.status == "False"]
    blocked = [part for part in faulty if part.reason not in _IN_TIME]
    worst = next(iter(blocked or faulty), None)
    if worst is None:
        if ready.holds:
            return Condition("Degraded", "False", "AsAsked", "")
        return Condition("Degraded", "True", ready.reason, ready.message)
    if not blocked and not ready.holds:
        return Condition("Degraded", "False", "Starting", "")
    return Condition("Degraded", "True", worst.reason, worst.message)


_IN_TIME = frozenset({"NotCreated", "Starting", "TableNotServed", "Unschedulable"})
"""Reasons that time may mend: part of every start."""


def progressing(facts: Facts, parts: Iterable[Condition], undone: Sequence[Condition]) -> Condition:
    """Whether the cluster is on its way to what the spec says."""
    name = "Progressing"
    if facts.problems:
        return _false(name, "InvalidSpec", "nothing happens until the spec is valid")
    if undone:
        return undone[0]
    workloads = (*facts.view.engines, facts.view.routers)
    stuck = [part.stuck for part in workloads if part.stuck is not None]
    if stuck:
        return _false(name, stuck[0].reason, "; ".join(cause.message for cause in stuck))
    engines, routers, _ = parts
    waiting = [part for part in (engines, routers) if part.status == "False"]
    if waiting:
        return Condition(name, "True", waiting[0].reason, waiting[0].message)
    rolling = [part.name for part in workloads if not part.settled]
    if rolling:
        return Condition(
            name, "True", "RollingOut", f"replicas are being replaced: {_names(rolling)}"
        )
    return _false(name, "Complete", "")


def endpoint(observed: Observed) -> str:
    """Return the base URL for clients within the cluster."""
    owner = observed.owner
    return f"http://{naming.router(owner.name)}.{owner.namespace}.svc/v1"


def _false(name: str, reason: str, message: str) -> Condition:
    return Condition(name, "False", reason, message)


def _worst(found: Sequence[Cause]) -> Cause:
    return next((cause for cause in found if cause.blocked), found[0])


def _asleep(models: Sequence[str]) -> str:
    return f"asleep at zero replicas: {', '.join(models)}" if models else ""


def _list(problems: Sequence[Problem]) -> str:
    rest = len(problems) - _NAMED
    text = "; ".join(str(problem) for problem in problems[:_NAMED])
    return f"{text}; and {rest} more" if rest > 0 else text


def _names(names: Sequence[str]) -> str:
    return ", ".join(names)
