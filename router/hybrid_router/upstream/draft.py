"""An attempt at a local model whose answer is a draft until it has been judged.

A stream is held until enough tokens came, then flows as any other, or ends here unseen; a whole
answer is judged when it is complete. A draft that is not taken is no failure of its replica.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple, Protocol

import msgspec

from hybrid_router.openai.answer import NotAnAnswerError, read_usage
from hybrid_router.openai.draft import Held, read_whole
from hybrid_router.openai.request import BYTES_PER_TOKEN
from hybrid_router.upstream.attempt import Ended, Whole
from hybrid_router.upstream.failures import Cause, Failure, broken
from hybrid_router.upstream.resume import Resumable

if TYPE_CHECKING:
    from collections.abc import Callable

    from hybrid_router.core.cascade import Sureness
    from hybrid_router.openai.form import Form, Stream
    from hybrid_router.openai.request import Outgoing
    from hybrid_router.table import Backend, Target
    from hybrid_router.ticker import Ticker
    from hybrid_router.upstream.attempt import Clocks, Downstream
    from hybrid_router.upstream.job import Job

UNSURE = Failure(Cause.UNSURE, "the local model was not sure enough of its answer")
UNDECIDED = Failure(Cause.UNDECIDED, "the local model's answer could not be judged in time")


class Draft(Protocol):
    """What judges the draft of one request.

    Attributes:
        tokens: that are looked at.
        seconds: that a stream may be held.
        targets: once it has been judged, in the order in which they are tried.
    """

    tokens: int
    seconds: float
    targets: tuple[Target, ...]

    def judged(self, sureness: Sureness | None, tokens: int) -> bool:
        """Take what a draft says, None for nothing; return whether the client gets it.

        Args:
            sureness: of its first tokens.
            tokens: that were generated for it.
        """


class Judge(NamedTuple):
    """What one attempt needs to be judged."""

    draft: Draft
    lines: Callable[[], bytes]
    """Makes the response's own header lines, once the draft has been judged."""
    commit_by: float
    """Moment by which something generated must be there, judged or not."""

    def refused(self, sureness: Sureness | None, tokens: int) -> Failure | None:
        """Return why the client does not get a draft; None where it does."""
        if self.draft.judged(sureness, tokens):
            return None
        return UNDECIDED if sureness is None else UNSURE

    def unable(self, status: int, body: bytes) -> Failure | None:
        """Return the failure of an engine that gives no log-probabilities.

        Such an error is none of the client's, who asked for none.
        """
        if 400 <= status < 500 and b"logprobs" in body:  # noqa: PLR2004  client errors
            return self.refused(None, 0)
        return None


class DraftStream(Resumable):
    """A stream that is held until it has been judged."""

    __slots__ = ("_began", "_held", "_judge")

    def __init__(
        self, client: Downstream, clocks: Clocks, ticker: Ticker, form: Form, judge: Judge
    ) -> None:
        """Prepare it."""
        self._judge = judge
        super().__init__(client, b"", clocks, ticker, form)

    def _reset(self) -> None:
        super()._reset()
        self._held = Held(self._judge.draft.tokens)
        self._began = 0.0  # when its first token came

    def data(self, data: bytes) -> None:  # noqa: D102  Sink
        if not self._streams or self._over:
            super().data(data)
            return
        held = self._held
        passed = held.feed(data)
        if held.released:
            if passed:
                super().data(passed)
            return
        if held.seen and not self._began:
            self._began = time.monotonic()
        if held.failure is not None:
            self._give_up(held.failure)
        elif held.ready:
            self._decide(held.sureness)

    def _let_pass(self, stream: Stream) -> None:
        """Read every part: its log-probabilities are for the judge alone."""

    def expired(self, now: float) -> None:  # noqa: D102  Timed
        if self._held.released or now >= self._judge.commit_by:
            super().expired(now)
        else:  # the draft's time is over, and says nothing of the replica
            self._decide(None)

    def _decide(self, sureness: Sureness | None) -> None:
        held = self._held
        refused = self._judge.refused(sureness, held.seen)
        if refused is None:
            self._prefix = self._judge.lines()
            self.deadline = self._judge.commit_by
            super().data(held.release())
        else:
            self._wire.abort()
            self._finish(Ended(self._status, failure=refused))

    def _settle(self, body: bytes) -> None:
        unable = self._judge.unable(self._status, body)
        if unable is None:
            self._prefix = self._judge.lines()
            super()._settle(body)
        else:
            self._finish(Ended(self._status, failure=unable))

    def _commit(self, now: float) -> None:
        super()._commit(now)
        if self._began:
            self._first_token = self._began - self._sent  # and not when it was let go

    @property
    def relayed(self) -> int:
        """Tokens that came: as log-probabilities, as ids, or about one per event."""
        if not self._held.released:
            return self._held.seen
        return self.tokens.count or self._filter.events


class DraftWhole(Whole):
    """An answer in one piece, judged when it is complete."""

    __slots__ = ("_judge",)

    def __init__(
        self, client: Downstream, clocks: Clocks, ticker: Ticker, form: Form, judge: Judge
    ) -> None:
        """Prepare it."""
        super().__init__(client, b"", clocks, ticker, form)
        self._judge = judge

    def end(self) -> None:  # noqa: D102  Sink
        if not 200 <= self._status < 300:  # noqa: PLR2004  success
            super().end()
            return
        draft = self._judge.draft
        try:
            body, sureness = read_whole(b"".join(self._parts), draft.tokens)
            usage = read_usage(body)
        except NotAnAnswerError as error:
            self._finish(Ended(self._status, failure=broken(self._status, str(error))))
            return
        tokens = usage.completion if usage is not None else self._size // BYTES_PER_TOKEN
        refused = self._judge.refused(sureness, tokens)
        if refused is None:
            self._prefix = self._judge.lines()
            self._parts = [body]
            super().end()
        else:
            self._finish(Ended(self._status, failure=refused, usage=usage))

    def _settle(self, body: bytes) -> None:
        unable = self._judge.unable(self._status, body)
        if unable is None:
            self._prefix = self._judge.lines()
            super()._settle(body)
        else:
            self._finish(Ended(self._status, failure=unable))

    @property
    def _may_flow(self) -> bool:
        return False


def drafting(
    job: Job, made_of: tuple[Downstream, Clocks, Ticker, Outgoing], backend: Backend
) -> DraftStream | DraftWhole:
    """Return an attempt whose answer is judged before the client gets any of it.

    A stream is held no longer than the draft's time; a whole answer takes as long as it takes.
    """
    client, clocks, ticker, outgoing = made_of
    draft = job.draft
    if draft is None:
        raise ValueError("the request has no draft")

    def lines() -> bytes:
        job.lines = job.prefix(job, backend, outgoing)
        return job.lines

    judge = Judge(draft, lines, clocks.commit_by)
    if job.call.stream:
        box = min(clocks.commit_by, time.monotonic() + draft.seconds)
        clocks = msgspec.structs.replace(clocks, commit_by=box)
        return DraftStream(client, clocks, ticker, outgoing.form, judge)
    whole = DraftWhole(client, clocks, ticker, outgoing.form, judge)
    whole.delivers = job.delivers
    return whole
