"""How many requests one replica is given at once; the others wait at the router, or spill.

More than an engine can run wait inside it, where no API can take them over, no order is kept and
nobody sees how long it takes. Fewer leave it idle, which costs throughput. So the bound is on the
generous side: what the scheduler and the KV cache hold of requests of a usual length, and a quarter
more, so that a replica always has a next one at hand.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from hybrid_operator.core.engine.arguments import values, whole
from hybrid_operator.core.engine.fit import fit
from hybrid_operator.core.engine.throughput import SEQUENCES

if TYPE_CHECKING:
    from hybrid_operator.api.models import ModelSpec
    from hybrid_operator.core.engine.defaults import EngineDefaults

USUAL_TOKENS = 512
"""Of a request in the KV cache, half of its answer generated. Conversations of ShareGPT have 161
prompt and 338 answer tokens in the mean (Kwon et al., "PagedAttention", 2023, section 6.1)."""
AHEAD = 1.25
"""Also the factor up to which the router's balancing lets a replica have more than the mean."""


def at_once(model: ModelSpec, defaults: EngineDefaults) -> int:
    """Return the requests that one replica of `model` should have at once, from all routers.

    `--max-num-seqs` among the raw arguments and `context.concurrency` are the user's own values.
    """
    found = fit(model, defaults)
    expected = model.context.concurrency if model.context else None
    given = values(tuple(model.engine.args if model.engine else ())).get("--max-num-seqs", "")
    if found.serving is None:  # nothing is planned, as on a CPU
        return math.ceil(AHEAD * (whole(given) or expected or SEQUENCES))
    runs = found.serving.sequences or SEQUENCES
    if found.memory is not None and not found.memory.refusals:
        tokens = min(USUAL_TOKENS, found.serving.context)
        runs = min(runs, max(1, found.memory.kv_tokens // tokens, expected or 1))
    return math.ceil(AHEAD * runs)
