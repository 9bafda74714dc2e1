"""Metrics: the names that dashboards and the operator rely on, and no label from a client."""

from __future__ import annotations

import io
import re
from pathlib import Path

from hybrid_router.core.breaker import Outcome
from hybrid_router.discovery.registry import Registry
from hybrid_router.table import Backend, Model, RouteTable, Target, encode
from hybrid_router.telemetry.access import Access, AccessLog
from hybrid_router.telemetry.metrics import Metrics

GOLDEN = Path(__file__).parents[2] / "golden" / "router" / "metrics.txt"

TABLE = RouteTable(
    generation=3,
    models={"auto": Model(targets=(Target(backend="engine", model="m"),))},
    backends={
        "engine": Backend(trust="internal", urls=("http://a/v1", "http://b/v1")),
        "openai": Backend(trust="external", urls=("http://c/v1",)),
    },
)


def serving(table: RouteTable = TABLE) -> tuple[Metrics, Registry]:
    metrics = Metrics()
    registry = Registry(metrics)
    registry.offer(encode(table), "file")
    return metrics, registry


def lines(metrics: Metrics, start: str = "hinf_") -> list[str]:
    return [line for line in metrics.render().decode().splitlines() if line.startswith(start)]


def test_everything_that_is_counted_appears_under_its_agreed_name() -> None:
    metrics, _ = serving()
    metrics.request("chat", "auto", "local", "confident", 200, 0.1)
    metrics.usage("engine", "m", 10, 5, 2, estimated=True)
    metrics.attempt("engine", Outcome.OK, 200)
    metrics.attempt("openai", Outcome.FAILED, 401)
    metrics.ttft("engine", 0.02)
    metrics.table_error("watch")
    rendered = [line for line in lines(metrics) if "_bucket" not in line or '+Inf"' in line]
    assert "\n".join(rendered) + "\n" == GOLDEN.read_text()


def test_a_model_name_that_the_table_lacks_makes_no_series() -> None:
    metrics, _ = serving()
    for number in range(100):
        metrics.request("chat", f"invented-{number}", "none", "refused", 404, 0.001)
    (found,) = lines(metrics, "hinf_router_requests_total")
    assert 'model="unknown"' in found
    assert found.endswith(" 100.0")


def test_up_is_absent_before_the_first_attempt_and_then_the_last_outcome() -> None:
    metrics, _ = serving()
    assert lines(metrics, "hinf_router_backend_up{") == []
    metrics.attempt("openai", Outcome.OK, 200)
    assert lines(metrics, "hinf_router_backend_up{") == [
        'hinf_router_backend_up{backend="openai"} 1.0'
    ]
    metrics.attempt("openai", Outcome.OVERLOADED, 429)
    assert lines(metrics, "hinf_router_backend_up{") == [
        'hinf_router_backend_up{backend="openai"} 0.0'
    ]


def test_the_last_status_is_one_series_per_backend() -> None:
    metrics, _ = serving()
    metrics.attempt("openai", Outcome.FAILED, 401)
    metrics.attempt("openai", Outcome.FAILED)
    metrics.attempt("openai", Outcome.CANCELLED)
    metrics.attempt("engine", Outcome.OK, 200)
    assert lines(metrics, "hinf_router_backend_last_status{") == [
        'hinf_router_backend_last_status{backend="openai",status="failed"} 1.0',
        'hinf_router_backend_last_status{backend="engine",status="200"} 1.0',
    ]


def test_a_backend_that_is_gone_leaves_no_state_behind() -> None:
    metrics, registry = serving()
    metrics.attempt("openai", Outcome.FAILED, 500)
    registry.offer(
        encode(RouteTable(generation=4, backends={"engine": TABLE.backends["engine"]})), "file"
    )
    gauges = [line for line in lines(metrics) if "_total" not in line]
    assert not any("openai" in line for line in gauges)
    metrics.attempt("openai", Outcome.OK, 200)  # one that was under way
    assert lines(metrics, "hinf_router_backend_up{") == []


def test_the_table_in_force_is_named_once() -> None:
    metrics, registry = serving()
    registry.offer(encode(RouteTable(generation=4)), "file")
    assert lines(metrics, "hinf_router_table_info{") == [
        f'hinf_router_table_info{{generation="4",hash="{registry.table_hash}"}} 1.0'
    ]


def test_two_routers_in_one_process_share_nothing() -> None:
    one, other = serving()[0], serving()[0]
    one.request("chat", "auto", "local", "confident", 200, 0.1)
    assert lines(other, "hinf_router_requests_total{") == []


def test_no_creation_times_double_the_series() -> None:
    metrics, _ = serving()
    metrics.request("chat", "auto", "local", "confident", 200, 0.1)
    assert not re.search(rb"_created\b", metrics.render())


def access() -> Access:
    return Access(time=1.5, request_id="r-1", surface="chat", status=200, seconds=0.25)


def test_an_access_line_is_one_json_object() -> None:
    stream = io.BytesIO()
    AccessLog(stream).write(access())
    assert stream.getvalue() == (
        b'{"time":1.5,"request_id":"r-1","surface":"chat","status":200,"seconds":0.25}\n'
    )


def test_an_access_log_that_nobody_reads_any_more_fails_no_request() -> None:
    stream = io.BytesIO()
    log = AccessLog(stream)
    stream.close()
    log.write(access())
    log.write(access())
