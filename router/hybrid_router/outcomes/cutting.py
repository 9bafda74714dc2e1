"""The cheapest threshold of a cascade, from its own log: what drafts cost and what they are worth.

Nobody has both answers of a request, so both sides are expected ones: the local answer is good with
the calibrated confidence, the API's as often as it was judged so, and either is as long as the one
that was given. `hinf classifier cut` does the same for prompts that both sides have answered.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hybrid_router.core.calibration import corrected
from hybrid_router.core.cost import Cut, Prices, Sample, choose_cut

if TYPE_CHECKING:
    from hybrid_router.outcomes.fit import Fitted
    from hybrid_router.outcomes.log import Log


def cheapest(log: Log, fitted: Fitted, prices: Prices, quality: float) -> Cut:
    """Return the cut of the lowest expected cost that keeps a share of the API's quality.

    Args:
        log: decisions of a cascade.
        fitted: what was made of it; thresholds are of its confidences.
        prices: of both sides.
        quality: share of the API's.

    Raises:
        ValueError: no request of the log was drafted, or the API was never good.
    """
    samples = []
    for decision in log.decisions:
        prompt, drafted, answered = decision.tokens
        if not drafted:
            continue
        good = corrected(fitted.state.maps, decision.intent, decision.score)
        samples.append(Sample(good, good, fitted.api_good, prompt, drafted, answered, answered))
    return choose_cut(samples, prices, quality)
