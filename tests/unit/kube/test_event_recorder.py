from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from hybrid_operator.core.state import Event, Owner
from hybrid_operator.kube.errors import AlreadyExists, Forbidden, NotFound
from hybrid_operator.kube.events import MAX_MESSAGE, QUIET_SECONDS, REMEMBERED, Recorder

OWNER = Owner(name="support", namespace="ns", uid="u", generation=1)
READY = Event("Normal", "Ready", "all is well")


class Events:
    """The API server's events, as far as a recorder writes them."""

    def __init__(self) -> None:
        self.stored: dict[str, dict[str, Any]] = {}
        self.writes: list[str] = []

    async def create_event(self, event: dict[str, Any]) -> None:
        self.writes.append("create")
        name = event["metadata"]["name"]
        if name in self.stored:
            raise AlreadyExists("it is there")
        self.stored[name] = event

    async def repeat_event(self, key: Any, patch: dict[str, Any]) -> dict[str, Any]:
        self.writes.append("patch")
        if key.name not in self.stored:
            raise NotFound("it expired")
        self.stored[key.name] |= patch
        return self.stored[key.name]


class Clock:
    def __init__(self) -> None:
        self.now = datetime(2026, 1, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def pass_(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


def recorder(events: Events, clock: Clock) -> Recorder:
    return Recorder(events, clock, "operator")  # type: ignore[arg-type]


async def test_an_event_says_what_happened_to_which_resource():
    events = Events()
    await recorder(events, Clock()).record(OWNER, READY)
    (event,) = events.stored.values()
    assert event["involvedObject"]["uid"] == "u"
    assert event["involvedObject"]["kind"] == "HybridInference"
    assert (event["type"], event["reason"], event["message"]) == ("Normal", "Ready", "all is well")
    assert event["count"] == 1
    assert event["firstTimestamp"] == "2026-01-01T00:00:00Z"


async def test_the_same_again_within_a_minute_is_not_said():
    events, clock = Events(), Clock()
    told = recorder(events, clock)
    await told.record(OWNER, READY)
    clock.pass_(QUIET_SECONDS - 1)
    await told.record(OWNER, READY)
    assert events.writes == ["create"]


async def test_the_same_again_later_is_counted():
    events, clock = Events(), Clock()
    told = recorder(events, clock)
    for _ in range(3):
        await told.record(OWNER, READY)
        clock.pass_(QUIET_SECONDS)
    (event,) = events.stored.values()
    assert event["count"] == 3
    assert event["lastTimestamp"] == "2026-01-01T00:02:00Z"
    assert events.writes == ["create", "patch", "patch"]


async def test_counting_goes_on_over_a_restart_of_ours():
    events, clock = Events(), Clock()
    await recorder(events, clock).record(OWNER, READY)
    again = recorder(events, clock)
    await again.record(OWNER, READY)
    clock.pass_(QUIET_SECONDS)
    await again.record(OWNER, READY)
    (event,) = events.stored.values()
    assert event["count"] == 3


async def test_an_event_that_expired_is_made_anew():
    events, clock = Events(), Clock()
    told = recorder(events, clock)
    await told.record(OWNER, READY)
    events.stored.clear()
    clock.pass_(3600)
    await told.record(OWNER, READY)
    (event,) = events.stored.values()
    assert event["count"] == 1


async def test_another_message_is_another_event():
    events = Events()
    told = recorder(events, Clock())
    await told.record(OWNER, READY)
    await told.record(OWNER, Event("Normal", "Ready", "all is better"))
    assert len(events.stored) == 2


async def test_a_long_message_is_cut_to_what_the_api_server_takes():
    events = Events()
    await recorder(events, Clock()).record(OWNER, Event("Warning", "X", "x" * 5000))
    (event,) = events.stored.values()
    assert len(event["message"]) == MAX_MESSAGE


async def test_an_event_that_cannot_be_written_fails_nothing(caplog):
    class Locked(Events):
        async def create_event(self, event: dict[str, Any]) -> None:
            raise Forbidden(f"no right to create events {len(event)}")

    await recorder(Locked(), Clock()).record(OWNER, READY)
    assert "an event is lost" in caplog.text


async def test_what_is_remembered_is_bounded():
    events = Events()
    told = recorder(events, Clock())
    for number in range(REMEMBERED + 10):
        await told.record(OWNER, Event("Normal", "X", str(number)))
    assert len(told._said) == REMEMBERED
