"""The simulators: the optimum is one, policies stay in bounds, and `hinf simulate` says what."""

from __future__ import annotations

import itertools
import json
import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from hypothesis import given, settings
from hypothesis import strategies as st

from hybrid_operator.cli.main import cli
from hybrid_operator.cli.simulate import run
from hybrid_operator.core.scaling import levels
from hybrid_operator.simulate import events, fluid, hindsight, reading, trace
from hybrid_operator.simulate.engine import Engine, Job
from hybrid_operator.simulate.policies import POLICIES, replay

DEAR = fluid.Prices(2.5, 10.0)
HEAD = "TIMESTAMP,ContextTokens,GeneratedTokens\n"


def loaded(work: list[float], **fields: Any) -> fluid.Load:
    """Return a load in which the API takes 2 USD an hour for a replica's worth of work."""
    setting = fluid.Setting(DEAR, step=60.0, warm_up=0.0, **fields)
    usd = tuple(each * setting.step * 2 / 3600 for each in work)
    return fluid.Load(setting, tuple(work), usd, tuple(work))


@given(st.lists(st.floats(0, 1.7), min_size=1, max_size=7))
@settings(deadline=None, max_examples=60)
def test_the_optimum_is_what_trying_every_schedule_finds(work):
    load = loaded(work)
    most, step = load.peak, load.setting.step / 3600
    start = load.setting.cold_start / 3600

    def cost(schedule: tuple[int, ...]) -> float:
        ups = sum(max(b - a, 0) for a, b in itertools.pairwise(schedule))
        api = sum(
            usd * (1 - min(w, r * 0.85) / w) if w else 0.0
            for w, usd, r in zip(load.work, load.api_usd, schedule, strict=True)
        )
        return sum(schedule) * step + ups * start + api

    tried = itertools.product(range(most + 1), repeat=len(work))
    assert fluid.optimum(load).usd == pytest.approx(min(map(cost, tried)), abs=1e-9)


@given(st.lists(st.sampled_from([0.0, 0.2, 0.85]), min_size=1, max_size=9))
@settings(deadline=None, max_examples=60)
def test_the_reactive_optimum_is_what_trying_every_start_after_work_finds(work):
    load = loaded(work)
    step, delay = load.setting.step / 3600, 2  # 90 s of steps of a minute

    def cost(schedule: tuple[bool, ...]) -> float:
        total, since = 0.0, -delay
        for index, on in enumerate(schedule):
            came = on and index > 0 and not schedule[index - 1]
            if came and not work[index - 1]:
                return math.inf
            since = index if came else since
            serves = on and index >= since + delay
            total += step * on + (0.0 if serves else load.api_usd[index])
        return total

    tried = itertools.product((False, True), repeat=len(work))
    assert fluid.reactive(load) == pytest.approx(min(map(cost, tried)), abs=1e-9)


@dataclass
class OneRule:
    """Every level follows the same rule."""

    rule: int
    known: levels.Levels = levels.NOTHING

    def replicas(self, seen: fluid.Seen) -> int:
        rates = levels.Rates(seen.seconds, seen.seconds / 3600, 90 / 3600, 90.0)
        self.known = self.known.after(seen.work, seen.api_usd, 0.85, rates)
        return sum(level.running[self.rule] > 0 for level in self.known.levels)


@given(st.lists(st.sampled_from([0.0, 0.0, 0.2, 0.85]), min_size=2, max_size=90))
@settings(deadline=None, max_examples=40)
def test_the_best_rules_are_what_replaying_each_rule_of_one_level_finds(work):
    load = fluid.Load(
        fluid.Setting(DEAR, step=30.0, warm_up=0.5),
        tuple(work),
        tuple(each * 30 * 2 / 3600 for each in work),
        tuple(work),
    )
    found = [fluid.run(load, OneRule(rule)).total_usd for rule in range(len(levels.Level().costs))]
    api = sum(load.api_usd[load.counted :])
    always = (len(work) - load.counted) * 30 / 3600
    assert hindsight.best_rules(load) == pytest.approx(min(*found, api, always), abs=1e-9)


@pytest.mark.parametrize("name", [name for name in POLICIES if name != "oracle"])
def test_no_policy_that_waits_for_work_is_cheaper_than_the_reactive_optimum(name):
    load = fluid.load(trace.bursts(1.0), fluid.Setting(DEAR))
    best = replay(load, "oracle").total_usd
    assert best - 1e-9 <= fluid.reactive(load) <= replay(load, name).total_usd + 1e-9


def test_no_policy_of_the_event_model_is_below_its_bound():
    made = trace.bursts(0.5)
    for prices in (DEAR, fluid.Prices(0.05, 0.1)):
        setting = fluid.Setting(prices)
        found = [run(made, setting, name, "events").total_usd for name in ("hybrid", "oracle")]
        assert events.lower_bound(made, setting) <= min(found)


def test_a_replica_costs_from_the_moment_it_is_asked_for_and_serves_a_cold_start_later():
    class One:
        def replicas(self, seen: fluid.Seen) -> int:
            del seen
            return 1

    load = loaded([0.85] * 10)
    result = fluid.run(load, One())
    assert result.gpu_usd == pytest.approx(9 * 60 / 3600)  # asked for when the first step ended
    assert result.api_usd == pytest.approx(3 * load.api_usd[0])  # it, and 90 s


@pytest.mark.parametrize("name", POLICIES)
def test_no_policy_is_cheaper_than_the_optimum(name):
    made = trace.bursts(1.0)
    load = fluid.load(made, fluid.Setting(DEAR, step=5.0))
    assert replay(load, name).total_usd >= replay(load, "oracle").total_usd - 1e-9


def test_an_engine_does_what_its_rates_say():
    engine = Engine(prefill=8000.0, decode=1000.0, ready_at=0.0)
    jobs = [Job(0.0, 800, 101) for _ in range(10)]
    for job in jobs:
        engine.add(job)
    while engine.active:
        engine.advance(engine.next_event())
    assert jobs[0].first_token == pytest.approx(0.1)
    assert all(job.done and job.first_token for job in jobs)
    assert [j.first_token for j in jobs] == sorted(j.first_token or 0 for j in jobs)
    assert engine.now == pytest.approx(10 * 0.1 + 100 / 40, rel=0.1)


def write(folder: Path, made: trace.Trace) -> Path:
    path = folder / "trace.csv"
    rows = [
        f"2026-11-25 {int(at) // 3600:02}:{int(at) // 60 % 60:02}:{at % 60:09.6f}0,{p},{g}\n"
        for at, p, g in made.requests
    ]
    path.write_text(HEAD + "".join(rows))
    return path


def hinf(*args: str) -> Result:
    return CliRunner().invoke(cli, ("simulate", *args), prog_name="hinf")


@pytest.mark.parametrize("model", ["fluid", "events"])
def test_the_fields_are_fixed(tmp_path, model):
    path = write(tmp_path, trace.bursts(0.5))
    args = ("--trace", str(path), "--policy", "hybrid", "--model", model, "-o", "json")
    found = json.loads(hinf(*args).output)
    assert list(found) == [
        *("gpu_hours", "gpu_usd", "api_usd", "total_usd"),
        *("slo_attainment", "delayed", "lost", "reversals"),
    ]
    assert found["total_usd"] == pytest.approx(found["gpu_usd"] + found["api_usd"], abs=2e-4)
    assert hinf(*args).output == hinf(*args).output


def test_all_policies_stand_in_one_table_of_100_columns(tmp_path):
    path = write(tmp_path, trace.bursts(0.2))
    result = hinf("--trace", str(path), "--policy", "all", "--step", "10")
    assert result.exit_code == 0, result.output
    lines = result.output.splitlines()
    assert lines[0].split()[-3:] == ["DELAYED", "LOST", "REVERSALS"]
    assert [line.split()[0] for line in lines[1:]] == list(POLICIES)
    assert max(map(len, lines)) <= 100


def test_the_help_keeps_its_examples_on_lines_of_their_own():
    lines = hinf("--help").output.splitlines()
    assert sum(line.startswith("    hinf simulate --trace") for line in lines) == 4
    assert max(map(len, lines)) <= 100
    assert all(f"    {name:<15} {what}" in lines for name, (what, _) in POLICIES.items())


LOG = [
    '{"time":1760000010.0,"seconds":4.0,"request_id":"a","prompt_tokens":900,"completion_tokens":60}',
    (
        '[pod/r] {"time":1760000011.5,"seconds":1.5,"request_id":"b","decision":"local",'
        '"prompt_tokens":30,"completion_tokens":9}'
    ),
    '{"time":1760000012.0,"seconds":1.0,"request_id":"c","decision":"api","prompt_tokens":50}',
    '{"time":1760000013.0,"request_id":"a","type":"outcome","source":"feedback","score":1.0}',
    '{"time":1760000014.0,"seconds":0.1,"request_id":"d","status":503}',
    '{"time":null,"seconds":0.1,"request_id":"e","prompt_tokens":5}',
    '{"request_id": half of a line',
    "the router is ready",
]


def test_an_access_log_is_a_trace_of_what_local_models_were_asked(tmp_path):
    path = tmp_path / "access.log"
    path.write_text("\n".join(LOG))
    assert reading.read(path).requests == ((0.0, 900, 60), (4.0, 30, 9))


TIMES = [
    pytest.param("2023-11-16 18:15:46.6805900", id="as in Azure's traces of 2023"),
    pytest.param("2023-11-16 18:15:46.680590+00:00", id="as in those of 2024"),
    pytest.param("2023-11-16T19:15:46.68059+01:00", id="in another time zone"),
    pytest.param("2023-11-16 18:15:46.68059Z ", id="in UTC by its letter"),
]


@pytest.mark.parametrize("text", TIMES)
def test_a_time_is_one_in_utc_unless_it_says_another(tmp_path, text, monkeypatch):
    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()
    path = tmp_path / "trace.csv"
    path.write_text(f"\ufeff{HEAD}2023-11-16 18:15:46+00:00,1,1\n{text},2,2\n")
    found = reading.read(path).requests
    monkeypatch.undo()
    time.tzset()
    assert found[0] == (0.0, 1, 1)
    assert found[1].at == pytest.approx(0.68059, abs=1e-5)


def test_a_stretched_trace_has_longer_pauses_and_a_multiplied_one_more_requests():
    made = trace.bursts(0.2)
    longer, more = trace.stretched(made, 24), trace.multiplied(made, 10)
    assert longer.seconds == pytest.approx(24 * made.seconds)
    assert [each[1:] for each in longer.requests] == [each[1:] for each in made.requests]
    assert len(more.requests) == 10 * len(made.requests)
    assert made.seconds <= more.seconds < made.seconds + 1
    assert all(a.at <= b.at for a, b in itertools.pairwise(more.requests))


def test_days_have_all_requests_at_noon_and_a_tenth_at_midnight():
    steady = trace.Trace("steady", tuple(trace.Request(float(at), 9, 9) for at in range(600)))
    made = trace.daily(steady, 3)
    hours = [0] * 24
    for each in made.requests:
        hours[int(each.at / 3600) % 24] += 1
    assert made.seconds == pytest.approx(3 * 86_400, abs=60)
    assert hours[12] == pytest.approx(3 * 3600, rel=0.03)
    assert hours[0] == pytest.approx(3 * 360, rel=0.2)


BAD = [
    pytest.param(LOG[2], "holds no answered request", id="a log of what was the API's"),
    pytest.param("the router is ready", "or a router's access log", id="a log without requests"),
    pytest.param("a,b\n1,2\n", "has no column TIMESTAMP", id="another file"),
    pytest.param(HEAD, "holds no request", id="an empty one"),
    pytest.param(HEAD + "2026-11-25 00:00:00,many,1\n", "line 2", id="a word for a number"),
    pytest.param(HEAD + "2026-11-25 00:00:00,-1,1\n", "fewer than 0", id="fewer tokens than none"),
    pytest.param(HEAD + "2026-11-25 00:00:00,1,1\n\udcff", "not text in UTF-8", id="bytes"),
    pytest.param(HEAD + "soon,1,1\n", "line 2", id="a time that is none"),
    pytest.param(HEAD + "2026-11-25 00:00:00,1\n", "line 2", id="a row that is short"),
]


@pytest.mark.parametrize(("text", "message"), BAD)
def test_a_bad_trace_is_refused_with_its_line(tmp_path, text, message):
    path = tmp_path / "trace.csv"
    path.write_text(text, encoding="utf-8", errors="surrogateescape")
    result = hinf("--trace", str(path), "--policy", "hpa")
    assert result.exit_code == 2
    assert message in result.output


@pytest.mark.parametrize("option", ["--prefill", "--stretch", "--gpu-price"])
@pytest.mark.parametrize("value", ["nan", "inf"])
def test_what_is_no_number_is_refused(tmp_path, option, value):
    path = write(tmp_path, trace.bursts(0.1))
    result = hinf("--trace", str(path), "--policy", "hpa", option, value)
    assert result.exit_code == 2
    assert f"'{value}' is not a number" in result.output
