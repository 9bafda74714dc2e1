"""Why an attempt failed before the commit boundary, and what that says about trying again."""

from __future__ import annotations

import enum
import time
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Final

import msgspec

from hybrid_router.core.breaker import Outcome
from hybrid_router.openai.answer import is_context_length
from hybrid_router.upstream.errors import ConnectFailed, ProtocolBroken, TimedOut, UpstreamError

if TYPE_CHECKING:
    from hybrid_router.upstream.wire import Headers


class Cause(enum.Enum):
    """Why an attempt failed before the commit boundary."""

    CONNECT = "connect"
    """Nothing was sent: trying again costs the backend nothing."""
    TIMEOUT = "timeout"
    BROKEN = "broken"
    """The connection broke, or what came is no answer."""
    REDIRECT = "redirect"
    REFUSED_KEY = "refused-key"
    """401 or 403: the router's own key, none of the client's business."""
    OVERLOADED = "overloaded"
    """429 or 503."""
    SERVER_ERROR = "server-error"
    """408 or 5xx."""
    TOO_LONG = "too-long"
    """The prompt exceeds this model's context."""
    UNSURE = "unsure"
    """It was a draft, and not taken: no fault of the backend's."""
    UNDECIDED = "undecided"
    """It was a draft, and nothing could be said of it in time."""


NOT_TAKEN: Final = frozenset({Cause.UNSURE, Cause.UNDECIDED})
"""Of drafts: the next target is asked, and nobody has failed."""
_OUTCOMES: Final = {
    Cause.OVERLOADED: Outcome.OVERLOADED,
    Cause.TOO_LONG: Outcome.CLIENT_ERROR,
    Cause.UNSURE: Outcome.OK,
    Cause.UNDECIDED: Outcome.CANCELLED,
}


class Failure(msgspec.Struct, frozen=True):
    """An attempt that failed before the commit boundary.

    Attributes:
        cause: what happened.
        text: the same for people; names no host and quotes no answer.
        status: what the backend answered, or 0.
        retry_after: seconds, as the backend said.
    """

    cause: Cause
    text: str
    status: int = 0
    retry_after: float | None = None

    @property
    def outcome(self) -> Outcome:
        """What a replica's breaker is told."""
        return _OUTCOMES.get(self.cause, Outcome.FAILED)


def of_error(error: UpstreamError) -> Failure:
    """Return what an error of the connection comes to."""
    if isinstance(error, ConnectFailed):
        return Failure(Cause.CONNECT, "it could not be reached")
    if isinstance(error, TimedOut):
        return Failure(Cause.TIMEOUT, "it did not answer in time")
    if isinstance(error, ProtocolBroken):
        return Failure(Cause.BROKEN, "its answer is not understood")
    return Failure(Cause.BROKEN, "the connection broke")


def broken(status: int, text: str) -> Failure:
    """Return the failure of an answer that is none; `text` says why, for people."""
    return Failure(Cause.BROKEN, text, status)


def of_status(status: int, body: bytes, headers: Headers) -> Failure | None:
    """Return why another backend should be tried, or None if the client caused the error."""
    if status < 400:  # noqa: PLR2004  3xx
        return Failure(Cause.REDIRECT, "it redirects, and redirects are not followed", status)
    if status in {401, 403}:
        return Failure(Cause.REFUSED_KEY, f"it refused the router's key ({status})", status)
    if status in {429, 503, 529}:  # 529: Anthropic is overloaded
        after = _retry_after(headers)
        return Failure(Cause.OVERLOADED, f"it is overloaded ({status})", status, after)
    if status == 408 or status >= 500:  # noqa: PLR2004  Request Timeout, server errors
        return Failure(Cause.SERVER_ERROR, f"it failed ({status})", status, _retry_after(headers))
    if status in {400, 413} and is_context_length(body):
        return Failure(Cause.TOO_LONG, "the prompt exceeds its context", status)
    return None


def _retry_after(headers: Headers) -> float | None:
    """Return the seconds to wait: `retry-after-ms`, as OpenAI says it, or `Retry-After`."""
    precise, usual = headers.get(b"retry-after-ms"), headers.get(b"retry-after")
    try:
        if precise is not None:
            seconds = float(precise) / 1000
        elif usual is not None:
            seconds = float(usual) if usual[:1].isdigit() else _until(usual.decode("latin-1"))
        else:
            return None
    except ValueError:
        return None
    return seconds if 0 <= seconds < 86_400 else None  # noqa: PLR2004  a day


def _until(date: str) -> float:
    """Return the seconds until a date of HTTP's (RFC 9110, 5.6.7); 0 if it has passed.

    Raises:
        ValueError: it is none.
    """
    return max(0.0, parsedate_to_datetime(date).timestamp() - time.time())
