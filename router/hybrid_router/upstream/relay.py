"""A streamed answer, relayed part by part without a task or a queue in between."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from mypy_extensions import mypyc_attr

from hybrid_router.openai.errors import ApiError
from hybrid_router.upstream.attempt import TAIL_SECONDS, Attempt, Ended
from hybrid_router.upstream.failures import broken
from hybrid_router.upstream.lane import Lane

if TYPE_CHECKING:
    from hybrid_router.openai.form import Stream
    from hybrid_router.openai.plain import Plain
    from hybrid_router.openai.tokens import Tokens
    from hybrid_router.upstream.errors import UpstreamError
    from hybrid_router.upstream.wire import Headers

_EVENT_STREAM: Final = b"text/event-stream"
_EVENTS: Final = b"content-type: text/event-stream\r\n"
_NO_CACHE: Final = b"cache-control: no-cache\r\n"


@mypyc_attr(allow_interpreted_subclasses=True)
class Relay(Attempt):
    """Holds a stream back up to the commit boundary, then lets it through."""

    __slots__ = ("_filter", "_first_token", "_lane", "_over", "_streams")

    def _reset(self) -> None:
        super()._reset()
        self._filter = self.form.stream()
        self._first_token: float | None = None
        self._lane: Lane | None = None
        self._streams = False  # the answer is a stream of events, and no error
        self._over = False  # the client has all of it

    # Sink.

    def head(self, status: int, headers: Headers) -> None:  # noqa: D102  Sink
        super().head(status, headers)
        if not 200 <= status < 300:  # noqa: PLR2004  success
            return
        kind = headers.get(b"content-type") or b""
        coding = headers.get(b"content-encoding") or b"identity"
        if kind.lower().startswith(_EVENT_STREAM) and coding.lower() == b"identity":
            self._streams = True
        else:
            self._give_up("its answer is not an event stream")

    def data(self, data: bytes) -> None:  # noqa: D102  Sink
        if not self._streams:
            super().data(data)
            return
        if self._over:
            return
        stream = self._filter
        passed = stream.feed(data)
        if passed:
            now = time.monotonic()
            if self._first_token is None:
                self._commit(now)
            deadline, end_by = now + self._clocks.idle, self._clocks.end_by
            self.deadline = deadline if deadline < end_by else end_by  # noqa: FURB136  not a call
            self._client.send(passed)
        if stream.done:
            self._complete()
        elif stream.failure is not None:
            self._give_up(stream.failure)
        else:
            self._let_pass(stream)

    def _let_pass(self, stream: Stream) -> None:
        """Let the next chunks pass by while they are like what came.

        To be overridden where parts are not the stream's as they come.
        """
        pattern = stream.pattern()
        if pattern is not None:
            self._open(pattern, None)

    def _open(self, pattern: Plain, tokens: Tokens | None) -> None:
        """Open the lane for such events, cut by `tokens` where there are some."""
        lane = self._lane
        if lane is None:
            client = self._client.chunked()
            if client is None:
                return
            lane = self._lane = Lane(client, pattern, tokens)
        lane.pattern = pattern
        self._wire.open(lane)

    def expired(self, now: float) -> None:  # noqa: D102  Timed
        lane = self._lane
        if lane is not None and not self._over:
            deadline = min(lane.last + self._clocks.idle, self._clocks.end_by)
            if deadline > now:
                self.deadline = deadline
                return
        super().expired(now)

    def end(self) -> None:  # noqa: D102  Sink
        if not self._streams:
            super().end()
        elif self._over:
            self._finish(self._result())
        else:
            self._give_up("the stream ended before it was complete")

    def failed(self, error: UpstreamError) -> None:  # noqa: D102  Sink
        if self._over:
            self._finish(self._result())
        elif self._first_token is not None:
            self._break()
        else:
            super().failed(error)

    # How a stream proceeds.

    def _commit(self, now: float) -> None:
        self._first_token = now - self._sent
        if self.prompt is not None:
            self.prompt.computed()
        self._client.flow = self
        self._client.start(self._status, self._head_lines(_EVENTS) + _NO_CACHE)

    def _complete(self) -> None:
        """Let the client go; the connection may still have its last bytes to read."""
        self._over = True
        self._client.finish()
        self._wire.resume()
        self.deadline = time.monotonic() + TAIL_SECONDS

    def _give_up(self, why: str) -> None:
        self._wire.abort()
        if self._first_token is not None:
            self._break()
        else:
            self._finish(Ended(self._status, failure=broken(self._status, why)))

    def _break(self) -> None:
        """End what the client has begun to read, so that it cannot pass for complete."""
        if not self._filter.told:
            self._client.send(self._filter.broken(BROKEN_STREAM))
        self._client.finish()
        self._finish(self._result(broken=True))

    def _result(self, *, broken: bool = False, unfinished: bool = False) -> Ended:
        return Ended(
            self._status,
            broken=broken,
            unfinished=unfinished,
            usage=self._filter.usage,
            events=self._passed(),
            first_token=self._first_token,
        )

    @property
    def relayed(self) -> int:
        """Events that the client has got so far; about one token each."""
        return self._passed()

    def _passed(self) -> int:
        return self._filter.events + (self._lane.events if self._lane is not None else 0)


BROKEN_STREAM: Final = ApiError(
    502, "stream_broken", "the model's stream broke off; what came before is incomplete"
)
