"""A local model says SIMPLE or COMPLEX, and its log-probabilities are the score.

The model may say two tokens at temperature 0. What counts is how sure it is of the first one that
belongs to either word: confidence = P(SIMPLE) / (P(SIMPLE) + P(COMPLEX)), over the most likely
tokens that the engine reports (20, which is vLLM's and OpenAI's limit). A word may be split into
several tokens, so every token that starts one of them counts for it; a single letter does only
where the answer goes on as the word, since it may be an option's. The embedded classifier names the
intent.

Verdicts are kept by a keyed hash of what was asked and of who asked: no prompt is kept, and how
soon an answer comes tells nobody what another client has asked. Only an internal backend is ever
asked. Whatever goes wrong becomes the verdict's `error`.
"""

from __future__ import annotations

import asyncio
import hashlib
import math
import secrets
import time
from collections import OrderedDict
from itertools import zip_longest
from typing import TYPE_CHECKING

import msgspec

from hybrid_router.classify.embedded import EmbeddedClassifier
from hybrid_router.classify.question import WORDS, messages
from hybrid_router.core.breaker import Outcome
from hybrid_router.core.decision import Verdict
from hybrid_router.openai.answer import NotAnAnswerError, read_usage
from hybrid_router.openai.logprobs import Position
from hybrid_router.upstream.errors import TimedOut, UpstreamError
from hybrid_router.upstream.outgoing import located

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hybrid_router.classify.prompt import Prompt
    from hybrid_router.discovery.registry import Registry
    from hybrid_router.discovery.replica import Replica
    from hybrid_router.table import Classifier
    from hybrid_router.telemetry.judged import Question
    from hybrid_router.telemetry.metrics import Metrics
    from hybrid_router.upstream.client import Answer, UpstreamClient

NAME = "slm"

MAX_TOKENS, TOP = 2, 20
TOKENS_PER_BYTE = 0.3
"""For load balancing only: English is near 0.25 tokens a byte, code and other scripts are above."""
CACHED = 1_024
"""Verdicts kept."""
LEAST_MASS = 0.05
"""Probability that both words must have together: a model that would rather say something else has
not judged."""

_PADDING = " \t\r\n\"'`*.:#\u2581\u0120\u010a"
"""What may stand before the word: white space, quotes, Markdown; and how vocabularies write it."""


class _Logprobs(msgspec.Struct):
    content: list[Position] | None = None


class _Choice(msgspec.Struct):
    logprobs: _Logprobs | None = None


class _Completion(msgspec.Struct):
    choices: list[_Choice]


class _NoVerdict(Exception):  # noqa: N818  becomes a verdict without confidence
    """The local model gave none; the text says why, without anything of prompt or answer."""

    outcome: Question = "failed"


class _TooLate(_NoVerdict):
    outcome: Question = "timeout"


class _Question:
    """A question under way, and how many requests wait for its answer."""

    __slots__ = ("task", "waiting")

    def __init__(self, task: asyncio.Task[Verdict]) -> None:
        self.task = task
        self.waiting = 0


class SlmClassifier:
    """Asks a local model. Its questions count as attempts and tokens of that model's backend."""

    def __init__(
        self,
        description: Classifier,
        registry: Registry,
        client: UpstreamClient,
        metrics: Metrics,
    ) -> None:
        if description.target is None:
            raise ValueError("the classifier slm needs a target")
        self._target = description.target
        self._seconds = description.timeout
        self._registry = registry
        self._client = client
        self._metrics = metrics
        self._intents = EmbeddedClassifier()
        self._salt = secrets.token_bytes(32)
        self._known: OrderedDict[bytes, Verdict] = OrderedDict()
        self._asking: dict[bytes, _Question] = {}

    async def classify(
        self,
        prompt: Prompt,
        asker: str = "",
        priors: Mapping[str, float] | None = None,  # noqa: ARG002  of the embedded classifier
    ) -> Verdict:
        """Return the local model's verdict; what one client asks twice at a time is asked once.

        One request that leaves does not end a question for the others; the last one does.
        """
        if not prompt.turn:
            return Verdict(None, None, NAME, "the request holds no text of the user")
        intent = self._intents.judge(prompt).intent
        verdict = await self._verdict(self._body(prompt), asker)
        return msgspec.structs.replace(verdict, intent=intent)

    async def _verdict(self, body: bytes, asker: str) -> Verdict:
        key = hashlib.blake2b(b"%s\0%s" % (asker.encode(), body), key=self._salt).digest()
        known = self._known.get(key)
        if known is not None:
            self._known.move_to_end(key)
            self._metrics.judged.question(NAME, "known")
            return known
        question = self._asking.get(key)
        if question is None:
            task = asyncio.get_running_loop().create_task(self._judge(key, body))
            question = self._asking[key] = _Question(task)
        else:
            self._metrics.judged.question(NAME, "joined")
        question.waiting += 1
        try:
            return await asyncio.shield(question.task)
        finally:
            question.waiting -= 1
            if not question.waiting:
                del self._asking[key]
                question.task.cancel()  # nothing, if it is done

    async def close(self) -> None:
        """Cancel the questions under way; whoever still waits for one is cancelled with it."""
        tasks = [question.task for question in self._asking.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _judge(self, key: bytes, body: bytes) -> Verdict:
        try:
            verdict = Verdict(confidence(await self._ask(body)), None, NAME)
        except _NoVerdict as why:
            self._metrics.judged.question(NAME, why.outcome)
            return Verdict(None, None, NAME, str(why))
        self._metrics.judged.question(NAME, "answered")
        self._known[key] = verdict
        if len(self._known) > CACHED:
            self._known.popitem(last=False)
        return verdict

    async def _ask(self, body: bytes) -> bytes:
        pool = self._registry.pool(self._target.backend)
        if pool.backend.trust != "internal":
            raise _NoVerdict("the classifier's backend is not inside the cluster")
        replica = pool.pick(time.monotonic(), ())
        if replica is None:
            raise _NoVerdict("no replica of the classifier's model is available")
        auth = pool.auth_header()
        tokens = int(len(body) * TOKENS_PER_BYTE)
        replica.acquire(tokens)
        outcome, status = Outcome.CANCELLED, None
        try:
            answer = await self._send(replica, body, auth)
            outcome, status = _outcome(answer.status), answer.status
        except TimedOut:
            # The time box is far shorter than an attempt's: that says nothing of the replica.
            raise _TooLate("the local model took too long to classify") from None
        except UpstreamError:
            outcome = Outcome.FAILED
            raise _NoVerdict("the local model could not be asked to classify") from None
        finally:
            replica.release(tokens, outcome, time.monotonic())
            self._metrics.attempt(self._target.backend, outcome, status)
        if outcome is not Outcome.OK:
            raise _NoVerdict(f"the local model answered the classifier with {answer.status}")
        self._count_tokens(answer.body)
        return answer.body

    def _count_tokens(self, body: bytes) -> None:
        try:
            usage = read_usage(body)
        except NotAnAnswerError:
            return
        if usage is not None:
            self._metrics.usage(
                self._target.backend,
                self._target.model,
                usage.prompt,
                usage.completion,
                usage.cached,
            )

    async def _send(
        self, replica: Replica, body: bytes, auth: tuple[bytes, bytes] | None
    ) -> Answer:
        headers = [(b"content-type", b"application/json")]
        if auth is not None:
            headers.append(auth)
        url = located(replica.url, "/chat/completions", self._target.model)
        return await self._client.fetch(
            "POST", url, headers=headers, body=body, timeout=self._seconds, tls=replica.tls
        )

    def _body(self, prompt: Prompt) -> bytes:
        request: dict[str, object] = {
            "model": self._target.model,
            "messages": messages(prompt),
            "max_tokens": MAX_TOKENS,
            "temperature": 0,
            "logprobs": True,
            "top_logprobs": TOP,
        }
        backend = self._registry.table.backends.get(self._target.backend)
        if backend is not None and backend.engine == "vllm":
            # A reasoning model would spend its two tokens on thinking; other templates ignore it.
            request["chat_template_kwargs"] = {"enable_thinking": False}
        return msgspec.json.encode(request)


def confidence(body: bytes) -> float:
    """Return P(SIMPLE) against P(COMPLEX) from a chat completion with log-probabilities.

    Raises:
        _NoVerdict: it is none, or says neither word.
    """
    try:
        choices = msgspec.json.decode(body, type=_Completion).choices
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise _NoVerdict(
            "the local model's answer to the classifier is not a chat completion"
        ) from None
    logprobs = choices[0].logprobs if choices else None
    positions = (logprobs.content if logprobs is not None else None) or []
    for position, after in zip_longest(positions, positions[1:]):
        if position.token.strip(_PADDING):
            return _weigh(position, 1 if _spells(position, after) else 2)
    raise _NoVerdict("the local model answered the classifier without log-probabilities")


def _spells(position: Position, after: Position | None) -> bool:
    """Return whether a letter and what follows it start one of the words."""
    text = position.token.strip(_PADDING).upper()
    if len(text) != 1 or after is None:
        return False
    more = text + after.token.upper()
    return len(more) > 1 and any(word.startswith(more) for word in WORDS)


def _weigh(position: Position, least: int) -> float:
    """Return SIMPLE's share of the probability of both words at one position.

    Tokens of fewer characters than `least` do not count: C may be the answer to a question that
    offers A to D, which is no word of ours.
    """
    mass = [0.0, 0.0]
    tokens = {t.token: t.logprob for t in position.top_logprobs}
    tokens.setdefault(position.token, position.logprob)
    for token, logprob in tokens.items():
        text = token.strip(_PADDING).upper()
        for index, word in enumerate(WORDS):
            if len(text) >= least and (word.startswith(text) or text.startswith(word)):
                mass[index] += math.exp(min(logprob, 0.0))
    total = sum(mass)
    if total < LEAST_MASS:
        raise _NoVerdict("the local model said neither SIMPLE nor COMPLEX")
    return mass[0] / total


def _outcome(status: int) -> Outcome:
    if status == 200:  # noqa: PLR2004  the one status of a completion
        return Outcome.OK
    if status in (429, 503):
        return Outcome.OVERLOADED
    return Outcome.FAILED if status >= 500 else Outcome.CLIENT_ERROR  # noqa: PLR2004  5xx
