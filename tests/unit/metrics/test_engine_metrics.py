"""What an engine's metrics say, by every release; and what is made of those that make no sense."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from hybrid_operator.core.scaling.capacity import seeded
from hybrid_operator.metrics import diverted
from hybrid_operator.metrics.diverted import NOTHING, Flow, Past
from hybrid_operator.metrics.histogram import histogram
from hybrid_operator.metrics.load import Price, Seen, load
from hybrid_operator.metrics.vllm import (
    TTFT,
    EngineError,
    EngineReading,
    increase,
    parse,
)
from tests.perf.pages import RECORDED

MODEL = 'engine="0",model_name="m"'
START = "process_start_time_seconds 1.7e+09\n"
NOW = f"""\
# HELP vllm:prompt_tokens_total Number of prefill tokens processed.
# TYPE vllm:prompt_tokens_total counter
vllm:prompt_tokens_total{{{MODEL}}} 1000.0
vllm:prompt_tokens_by_source_total{{{MODEL},source="local_compute"}} 600.0
vllm:prompt_tokens_by_source_total{{{MODEL},source="local_cache_hit"}} 400.0
vllm:generation_tokens_total{{{MODEL}}} 200.0
vllm:num_requests_running{{{MODEL}}} 3.0
vllm:num_requests_waiting{{{MODEL}}} 5.0
vllm:num_requests_waiting_by_reason{{{MODEL},reason="capacity"}} 2.0
vllm:num_requests_waiting_by_reason{{{MODEL},reason="deferred"}} 3.0
vllm:kv_cache_usage_perc{{{MODEL}}} 0.5
vllm:num_preemptions_total{{{MODEL}}} 1.0
vllm:time_to_first_token_seconds_bucket{{{MODEL},le="0.5"}} 9.0
vllm:time_to_first_token_seconds_bucket{{{MODEL},le="+Inf"}} 10.0
vllm:inter_token_latency_seconds_bucket{{{MODEL},le="0.05"}} 10.0
vllm:inter_token_latency_seconds_bucket{{{MODEL},le="+Inf"}} 10.0
"""
OLD = f"""\
vllm:prompt_tokens_total{{{MODEL}}} 1000.0
vllm:gpu_prefix_cache_hits_total{{{MODEL}}} 400.0
vllm:generation_tokens_total{{{MODEL}}} 200.0
vllm:num_requests_running{{{MODEL}}} 3.0
vllm:num_requests_waiting{{{MODEL}}} 2.0
vllm:gpu_cache_usage_perc{{{MODEL}}} 0.5
vllm:num_preemptions_total{{{MODEL}}} 1.0
vllm:time_to_first_token_seconds_bucket{{{MODEL},le="0.5"}} 9.0
vllm:time_to_first_token_seconds_bucket{{{MODEL},le="+Inf"}} 10.0
vllm:time_per_output_token_seconds_bucket{{{MODEL},le="0.05"}} 10.0
vllm:time_per_output_token_seconds_bucket{{{MODEL},le="+Inf"}} 10.0
"""
LEAST = "vllm:prompt_tokens_total 1\nvllm:generation_tokens_total 2\n"


def test_releases_with_other_names_say_the_same():
    assert parse("e", NOW + START) == parse("e", OLD + START)
    assert parse("e", NOW + START) == EngineReading(
        prompt=600.0,
        generated=200.0,
        running=3.0,
        waiting=2.0,
        kv_usage=0.5,
        preemptions=1.0,
        ttft=histogram({0.5: 9.0, float("inf"): 10.0}),
        itl=histogram({0.05: 10.0, float("inf"): 10.0}),
        all_prompt=1000.0,
        started=1.7e9,
    )


def test_a_page_as_a_real_engine_writes_it_is_read():
    found = parse("e", (RECORDED / "vllm-0.32.txt").read_text())
    assert (found.prompt, found.generated, found.all_prompt) == (243.0, 60.0, 243.0)
    assert (found.ttft.total, found.itl.total) == (3.0, 57.0)
    assert (len(found.ttft.bounds), len(found.itl.bounds)) == (23, 20)
    assert found.started == 1795718193.77


def test_data_parallel_ranks_are_added_up():
    lines = (each for line in NOW.splitlines() for each in (line, line.replace("0", "1", 1)))
    found = parse("e", "\n".join(lines))
    assert (found.generated, found.ttft.total) == (400.0, 20.0)


def test_a_page_of_10_000_lines_is_read():
    other = "\n".join(f'python_gc_total{{generation="{n}"}} 1' for n in range(10_000))
    assert parse("e", f"{other}\n{NOW}").running == 3.0


BAD = [
    pytest.param("<html>not found</html>", "prompt_tokens_total is missing", id="another page"),
    pytest.param("vllm:prompt_tokens_total 1\n", "generation_tokens_total is", id="half a page"),
    pytest.param(LEAST + "vllm:num_requests_running NaN\n", "running is NaN", id="no number"),
    pytest.param(LEAST + "vllm:num_requests_running -1\n", "running is -1", id="fewer than none"),
    pytest.param(LEAST + "vllm:num_requests_running +Inf\n", "is +Inf", id="infinitely many"),
    pytest.param(LEAST + "vllm:num_requests_running\n", "is not a sample", id="a line cut short"),
    pytest.param(LEAST + f'{TTFT}{{le="x"}} 1\n', "bucket up to 'x'", id="a bound that is none"),
    pytest.param(LEAST + f'{TTFT}{{le="NaN"}} 1\n', "up to 'NaN'", id="a bound that is no number"),
    pytest.param(LEAST + f"{TTFT} 1\n", "bucket up to ''", id="a bucket without a bound"),
    pytest.param(LEAST + f'{TTFT}{{le="1"}} -1\n', "bucket is -1", id="a bucket below zero"),
    pytest.param(LEAST + f"{TTFT}{{{'a' * 2**20}}} 1\n", "up to ''", id="a label without end"),
    pytest.param(LEAST + TTFT + "{" + ',le="1' * 2**18, "is not a sample", id="bounds without end"),
    pytest.param(LEAST + "x\n" * 100_001, "more than 100000 lines", id="a page without end"),
]


@pytest.mark.parametrize(("text", "message"), BAD)
def test_what_makes_no_sense_is_refused(text, message):
    with pytest.raises(EngineError, match=f"engine e: .*{message.replace('+', '[+]')}"):
        parse("e", text)


BEFORE = EngineReading(900.0, 500.0, all_prompt=900.0)
AFTER = EngineReading(30.0, 7.0, all_prompt=30.0)
HIGHER = EngineReading(950.0, 507.0, all_prompt=950.0)
CACHED_FIRST = EngineReading(400.0, 507.0, all_prompt=950.0)
COUNTED = [
    pytest.param(0, AFTER, 0, (30.0, 7.0, True), id="back, and it says nothing: from 0, we assume"),
    pytest.param(5, AFTER, 9, (30.0, 7.0, False), id="back, and started again: from 0"),
    pytest.param(5, HIGHER, 9, (950.0, 507.0, False), id="not back, and started again: from 0"),
    pytest.param(5, AFTER, 5, None, id="back, and not started again: it makes no sense"),
    pytest.param(5, AFTER, 0, (30.0, 7.0, True), id="back, and no longer says: from 0, we assume"),
    pytest.param(5, HIGHER, 5, (50.0, 7.0, False), id="on"),
    pytest.param(5, CACHED_FIRST, 5, (0.0, 7.0, False), id="a cached prompt is under way"),
]


@pytest.mark.parametrize(("started", "after", "later", "counted"), COUNTED)
def test_what_was_counted_between_two_looks(started, after, later, counted):
    grown = increase(replace(BEFORE, started=started), replace(after, started=later))
    assert (grown and (grown.prompt, grown.generated, grown.assumed)) == counted


ROUTER = """\
hinf_router_local_only_tokens_total{backend="local/m",kind="prompt"} 30.0
hinf_router_local_only_tokens_total{backend="local/m",kind="completion"} 6.0
hinf_router_diverted_requests_total{backend="local/m",reason="local-unavailable"} 2.0
hinf_router_diverted_requests_total{backend="local/m",reason="local-failed"} 1.0
hinf_router_diverted_requests_total{backend="local/m",reason="unserved"} 4.0
hinf_router_diverted_tokens_total{backend="local/m",reason="local-unavailable",kind="prompt"} 80.0
hinf_router_diverted_tokens_total{backend="local/m",reason="local-failed",kind="completion"} 9.0
hinf_router_diverted_tokens_total{backend="local/m",reason="unserved",kind="prompt"} 70.0
"""


def test_what_went_past_a_model_is_told_by_who_answered():
    assert diverted.read(ROUTER).past == {
        "local/m": Past(
            Flow(3.0, 80.0, 9.0), Flow(4.0, 70.0, 0.0), local_only=Flow(0.0, 30.0, 6.0)
        ),
    }


def test_a_request_that_goes_past_a_model_is_one_before_its_answer_has_ended():
    page = 'hinf_router_passed_requests_total{{backend="local/m"}} {}\n'
    before, after = (diverted.read(page.format(count)) for count in (1.0, 2.0))
    grown = diverted.increase(before, after)
    assert grown
    assert grown["local/m"] == Past(passed=1.0)
    assert load(Seen(10.0, [], [grown["local/m"]], 0, 0), CAPACITY, None).sample.requests
    assert not load(Seen(10.0, [], [NOTHING], 0, 0), CAPACITY, None).sample.requests


def test_who_waits_at_a_router_is_demand_and_local_only_while_no_replica_runs():
    (told,) = diverted.read('hinf_router_requests_waiting{backend="local/m"} 2.0\n').past.values()
    assert diverted.grown(told, told).waiting == 2.0
    asleep = load(Seen(10.0, [], [told], 0, 0), CAPACITY, Price(1.0, 1.0)).sample
    assert asleep.demand == pytest.approx(asleep.local_only)
    assert asleep.demand > 0
    awake = load(seen(IDLE, past=told), CAPACITY, Price(1.0, 1.0)).sample
    assert awake.demand > 0
    assert awake.local_only == 0


def test_tokens_in_flight_are_told_and_decide_nothing():
    page = 'hinf_router_tokens_in_flight{backend="local/m"} 1200.0\n'
    (told,) = diverted.read(page).past.values()
    assert diverted.grown(told, told).in_flight == 1200.0
    busy, idle = (
        load(Seen(10.0, [], routers, 0, 0), CAPACITY, None).sample
        for routers in ([told, told], [NOTHING, NOTHING])
    )
    assert busy.tokens_in_flight == 2400.0
    assert replace(busy, tokens_in_flight=0.0) == idle


RESTARTS = [
    pytest.param(0, 0, 1.0, 1.0, id="back, and it says nothing: from 0, we assume"),
    pytest.param(5, 9, 1.0, 1.0, id="back, and started again: from 0"),
    pytest.param(5, 9, 8.0, 8.0, id="not back, and started again: from 0"),
    pytest.param(5, 5, 8.0, 3.0, id="on"),
    pytest.param(5, 5, 1.0, None, id="back, and not started again: it makes no sense"),
]


@pytest.mark.parametrize(("started", "later", "requests", "counted"), RESTARTS)
def test_what_a_router_counted_between_two_looks(started, later, requests, counted):
    page = 'hinf_router_diverted_requests_total{{backend="b",reason="x"}} {}\n{} {}\n'
    before = diverted.read(page.format(5.0, "process_start_time_seconds", started))
    after = diverted.read(page.format(requests, "process_start_time_seconds", later))
    grown = diverted.increase(before, after)
    assert (grown and grown["b"].api.requests) == counted


def test_a_router_that_started_again_counts_from_zero():
    before = Past(Flow(5.0, 50.0, 5.0), local_only=Flow(0.0, 90.0, 9.0))
    after = Past(Flow(1.0, 8.0, 2.0), local_only=Flow(0.0, 7.0, 12.0))
    assert diverted.grown(before, after) == after


CAPACITY = seeded(1000.0, 100.0)
IDLE = EngineReading(0.0, 0.0)


def seen(*after: EngineReading | None, past: Past | None = NOTHING, ready: int = 1) -> Seen:
    return Seen(10.0, [(IDLE, each) for each in after], [past], replicas=ready, ready=ready)


def test_demand_is_what_engines_did_and_what_went_past_them():
    past = Past(Flow(1.0, 5000.0, 0.0), Flow(1.0, 0.0, 500.0))
    found = load(seen(EngineReading(1000.0, 400.0), past=past), CAPACITY, Price(1.0, 2.0)).sample
    assert found.demand == pytest.approx((1 + 4 + 5 + 5) / 10)
    assert found.local_only == pytest.approx(0.5)
    assert found.api_usd == pytest.approx((6000 * 1 + 900 * 2) / 1e6 / 10)


def test_what_a_replica_serves_and_no_api_may_is_local_only_and_no_more_demand():
    past = Past(local_only=Flow(0.0, 1000.0, 100.0))
    found = load(seen(EngineReading(1000.0, 400.0), past=past), CAPACITY, Price(1.0, 2.0)).sample
    assert found.demand == pytest.approx((1 + 4) / 10)
    assert found.local_only == pytest.approx((1 + 1) / 10)


def test_requests_that_wait_are_demand():
    quiet = load(seen(EngineReading(1000.0, 400.0)), CAPACITY, None).sample
    queue = load(seen(EngineReading(1000.0, 400.0, waiting=9.0)), CAPACITY, None).sample
    assert queue.demand > quiet.demand


def test_a_pod_that_lies_is_believed_up_to_a_limit():
    assert load(seen(EngineReading(1e15, 1e15)), CAPACITY, None).sample.demand <= 10


INCOMPLETE = [
    pytest.param(seen(None), id="an engine that does not answer"),
    pytest.param(seen(IDLE, past=None), id="a router that does not answer"),
    pytest.param(Seen(10.0, [(None, IDLE)], [NOTHING], 1, 1), id="a new engine"),
    pytest.param(Seen(10.0, [(IDLE, IDLE)], [], 1, 1), id="no router at all"),
    pytest.param(
        Seen(10.0, [(EngineReading(0.0, 1e6), EngineReading(0.0, 999_999.0))], [NOTHING], 1, 1),
        id="a counter went back, and says more than can have been done since",
    ),
    pytest.param(
        Seen(10.0, [(replace(BEFORE, started=5), replace(AFTER, started=5))], [NOTHING], 1, 1),
        id="a counter went back, and its process did not start again",
    ),
    pytest.param(Seen(10.0, [], [NOTHING], 2, 2), id="no engine, where two are ready"),
    pytest.param(Seen(10.0, [(IDLE, IDLE)], [NOTHING], 2, 2), id="one engine, where two are"),
]


@pytest.mark.parametrize("told", INCOMPLETE)
def test_ignorance_is_told(told):
    assert not load(told, CAPACITY, None).sample.complete


def test_asleep_with_a_router_that_tells_is_complete():
    assert load(Seen(10.0, [], [NOTHING], 0, 0), CAPACITY, None).sample.complete


def learnt(waiting: tuple[float, float], load_: float, **fields: Any) -> float:
    """Return the prefill rate after 200 looks at a replica with so much load."""
    capacity, prompt = CAPACITY, 0.0
    for _ in range(200):
        before = EngineReading(prompt, 0.0, running=1.0, waiting=waiting[0])
        prompt += load_ * 10.0 * CAPACITY.prefill
        after = EngineReading(prompt, 0.0, running=1.0, waiting=waiting[1], **fields)
        capacity = load(Seen(10.0, [(before, after)], [NOTHING], 1, 1), capacity, None).capacity
    return capacity.prefill


def test_one_request_that_waits_at_a_look_is_no_saturation():
    assert learnt((0.0, 1.0), 0.33) == CAPACITY.prefill
    assert learnt((1.0, 0.0), 0.33) == CAPACITY.prefill


SATURATED = [
    pytest.param((3.0, 5.0), {}, id="requests waited all the time"),
    pytest.param((0.0, 0.0), {"kv_usage": 0.97}, id="its KV cache is full"),
    pytest.param((0.0, 0.0), {"preemptions": 1.0}, id="it had to put requests back"),
]


@pytest.mark.parametrize(("waiting", "fields"), SATURATED)
def test_a_replica_that_is_full_shows_what_it_can_do(waiting, fields):
    assert learnt(waiting, 0.7, **fields) == pytest.approx(0.7 * CAPACITY.prefill, rel=0.05)
