from __future__ import annotations

from pathlib import Path

import pytest

from hybrid_operator.core.state import BackendReport, Outcomes, RouterReport
from hybrid_operator.metrics.report import ReportError, parse
from hybrid_router.core.breaker import Outcome
from hybrid_router.table import Backend, RouteTable
from hybrid_router.telemetry.metrics import Metrics

GOLDEN = Path(__file__).parents[2] / "golden" / "metrics" / "router.prom"


def test_a_report_is_read_from_a_routers_metrics():
    assert parse("router-1", GOLDEN.read_text()) == RouterReport(
        pod="router-1",
        table_hash="0123456789abcdef",
        generation=4,
        backends=(
            BackendReport("azure", up=None, replicas=0, secret_missing=True),
            BackendReport("llama-3-8b", up=True, replicas=2),
            BackendReport("openai", up=False, replicas=1, last_status=429),
        ),
        local=42,
        api=7,
    )


def test_what_the_router_writes_is_what_we_read():
    metrics = Metrics()
    backend = Backend(trust="external", urls=("https://a/v1",))
    metrics.table(RouteTable(generation=9, backends={"a": backend, "b": backend}), "beef")
    metrics.replicas("a", 3)
    metrics.secret_missing("b", missing=True)
    metrics.attempt("a", Outcome.FAILED, None)
    metrics.request("chat", "auto", "local", "confident", 200, 0.1)
    metrics.request("chat", "auto", "api", "unsure", 200, 0.1)
    metrics.drift.against("0123456789ab", None)
    metrics.drift.judged("feedback", "local", 1.0, 0.9, "01234567")
    metrics.drift.judged("escalation", "local", 0.0, 0.9, "01234567")
    metrics.drift.judged("feedback", "api", 1.0, 0.2, "")
    assert parse("r", metrics.render().decode()) == RouterReport(
        pod="r",
        table_hash="beef",
        generation=9,
        backends=(
            BackendReport("a", up=False, replicas=3, last_status=0),
            BackendReport("b", up=None, replicas=0, secret_missing=True),
        ),
        local=1,
        api=1,
        states={"0123456789ab": False},
        outcomes={"0123456789ab": Outcomes(1, 1), "none": Outcomes(1, 0)},
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        pytest.param("", "hinf_router_table_info is missing", id="nothing"),
        pytest.param("<html>hello</html>", "is missing", id="another program's page"),
        pytest.param("hinf_router_table_info{", "cannot be read", id="a text that is cut off"),
        pytest.param(
            'hinf_router_table_info{hash="a",generation="x"} 1', "cannot be read", id="no number"
        ),
        pytest.param(
            'hinf_router_table_info{hash="a",generation="1"} 1\nhinf_router_backend_up 1\n',
            "cannot be read",
            id="a sample without its label",
        ),
        pytest.param(
            'hinf_router_table_info{hash="a",generation="1"} 1\n'
            'hinf_router_requests_total{source="api"} NaN\n',
            "cannot be read",
            id="a count that is no number",
        ),
    ],
)
def test_what_cannot_be_read_is_refused_with_a_sentence(text, said):
    with pytest.raises(ReportError, match=said) as caught:
        parse("router-1", text)
    assert "router-1" in str(caught.value)


def test_a_router_without_a_table_yet_is_no_report():
    with pytest.raises(ReportError, match="is missing"):
        parse("r", Metrics().render().decode())
