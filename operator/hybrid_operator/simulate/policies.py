"""The policies by name."""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING

from hybrid_operator.simulate import fluid, peers
from hybrid_operator.simulate.hybrid import hybrid

if TYPE_CHECKING:
    from collections.abc import Callable

    from hybrid_operator.simulate.fluid import Load, Scaler

PEAK = 0.99
"""Quantile of demand that `static-peak` is sized for."""


def _static_mean(load: Load) -> Scaler:
    warm = load.work[: max(load.counted, 1)]
    mean = sum(warm) / len(warm)
    return peers.Static(math.ceil(mean / load.setting.utilization - 1e-9))


def _static_peak(load: Load) -> Scaler:
    warm = sorted(load.work[: max(load.counted, 1)])
    peak = warm[min(int(len(warm) * PEAK), len(warm) - 1)]
    return peers.Static(math.ceil(peak / load.setting.utilization - 1e-9))


def _oracle(load: Load) -> Scaler:
    return peers.Replay(fluid.optimum(load).schedule, load.setting.step)


POLICIES: dict[str, tuple[str, Callable[[Load], Scaler]]] = {
    "hybrid": ("ours: by price, level by level", lambda load: hybrid(load.setting)),
    "oracle": ("the offline optimum, which knows the future", _oracle),
    "static-mean": ("as many as the warm-up's mean needs", _static_mean),
    "static-peak": ("as many as 99 % of the warm-up needs", _static_peak),
    "hpa": ("HorizontalPodAutoscaler v2 on tokens/s", lambda _: peers.HPA()),
    "keda": ("KEDA as vLLM production-stack ships it", lambda _: peers.KEDA()),
    "kubeai": ("KubeAI's moving average of requests", lambda _: peers.KubeAI()),
    "kpa": ("Knative's pod autoscaler", lambda _: peers.KPA()),
    "llmd": ("llm-d's SLO-aware rule", lambda _: peers.LLMD()),
}
"""Each with what it is, and how it is made for a load; static ones see the warm-up alone."""


def replay(load: Load, name: str) -> fluid.Result:
    """Return what a policy costs in the fluid model; for the oracle, the exact optimum."""
    if name != "oracle":
        return fluid.run(load, POLICIES[name][1](load))
    best = fluid.optimum(load)
    setting, counted = load.setting, best.schedule[load.counted :]
    hours = sum(counted) * setting.step / fluid.HOUR
    starts = sum(max(b - a, 0) for a, b in itertools.pairwise(counted))
    hours += starts * setting.cold_start / fluid.HOUR
    usd = hours * setting.prices.gpu_hour
    return fluid.Result(
        gpu_hours=hours,
        gpu_usd=usd,
        api_usd=best.usd - usd,
        reversals=fluid.reversals(counted),
        schedule=best.schedule,
    )
