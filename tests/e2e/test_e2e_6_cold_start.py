"""A model that sleeps: the API answers at once, the first request wakes it, traffic moves back.

HINF_COLD_STARTS says how often (default 2; `make test-full` has 20). Requests that must stay local
are in a row of their own: they wait or are told when to come again, and never leave the cluster.
build/test/cold-starts.md has what was measured.
"""

import os
import threading
import time
from dataclasses import dataclass, field

import openai
import pytest

from tests.e2e import stack
from tests.e2e.stack import LOCAL, ROOT

NAME = "cold"
CYCLES = int(os.environ.get("HINF_COLD_STARTS", "2"))
START_S, IDLE_S = 600, 240
AT_ONCE_S = 10.0
"""An answer of the scripted provider, on a machine whose cores start a vLLM meanwhile."""
pytestmark = pytest.mark.timeout(CYCLES * (START_S + IDLE_S) + 120)


@dataclass
class Row:
    """What became of one kind of requests."""

    model: str
    sources: list[str] = field(default_factory=list)
    told_to_wait: int = 0
    failed: list[str] = field(default_factory=list)
    slowest_api: float = 0.0
    first_local: float | None = None
    """Seconds from the first request."""


def ask(row: Row, stop: threading.Event) -> None:
    """Ask again and again until told to stop."""
    began = time.monotonic()
    with stack.client(NAME) as asked:
        while not stop.is_set():
            sent = time.monotonic()
            try:
                source = stack.chat(asked, row.model)[0]
            except openai.APIStatusError as error:
                if error.status_code == 503 and "retry-after" in error.response.headers:
                    row.told_to_wait += 1
                else:
                    row.failed.append(f"{error.status_code}: {error}")
            except openai.APIError as error:
                row.failed.append(f"{type(error).__name__}: {error}")
            else:
                row.sources.append(source)
                if source == "api":
                    row.slowest_api = max(row.slowest_api, time.monotonic() - sent)
                elif row.first_local is None:
                    row.first_local = time.monotonic() - began
            stop.wait(0.5)


def replicas() -> int:
    """Return the replicas that are asked for."""
    labels = f"app.kubernetes.io/instance={NAME},app.kubernetes.io/component=engine"
    found: int = stack.get("deployments", "--selector", labels)["items"][0]["spec"]["replicas"]
    return found


@pytest.fixture(scope="module")
def sleeping(scripted):  # noqa: ARG001  the provider and the volumes are there
    spec = stack.demo_spec() | {"router": {"replicas": 1}}
    spec["models"][0]["scaling"] = {"min": 0, "max": 1, "idleAfter": "20s"}
    stack.apply(stack.resource(NAME, spec))
    stack.wait_for(NAME, "RouterReady", seconds=120)
    measured: list[str] = []
    yield measured
    note(measured)
    stack.kubectl("delete", "hinf", NAME, "--ignore-not-found", "--wait=false")


def test_at_min_0_no_pod_starts_before_somebody_asks(sleeping):  # noqa: ARG001
    assert replicas() == 0
    assert stack.pods(NAME, "engine") == []
    assert stack.condition(NAME, "EnginesReady")["reason"] == "ScaledToZero"


HEAD = (
    "| cold start | requests | first local answer | of the API | local | told to wait | failed |",
    "|---|---|---|---|---|---|---|",
)


def line(cycle: int, row: Row) -> str:
    """Return a line of the table of what was measured."""
    api, local = (row.sources.count(source) for source in ("api", "local"))
    kind = "may leave" if row.model == "auto" else "must stay local"
    first = f"{row.first_local:.1f} s" if row.first_local is not None else "none"
    return (
        f"| {cycle + 1} | {kind} | {first} | {api} | {local} | {row.told_to_wait} "
        f"| {len(row.failed)} |"
    )


def note(measured: list[str]) -> None:
    """Keep the table for who ran the tests."""
    path = ROOT / "build" / "test" / "cold-starts.md"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join((*HEAD, *measured)) + "\n")


@pytest.mark.parametrize("cycle", range(CYCLES))
def test_a_cold_start_costs_no_answer(sleeping, cycle, record_property):
    stack.eventually("the model sleeps", lambda: replicas() == 0, IDLE_S)
    stack.eventually("its pod is gone", lambda: not stack.pods(NAME, "engine"), IDLE_S)
    rows, stop = [Row("auto"), Row(LOCAL)], threading.Event()
    threads = [threading.Thread(target=ask, args=(row, stop)) for row in rows]
    for thread in threads:
        thread.start()
    try:
        stack.eventually("an answer of the API", lambda: "api" in rows[0].sources, 30)
        stack.eventually("the operator wakes the model", lambda: replicas() == 1, 60)
        both_local = "local answers to both"
        stack.eventually(both_local, lambda: all("local" in row.sources for row in rows), START_S)
        stack.eventually("only local ones", lambda: {*rows[0].sources[-5:]} == {"local"}, 60)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    sleeping += [line(cycle, row) for row in rows]
    both, local = rows
    assert [row.failed for row in rows] == [[], []]
    assert both.told_to_wait == 0
    assert both.sources[0] == "api"
    assert both.slowest_api < AT_ONCE_S
    assert {*local.sources} == {"local"}
    record_property("seconds_to_first_local_answer", round(both.first_local or 0.0, 1))
    record_property("seconds_to_first_answer_that_must_be_local", round(local.first_local or 0, 1))
