"""The router's benchmark: what its table says follows from what was measured."""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import threading
from pathlib import Path

import pytest

from tests.perf import router_cost
from tests.perf.router import bodies, measure, report, rows
from tests.perf.router.rows import DIRECT


def chat(cpu: float, rate: float, alone: float) -> dict[str, dict[str, float]]:
    return {
        "c64": {"cpu_us": cpu, "per_second": rate, "p50_us": 900.0, "p99_us": 1500.0},
        "c1": {"p50_us": alone, "p99_us": 2 * alone},
    }


SAMPLES: rows.Samples = {
    DIRECT: [{"c1": {"p50_us": 20.0, "p99_us": 30.0}}],
    "hinf-router": [chat(30.0, 20_000.0, 90.0), chat(34.0, 19_000.0, 95.0), chat(99.0, 1.0, 900.0)],
    "vllm-router": [chat(39.0, 15_000.0, 140.0)],
    "litellm": [chat(7_400.0, 134.0, 7_100.0)],
}


def test_figures_are_medians_of_the_rounds_and_count_from_the_direct_load() -> None:
    ours = report.figures("chat-1k", SAMPLES)["hinf-router"]
    assert ours["cpu_us"] == 34.0
    assert ours["per_second"] == 19_000.0
    assert ours["added_p50_us"] == 75.0


def test_targets_are_held_against_the_peer_in_the_same_row() -> None:
    lines = report.judged({"chat-1k": report.figures("chat-1k", SAMPLES)})
    assert {line["text"]: (line["limit"], line["met"]) for line in lines} == {
        "CPU per request at or below vllm-router's": (39.0, True),
        "added p50 at c=1 at or below its": (120.0, True),
        "p99 at c=64 at or below its": (1500.0, True),
        "100 times LiteLLM's throughput": (13_400.0, True),
    }


def test_a_target_that_is_missed_says_so() -> None:
    slow = {**SAMPLES, "hinf-router": [chat(60.0, 9_000.0, 190.0)]}
    figures = {"chat-1k": report.figures("chat-1k", slow)}
    assert [line["met"] for line in report.judged(figures)] == [False, False, True, False]
    about = {"date": "2026-01-01", "machine": "2 cores", "rounds": 1, "command": "bench"}
    assert report.markdown(figures, about).count("NOT met") == 3


def test_memory_is_its_largest_size_and_its_growth() -> None:
    steps = [{"memory": {"rss_mib": size}} for size in (60.0, 61.5, 61.0)]
    assert report.figures("memory", {"hinf-router": steps}) == {
        "hinf-router": {"rss_mib": 61.5, "grown_mib": 1.0}
    }


def test_a_gateway_that_answers_nothing_has_a_cause_in_place_of_figures() -> None:
    samples: rows.Samples = {**SAMPLES, "smg": [{rows.CAUSE: "bodies of 20 MB: 9 refused"}]}
    figures = {"chat-1k": report.figures("chat-1k", samples)}
    assert "smg" not in figures["chat-1k"]
    about = {"date": "2026-01-01", "machine": "2 cores", "rounds": 3, "command": "bench"}
    shown = report.markdown(figures, about, {"chat-1k": report.causes(samples)})
    assert "smg has no figure: bodies of 20 MB: 9 refused\n" in shown


class Refusing:
    """Answers 400 as soon as a request begins to arrive, and reads no more of it."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self) -> None:
        held = []
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self.listener.accept()
                connection.recv(1000)
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n")
                held.append(connection)


@pytest.mark.skipif(shutil.which("cc") is None, reason="the load generator is compiled")
def test_a_load_that_is_refused_before_it_has_sent_its_bodies_ends_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measure, "CACHE", tmp_path)
    (tmp_path / "bodies").write_bytes(b"20000000\n" + b"x" * 20_000_000)
    gateway = Refusing()
    words = (measure.compiled("load"), "closed", gateway.port, tmp_path / "bodies", 1, 0.3)
    command = [str(word) for word in words]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    with pytest.raises(
        measure.UnansweredError, match=r"refused, the first with 400, 0 not answered"
    ):
        measure.finish_load(process)
    gateway.listener.close()


@pytest.mark.parametrize("size", [1024, 65_536])
def test_requests_are_of_the_size_and_each_has_the_number_that_makes_it_unique(
    size: int, tmp_path: Path
) -> None:
    bodies.write(tmp_path / "bodies", size, model="m", key="k")
    data = (tmp_path / "bodies").read_bytes()
    count = int(data.partition(b"\n")[0])
    assert 0.8 * size < count < 1.4 * size
    assert data.count(bodies.COUNTER.encode()) == bodies.VARIANTS


@pytest.mark.parametrize("row", router_cost.ROWS)
def test_the_cost_of_a_row_is_measured_on_answers_that_the_router_took(capsys, row) -> None:
    assert router_cost.main([row, "2"]) == 0
    assert capsys.readouterr().out.startswith(f"{row}: ")
