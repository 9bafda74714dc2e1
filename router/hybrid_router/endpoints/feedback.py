"""POST /v1/feedback: a client says how good an answer was."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import msgspec
from msgspec import Meta

from hybrid_router.openai.body import shaped
from hybrid_router.openai.errors import ApiError
from hybrid_router.server.exchange import JSON

if TYPE_CHECKING:
    from hybrid_router.outcomes.desk import Desk
    from hybrid_router.server.exchange import Exchange

MAX_BYTES = 4_096
_SCORES = {"good": 1.0, "bad": 0.0}


class _Feedback(msgspec.Struct, frozen=True):
    request_id: Annotated[str, Meta(min_length=1, max_length=256)]
    score: Literal["good", "bad"] | Annotated[float, Meta(ge=0, le=1)]
    reason: Annotated[str, Meta(pattern="^[a-z0-9-]{1,32}$")] | None = None


class Feedback:
    """Takes judgements of answers that were decided by a confidence."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def take(self, exchange: Exchange) -> None:
        """Take one; the same one again changes nothing, another one for the same id replaces it.

        Raises:
            ApiError: 400, 404 or 413.
        """
        body = exchange.request.body
        if len(body) > MAX_BYTES:
            raise ApiError(413, "body_too_large", f"feedback has at most {MAX_BYTES} bytes")
        said = shaped(body, _Feedback)
        receipt = self._desk.read(said.request_id, exchange.key_id)
        if receipt is None:
            raise ApiError(
                404,
                "request_not_found",
                "no request of this key is known by this id: give the answer's x-request-id (or "
                "x-hybrid-feedback-id, where the request had an id of its own) within 7 days; only "
                "answers that a confidence decided about can be judged",
                param="request_id",
            )
        score = _SCORES[said.score] if isinstance(said.score, str) else float(said.score)
        recorded = self._desk.judged(receipt, score, said.reason, exchange.key_id)
        answer = {
            "object": "feedback",
            "request_id": said.request_id,
            "score": score,
            "recorded": recorded,
        }
        exchange.reply(200, JSON, msgspec.json.encode(answer))
