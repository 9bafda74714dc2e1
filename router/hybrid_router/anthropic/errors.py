"""Errors in the form that Anthropic's clients read, as an answer's body or as an event."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hybrid_router.openai.errors import ApiError

_TYPES: Mapping[int, str] = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    408: "timeout_error",
    409: "conflict_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
    529: "overloaded_error",
}
"""Source: Anthropic's API reference, "Errors"."""


def error_type(status: int) -> str:
    """Return Anthropic's word for an HTTP status."""
    own = _TYPES.get(status)
    if own is None:
        return "invalid_request_error" if status < 500 else "api_error"  # noqa: PLR2004
    return own


def envelope(error: ApiError, request_id: str) -> bytes:
    """Return the JSON body: `{"type": "error", "error": {"type", "message"}, "request_id"}`."""
    message = error.message if error.param is None else f"{error.param}: {error.message}"
    return message_body(error.status, message, request_id)


def message_body(status: int, message: str, request_id: str = "") -> bytes:
    """Return the JSON body of an error that says `message`."""
    body: dict[str, object] = {
        "type": "error",
        "error": {"type": error_type(status), "message": message},
    }
    if request_id:
        body["request_id"] = request_id
    return msgspec.json.encode(body)


def error_event(error: ApiError) -> bytes:
    """Return the same as the event that ends a stream."""
    return b"event: error\ndata: " + message_body(error.status, error.message) + b"\n\n"
