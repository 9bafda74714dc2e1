"""What is sent to a backend besides the body.

Header fields are an allow-list, and so are their values: what a provider's API names its versions
and features by, unless the data policy finds something in it. A client's key, cookies, baggage and
addresses never leave; trace context and the request's id go to backends inside the cluster only.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from hybrid_router.telemetry.trace import child_of
from hybrid_router.upstream.pool import USER_AGENT

if TYPE_CHECKING:
    from hybrid_router.datapolicy.gate import Cleared
    from hybrid_router.table import Backend
    from hybrid_router.telemetry.tracing import AttemptSpan
    from hybrid_router.upstream.job import Job
    from hybrid_router.upstream.pool import Origin

MAX_VALUE_BYTES: Final = 512
"""Of a client's header field that reaches a provider."""
_features: Final = re.compile(
    rb"[A-Za-z][A-Za-z0-9_-]{0,63}(?:=[A-Za-z0-9-]{1,16})?"
    rb"(?:, ?[A-Za-z][A-Za-z0-9_-]{0,63}(?:=[A-Za-z0-9-]{1,16})?)*"
)
"""As in `context-1m-2025-08-07,files-api-2025-04-14` and `assistants=v2`."""
_version: Final = re.compile(rb"20[0-9]{2}-[01][0-9]-[0-3][0-9]")
_ANTHROPIC_VERSION: Final = b"anthropic-version: 2023-06-01\r\n"
"""The version of Anthropic's API that is written and read here; a client may ask for another."""
_FIXED: Final = (
    b"user-agent: " + USER_AGENT + b"\r\n"
    b"accept-encoding: identity\r\n"
    b"content-type: application/json\r\n"
)  # fmt: skip
_ACCEPT: Final = {
    True: b"accept: text/event-stream\r\n",
    False: b"accept: application/json\r\n",
}


def located(base: str, path: str, model: str) -> str:
    """Return the URL of `path` below a replica's base URL, which may have a query."""
    if "?" not in base:
        return base + path
    url, _, query = base.partition("?")
    return f"{url.replace('{model}', quote(model, safe=''))}{path}?{query}"


def post(
    origin: Origin,
    path: bytes,
    body: Cleared,
    passed: bytes,
    authorization: tuple[bytes, bytes] | None,
    *,
    stream: bool,
) -> bytes:
    """Return a whole POST request.

    Args:
        origin: brings the Host header.
        path: with the query.
        body: JSON that may be sent to this backend.
        passed: header lines, from `passed_headers`.
        authorization: the backend's key.
        stream: whether events are wanted.
    """
    key = b"%s: %s\r\n" % authorization if authorization is not None else b""
    return b"POST %s HTTP/1.1\r\n%s%s%s%s%scontent-length: %d\r\n\r\n%s" % (
        path, origin.host_header, _FIXED, _ACCEPT[stream], passed, key, len(body.body), body.body,
    )  # fmt: skip


def passed_headers(job: Job, backend: Backend, span: AttemptSpan | None) -> bytes:
    """Return the client's header lines that a backend gets, and those that its API needs."""
    headers = job.headers
    internal = backend.trust == "internal"
    if internal:
        context = child_of(headers) if span is None else span.context
        lines = [context, b"x-request-id: %s\r\n" % job.request_id.encode()]
    else:
        lines = [_named(job, b"openai-beta", _features)]
    if backend.dialect == "anthropic":
        lines.append(_named(job, b"anthropic-version", _version) or _ANTHROPIC_VERSION)
        lines.append(_named(job, b"anthropic-beta", _features))
    return b"".join(lines)


def _named(job: Job, name: bytes, form: re.Pattern[bytes]) -> bytes:
    """Return a field's line, if its value has the form of names and the data policy allows it."""
    value = job.headers.get(name)
    if value is None or len(value) > MAX_VALUE_BYTES or form.fullmatch(value) is None:
        return b""
    if not job.clearance.passes(value.decode()):
        return b""
    return b"%s: %s\r\n" % (name, value)
