from __future__ import annotations

import math
from datetime import UTC, datetime

import pytest

from hybrid_operator.control.status import (
    FIGURES_SECONDS,
    MAX_MESSAGE,
    Decision,
    Written,
    decide,
    figures_differ,
    with_failure,
)

NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)


def status(ready: str = "True", local: int = 100, api: int = 50) -> dict[str, object]:
    return {
        "observedGeneration": 2,
        "conditions": [{"type": "Ready", "status": ready}],
        "routing": {"requests": local + api, "local": local, "api": api},
    }


WRITE, LEAVE = Decision(write=True), Decision(write=False)


@pytest.mark.parametrize(
    ("planned", "live", "age", "decision"),
    [
        pytest.param(status(), status(), math.inf, LEAVE, id="nothing differs"),
        pytest.param(status(), {}, 0.0, WRITE, id="there is no status yet"),
        pytest.param(status("False"), status(), 0.0, WRITE, id="a condition differs"),
        pytest.param(status(local=104), status(), math.inf, LEAVE, id="a figure moved by 4 %"),
        pytest.param(status(local=106), status(), math.inf, WRITE, id="a figure moved by 6 %"),
        pytest.param(
            status(local=94), status(), math.inf, WRITE, id="a figure moved by 6 % downwards"
        ),
        pytest.param(
            status(local=1, api=0),
            status(local=0, api=0),
            math.inf,
            WRITE,
            id="the first request moves a figure from 0",
        ),
        pytest.param(
            status(local=200),
            status(),
            20.0,
            Decision(write=False, again=40.0),
            id="a figure moved within a minute of the last write",
        ),
        pytest.param(
            status(local=200), status(), FIGURES_SECONDS, WRITE, id="a figure moved, a minute later"
        ),
        pytest.param(
            status("False", local=200), status(), 0.0, WRITE, id="both: the figures go along"
        ),
        pytest.param(
            {"conditions": []},
            {"conditions": [], "routing": {"requests": 1}},
            math.inf,
            WRITE,
            id="figures are gone",
        ),
    ],
)
def test_when_the_status_is_written(planned, live, age, decision):
    assert decide(planned, live, None, age) == decision


def test_what_the_api_server_drops_is_not_written_over_and_over():
    sent = status() | {"newField": 1}
    stored = status()
    assert decide(sent, stored, None, 0.0) == WRITE
    assert decide(sent, stored, Written(sent, stored), 0.0) == LEAVE


def test_a_status_that_somebody_else_changed_is_put_right():
    ours = status()
    assert decide(ours, status("False"), Written(ours, ours), 0.0) == WRITE


def test_figures_differ():
    assert figures_differ(status(), status(local=101))
    assert not figures_differ(status(), status("False"))


def test_a_failure_replaces_the_condition_and_keeps_the_others():
    told = with_failure(status(), "ApplyFailed", "Deployment x: no", 3, NOW)
    assert told["observedGeneration"] == 3
    assert told["routing"] == status()["routing"]
    assert told["conditions"] == [
        {"type": "Ready", "status": "True"},
        {
            "type": "Progressing",
            "status": "False",
            "reason": "ApplyFailed",
            "message": "Deployment x: no",
            "lastTransitionTime": "2026-03-01T12:00:00Z",
            "observedGeneration": 3,
        },
    ]


def test_a_failure_that_goes_on_keeps_the_time_since_when_it_does():
    first = with_failure(status(), "ApplyFailed", "one", 3, datetime(2026, 1, 1, tzinfo=UTC))
    second = with_failure(first, "ApplyFailed", "two", 3, NOW)
    assert second["conditions"][-1]["lastTransitionTime"] == "2026-01-01T00:00:00Z"
    assert second["conditions"][-1]["message"] == "two"
    assert len(second["conditions"]) == 2


def test_a_message_is_cut_to_what_the_schema_allows():
    told = with_failure({}, "ApplyFailed", "x" * 5000, 1, NOW)
    assert len(told["conditions"][0]["message"]) == MAX_MESSAGE
