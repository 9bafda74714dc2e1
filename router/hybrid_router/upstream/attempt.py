"""One attempt at one replica: from sending the request to the last byte, or to a failure.

Before the commit boundary an attempt that fails has shown the client nothing, and another may be
made. `Ended.failure` is set then. After it, the client has an answer, or one that visibly broke.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final, Protocol

import msgspec
from mypy_extensions import mypyc_attr

from hybrid_router.core.breaker import Outcome
from hybrid_router.openai.answer import NotAnAnswerError
from hybrid_router.openai.request import BYTES_PER_TOKEN
from hybrid_router.openai.shapes import Usage
from hybrid_router.ticker import NEVER, Ticker
from hybrid_router.upstream.errors import ProtocolBroken, Stale, TimedOut, UpstreamError
from hybrid_router.upstream.failures import Failure, broken, of_error, of_status

if TYPE_CHECKING:
    from hybrid_router.discovery.replica import Prompt
    from hybrid_router.openai.form import Form
    from hybrid_router.server.exchange import Flow
    from hybrid_router.upstream.pool import Origin
    from hybrid_router.upstream.wire import Headers, Wire

MAX_HELD_BYTES: Final = 4 * 1024 * 1024
"""An unstreamed answer up to this size is held until it is complete."""
TAIL_SECONDS: Final = 2.0
"""How long a connection may take to end a message whose content is complete."""

_PASSED_OF_TRANSLATED: Final = frozenset(
    b"openai-processing-ms openai-version retry-after retry-after-ms".split()
)
_PASSED: Final = _PASSED_OF_TRANSLATED | {b"content-encoding", b"content-type"}
"""A backend's header fields that the client gets, beside its rate limits."""
_JSON: Final = b"content-type: application/json\r\n"
_RATE_LIMITS: Final[tuple[bytes, ...]] = (b"x-ratelimit-", b"anthropic-ratelimit-")
_OWN_LIMITS: Final = b"x-ratelimit-"
"""Where the client's key has limits of its own, it does not get the backend's."""


class Downstream(Protocol):
    """The client's side: `server.exchange.Exchange`."""

    flow: Flow | None

    def reply(self, status: int, headers: bytes, body: bytes) -> None:
        """Answer as a whole."""

    def start(self, status: int, headers: bytes, length: int | None = None) -> None:
        """Begin an answer in parts."""

    def send(self, data: bytes) -> None:
        """Send a part."""

    def chunked(self) -> asyncio.WriteTransport | None:
        """Return where whole chunks may be written as they stand, of an answer that has begun.

        None where every part has to go through `send`.
        """

    def finish(self) -> None:
        """End the answer."""

    def attach(self, flow: Flow) -> None:
        """Let another go on with an answer that has begun."""

    def cut(self) -> None:
        """Break the answer off."""


class Ended(msgspec.Struct, frozen=True):
    """How an attempt ended.

    Attributes:
        status: what the backend answered; 0 if it did not.
        failure: it failed before the commit boundary, and the client has seen nothing.
        broken: it failed after the commit boundary. The client has been told, unless it is
        unfinished: the client waits for the rest, which another replica may bring.
        usage: as the backend said.
        events: let through to the client; about one token each.
        first_token: seconds from sending to the commit boundary.
        body: a complete answer that was asked for as a whole (`Whole` with `delivers=False`), or
            an error that is the client's own to see.
    """

    status: int
    failure: Failure | None = None
    broken: bool = False
    unfinished: bool = False
    usage: Usage | None = None
    events: int = 0
    first_token: float | None = None
    body: bytes = b""

    @property
    def outcome(self) -> Outcome:
        """What a replica's breaker is told."""
        if self.failure is not None:
            return self.failure.outcome
        if self.broken:
            return Outcome.FAILED
        return Outcome.OK if self.status < 400 else Outcome.CLIENT_ERROR  # noqa: PLR2004  errors

    @property
    def retry_after(self) -> float | None:
        """Seconds, as the backend said with a failure."""
        return self.failure.retry_after if self.failure is not None else None


class Clocks(msgspec.Struct, frozen=True):
    """Moments (seconds of the monotonic clock) and durations that bound an attempt."""

    connect: float
    """Seconds."""
    commit_by: float
    """Moment by which something generated, or the whole answer, must be there."""
    idle: float
    """Seconds between two parts after that."""
    end_by: float
    """Moment by which it must be over."""


_STALE: Final = Ended(0)
"""Nothing was asked: the kept connection was closed meanwhile."""


@mypyc_attr(allow_interpreted_subclasses=True)
class Attempt:
    """What is common to streamed and whole answers: it collects, and it watches the clock."""

    __slots__ = (
        "_client", "_clocks", "_ended", "_headers", "_parts", "_prefix", "_sent", "_size",
        "_status", "_ticker", "_wire", "deadline", "form", "prompt",
    )  # fmt: skip

    def __init__(
        self, client: Downstream, prefix: bytes, clocks: Clocks, ticker: Ticker, form: Form
    ) -> None:
        """Prepare an attempt.

        Args:
            client: gets the answer.
            prefix: header lines that go before the backend's own.
            clocks: its limits.
            ticker: watches them.
            form: reads the answer.
        """
        self._client = client
        self.form = form
        self.prompt: Prompt | None = None
        """Told when something generated is there."""
        self._prefix = prefix
        self._clocks = clocks
        self._ticker = ticker
        self._wire: Wire
        self._ended: asyncio.Future[Ended]
        self._headers: Headers
        self._reset()
        self.deadline = NEVER

    def _reset(self) -> None:
        self._status = 0
        self._parts: list[bytes] = []
        self._size = 0

    async def run(self, origin: Origin, request: bytes) -> Ended:
        """Send the request and return how it ended. Cancelling it drops the connection."""
        try:
            wire = origin.take()
            if wire is not None:
                ended = await self._ask(wire, request)
                if ended is not _STALE:
                    return ended
                self._reset()  # once more, on a connection that cannot be stale
            left = self._clocks.commit_by - time.monotonic()
            return await self._ask(
                await origin.connect(max(0.001, min(self._clocks.connect, left))), request
            )
        except UpstreamError as error:
            return Ended(self._status, failure=of_error(error))

    async def _ask(self, wire: Wire, request: bytes) -> Ended:
        self._wire = wire
        self._ended = asyncio.get_running_loop().create_future()
        self._sent = time.monotonic()
        self.deadline = self._clocks.commit_by
        self._ticker.add(self)
        wire.send(request, self)
        try:
            return await self._ended
        except asyncio.CancelledError:
            wire.abort()
            self._client.flow = None
            raise
        finally:
            self._ticker.discard(self)

    # Timed and Flow.

    def expired(self, now: float) -> None:  # noqa: ARG002, D102  Timed
        self._wire.abort()
        self.failed(TimedOut("nothing came in time"))

    def pause(self) -> None:  # noqa: D102  Flow
        self._wire.pause()
        self.deadline = self._clocks.end_by

    def resume(self) -> None:  # noqa: D102  Flow
        self.deadline = min(time.monotonic() + self._clocks.idle, self._clocks.end_by)
        self._wire.resume()

    # Sink.

    def head(self, status: int, headers: Headers) -> None:  # noqa: D102  Sink
        self._status = status
        self._headers = headers

    def data(self, data: bytes) -> None:  # noqa: D102  Sink
        self._parts.append(data)
        self._size += len(data)
        if self._size > MAX_HELD_BYTES:
            self._overflow()

    def end(self) -> None:  # noqa: D102  Sink
        self._settle(b"".join(self._parts))

    def failed(self, error: UpstreamError) -> None:  # noqa: D102  Sink
        # No exception: its traceback would hold the attempt, and the attempt it; so the request,
        # with all of its body, would wait for the garbage collector.
        stale = isinstance(error, Stale)
        self._finish(_STALE if stale else Ended(self._status, failure=of_error(error)))

    def _overflow(self) -> None:
        """More came than is held."""
        self._wire.abort()
        self.failed(ProtocolBroken("the answer is too large"))

    def _settle(self, body: bytes) -> None:
        """Judge a complete answer that is not a success."""
        status = self._status
        if status < 300:  # noqa: PLR2004  2xx that carries no answer
            self._finish(Ended(status, failure=broken(status, "it answered without an answer")))
            return
        failure = of_status(status, body, self._headers)
        self._finish(Ended(status, failure=failure, body=body))

    def _finish(self, ended: Ended) -> None:
        if not self._ended.done():
            self._ended.set_result(ended)

    def _head_lines(self, own: bytes = _JSON) -> bytes:
        """Return the client's header lines: ours, then what passes of the backend's.

        Args:
            own: the type of what the router writes, for a form that does not pass.
        """
        lines, passed = [self._prefix], _PASSED
        if not self.form.passes:
            lines, passed = [self._prefix, own], _PASSED_OF_TRANSLATED
        limits = _RATE_LIMITS if self._prefix.find(_OWN_LIMITS) < 0 else ()
        for name, value in self._headers.items():
            if name in passed or name.startswith(limits):
                lines += (name, b": ", value, b"\r\n")
        return b"".join(lines)

    @property
    def relayed(self) -> int:
        """Tokens that the client has got, counted by the router; an estimate."""
        return 0

    def pass_on(self, ended: Ended) -> None:
        """Give the client an error of the backend's: as it is, or in the client's own form."""
        body = self.form.error(ended.status, ended.body)
        self._client.reply(ended.status, self._head_lines(), body)


@mypyc_attr(allow_interpreted_subclasses=True)
class Whole(Attempt):
    """An answer in one piece. Up to 4 MiB it is held, so that one cut off can be tried again."""

    __slots__ = ("_flowing", "delivers")

    def __init__(
        self, client: Downstream, prefix: bytes, clocks: Clocks, ticker: Ticker, form: Form
    ) -> None:
        """Prepare it; without `delivers` the caller makes the client's answer of the body."""
        super().__init__(client, prefix, clocks, ticker, form)
        self.delivers = True
        self._flowing = False

    def data(self, data: bytes) -> None:  # noqa: D102  Sink
        if self._flowing:
            self._size += len(data)
            self.deadline = min(time.monotonic() + self._clocks.idle, self._clocks.end_by)
            self._client.send(data)
        else:
            super().data(data)

    def end(self) -> None:  # noqa: D102  Sink
        if self._flowing:
            self._client.finish()
            self._finish(Ended(self._status, first_token=0.0))
            return
        body = b"".join(self._parts)
        if not 200 <= self._status < 300:  # noqa: PLR2004  success
            self._settle(body)
            return
        try:
            body, usage = (body, None) if self._passes_unread() else self.form.whole(body)
        except NotAnAnswerError as error:
            self._finish(Ended(self._status, failure=broken(self._status, str(error))))
            return
        if self.delivers:
            self._client.reply(self._status, self._head_lines(), body)
        elapsed = time.monotonic() - self._sent
        self._finish(Ended(self._status, usage=usage, first_token=elapsed, body=body))

    def failed(self, error: UpstreamError) -> None:  # noqa: D102  Sink
        if self._flowing:
            self._client.cut()
            self._finish(Ended(self._status, broken=True))
        else:
            super().failed(error)

    @property
    def relayed(self) -> int:
        """Estimated from the length of a complete answer."""
        return self._size // BYTES_PER_TOKEN if 200 <= self._status < 300 else 0  # noqa: PLR2004

    def _passes_unread(self) -> bool:
        """Whether the answer is compressed, and a client that reads it gets it so."""
        if not self.form.passes:
            return False
        coding = self._headers.get(b"content-encoding")
        return coding is not None and coding.lower() != b"identity"

    @property
    def _may_flow(self) -> bool:
        return self.delivers and self.form.passes and 200 <= self._status < 300  # noqa: PLR2004

    def _overflow(self) -> None:
        """Commit: an answer this large flows through."""
        if not self._may_flow:
            super()._overflow()
            return
        self._flowing = True
        self._client.flow = self
        length = self._headers.get(b"content-length")
        self._client.start(self._status, self._head_lines(), int(length) if length else None)
        self._client.send(b"".join(self._parts))
        self._parts.clear()
        self.deadline = min(time.monotonic() + self._clocks.idle, self._clocks.end_by)
