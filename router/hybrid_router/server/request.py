"""A request's head.

httptools refuses Content-Length together with Transfer-Encoding, two lengths, folded lines and
line ends that are not CRLF. The rest of what keeps two parsers from disagreeing is here.
"""

from __future__ import annotations

import re
from typing import Final

import httptools

from hybrid_router.openai.errors import ApiError

# RFC 9112 (3.2): a Host that is no `uri-host [":" port]` is answered with 400.
_host: Final = re.compile(rb"(?:\[[0-9A-Fa-f:.]+\]|[!$&-.0-9;=A-Z_a-z~%]*)(?::[0-9]*)?")
_TWICE: Final = b"twice, twice"
"""Stands for a Host header that is missing or repeated; no host matches it."""


class Request:
    """Method, target and header fields; the body once it is there.

    Attributes:
        headers: by lower-case name; of a repeated field the last value.
        length: of the body in bytes; None if it comes in chunks.
    """

    __slots__ = (
        "body", "expects_continue", "headers", "http10", "keep_alive", "length", "method", "path",
        "target",
    )  # fmt: skip

    def __init__(self) -> None:
        self.headers: dict[bytes, bytes] = {}
        self.target = b""
        self.path = b""
        self.method = b""
        self.http10 = False
        self.keep_alive = False
        self.expects_continue = False
        self.length: int | None = 0
        self.body = b""

    # What httptools calls.

    def on_header(self, name: bytes, value: bytes) -> None:  # noqa: D102  httptools
        name = name.lower()
        if name in self.headers:
            value = self._repeated(name, value)
        self.headers[name] = value

    def _repeated(self, name: bytes, value: bytes) -> bytes:
        if name == b"host":
            return _TWICE
        if name == b"connection":
            return self.headers[name] + b"," + value
        return b"twice" if name == b"transfer-encoding" else value

    def complete(self, line: bytes) -> None:
        """Take the request line, and check what the parser does not.

        Raises:
            ApiError: 400, 417 or 505.
        """
        parts = line.split(b" ")
        version = parts[-1]
        self.http10 = version == b"HTTP/1.0"
        if version != b"HTTP/1.1" and not self.http10:
            raise ApiError(
                505, "http_version_not_supported", "only HTTP/1.1 and 1.0 are spoken here"
            )
        if len(parts) != 3:  # noqa: PLR2004  httptools takes more
            raise bad("one space stands between method, target and version")
        self.method, self.target = parts[0], parts[1]
        headers = self.headers
        host = headers.get(b"host")
        if host is None:
            host = b"" if self.http10 else _TWICE
        if _host.fullmatch(host) is None:
            raise bad(
                "exactly one Host header is needed"
                if host == _TWICE
                else "the Host header is not a host"
            )
        # Not should_keep_alive: the parser forgets the header once a message without body ends.
        options = headers.get(b"connection")
        self.keep_alive = not self.http10 and (options is None or not _closes(options))
        self._frame()
        self.path = _path(self.target)

    def _frame(self) -> None:
        headers = self.headers
        coding = headers.get(b"transfer-encoding")
        if coding is not None:
            if self.http10 or coding.lower() != b"chunked":
                raise bad("the only transfer coding is `chunked`, and only in HTTP/1.1")
            self.length = None
        else:
            self.length = int(headers.get(b"content-length", b"0"))
        expectation = headers.get(b"expect")
        if expectation is not None and not self.http10:
            if expectation.lower() != b"100-continue":
                raise ApiError(417, "expectation_failed", "the only expectation is 100-continue")
            self.expects_continue = True


def parse_head(head: bytes) -> Request:
    """Read a head, its blank line included.

    An upgrade is not taken: the request is answered in HTTP/1.1, as RFC 9110 (7.8) allows.

    Raises:
        ApiError: 400, 417 or 505.
    """
    request = Request()
    parser = httptools.HttpRequestParser(request)
    try:
        parser.feed_data(head)
    except httptools.HttpParserUpgrade:
        request.headers.pop(b"upgrade", None)
    except httptools.HttpParserError as error:
        raise bad(f"this is not an HTTP request: {error}") from None
    request.complete(head[: head.find(b"\r\n")])
    return request


def bad(message: str) -> ApiError:
    """Return the error for a request that cannot be read; its connection cannot go on."""
    return ApiError(400, "bad_request", message)


def _closes(options: bytes) -> bool:
    """Return whether a Connection header says `close`."""
    return b"close" in [option.strip() for option in options.lower().split(b",")]


def _path(target: bytes) -> bytes:
    """Return the target's path: without query, and without scheme and host of an absolute URI."""
    end = target.find(b"?")
    if end >= 0:
        target = target[:end]
    if not target.startswith(b"/"):
        _, scheme, rest = target.partition(b"://")
        if scheme:
            slash = rest.find(b"/")
            target = rest[slash:] if slash >= 0 else b"/"
    return target
