"""Whether a local model would begin to answer too late, for what it has to compute before."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from hybrid_router.discovery.replica import Prompt

if TYPE_CHECKING:
    from collections.abc import Callable

    from hybrid_router.upstream.job import Job, Place


def begins_late(job: Job, place: Place, sooner: Callable[[str, float], bool]) -> bool:
    """Return whether a request should be put off here, because another of its targets is faster.

    A replica that has nothing else to compute is never late: no other one is faster, and how fast
    it is, is learnt from what it gets.

    Args:
        job: the request; `job.at` is the target of `place`.
        place: where it would be sent.
        sooner: whether a backend can be asked, and begins within so many seconds.
    """
    within = place.pool.backend.begin_within
    if within is None or not place.replica.prefilling:
        return False
    seconds = place.replica.begins_in(job.call.prompt_tokens)
    if seconds <= within:
        return False
    here = place.target.backend
    return any(t.backend != here and sooner(t.backend, seconds) for t in job.targets[job.at + 1 :])


def queued(job: Job, place: Place) -> Prompt | None:
    """Count a prompt that is sent now, until its first token; None where nobody asks."""
    if place.pool.backend.begin_within is None:
        return None
    prompt = Prompt(place.replica, job.call.prompt_tokens)
    if not job.call.stream:  # nothing shows when it begins
        seconds = prompt.before / place.pool.prefill.rate
        asyncio.get_running_loop().call_later(seconds, prompt.computed)
    return prompt
