"""Errors in the form that OpenAI clients read, as an answer's body or as an event of a stream."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping

_TYPES: Mapping[int, str] = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    405: "invalid_request_error",
    408: "timeout_error",
    413: "invalid_request_error",
    414: "invalid_request_error",
    415: "invalid_request_error",
    417: "invalid_request_error",
    429: "rate_limit_error",
    431: "invalid_request_error",
    502: "upstream_error",
    503: "service_unavailable_error",
    504: "timeout_error",
}


class ApiError(Exception):
    """An answer that is an error.

    Attributes:
        status: of the HTTP response.
        message: for people; says what is wrong and what to do, holds nothing of a prompt or a key.
        code: for programs, in snake_case.
        param: the request's field that is at fault, if one is.
        headers: beside the usual ones, lower case.
    """

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        param: str | None = None,
        headers: tuple[tuple[bytes, bytes], ...] = (),
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.param = param
        self.headers = headers


def envelope(error: ApiError, request_id: str = "") -> bytes:  # noqa: ARG001  others show it
    """Return the JSON body: `{"error": {"message", "type", "param", "code"}}`."""
    return error_body(error.status, error.message, error.code, error.param)


def error_body(
    status: int, message: str, code: str | None = None, param: str | None = None
) -> bytes:
    """Return the JSON body of an error that says `message`."""
    kind = _TYPES.get(status, "server_error")
    return msgspec.json.encode(
        {"error": {"message": message, "type": kind, "param": param, "code": code}}
    )


def error_event(error: ApiError) -> bytes:
    """Return the same as a server-sent event.

    A stream ends with it and without `[DONE]`, so that no client takes it for complete.
    """
    return b"data: " + envelope(error) + b"\n\n"
