"""What can go wrong on the way to a backend.

    UpstreamError
    ├── ConnectFailed    no connection: DNS, refused, unreachable, TLS
    ├── TimedOut         connected, and then too late
    ├── ProtocolBroken   what came is not HTTP/1.1, or not what was asked for
    └── Closed           the connection ended before the answer did
        └── Stale        ... and it was a pooled one that had not answered a single byte

Texts name hosts and reasons. They never carry a body, a header value or a key.
"""

from __future__ import annotations


class UpstreamError(Exception):
    """A backend could not be asked, or did not answer as HTTP says."""

    def anew(self) -> UpstreamError:
        """Return the same error to be raised, where this one is kept.

        The traceback of an error that is raised knows who raised it; were it the one that is kept
        there, they would know each other, and wait for the garbage collector.
        """
        return type(self)(*self.args)


class ConnectFailed(UpstreamError):  # noqa: N818  named after what happened
    """No connection could be made; nothing was sent."""


class TimedOut(UpstreamError):  # noqa: N818  named after what happened
    """The answer, or its next part, did not come in time."""


class ProtocolBroken(UpstreamError):  # noqa: N818  named after what happened
    """The answer is not HTTP/1.1, is too large, or is not of the kind that was asked for."""


class Closed(UpstreamError):  # noqa: N818  named after what happened
    """The connection ended before the answer did."""


class Stale(Closed):
    """A pooled connection was already closed by the other side; a fresh one may be tried."""
