"""The error for a request that no backend answered: what the client is told, and when to retry."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Final

from hybrid_router.openai.errors import ApiError
from hybrid_router.translate.surfaces import not_said
from hybrid_router.upstream.failures import Cause

if TYPE_CHECKING:
    from hybrid_router.discovery.registry import Registry
    from hybrid_router.upstream.job import Job

_NO_RETRY = (b"x-should-retry", b"false")
_STATUS: Final = {Cause.TIMEOUT: 504, Cause.OVERLOADED: 503}


def unanswered(job: Job, registry: Registry) -> ApiError:
    """Return the error for a request that no backend answered."""
    ended = job.last
    failure = ended.failure if ended is not None else None
    if job.withheld is not None or job.clearance.ruling.kept is not None:
        # Never 502: the API might answer, and must not be asked.
        why = job.withheld or job.clearance.ruling.kept
        message = f"no local backend answers at the moment, and nothing else may: {why}"
        return ApiError(503, "data_policy", message, headers=((b"retry-after", b"5"),))
    if job.unsaid is not None and not job.attempts:
        return ApiError(400, "unsupported_capability", not_said(job.unsaid))
    if failure is None or not job.attempts:
        now = time.monotonic()
        waits = [registry.pool(target.backend).wait(now) for target in job.targets]
        seconds = max(1, math.ceil(min(waits, default=1.0)))
        return ApiError(
            503,
            "no_backend",
            "no backend serves this model at the moment",
            headers=((b"retry-after", b"%d" % seconds),),
        )
    status = _STATUS.get(failure.cause, 502)
    if failure.status == 429:  # noqa: PLR2004  Too Many Requests: the client slows down, too
        status = 429
    headers = [_NO_RETRY]
    if failure.retry_after is not None:
        headers.append((b"retry-after", b"%d" % math.ceil(failure.retry_after)))
    elif status == 503:  # noqa: PLR2004  Service Unavailable
        headers.append((b"retry-after", b"1"))
    return ApiError(
        status,
        "rate_limit_exceeded" if status == 429 else f"upstream_{_word(failure.cause)}",  # noqa: PLR2004
        f"no backend answered ({job.attempts} tried); of the last one: {failure.text}",
        headers=tuple(headers),
    )


def _word(cause: Cause) -> str:
    return cause.value.replace("-", "_")
