"""Every rule of the decision, one row each, and the laws that hold for all of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybrid_router.core.decision import (
    NOT_JUDGED,
    REASONS,
    Needs,
    Reason,
    Refused,
    Verdict,
    after_failure,
    candidates,
    decide,
    worth_judging,
)
from hybrid_router.table import Backend, Model, Policy, RouteTable, Target

if TYPE_CHECKING:
    from collections.abc import Sequence

BACKENDS = {
    "local": Backend(trust="internal", urls=("http://a/v1",)),
    "second": Backend(trust="internal", urls=("http://b/v1",)),
    "openai": Backend(trust="external", urls=("https://c/v1",)),
    "azure": Backend(trust="external", urls=("https://d/v1",)),
}


def target(name: str) -> Target:
    return Target(backend=name, model=f"{name}-model")


def judged(confidence: float) -> Verdict:
    return Verdict(confidence, "chat", "embedded")


BROKEN = Verdict(None, None, "slm", "the local model took too long to classify")
EVERYTHING = frozenset(BACKENDS)


@pytest.mark.parametrize(
    ("names", "verdict", "up", "order", "reason"),
    [
        pytest.param(
            "openai", None, EVERYTHING, "openai", "explicit",
            id="an explicit name is answered by its model",
        ),
        pytest.param(
            "openai", None, frozenset(), "openai", "explicit",
            id="an explicit name is answered by its model even if that seems to be away",
        ),
        pytest.param(
            "openai local", None, EVERYTHING, "openai local", "ordered",
            id="an alias that is not classified is tried in its order",
        ),
        pytest.param(
            "local openai", None, {"openai"}, "openai local", "local-unavailable",
            id="an alias whose first model is away starts with the next",
        ),
        pytest.param(
            "local second openai", None, {"second", "openai"}, "second openai local", "ordered",
            id="an alias whose side does not change keeps its reason",
        ),
        pytest.param(
            "local openai", judged(0.85), EVERYTHING, "local openai", "confident",
            id="exactly the threshold is local, and the API is the failover",
        ),
        pytest.param(
            "openai local", judged(0.99), EVERYTHING, "local openai", "confident",
            id="a confident verdict outweighs the alias' own order",
        ),
        pytest.param(
            "local openai", judged(0.849), EVERYTHING, "openai local", "not-confident",
            id="just below the threshold is the API, and local is the failover",
        ),
        pytest.param(
            "local second openai azure", judged(0.1), EVERYTHING, "openai azure local second",
            "not-confident", id="each side keeps its own order",
        ),
        pytest.param(
            "local openai", BROKEN, EVERYTHING, "openai local", "classifier-error",
            id="a broken classifier means the API",
        ),
        pytest.param(
            "local openai", NOT_JUDGED, EVERYTHING, "openai local", "classifier-error",
            id="a verdict that is missing where one was needed means the API",
        ),
        pytest.param(
            "local", judged(0.1), EVERYTHING, "local", "no-external-target",
            id="a doubtful prompt stays local where there is no API",
        ),
        pytest.param(
            "openai", judged(0.99), EVERYTHING, "openai", "no-local-target",
            id="an easy prompt goes to the API where there is no local model",
        ),
        pytest.param(
            "local openai", judged(0.99), {"openai"}, "openai local", "local-unavailable",
            id="a local model that is away moves behind the API",
        ),
        pytest.param(
            "local openai", judged(0.1), {"local"}, "local openai", "external-unavailable",
            id="an API that is away moves behind the local model",
        ),
        pytest.param(
            "local openai", BROKEN, {"local"}, "local openai", "external-unavailable",
            id="a broken classifier and an API that is away leave the local model",
        ),
        pytest.param(
            "local second openai", judged(0.99), {"second", "openai"}, "second openai local",
            "confident", id="another replica of the preferred side is still the preferred side",
        ),
        pytest.param(
            "local openai", judged(0.99), frozenset(), "local openai", "confident",
            id="with nothing available the wish stands, and the attempts will tell",
        ),
    ],
)  # fmt: skip
def test_decision(
    names: str, verdict: Verdict | None, up: frozenset[str], order: str, reason: str
) -> None:
    targets = [target(name) for name in names.split()]
    decision = decide(Policy(), targets, BACKENDS, verdict, up.__contains__)
    assert " ".join(t.backend for t in decision.targets) == order
    assert decision.reason == reason
    assert decision.confidence == (verdict.confidence if verdict else None)


def test_under_local_only_an_external_target_is_dropped_even_if_it_got_this_far() -> None:
    policy = Policy(local_only="payment-card")
    both = [target("openai"), target("local")]
    decision = decide(policy, both, BACKENDS, judged(0.1), EVERYTHING.__contains__)
    assert [t.backend for t in decision.targets] == ["local"]
    assert decision.reason == Reason.LOCAL_ONLY


def test_nothing_to_choose_from_is_refused() -> None:
    with pytest.raises(Refused) as refused:
        decide(Policy(), [], BACKENDS, None, EVERYTHING.__contains__)
    assert (refused.value.status, refused.value.code) == (503, "no_backend")


@pytest.mark.parametrize(
    ("failed", "reason"),
    [
        pytest.param("local", "local-failed", id="an answer after a local failure says so"),
        pytest.param("openai", "external-failed", id="an answer after an API failure says so"),
    ],
)
def test_after_failure(failed: str, reason: str) -> None:
    assert after_failure(BACKENDS[failed]) == reason


def test_every_reason_is_documented_and_in_kebab_case() -> None:
    assert set(REASONS) == set(Reason)
    assert all(reason.replace("-", "").isalpha() and reason.islower() for reason in Reason)


CHOOSY = Model(
    targets=(
        Target(backend="local", model="s", max_context_tokens=8_192, lacks=("vision", "audio")),
        Target(backend="openai", model="l", max_context_tokens=128_000, lacks=("audio",)),
    ),
    classified=True,
)


def table(model: Model, local_only: str | None = None) -> RouteTable:
    return RouteTable(
        models={"auto": model}, backends=BACKENDS, policy=Policy(local_only=local_only)
    )


@pytest.mark.parametrize(
    ("needs", "local_only", "left"),
    [
        pytest.param(Needs(100), None, "local openai", id="a short prompt fits everywhere"),
        pytest.param(Needs(8_192), None, "local openai", id="exactly the context fits"),
        pytest.param(Needs(8_193), None, "openai", id="one token more does not"),
        pytest.param(
            Needs(256_000), None, "openai",
            id="where none fits by the estimate, those that might are asked",
        ),
        pytest.param(
            Needs(16_384), "secrets", "local", id="and so are those inside that might",
        ),
        pytest.param(
            Needs(100, frozenset({"vision"})), None, "openai",
            id="an image goes to the model that sees",
        ),
        pytest.param(Needs(100), "secrets", "local", id="what must stay inside stays inside"),
    ],
)  # fmt: skip
def test_candidates(needs: Needs, local_only: str | None, left: str) -> None:
    found = candidates(table(CHOOSY, local_only), CHOOSY, needs)
    assert " ".join(t.backend for t in found) == left


@pytest.mark.parametrize(
    ("needs", "local_only", "status", "code", "words"),
    [
        pytest.param(
            Needs(256_001), None, 400, "context_length_exceeded", "128000 tokens",
            id="a prompt that is too long for all of them names the longest context",
        ),
        pytest.param(
            Needs(10, frozenset({"audio"})), None, 400, "unsupported_capability", "audio",
            id="what none of them can do is named",
        ),
        pytest.param(
            Needs(10, frozenset({"vision"})), "payment-card", 400, "unsupported_capability",
            "vision", id="a policy is not loosened for what only the API can do",
        ),
        pytest.param(
            Needs(16_385), "payment-card", 400, "context_length_exceeded", "8192",
            id="a policy is not loosened for a long prompt",
        ),
    ],
)  # fmt: skip
def test_what_nobody_can_answer_is_refused(
    needs: Needs, local_only: str | None, status: int, code: str, words: str
) -> None:
    with pytest.raises(Refused) as refused:
        candidates(table(CHOOSY, local_only), CHOOSY, needs)
    assert (refused.value.status, refused.value.code) == (status, code)
    assert words in refused.value.message


def test_a_model_outside_the_cluster_is_refused_when_nothing_may_leave() -> None:
    outside = Model(targets=(target("openai"),))
    with pytest.raises(Refused) as refused:
        candidates(table(outside, "the resource keeps payment-card inside"), outside, Needs(1))
    assert refused.value.status == 403
    assert "payment-card" in refused.value.message


def test_a_prompt_is_worth_judging_only_where_two_sides_can_answer() -> None:
    both, one = CHOOSY.targets, CHOOSY.targets[:1]
    assert worth_judging(CHOOSY, both, BACKENDS)
    assert not worth_judging(CHOOSY, one, BACKENDS)
    assert not worth_judging(Model(targets=both), both, BACKENDS)


_targets = st.lists(
    st.sampled_from(sorted(BACKENDS)).map(target), min_size=1, max_size=4, unique_by=lambda t: t
)
_verdicts = (
    st.none()
    | st.just(NOT_JUDGED)
    | st.just(BROKEN)
    | st.floats(min_value=0, max_value=1).map(judged)
)
_up = st.frozensets(st.sampled_from(sorted(BACKENDS)))


def starts_local(order: Sequence[Target]) -> bool:
    return BACKENDS[order[0].backend].trust == "internal"


@given(_targets, st.floats(0, 1), st.floats(0, 1), st.floats(0, 1), _up)
def test_a_higher_threshold_never_moves_a_request_from_the_api_to_local(
    targets: list[Target], confidence: float, one: float, other: float, up: frozenset[str]
) -> None:
    low, high = sorted((one, other))
    decisions = [
        decide(Policy(threshold=x), targets, BACKENDS, judged(confidence), up.__contains__)
        for x in (low, high)
    ]
    strict, loose = starts_local(decisions[1].targets), starts_local(decisions[0].targets)
    assert loose or not strict


@given(_targets, _verdicts, _up)
def test_local_only_never_yields_an_external_target(
    targets: list[Target], verdict: Verdict | None, up: frozenset[str]
) -> None:
    policy = Policy(local_only="a reason")
    try:
        decision = decide(policy, targets, BACKENDS, verdict, up.__contains__)
    except Refused:
        assert all(BACKENDS[t.backend].trust == "external" for t in targets)
        return
    assert all(BACKENDS[t.backend].trust == "internal" for t in decision.targets)


@given(_targets, _verdicts, _up)
def test_a_decision_reorders_its_targets_and_neither_adds_nor_drops_one(
    targets: list[Target], verdict: Verdict | None, up: frozenset[str]
) -> None:
    decision = decide(Policy(), targets, BACKENDS, verdict, up.__contains__)
    assert sorted(t.backend for t in decision.targets) == sorted(t.backend for t in targets)


@given(_targets, _verdicts, _up)
def test_the_first_target_is_available_whenever_any_is(
    targets: list[Target], verdict: Verdict | None, up: frozenset[str]
) -> None:
    decision = decide(Policy(), targets, BACKENDS, verdict, up.__contains__)
    assert decision.targets[0].backend in up or not any(t.backend in up for t in targets)
