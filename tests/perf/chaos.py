"""Chaos: a router between clients and backends that misbehave, and nothing is lost.

    python -m tests.perf.chaos [--requests 100000] [--seed 1] [--concurrency 64]

Everything runs in this process on loopback and ends by itself. One replica of the local model and
the external API always live; all other replicas answer each request in a way drawn at random:
reset, stall, garbage, 429, 5xx, half a chunk, a slow trickle, an error event, or well. Meanwhile
the table changes, and replicas come and go. Asserted, request by request:

- nothing is lost: each answer is whole and 200, or a stream that says so by an error event and was
  not resumable;
- nothing is doubled: the text of a stream is what one backend says, once;
- nothing leaks: connections, tasks and descriptors are as many as before;
- nothing leaves: every tenth request holds a payment card, which must stay, and the API never sees
  one; where the local model's retry budget is spent, the client is told to come back (503).
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import random
import sys
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Protocol

import uvloop

from tests.support.ending import in_order
from tests.support.engines import Model, engine, pieces
from tests.support.routers import Raw, Reply, Router, backend, request, router
from tests.support.upstreams import (
    Behaviour,
    Talk,
    Upstream,
    begins,
    closes,
    delta,
    half_a_chunk,
    replies,
    resets,
    says,
)

MODEL = Model(pieces("Größe 世界 🙂 and words of one token each", 3))
TIMES = {"connect": 5, "firstByte": 1.0, "idle": 0.5}
CALM = {"connect": 20, "firstByte": 60, "idle": 60}
FLAP_SECONDS = 0.2
CARD, KEPT_SHARE = "4111 1111 1111 1111", 0.1


async def whole(talk: Talk) -> None:
    """Answer well, streamed or not."""
    body = talk.request.json()
    if body.get("stream") or talk.request.path == "/detokenize":
        await engine(MODEL)(talk)
        return
    message = {"role": "assistant", "content": MODEL.text}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    await replies(200, {"id": "c", "object": "chat.completion", "choices": [choice]})(talk)


async def trickle(talk: Talk) -> None:
    """Answer well, a few bytes at a time."""
    body = talk.request.json()
    if not body.get("stream"):
        await whole(talk)
        return
    data = b"".join(MODEL.stream(talk.request.path, body))
    await begins(then=_nothing)(talk)
    for at in range(0, len(data), 700):
        await talk.chunk(data[at : at + 700])
        await asyncio.sleep(0.002)
    await talk.last_chunk()


async def _nothing(_: Talk) -> None:
    pass


async def stalls(talk: Talk) -> None:
    """Begin, and say nothing more."""
    await asyncio.wait_for(_until_left(talk), 30)


async def _until_left(talk: Talk) -> None:
    await talk.reader.read(1)
    talk.close()


def broken_at(draw: random.Random) -> Behaviour:
    """Answer a stream well up to some byte, then break in some way."""

    async def behave(talk: Talk) -> None:
        if not talk.request.json().get("stream"):
            await half_a_chunk(talk)
            return
        how = draw.choice(("reset", "close", "end", "error", "abort"))
        cut = draw.randrange(40, 2500)
        if how in {"error", "abort"}:  # said by an engine that lives, between two events
            body = talk.request.json()
            data = b"".join(MODEL.stream(talk.request.path, body))
            cut = data.rfind(b"\n\n", 0, cut) + 2 if b"\n\n" in data[:cut] else 0
        await engine(MODEL, cut, how)(talk)

    return behave


def misbehaviours(draw: random.Random) -> list[Behaviour]:
    """Return what a bad replica may do."""
    return [
        whole, whole, whole, trickle, resets, closes, half_a_chunk, stalls,
        broken_at(draw), broken_at(draw), broken_at(draw),
        replies(429), replies(429, None, "retry-after: 0"), replies(500), replies(503),
        says(b"garbage garbage garbage\r\n\r\n", close=True),
        says(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\n{}{}"),
        begins(delta(role="assistant"), then=resets),
    ]  # fmt: skip


@dataclass
class Tally:
    """What came of the requests."""

    seen: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)

    def note(self, what: str, *, wrong: str | None = None) -> None:
        """Count an outcome; `wrong` says why it must not be."""
        self.seen[what] += 1
        if wrong is not None:
            self.wrong.append(f"{what}: {wrong}")


def table(up: dict[str, Upstream], bad: list[str], generation: int) -> dict[str, Any]:
    """Return a table: one local model with these bad replicas and a good one, and the API."""
    urls = [up[name].url for name in (*bad, "good")]
    target = {"backend": "local", "model": "up", "maxContextTokens": 8192}
    api = {"backend": "api", "model": "up"}
    return {
        "version": 1,
        "generation": generation,
        "backends": {
            "local": backend(*urls, engine="vllm", timeouts=TIMES, cooldown=0.2),
            "api": backend(up["api"].url, trust="external", timeouts=CALM),
        },
        "models": {"m": {"targets": [target, api]}},
        "policy": {"deadline": 60, "attempts": 10, "data": {"keepLocal": ["payment-card"]}},
    }


class Reachable(Protocol):
    """A router, wherever it is."""

    async def connect(self) -> Raw:
        """Return a raw connection to it."""


class Chaos:
    """One run.

    Args:
        requests: to make in all.
        concurrency: at once.
        seed: of everything that is drawn.
    """

    def __init__(self, requests: int, concurrency: int, seed: int) -> None:
        self.draw = random.Random(seed)  # noqa: S311  no secret
        self.left = requests
        self.concurrency = concurrency
        self.tally = Tally()

    async def run(self) -> Tally:
        """Make the requests, then look for what was left behind."""
        wanted, self.left = self.left, 20
        await self._storm()  # whatever is made once and kept is made now
        before = await _settled((0, 0))
        self.left = wanted
        await self._storm()
        after = await _settled(before)
        if after > before:
            self.tally.note("leak", wrong=f"tasks and descriptors {before} before, {after} after")
        return self.tally

    async def _storm(self) -> None:
        ups = {name: Upstream(self._bad) for name in ("a", "b", "c")}
        ups |= {"good": Upstream(whole), "api": Upstream(self._api)}
        for up in ups.values():
            await up.__aenter__()
        async with router(table(ups, ["a", "b", "c"], 1)) as r:
            flapping = asyncio.create_task(self._flap(r, ups))
            await asyncio.gather(*(self._ask_on(r) for _ in range(self.concurrency)))
            flapping.cancel()
            await asyncio.gather(flapping, return_exceptions=True)
            await self._check_router(r)
        for up in ups.values():
            await up.stop()

    async def _bad(self, talk: Talk) -> None:
        if talk.request.path == "/detokenize":
            await whole(talk)
            return
        with suppress(RuntimeError):  # uvloop's word for a connection that the router has dropped
            await self.draw.choice(misbehaviours(self.draw))(talk)

    async def _api(self, talk: Talk) -> None:
        if CARD in talk.request.body.decode():
            self.tally.note("a card at the API", wrong="it had to stay")
        await whole(talk)

    async def _flap(self, r: Router, ups: dict[str, Upstream]) -> None:
        generation = 1
        while True:
            await asyncio.sleep(FLAP_SECONDS)
            generation += 1
            bad = self.draw.sample(("a", "b", "c"), self.draw.randrange(4))
            r.registry.offer(json.dumps(table(ups, bad, generation)).encode(), "watch")

    async def _ask_on(self, r: Router) -> None:
        while self.left > 0:
            self.left -= 1
            await self._ask(r)

    async def _ask(self, r: Reachable) -> None:
        kind = self.draw.choice(("whole", "stream", "stream", "tools"))
        fields: dict[str, Any] = {"stream": kind != "whole", "user": str(self.draw.random())}
        if kind == "tools":
            fields["stop"] = ["never said"]  # not resumable
        leaves = self.draw.random() < 0.02
        kept = self.draw.random() < KEPT_SHARE
        said = f"pay with {CARD}, {fields['user']}" if kept else fields["user"]
        body = {"model": "m", "messages": [{"role": "user", "content": said}], **fields}
        connection = await r.connect()
        try:
            await connection.send(request("POST", "/v1/chat/completions", body))
            if leaves:
                await asyncio.sleep(self.draw.random() * 0.02)
                self.tally.note("client left")
                return
            reply = await asyncio.wait_for(connection.reply(), 120)
        finally:
            await connection.close()
        if kept and reply.status == 503 and reply.error["code"] == "data_policy":
            self.tally.note("kept, and told to come back")
        else:
            self._judge(kind, reply)

    def _judge(self, kind: str, reply: Reply) -> None:
        if reply.status != 200:
            self.tally.note(f"{kind} {reply.status}", wrong=reply.body.decode()[:200])
            return
        if kind == "whole":
            said = reply.json()["choices"][0]["message"]["content"]
            good = said == MODEL.text and reply.whole
            self.tally.note("whole", wrong=None if good else "another answer")
            return
        try:
            events = reply.events()
        except (ValueError, AssertionError):
            self.tally.note(f"{kind} malformed", wrong=repr(reply.body[-600:]))
            return
        text = "".join(
            choice["delta"].get("content") or ""
            for event in events
            if event != "[DONE]"
            for choice in event.get("choices", ())
        )
        if events[-1] == "[DONE]":
            good = text == MODEL.text and reply.whole
            self.tally.note(kind, wrong=None if good else f"another text: {text!r}")
        elif kind == "tools" and "error" in events[-1] and MODEL.text.startswith(text):
            self.tally.note("not resumable: error event")
        else:
            self.tally.note(f"{kind} broken", wrong=f"{events[-1]!r} after {len(text)} characters")

    async def _check_router(self, r: Router) -> None:
        """Check that nothing is under way any more, by the router's own account."""
        pools = [r.registry.pool(name) for name in ("local", "api")]
        for _ in range(200):
            if not any(p.in_flight or any(x.outstanding for x in p.replicas) for p in pools):
                return
            await asyncio.sleep(0.05)
        self.tally.note("leak", wrong=f"under way: {[(p.name, p.in_flight) for p in pools]}")


async def _settled(most: tuple[int, int]) -> tuple[int, int]:
    """Return what is held once no more of it goes away, or no more than `most`."""
    for _ in range(60):
        gc.collect()
        if _held() <= most:
            break
        await asyncio.sleep(0.05)
    return _held()


def _held() -> tuple[int, int]:
    """Return the tasks and the descriptors of this process."""
    return len(asyncio.all_tasks()), len(os.listdir("/proc/self/fd"))  # noqa: PTH208  names only


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--requests", type=int, default=100_000)
    parser.add_argument("--concurrency", type=int, default=64)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    began = time.monotonic()
    chaos = Chaos(options.requests, options.concurrency, options.seed)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        tally = runner.run(chaos.run())
    print(f"{options.requests} requests in {time.monotonic() - began:.0f} s, seed {options.seed}")  # noqa: T201
    for what, count in sorted(tally.seen.items()):
        print(f"  {count:8} {what}")  # noqa: T201
    for wrong in tally.wrong[:20]:
        print(f"WRONG {wrong}")  # noqa: T201
    print(f"{len(tally.wrong)} wrong")  # noqa: T201
    return 1 if tally.wrong else 0


if __name__ == "__main__":
    sys.exit(in_order(main))
