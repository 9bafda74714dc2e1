"""A cascade: which requests have a draft, and on which surfaces."""

import json

import pytest

from hybrid_router.telemetry.access import AccessLog
from tests.support.drafts import API, LOCAL, SURE, UNSURE, Drafter, ask, cascade, engine, said, why
from tests.support.routers import router
from tests.support.upstreams import Upstream, answers, replies

both_ways = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])


TOOL = {"type": "function", "function": {"name": "f", "parameters": {}}}


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        pytest.param({"tools": [TOOL]}, "tools", id="calls of tools are no sentences"),
        pytest.param({"n": 2}, "n", id="two answers are not one"),
        pytest.param({"logprobs": True}, "logprobs", id="log-probabilities are the client's"),
    ],
)
async def test_what_cannot_be_drafted_is_judged_by_the_prompt_and_says_so(fields, field):
    async with (
        Upstream(answers(LOCAL)) as local,
        Upstream(answers(API)) as api,
        router(cascade(engine(local.url), api), classifies=True) as r,
    ):
        reply = await r.chat("auto", "x-hybrid-trace: 1", **fields)
        asked = [*local.received, *api.received]
    assert reply.status == 200
    assert reply.headers["x-hybrid-classifier"] == "embedded"
    assert json.loads(reply.headers["x-hybrid-trace"])["undrafted"] == field
    assert len(asked) == 1
    assert "top_logprobs" not in asked[0].json()


@pytest.mark.parametrize(
    ("policy", "reason"),
    [
        pytest.param({"localOnly": "budget"}, "local-only", id="nothing may leave"),
        pytest.param(
            {"data": {"words": {"falcon": ["hi"]}, "keepLocal": ["falcon"]}}, "data-policy",
            id="the prompt must stay",
        ),
    ],
)  # fmt: skip
@both_ways
async def test_what_must_stay_is_never_escalated_however_unsure(policy, reason, stream):
    drafter = Drafter(probability=UNSURE)
    reply, local, remote, _ = await ask(drafter, policy=policy, stream=stream)
    assert (reply.status, said(reply)) == (200, LOCAL)
    assert why(reply)[:2] == ("local", reason)
    assert (len(local), remote) == (1, [])
    assert "logprobs" not in local[0].json()


@pytest.mark.parametrize(
    ("policy", "reason", "source"),
    [
        pytest.param(
            {"rules": [{"name": "all", "prefer": "api"}]}, "rule", "api", id="a rule for the API"
        ),
        pytest.param(
            {"rules": [{"name": "all", "prefer": "local"}]}, "rule", "local", id="for local"
        ),
        pytest.param({"shadow": "api"}, "shadow", "api", id="shadow mode, all to the API"),
    ],
)
async def test_where_the_policy_names_the_side_there_is_no_draft(policy, reason, source):
    reply, local, remote, _ = await ask(Drafter(), policy=policy)
    assert why(reply)[:2] == (source, reason)
    assert all("logprobs" not in each.json() for each in (*local, *remote))


async def test_in_shadow_mode_a_draft_is_judged_and_the_client_gets_it_in_any_case():
    policy = {"shadow": "local"}
    reply, _, remote, _ = await ask(Drafter(probability=UNSURE), policy=policy, stream=True)
    assert (reply.text(), remote) == (LOCAL, [])
    assert reply.headers["x-hybrid-shadow"] == "api"
    assert why(reply)[:2] == ("local", "shadow")


async def test_the_threshold_of_a_rule_holds_for_drafts():
    policy = {"rules": [{"name": "lax", "threshold": 0.01}]}
    reply, _, _, _ = await ask(Drafter(probability=UNSURE), policy=policy)
    assert why(reply)[:2] == ("local", "confident")
    assert reply.headers["x-hybrid-rule"] == "lax"


async def test_a_local_model_that_is_away_drafts_nothing():
    async with Upstream(answers(API)) as api:
        described = cascade(engine("http://127.0.0.1:1/v1"), api, {"breakerFailures": 1})
        async with router(described, classifies=True) as r:
            replies_ = [await r.chat("auto") for _ in range(2)]
    assert [why(each)[1] for each in replies_] == ["local-failed", "local-unavailable"]


# Other surfaces.


async def test_the_messages_api_is_drafted_through_a_chat():
    async with (
        Upstream(Drafter()) as local,
        Upstream() as api,
        router(cascade(engine(local.url), api), classifies=True) as r,
    ):
        body = {"model": "auto", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]}
        reply = await r.post("/v1/messages", body)
    assert reply.json()["content"][0]["text"] == LOCAL
    assert (reply.json()["type"], why(reply)[1]) == ("message", "confident")
    assert local.received[0].path == "/v1/chat/completions"


@pytest.mark.parametrize("probability", [SURE, UNSURE], ids=["sure", "unsure"])
async def test_completions_are_drafted_by_their_own_form_of_log_probabilities(probability):
    def told(talk):
        return replies(200, {"object": "text_completion", "choices": [{"text": API}]})(talk)

    async with (
        Upstream(Drafter(probability=probability)) as local,
        Upstream(told) as api,
        router(cascade(engine(local.url), api), classifies=True) as r,
    ):
        reply = await r.post("/v1/completions", {"model": "auto", "prompt": "hi"})
    sure = probability == SURE
    assert reply.json()["choices"][0]["text"] == (LOCAL if sure else API)
    assert local.received[0].json()["logprobs"] == 3


async def test_a_bare_prompt_is_drafted():
    async with (
        Upstream(Drafter()) as local,
        Upstream() as api,
        router(cascade(engine(local.url), api), classifies=True) as r,
    ):
        reply = await r.post("/api/v1/chat", {"prompt": "hi", "user_id": "me"})
    assert (reply.json()["source"], reply.json()["content"]) == ("local_slm", LOCAL)
    assert reply.headers["x-hybrid-reason"] == "confident"


async def test_the_log_says_what_a_draft_was_worth(tmp_path):
    log = tmp_path / "log"
    with log.open("wb") as stream:
        async with (
            Upstream(Drafter(probability=UNSURE)) as local,
            Upstream(answers(API)) as api,
        ):
            described = cascade(engine(local.url), api)
            described["backends"]["local"]["prices"] = {"local-model": {"input": 0, "output": 1}}
            described["backends"]["api"]["prices"] = {"api-model": {"input": 10, "output": 10}}
            log_to = AccessLog(stream)
            async with router(described, classifies=True, access_log=log_to) as r:
                await r.chat("auto", stream=True)
    line = json.loads(log.read_text())
    assert line["draft"]["tokens"] == 4
    assert line["draft"]["logprob"] == pytest.approx(-0.693, abs=0.001)
    assert line["draft"]["margin"] == pytest.approx(0.001, abs=0.001)
    assert (line["reason"], line["source"]) == ("not-confident", "api")
    assert line["cost_usd"] == pytest.approx((4 * 1 + 9 * 10) / 1e6)


STATE = {
    "classifier": "cascade",
    "model": "e3b0c44298fc",  # of no model: whichever drafts
    "maps": {"*": {"slope": 1.0, "offset": -9.0, "outcomes": 100}},
    "heldOut": {
        "outcomes": 50, "logLossBefore": 0.6, "logLossAfter": 0.5, "brierBefore": 0.3,
        "brierAfter": 0.2,
    },
}  # fmt: skip


async def test_a_calibration_state_corrects_what_a_draft_says():
    policy = {"calibration": STATE}
    reply, _, _, _ = await ask(Drafter(), policy=policy)
    assert why(reply)[:3] == ("api", "not-confident", "cascade")
    assert float(reply.headers["x-hybrid-confidence"]) < 0.1


async def test_without_a_curve_a_quality_is_the_threshold():
    policy = {"quality": 0.999}
    reply, _, _, _ = await ask(Drafter(), policy=policy)
    assert why(reply)[:2] == ("api", "not-confident")
