"""POST /v1/feedback, and what clients say by asking again: counted, logged, never with a prompt."""

import io
import json
from typing import cast

import pytest

from hybrid_router.classify.identity import shipped_digest
from hybrid_router.outcomes import again
from hybrid_router.outcomes.log import read
from hybrid_router.table import Calibration
from hybrid_router.telemetry.access import AccessLog
from tests.support.routers import Says, backend, router, table
from tests.support.upstreams import Upstream, answers, begins, delta, ends, replies

KEY, OTHER = "Authorization: Bearer s3cret", "Authorization: Bearer 0ther"
PROMPT = "the recipe of the secret sauce"
STATE = {
    "classifier": "embedded", "model": shipped_digest(), "maps": {"*": {"offset": -2.0}},
    "heldOut": {"outcomes": 9, "logLossBefore": 1, "logLossAfter": 1, "brierBefore": 0,
                "brierAfter": 0},
    "reference": [1] * 20,
}  # fmt: skip


@pytest.fixture
def keys(tmp_path):
    (tmp_path / "alice").write_text("s3cret")
    (tmp_path / "bob").write_text("0ther")
    return {"keys": {"directory": str(tmp_path)}}


def both(local, api, **fields):
    backends = {
        "local": backend(local.url),
        "api": backend(api.url, trust="external", prices={"api-model": {"input": 2, "output": 8}}),
    }
    return table(backends, **fields)


def lines(stream):
    return [json.loads(line) for line in stream.getvalue().splitlines()]


async def ask(r, *headers, model="auto", prompt=PROMPT):
    messages = [{"role": "user", "content": prompt}]
    return await r.chat(model, *headers, messages=messages)


async def judge(r, request_id, score, *headers, **fields):
    body = {"request_id": request_id, "score": score} | fields
    return await r.post("/v1/feedback", body, *headers)


async def test_the_key_that_asked_may_judge_at_any_router_and_nobody_else(keys):
    stream = io.BytesIO()
    async with Upstream() as up, Upstream() as api:
        served = both(up, api, **keys)
        log = AccessLog(stream)
        async with (
            router(served, classifier=Says(0.9)) as one,
            router(served, classifier=Says(0.9), access_log=log) as two,
        ):
            answer = await ask(one, KEY)
            known = answer.headers["x-request-id"]
            stranger = await judge(two, known, "good", OTHER)
            nobody = await judge(two, known, "good")
            taken = await judge(two, known, 0.25, KEY, reason="too-short")
            twice = await judge(two, known, 0.25, KEY)
            changed = await judge(two, known, "good", KEY)
            counted = two.sample(
                'hinf_router_outcomes_total{side="local",source="feedback",state="none",'
                'verdict="bad"}'
            )
            error = two.sample('hinf_router_outcome_squared_error_total{state="none"}')
    assert (stranger.status, stranger.error["code"]) == (404, "request_not_found")
    assert nobody.status == 401
    assert taken.json() == {
        "object": "feedback", "request_id": known, "score": 0.25, "recorded": True,
    }  # fmt: skip
    assert (twice.json()["recorded"], changed.json()["recorded"]) == (False, True)
    assert counted == 1  # the log has both judgements, of which the last one counts
    assert error == pytest.approx((0.9 - 0.25) ** 2, abs=1e-4)
    told = [line for line in lines(stream) if line.get("type") == "outcome"]
    assert [(t["request_id"], t["score"], t["key"]) for t in told] == [
        (known, 0.25, "alice"), (known, 1.0, "alice"),
    ]  # fmt: skip
    assert told[0]["reason"] == "too-short"


async def test_a_client_with_ids_of_its_own_gets_one_to_judge_by(keys):
    async with (
        Upstream() as up,
        Upstream() as api,
        router(both(up, api, **keys), classifier=Says(0.9)) as r,
    ):
        answer = await ask(r, KEY, "x-request-id: mine-1")
        own = await judge(r, "mine-1", "good", KEY)
        given = await judge(r, answer.headers["x-hybrid-feedback-id"], "good", KEY)
    assert answer.headers["x-request-id"] == "mine-1"
    assert (own.status, given.status) == (404, 200)


async def test_answers_under_one_id_of_a_clients_own_are_judged_apart(keys):
    stream, own = io.BytesIO(), "x-request-id: 1"
    async with Upstream() as up, Upstream() as api:
        says, log = Says(0.9), AccessLog(stream)
        async with router(both(up, api, **keys), classifier=says, access_log=log) as r:
            answers = [await ask(r, KEY, own), await ask(r, OTHER, own)]
            says.verdict = Says(0.95).verdict
            answers.append(await ask(r, KEY, own))
            ids = [each.headers["x-hybrid-feedback-id"] for each in answers]
            judged = zip(ids, (0.25, 0.25, 0.25), (KEY, OTHER, KEY), strict=True)
            taken = [await judge(r, *each) for each in judged]
            twice = await judge(r, ids[0], 0.25, KEY)
    assert [each.json()["recorded"] for each in (*taken, twice)] == [True, True, True, False]
    assert {line["request_id"] for line in lines(stream)} == {"1"}
    found = read(stream.getvalue().decode().splitlines()).examples
    assert [(e.request_id, e.score) for e in found] == [
        (ids[0], 0.9), (ids[1], 0.9), (ids[2], 0.95),
    ]  # fmt: skip


async def test_an_answer_after_failover_is_judged_as_that_of_the_side_that_gave_it():
    async with (
        Upstream(replies(500, {})) as up,
        Upstream() as api,
        router(both(up, api), classifier=Says(0.9)) as r,
    ):
        answer = await ask(r)
        await judge(r, answer.headers["x-request-id"], "good")
        labels = 'side="api",source="feedback",state="none",verdict="good"'
        counted = r.sample(f"hinf_router_outcomes_total{{{labels}}}")
    assert answer.headers["x-hybrid-source"] == "api"
    assert counted == 1


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        pytest.param({"score": 1}, 400, "invalid_request", id="no id"),
        pytest.param({"request_id": "x", "score": 1.5}, 400, "invalid_request", id="score above 1"),
        pytest.param({"request_id": "x", "score": "fine"}, 400, "invalid_request", id="no score"),
        pytest.param(
            {"request_id": "x", "score": 1, "reason": "It said: hello"}, 400, "invalid_request",
            id="a reason that could hold a text",
        ),
        pytest.param({"request_id": "x", "score": 1}, 404, "request_not_found", id="unknown"),
        pytest.param(b"{", 400, "invalid_request", id="no JSON"),
        pytest.param({"request_id": "x" * 5000, "score": 1}, 413, "body_too_large", id="long"),
    ],
)  # fmt: skip
async def test_what_is_no_judgement_is_refused_in_openais_form(body, status, code):
    async with router({}) as r:
        reply = await r.post("/v1/feedback", body)
    assert (reply.status, reply.error["code"]) == (status, code)


async def test_an_answer_that_no_confidence_decided_cannot_be_judged():
    async with Upstream() as up, Upstream() as api, router(both(up, api)) as r:
        answer = await ask(r, model="local")
        reply = await judge(r, answer.headers["x-request-id"], "good")
    assert reply.status == 404


async def test_the_log_says_what_a_fit_needs_and_nothing_of_the_prompt():
    stream = io.BytesIO()
    async with Upstream() as up, Upstream(answers("ok")) as api:
        served = both(up, api, policy={"calibration": STATE, "threshold": 0.85})
        async with router(served, classifies=True, access_log=AccessLog(stream)) as r:
            answer = await ask(r, prompt="Translate 'good morning' to French, please: " + PROMPT)
            state = cast("Calibration", r.registry.table.policy.calibration).digest
            info = r.sample(f'hinf_router_calibration_info{{state="{state}"}}')
    (line,) = lines(stream)
    assert info == 1
    assert line["request_id"] == answer.headers["x-request-id"]
    assert line["confidence"] < line["score"]
    assert line["confidence"] == pytest.approx(
        float(answer.headers["x-hybrid-confidence"]), abs=1e-3
    )
    assert (line["decision"], line["source"], line["threshold"]) == ("api", "api", 0.85)
    assert (line["classifier"], len(line["state"])) == ("embedded", 12)
    assert line["cost_usd"] == pytest.approx((7 * 2 + 2 * 8) / 1e6)
    assert b"sauce" not in stream.getvalue()


async def test_a_state_is_followed_without_a_restart_and_one_of_another_model_is_not_applied():
    def offer(r, generation, **policy):
        document = served | {"version": 1, "generation": generation, "policy": policy}
        r.registry.offer(json.dumps(document).encode(), "watch")

    async with Upstream() as up, Upstream() as api:
        served = both(up, api)
        async with router(served, classifies=True) as r:
            easy = {"messages": [{"role": "user", "content": "Translate 'good morning' to French"}]}
            before = await r.chat("auto", **easy)
            offer(r, 1, calibration=STATE)
            during = await r.chat("auto", **easy)
            offer(r, 2, calibration=STATE | {"model": "another"})
            other = await r.chat("auto", **easy)
            offer(r, 3)
            after = await r.chat("auto", **easy)
    said = [a.headers["x-hybrid-confidence"] for a in (before, during, other, after)]
    assert said[0] == said[2] == said[3]
    assert float(said[1]) < float(said[0])


async def test_drift_is_told_once_there_is_enough_to_tell():
    async with Upstream() as up, Upstream() as api:
        served = both(up, api, policy={"calibration": STATE})
        async with router(served, classifies=True) as r:
            for _ in range(199):
                r.metrics.drift.saw(0.9)
            early = "\nhinf_router_score_drift " in r.metrics.render().decode()
            await ask(r)
            late = r.sample("hinf_router_score_drift")
    assert not early
    assert late > 1  # all scores in one bin, where the state saw all alike


@pytest.fixture
def at_once(monkeypatch):
    monkeypatch.setattr(again, "LEAST_SECONDS", 0.0)


@pytest.mark.usefixtures("at_once")
async def test_the_same_conversation_asked_of_the_api_by_name_speaks_against_the_answer():
    stream = io.BytesIO()
    async with (
        Upstream() as up,
        Upstream() as api,
        router(both(up, api), classifier=Says(0.9), access_log=AccessLog(stream)) as r,
    ):
        first = await ask(r)
        await ask(r, model="api")
        await ask(r, model="api")
        await ask(r, model="api", prompt="something else")
    told = [line for line in lines(stream) if line.get("type") == "outcome"]
    assert [(t["request_id"], t["source"], t["score"]) for t in told] == [
        (first.headers["x-request-id"], "escalation", 0.0)
    ]
    assert b"sauce" not in stream.getvalue()


@pytest.mark.usefixtures("at_once")
async def test_asked_again_once_speaks_against_it_and_as_a_habit_says_nothing():
    stream = io.BytesIO()
    async with (
        Upstream() as up,
        Upstream() as api,
        router(both(up, api), classifier=Says(0.9), access_log=AccessLog(stream)) as r,
    ):
        for _ in range(5):
            await ask(r)
    told = [line for line in lines(stream) if line.get("type") == "outcome"]
    assert [(t["source"], t.get("score")) for t in told] == [("repeat", 0.0), ("repeat", None)]


@pytest.mark.usefixtures("at_once")
async def test_an_answer_that_broke_off_is_asked_for_again_for_that_reason():
    stream = io.BytesIO()
    async with (
        Upstream(begins(delta(content="half"), then=ends)) as up,
        Upstream() as api,
        router(both(up, api), classifier=Says(0.9), access_log=AccessLog(stream)) as r,
    ):
        answer = await r.chat("auto", stream=True)
        await r.chat("api", stream=True)
    assert answer.headers["x-hybrid-source"] == "local"
    assert not [line for line in lines(stream) if line.get("type") == "outcome"]


async def test_a_retry_at_once_says_nothing():
    stream = io.BytesIO()
    async with (
        Upstream() as up,
        Upstream() as api,
        router(both(up, api), classifier=Says(0.9), access_log=AccessLog(stream)) as r,
    ):
        await ask(r)
        await ask(r, model="api")
    assert not [line for line in lines(stream) if line.get("type") == "outcome"]
