"""The log's line about one request."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from hybrid_router.calibrating import UNCALIBRATED
from hybrid_router.telemetry.access import Access

if TYPE_CHECKING:
    from hybrid_router.answering import Answering
    from hybrid_router.calibrating import Calibrating
    from hybrid_router.core.decision import Decision
    from hybrid_router.server.exchange import Exchange


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
        attempts=job.attempts if job is not None else 0,
        prompt_tokens=job.prompt_tokens if job is not None else 0,
        completion_tokens=job.completion_tokens if job is not None else 0,
        cost_usd=round(job.usd, 9) if job is not None and job.usd is not None else None,
        draft=answering.sureness,
        key=exchange.key_id,
    )


def _side(answering: Answering, decision: Decision) -> str:
    return "local" if answering.prefers_local(decision) else "api"
