"""What choosing among the policy's rules for a level could gain at most: the fluid model's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hybrid_operator.core.scaling.levels import NOTHING, Level, Levels, Rates
from hybrid_operator.simulate.fluid import HOUR, level_values

if TYPE_CHECKING:
    from hybrid_operator.simulate.fluid import Load, Setting


def best_rules(load: Load) -> float:
    """Return the USD of every level following one rule, the best one for it with hindsight.

    Of `levels.HORIZONS` and `levels.TIMEOUTS`, and a replica that is always or never there. A rule
    itself knows only the past, the warm-up among it. So what is below it is gained by other rules,
    or by changing between rules in time; no better way to choose one of these gets there.
    """
    setting = load.setting
    known, total = NOTHING, 0.0
    priced = [list(level_values(load, level * setting.utilization)) for level in range(load.peak)]
    spent = [[0.0] * len(Level().running) for _ in range(load.peak)]
    rates = _rates(setting)
    for index, (work, usd) in enumerate(zip(load.work, load.api_usd, strict=True)):
        if index >= load.counted:
            _spend(known, [each[index - load.counted] for each in priced], spent, rates)
        known = known.after(work, usd / setting.step, setting.utilization, rates)
    always = rates.gpu_usd * (len(load.work) - load.counted)
    for costs, value in zip(spent, priced, strict=True):
        total += min(*costs, always, sum(value))
    return total


def _rates(setting: Setting) -> Rates:
    usd = setting.prices.gpu_hour / HOUR
    return Rates(setting.step, usd * setting.step, usd * setting.cold_start, setting.cold_start)


def _spend(known: Levels, prices: list[float], spent: list[list[float]], rates: Rates) -> None:
    """Add what each rule pays in a step, from what it has asked for before it."""
    cold = rates.cold_start_seconds
    for number, (value, costs) in enumerate(zip(prices, spent, strict=True)):
        level = known.levels[number] if number < len(known.levels) else Level()
        for rule, on in enumerate(level.running):
            costs[rule] += (rates.gpu_usd if on else 0.0) + (0.0 if on > cold else value)
