"""What pods say that makes no sense, or nothing: never a crash, never a replica less."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

from tests.support import virtual_time
from tests.support.scaled_cluster import KEY, Cluster


def test_a_hung_engine_takes_no_replica_away():
    async def play():
        cluster = Cluster({"max": 4}, replicas=3)
        await cluster.look(3)
        cluster.hung = {"e2"}
        await cluster.look(300)
        assert cluster.log == ["scale 3"]
        told = cluster.scaler.status(KEY)
        assert told
        assert told.models["m"]["reason"] == "NoMetrics"

    virtual_time.run(play())


def test_what_is_not_seen_for_a_minute_is_told_until_it_is_seen_for_one():
    async def play():
        cluster = Cluster({"max": 4})
        blind: list[int] = []
        for hung in ({"e1"}, set(), {"e1"}, {"r"}, set(), {"r"}, set()):
            cluster.hung = set(hung)
            await cluster.look(14 if hung == {"e1"} else 26)
            told = cluster.scaler.status(KEY)
            assert told
            blind.append(len(told.blind))
        assert blind == [0, 0, 0, 1, 0, 1, 0]

    virtual_time.run(play())


LEAST_PAGE = "vllm:prompt_tokens_total 0\nvllm:generation_tokens_total 0\n"
BAD_PAGES = [
    pytest.param("e2", "", id="an engine that says nothing"),
    pytest.param("e2", "<html>502</html>", id="an engine behind a broken proxy"),
    pytest.param("e2", "vllm:generated_total 1\n", id="an engine of a release that nobody knows"),
    pytest.param("e2", LEAST_PAGE + "vllm:num_requests_running NaN\n", id="an engine with NaN"),
    pytest.param("e2", LEAST_PAGE + "vllm:num_requests_waiting -1\n", id="fewer than none wait"),
    pytest.param("e2", LEAST_PAGE + "vllm:num_requests_running", id="an engine's page cut short"),
    pytest.param("e2", LEAST_PAGE + "x 1\n" * 100_001, id="an engine's page without end"),
    pytest.param("r", "hinf_router_requests_waiting{", id="a router's page cut short"),
    pytest.param("r", 'hinf_router_requests_waiting{backend="local/m"} NaN\n', id="router's NaN"),
    pytest.param("r", "hinf_router_requests_waiting 1\n", id="a router that names no backend"),
    pytest.param(
        "r",
        'hinf_router_diverted_requests_total{backend="local/m",reason="x"} +Inf\n',
        id="a router that diverted infinitely many",
    ),
]


@pytest.mark.parametrize(("pod", "page"), BAD_PAGES)
def test_a_page_that_makes_no_sense_takes_no_replica_away(pod: str, page: str):
    async def play():
        cluster = Cluster({"max": 4}, replicas=3)
        await cluster.look(3)
        cluster.pages = {pod: page}
        await cluster.look(14, step=30)
        assert cluster.log == ["scale 3"]
        told = cluster.scaler.status(KEY)
        assert told
        assert told.models["m"]["reason"] == "NoMetrics"
        cluster.pages = {}
        await cluster.look(14, step=30)
        assert cluster.replicas < 3

    virtual_time.run(play())


def page(tokens: int, started: int | None = None) -> str:
    says = "" if started is None else f"process_start_time_seconds {started}\n"
    return LEAST_PAGE.replace("tokens_total 0", f"tokens_total {tokens}") + says


@pytest.mark.parametrize(
    ("says", "holds"),
    [
        pytest.param(
            lambda _: LEAST_PAGE + 'vllm:request_success_total{reason="stop"} 1\n' * 10_000,
            False,
            id="10,000 lines",
        ),
        pytest.param(lambda n: page(100 - n, n), False, id="its process starts again and again"),
        pytest.param(lambda n: page(100 - n), False, id="so it may be, by what it counts"),
        pytest.param(
            lambda n: page(100 - n, 1), True, id="its counters go back, it does not start"
        ),
        pytest.param(
            lambda n: page(10**6 - n), True, id="it counts more than it can have done since"
        ),
    ],
)
def test_who_holds_and_who_does_not(says: Callable[[int], str], holds: bool):  # noqa: FBT001
    """A counter that goes back without a start is ignorance, and takes no replica away."""

    async def play():
        cluster = Cluster({"max": 4}, replicas=3)
        for look in range(1, 20):
            cluster.pages = {"e2": says(look)}
            await cluster.look(step=30)
        told = cluster.scaler.status(KEY)
        assert told
        assert (told.models["m"]["reason"] == "NoMetrics") == holds
        assert (cluster.replicas == 3) == holds

    virtual_time.run(play())


def test_an_engine_that_lies_neither_takes_a_replica_away_nor_spoils_what_was_learnt():
    async def play():
        cluster = Cluster({"max": 4}, replicas=3)
        await cluster.look(3, work=0.8)
        before = cluster.scaler.status(KEY)
        for look in range(40):
            page = LEAST_PAGE.replace("tokens_total 0", f"tokens_total {10**15 * look}")
            cluster.pages = {
                "e2": page + "vllm:num_requests_running 9\nvllm:num_requests_waiting 9\n"
            }
            await cluster.look(work=0.8)
        told = cluster.scaler.status(KEY)
        assert before
        assert told
        for name in ("prefillTokensPerSecond", "decodeTokensPerSecond"):
            assert told.models["m"][name] == before.models["m"][name]
        assert cluster.replicas in (3, 4)

    virtual_time.run(play())


def test_a_clock_that_jumps_scales_nothing():
    async def play():
        cluster = Cluster({"max": 4, "idleAfter": "10m"}, replicas=2)
        await cluster.look(20, work=0.8)
        before = list(cluster.log)
        for hours in (24 * 400, -24 * 400, 5, 0):
            cluster.ahead = timedelta(hours=hours)
            await cluster.look(5, work=0.8)
        assert cluster.log == before

    virtual_time.run(play())


@pytest.mark.parametrize("place", ["autoscaler.decide", "scalable.judge"])
def test_a_fault_of_ours_with_one_resource_stops_neither_the_loop_nor_the_log(
    place: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    def fails(*_: object) -> None:
        raise ZeroDivisionError

    async def play():
        cluster = Cluster({"max": 4}, replicas=2)
        with monkeypatch.context() as patch:
            patch.setattr(f"hybrid_operator.control.{place}", fails)
            await cluster.look(20)
        assert cluster.log == []
        assert caplog.text.count("ns/support: not scaled, by a fault of the operator") == 1
        cluster.generation += 1
        await cluster.look(3)
        assert cluster.log == ["scale 2"]

    virtual_time.run(play())
