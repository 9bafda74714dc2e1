"""Asking pods, one round after another: each at its own moment, and over the same time."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from hybrid_operator.core import naming
from hybrid_operator.metrics.fetch import DEADLINE_SECONDS, FetchError
from hybrid_operator.metrics.gather import CONCURRENCY, SPREAD_SECONDS, Gatherer, Round
from tests.support import virtual_time

ROUND = 3.0


class Pods:
    """Pods that say what a test wants, and when they were asked."""

    def __init__(self, *names: str) -> None:
        self.pods = {name: pod(name, ready=True) for name in names}
        self.tokens = dict.fromkeys(names, 0)
        self.hung: set[str] = set()
        self.asked: list[dict[str, float]] = []
        self.gatherer = Gatherer(self.fetch)

    async def ask(self) -> Round:
        """Ask all once; the next round begins `ROUND` after this one."""
        self.began = virtual_time.now()
        self.asked.append({})
        told = await self.gatherer.ask({"r": list(self.pods.values())})
        self.took = virtual_time.now() - self.began
        await asyncio.sleep(max(ROUND - self.took, 0.0))
        return told["r"]

    async def fetch(self, pod: Mapping[str, Any]) -> str:
        name = pod["metadata"]["name"]
        self.asked[-1][name] = round(virtual_time.now() - self.began, 6)
        if name in self.hung:
            await asyncio.sleep(DEADLINE_SECONDS)
            raise FetchError("no answer within 2 s")
        tokens = self.tokens[name]
        return f"vllm:prompt_tokens_total 0\nvllm:generation_tokens_total {tokens}\n"


def pod(name: str, *, ready: bool, labels: dict[str, str] | None = None) -> dict[str, Any]:
    status = "True" if ready else "False"
    return {
        "metadata": {
            "name": name,
            "uid": f"uid-{name}",
            "labels": labels or naming.engine_selector("support", "m"),
        },
        "status": {"conditions": [{"type": "Ready", "status": status}]},
    }


def test_pods_are_asked_one_after_another_at_the_same_moment_of_every_round():
    async def play():
        pods = Pods(*(f"e{number}" for number in range(300)))
        for _ in range(3):
            await pods.ask()
        first, *others = pods.asked
        moments = sorted(first.values())
        assert all(other == first for other in others)
        assert 0 <= moments[0] < moments[-1] < SPREAD_SECONDS
        for tenth in range(10):
            among = [m for m in moments if tenth <= 10 * m / SPREAD_SECONDS < tenth + 1]
            assert 10 <= len(among) <= 60

    virtual_time.run(play())


def test_pods_that_hang_keep_nobody_else_waiting_and_the_round_ends_with_their_deadline():
    async def play():
        pods = Pods(*(f"e{number}" for number in range(60)))
        await pods.ask()
        pods.hung = {f"e{number}" for number in range(30)}
        told = await pods.ask()
        assert pods.asked[1] == pods.asked[0]
        assert pods.took < SPREAD_SECONDS + DEADLINE_SECONDS
        assert [each.pod for each in told.engines["m"] if each.now is None] == [
            f"e{number}" for number in range(30)
        ]

    virtual_time.run(play())


def test_more_pods_that_hang_than_are_asked_at_once_keep_the_others_waiting_once():
    async def play():
        pods = Pods(*(f"e{number}" for number in range(10 * CONCURRENCY)))
        pods.hung = {f"e{number}" for number in range(5 * CONCURRENCY)}
        await pods.ask()
        first = pods.took
        told = await pods.ask()
        assert first > 3 * DEADLINE_SECONDS
        assert pods.took < SPREAD_SECONDS + DEADLINE_SECONDS
        assert max(pods.asked[1].values()) < SPREAD_SECONDS
        answered = {each.pod for each in told.engines["m"] if each.now is not None}
        assert answered == pods.tokens.keys() - pods.hung

    virtual_time.run(play())


def test_a_router_s_page_is_overheard_and_an_engine_s_is_not():
    async def play():
        pods = Pods("e1")
        heard: list[tuple[str, str]] = []
        pods.gatherer = Gatherer(
            pods.fetch, lambda p, text, _: heard.append((p["metadata"]["name"], text))
        )
        pods.pods["r1"] = pod("r1", ready=True, labels=naming.router_selector("support"))
        pods.tokens["r1"] = 7
        await pods.ask()
        return heard, await pods.fetch(pods.pods["r1"])

    heard, page = virtual_time.run(play())
    assert heard == [("r1", page)]


def test_a_pod_that_was_not_ready_meanwhile_is_unknown_at_first():
    """What it counted in ten minutes is not what it did in three seconds."""

    async def play():
        pods = Pods("e1", "e2")
        await pods.ask()
        pods.pods["e1"] = pod("e1", ready=False)
        for _ in range(200):
            pods.tokens["e1"] += 1000
            await pods.ask()
        pods.pods["e1"] = pod("e1", ready=True)
        back, next_ = await pods.ask(), await pods.ask()
        assert [each.before is None for each in back.engines["m"]] == [True, False]
        assert [each.before is None for each in next_.engines["m"]] == [False, False]
        assert next_.seconds == ROUND

    virtual_time.run(play())


def test_a_pod_that_did_not_answer_meanwhile_is_unknown_at_first():
    async def play():
        pods = Pods("e1")
        await pods.ask()
        pods.hung = {"e1"}
        assert (await pods.ask()).engines["m"][0].now is None
        pods.hung = set()
        assert (await pods.ask()).engines["m"][0].before is None

    virtual_time.run(play())
