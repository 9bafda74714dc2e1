from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Callable
from typing import Any

from hybrid_operator.kube.client import Change, Page
from hybrid_operator.kube.errors import Gone, KubeError, Unavailable
from hybrid_operator.kube.kinds import POD
from hybrid_operator.kube.watch import Follower
from tests.support import virtual_time


def obj(name: str, version: int) -> dict[str, Any]:
    return {"metadata": {"name": name, "resourceVersion": str(version)}}


class Script:
    """An API server that answers from a list: a Page, a list of changes, or an error."""

    def __init__(self, *answers: Page | list[Change] | KubeError) -> None:
        self.answers = list(answers)
        self.asked: list[tuple[float, str]] = []

    def _next(self, what: str) -> Any:
        self.asked.append((virtual_time.now(), what))
        if not self.answers:
            return None
        answer = self.answers.pop(0)
        if isinstance(answer, KubeError):
            raise answer
        return answer

    async def list(self, *_: object, keep: Callable[[Any], Any]) -> Page:
        page = self._next("list")
        assert isinstance(page, Page)
        return Page([keep(item) for item in page.items], page.version)

    async def watch(
        self, _kind: object, _ns: object, version: str, *_: object
    ) -> AsyncIterator[Change]:
        changes = self._next(f"watch from {version}")
        if changes is None:
            await asyncio.Event().wait()
        for change in changes or []:
            yield change


class Sink:
    def __init__(self) -> None:
        self.seen: list[str] = []

    def keep(self, _kind: object, item: Any) -> Any:
        return item

    def replace(self, _kind: object, _namespace: object, items: Any, version: str) -> None:
        self.seen.append(f"all as of {version}: {[item['metadata']['name'] for item in items]}")

    def upsert(self, _kind: object, item: Any) -> None:
        self.seen.append(f"have {item['metadata']['name']}")

    def remove(self, _kind: object, item: Any) -> None:
        self.seen.append(f"lost {item['metadata']['name']}")


def follow(script: Script) -> Sink:
    sink = Sink()

    async def main():
        follower = Follower(script, sink, POD, None, "")  # type: ignore[arg-type]
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(1000):
                await follower.run(lambda: 1.0)
        return follower.synced.is_set()

    assert virtual_time.run(main())
    return sink


def test_a_list_is_followed_by_what_changes():
    script = Script(
        Page([obj("a", 3)], "10"),
        [
            Change("ADDED", obj("b", 11)),
            Change("MODIFIED", obj("a", 12)),
            Change("DELETED", obj("b", 13)),
        ],
    )
    assert follow(script).seen == ["all as of 10: ['a']", "have b", "have a", "lost b"]
    assert [what for _, what in script.asked] == ["list", "watch from 10", "watch from 13"]


def test_a_bookmark_moves_the_point_to_go_on_from_and_nothing_else():
    script = Script(Page([], "10"), [Change("BOOKMARK", obj("", 99))])
    assert follow(script).seen == ["all as of 10: []"]
    assert script.asked[-1][1] == "watch from 99"


def test_a_broken_stream_goes_on_where_it_broke():
    script = Script(Page([], "10"), [Change("ADDED", obj("a", 11))], Unavailable("silence"), [])
    assert follow(script).seen == ["all as of 10: []", "have a"]
    assert [what for _, what in script.asked][1:4] == [
        "watch from 10",
        "watch from 11",
        "watch from 11",
    ]


def test_a_version_that_is_too_old_means_listing_again():
    script = Script(Page([], "10"), Gone("too old"), Page([obj("a", 20)], "20"))
    assert follow(script).seen == ["all as of 10: []", "all as of 20: ['a']"]


def test_an_api_server_that_stays_away_is_asked_less_and_less_often():
    script = Script(*[Unavailable("away")] * 9, Page([], "1"))
    follow(script)
    times = [at for at, _ in script.asked]
    assert [round(b - a, 1) for a, b in itertools.pairwise(times)][:9] == [
        0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 30.0,
    ]  # fmt: skip


def test_a_stream_that_ends_at_once_every_time_does_not_spin():
    script = Script(Page([], "1"), *[list[Change]()] * 10)
    follow(script)
    times = [at for at, _ in script.asked]
    assert len(times) == 12
    assert times[-1] >= 5.0
