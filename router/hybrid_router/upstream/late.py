"""Whether a local model would begin to answer too late, for what it has to compute before."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from hybrid_router.upstream.job import Job, Place


def begins_late(job: Job, place: Place, now: float, sooner: Callable[[str, float], bool]) -> bool:
    """Return whether a request should be put off here, because another of its targets is faster.

    A replica that has nothing else to compute is never late: no other one is faster, and how fast
    it is, is learnt from what it gets.

    Args:
        job: the request; `job.at` is the target of `place`.
        place: where it would be sent.
        now: seconds of the monotonic clock.
        sooner: whether a backend can be asked, and begins within so many seconds.
    """
    within = place.pool.backend.begin_within
    if within is None or place.replica.computed_at <= now:
        return False
    seconds = place.replica.begins_in(job.call.prompt_tokens, now)
    if seconds <= within:
        return False
    here = place.target.backend
    return any(t.backend != here and sooner(t.backend, seconds) for t in job.targets[job.at + 1 :])
