"""A local stream that outlives its replica: kept by its token ids, and continued on another.

What another replica brings is written as the broken stream's own chunks, and goes through the
filter that has brought the client its beginning: so it is the same stream in every form.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final

import msgspec
from mypy_extensions import mypyc_attr

from hybrid_router.openai.continuation import Rest, cut_at_limit, last, left
from hybrid_router.openai.shapes import Usage
from hybrid_router.openai.tokens import Tokens
from hybrid_router.upstream.errors import UpstreamError
from hybrid_router.upstream.relay import BROKEN_STREAM, Relay

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hybrid_router.discovery.registry import Pool, Registry
    from hybrid_router.discovery.replica import Replica
    from hybrid_router.openai.form import Stream
    from hybrid_router.openai.request import Call
    from hybrid_router.table import Target
    from hybrid_router.ticker import Ticker
    from hybrid_router.upstream.attempt import Clocks, Downstream, Ended
    from hybrid_router.upstream.client import UpstreamClient

LONGEST_CHARACTER: Final = 4
"""Tokens, at one byte each."""
ASK_SECONDS: Final = 2.0
POLL_SECONDS: Final = 0.05
"""Between two looks for a replica that can continue a stream."""
_JSON = ((b"content-type", b"application/json"),)


@mypyc_attr(allow_interpreted_subclasses=True)
class Resumable(Relay):
    """A stream whose token ids are kept; when it breaks, the client is not told."""

    __slots__ = ("tokens",)

    tokens: Tokens

    def _reset(self) -> None:
        super()._reset()
        self.tokens = Tokens()

    def data(self, data: bytes) -> None:  # noqa: D102  Sink
        if not self._streams or self._over:
            super().data(data)
            return
        tokens = self.tokens
        passed = tokens.feed(data)
        if passed:
            super().data(passed)
        if tokens.failure is not None and not self._ended.done():
            self._give_up(tokens.failure)

    def _let_pass(self, stream: Stream) -> None:
        pattern, tokens = stream.pattern(), self.tokens
        if pattern is not None and tokens.makes(pattern):
            self._open(pattern, tokens)

    def _break(self) -> None:
        if self._filter.told or not self.tokens.resumable:
            super()._break()
        else:
            self._client.flow = None
            self._finish(self._result(broken=True, unfinished=True))

    def _result(self, *, broken: bool = False, unfinished: bool = False) -> Ended:
        """Count what came where the backend did not come to say it."""
        ended = super()._result(broken=broken, unfinished=unfinished)
        if ended.usage is not None or not self.tokens.count:
            return ended
        counted = Usage(self.tokens.prompt_count, self.tokens.count, estimated=True)
        return msgspec.structs.replace(ended, usage=counted)

    @property
    def relayed(self) -> int:
        """Tokens that came, the ones that were not let through included."""
        return self.tokens.count

    # When it has broken.

    @property
    def stream(self) -> Stream:
        """What has brought the client the beginning, and brings it the rest."""
        return self._filter

    def settle(self, call: Call, target: Target) -> bool:
        """End it if nothing is missing but its end; return whether that is so."""
        tokens, stream = self.tokens, self._filter
        tokens.rewind()
        stream.failure = None
        limit = left(call, target, tokens)
        missing = b""
        if not tokens.finished:
            if limit is None or limit > 0:
                return False
            missing = cut_at_limit(tokens)
        end = last(tokens, with_usage=stream.usage is None)
        self._client.send(stream.feed(missing + end))
        self._client.finish()
        return True

    def abandon(self) -> None:
        """Tell the client that nobody continues it."""
        self._client.send(self._filter.broken(BROKEN_STREAM))
        self._client.finish()


class Continuation(Relay):
    """The rest of a broken stream."""

    __slots__ = ("_broken", "_rest")

    def __init__(
        self, client: Downstream, clocks: Clocks, ticker: Ticker, broken: Resumable
    ) -> None:
        """Prepare it.

        Args:
            client: has the beginning of the stream.
            clocks: its limits.
            ticker: watches them.
            broken: the attempt that brought the beginning.
        """
        self._broken = broken
        super().__init__(client, b"", clocks, ticker, broken.form)

    def _reset(self) -> None:
        super()._reset()
        self._filter = self._broken.stream
        self._rest = Rest(self._broken.tokens)

    def data(self, data: bytes) -> None:  # noqa: D102  Sink
        if not self._streams or self._over:
            super().data(data)
            return
        rest = self._rest
        passed = rest.feed(data)
        if passed:
            super().data(passed)
        if rest.failure is not None and not self._ended.done():
            self._give_up(rest.failure)

    def _let_pass(self, stream: Stream) -> None:
        """Read every part: none is written as it came."""

    def _commit(self, now: float) -> None:
        self._first_token = now - self._sent
        if self.prompt is not None:
            self.prompt.computed()
        self._client.attach(self)

    def _break(self) -> None:
        self._client.flow = None
        self._finish(self._result(broken=True, unfinished=True))

    def _result(self, *, broken: bool = False, unfinished: bool = False) -> Ended:
        """Count this attempt alone, not the stream as a whole."""
        ended = super()._result(broken=broken, unfinished=unfinished)
        rest = self._rest
        return msgspec.structs.replace(ended, usage=rest.usage, events=rest.events)

    @property
    def complete(self) -> bool:
        """Whether the client has all of the stream."""
        return self._over

    @property
    def relayed(self) -> int:
        """Chunks that came; about one token each."""
        return self._rest.events


async def elsewhere(
    registry: Registry, backend: str, failed: Sequence[str], until: float
) -> tuple[Pool, Replica] | None:
    """Return where a broken stream can go on: at another replica of the same backend.

    It was let in when it began, and so waits in no queue for a place. The retry budget has no say
    either: the work is not repeated but goes on, and a node that is lost breaks many streams at
    once.

    Args:
        registry: the table in force, and the replicas.
        backend: its name.
        failed: URLs of replicas that broke the stream, the last one last. That one is not asked
            again, the others after all that have not failed.
        until: moment (seconds of the monotonic clock) up to which a replica is waited for.
    """
    while True:
        pool, now = registry.pool(backend), time.monotonic()
        if pool.backend.trust != "internal" or pool.secret_missing:
            return None
        usable = [r for r in pool.replicas if r.url != failed[-1] and r.breaker.allows(now)]
        usable = [r for r in usable if r.url not in failed] or usable
        if usable:
            replica = usable[0]
            for other in usable[1:]:
                if other.outstanding < replica.outstanding:
                    replica = other
            replica.breaker.admit(now)
            return pool, replica
        if now >= until:
            return None
        await asyncio.sleep(POLL_SECONDS)


async def find_boundary(
    client: UpstreamClient, replica: Replica, model: str, tokens: Tokens
) -> bool:
    """Let the kept ids end with a whole character; return whether that is so.

    vLLM's text of a prompt that ends in half a character begins with the prompt itself. Where a
    chunk brought several ids, only the tokenizer knows which of them ends one: an engine is asked.
    """
    url = f"{replica.url.removesuffix('/v1')}/detokenize"
    for _ in range(LONGEST_CHARACTER):
        doubtful = tokens.doubtful
        if not doubtful:
            return True
        body = msgspec.json.encode({"model": model, "tokens": msgspec.Raw(doubtful)})
        try:
            answer = await client.fetch(
                "POST", url, headers=_JSON, body=body, timeout=ASK_SECONDS, tls=replica.tls
            )
            text = msgspec.json.decode(answer.body, type=_Text).prompt
        except (UpstreamError, msgspec.DecodeError):
            return False
        if not text.endswith("\N{REPLACEMENT CHARACTER}"):
            tokens.trust()
        else:
            tokens.distrust()
    return not tokens.doubtful


class _Text(msgspec.Struct):
    prompt: str
