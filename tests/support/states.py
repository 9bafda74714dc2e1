"""States that a HybridInference can be in, for the table of conditions; each from the one before
it all."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec.structs import replace

from hybrid_operator.core.diff import stamp_of
from hybrid_operator.core.engine.defaults import CURRENT
from hybrid_operator.core.engine.version import Version
from hybrid_operator.core.plan import plan
from hybrid_operator.core.state import BackendReport, Contested, Observed, Plan, PodView, Ref
from tests.support.resources import MINIMAL, NOW, applied, observed, running, spec

ENGINE = "support-llama-3-8b-6b391556"
ROUTER = "support-router"
LOCAL, API = MINIMAL.split("providers:")[0], "providers:" + MINIMAL.split("providers:")[1]
TOKEN = "token: {secretKeyRef: {name: hf, key: token}}"
GATED = MINIMAL.replace(
    "{type: a10g}",
    f"{{type: a10g}}\n    source: {{huggingFace: {{repo: org/m, {TOKEN}}}}}",
)
GOOD = BackendReport("local/llama-3-8b", up=True, replicas=1)
BACKENDS = (GOOD, BackendReport("api/openai", up=True, replicas=1))


def settled(text: str = MINIMAL, **more: Any) -> Observed:
    """Return the resource with everything rolled out and every backend answering."""
    before = observed(text)
    made = applied(before, plan(before, NOW))
    return running(made, **({"backends": BACKENDS} | more))


def pod(seen: Observed, deployment: str, **fields: Any) -> Observed:
    """Return the state with the first pod of a Deployment in trouble."""
    (first, *_) = [view for view in seen.pods if view.name.startswith(deployment)]
    changes: dict[str, Any] = {"ready": False, "phase": "Pending"} | fields
    changed = replace(first, **changes)
    return replace(seen, pods=tuple(changed if view == first else view for view in seen.pods))


def down(text: str = MINIMAL, **fields: Any) -> Observed:
    """Return the state in which the engine's one replica does not answer."""
    return pod(settled(text, ready={ENGINE: 0}), ENGINE, **fields)


def deployment(seen: Observed, name: str, **status: Any) -> Observed:
    """Return the state with other words in a Deployment's status."""
    ref = Ref("Deployment", name)
    live = seen.children[ref]
    changed = {**live, "status": {**live["status"], **status}}
    return replace(seen, children={**seen.children, ref: changed})


def provider(**fields: Any) -> Observed:
    """Return the state in which the routers know this of the provider."""
    known: dict[str, Any] = {"up": False, "replicas": 1} | fields
    report = BackendReport("api/openai", **known)
    return settled(backends=(GOOD, report))


def sleeping(text: str) -> Observed:
    """Return the state with the engine at zero by decision."""
    return settled(text.replace("{type: a10g}", "{type: a10g}\n    scaling: {min: 0}"))


def with_spec(text: str) -> Observed:
    """Return what runs, after the spec was changed."""
    return replace(settled(), spec=spec(text))


def old_table() -> Observed:
    """Return the state in which one router has not taken the newest table."""
    seen = settled()
    first, *rest = seen.reports
    return replace(seen, reports=(replace(first, table_hash="0" * 16), *rest))


def unscheduled() -> Observed:
    """Return the state in which the scheduler finds no node for the engine."""
    message = "0/3 nodes are available: 3 Insufficient nvidia.com/gpu."
    return down(reason="Unschedulable", message=message)


def surplus_router(**fields: Any) -> Observed:
    """Return the state in which a third router, of the newest kind, is in trouble."""
    seen = deployment(settled(), ROUTER, replicas=3, updatedReplicas=1)
    more = PodView(f"{ROUTER}-new", "router", None, ready=False, phase="Pending", **fields)
    return replace(seen, pods=(*seen.pods, more))


def fought() -> Observed:
    """Return the state in which somebody changes the routers back as often as they are applied."""
    seen = settled()
    ref = Ref("Deployment", ROUTER)
    image = "spec.template.spec.containers[router].image"
    undone = Contested(stamp_of(seen.children[ref]), (image,), held=True)
    return replace(seen, contested={ref: undone})


def crashing(text: str = MINIMAL) -> Observed:
    """Return the state in which the engine starts again and again."""
    return down(text, reason="CrashLoopBackOff", restarts=4)


def plain(seen: Observed) -> Plan:
    """Plan with the defaults of today."""
    return plan(seen, NOW)


def newer(seen: Observed) -> Plan:
    """Plan with the defaults of a later operator."""
    return plan(seen, NOW, replace(CURRENT, revision=2, version=Version(0, 33)))


REFUSED = {"type": "ReplicaFailure", "status": "True", "message": "exceeded quota: gpus"}
LATE = {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"}
NO_SECRET = 'secret "hf" not found'
STATES: tuple[tuple[str, Observed, Callable[[Observed], Plan]], ...] = (
    ("just created, nothing is there yet", observed(), plain),
    ("engine and routers start", settled(ready={ENGINE: 0, ROUTER: 0}), plain),
    ("the routers answer, the engine still loads", settled(ready={ENGINE: 0}), plain),
    ("everything answers", settled(), plain),
    ("everything runs, the provider was not used yet", settled(backends=()), plain),
    ("local models alone, all answer", settled(LOCAL), plain),
    ("a provider alone, it answers", settled(API), plain),
    ("the engine sleeps at zero, the provider answers", sleeping(MINIMAL), plain),
    ("the engine sleeps at zero, there is no provider", sleeping(LOCAL), plain),
    ("an engine is being replaced", deployment(settled(), ENGINE, updatedReplicas=0), plain),
    ("no node for the engine", unscheduled(), plain),
    (
        "no node for the engine until the deadline",
        deployment(unscheduled(), ENGINE, conditions=[LATE]),
        plain,
    ),
    (
        "the engine's image cannot be pulled",
        down(reason="ImagePullBackOff", message='Back-off pulling image "vllm:0"'),
        plain,
    ),
    (
        "the Secret with the Hugging Face token is missing",
        down(GATED, reason="CreateContainerConfigError", message=NO_SECRET),
        plain,
    ),
    (
        "the engine crashes",
        down(reason="CrashLoopBackOff", message="ended with exit code 1 (Error)", restarts=4),
        plain,
    ),
    (
        "the engine crashes, there is no provider",
        down(LOCAL, reason="CrashLoopBackOff", message="", restarts=4),
        plain,
    ),
    (
        "a new image of the routers cannot be pulled, the old ones answer",
        surplus_router(reason="ErrImagePull", message="not found"),
        plain,
    ),
    (
        "the engine's pods are refused, by a quota",
        deployment(settled(ready={ENGINE: 0}), ENGINE, conditions=[REFUSED]),
        plain,
    ),
    ("the Secret with the provider's key is missing", provider(secret_missing=True), plain),
    ("the provider refuses its key", provider(last_status=401), plain),
    ("the provider allows no more requests now", provider(last_status=429), plain),
    ("the provider answers with errors", provider(last_status=500), plain),
    ("the provider does not answer", provider(last_status=0), plain),
    (
        "neither engine nor provider answers",
        replace(crashing(), reports=provider(last_status=0).reports),
        plain,
    ),
    ("one of two routers is down", settled(ready={ROUTER: 1}), plain),
    ("a router still serves the table before", old_table(), plain),
    ("no router answers", settled(ready={ROUTER: 0}), plain),
    (
        "something is accepted and not acted on yet",
        settled(MINIMAL + 'budgets: [{name: all, period: month, limitUSD: "500"}]'),
        plain,
    ),
    (
        "an engine or a router does not tell autoscaling its load",
        replace(settled(), scaling={"llama-3-8b": False}),
        plain,
    ),
    ("a newer operator has newer engine defaults", settled(), newer),
    ("the first spec was invalid", observed(MINIMAL.replace("a10g", "a11g")), plain),
    ("the spec became invalid", with_spec(MINIMAL.replace("a10g", "a11g")), plain),
    (
        "a Deployment of our name belongs to somebody else",
        replace(observed(), foreign=frozenset({Ref("Deployment", ROUTER)})),
        plain,
    ),
    ("somebody changes the routers back as often as they are applied", fought(), plain),
)
"""Each state: its name, what is seen, and the operator that sees it."""
