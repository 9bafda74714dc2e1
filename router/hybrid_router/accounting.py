"""The log's line about one request."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from hybrid_router.calibrating import UNCALIBRATED
from hybrid_router.telemetry.access import Access

if TYPE_CHECKING:
    from hybrid_router.answering import Answering
    from hybrid_router.calibrating import Calibrating
    from hybrid_router.core.decision import Decision
    from hybrid_router.server.exchange import Exchange
    from hybrid_router.upstream.job import Job


def access(
    exchange: Exchange,
    answering: Answering,
    source: str,
    status: int,
    seconds: float,
    calibrating: Calibrating,
) -> Access:
    """Return the line.

    Args:
        exchange: the request.
        answering: what is known of it.
        source: who answered: `local`, `api` or `none`.
        status: of the answer.
        seconds: that it took.
        calibrating: names classifier and state in force.
    """
    decision, job = answering.decision, answering.job
    told = decision if decision is not None and decision.confidence is not None else None
    target = job.target if job is not None else None
    return Access(
        time=time.time(),
        request_id=exchange.request_id,
        feedback_id=answering.feedback_id,
        surface=answering.surface,
        status=status,
        seconds=round(seconds, 6),
        model=answering.model,
        source=source,
        backend=target.backend if target is not None else "",
        served_model=target.model if target is not None else "",
        reason=str(answering.reason),
        confidence=told.confidence if told is not None else None,
        score=told.score if told is not None else None,
        threshold=told.threshold if told is not None else None,
        decision=_side(answering, told) if told is not None else "",
        shadow=(told.shadowed or "") if told is not None else "",
        classifier=(told.classifier or "").removesuffix(UNCALIBRATED) if told is not None else "",
        classifier_model=calibrating.model if told is not None else "",
        state=calibrating.digest if told is not None else "",
        data_classes=answering.clearance.ruling.names,
        intent=decision.intent if decision is not None else None,
        rule=decision.rule if decision is not None else None,
        **(_spent(job) if job is not None else {}),
        draft=answering.sureness,
        key=exchange.key_id,
    )


def _spent(job: Job) -> dict[str, Any]:
    return {
        "attempts": job.attempts,
        "prompt_tokens": job.prompt_tokens,
        "completion_tokens": job.completion_tokens,
        "cost_usd": round(job.usd, 9) if job.usd is not None else None,
    }


def _side(answering: Answering, decision: Decision) -> str:
    return "local" if answering.prefers_local(decision) else "api"
