"""Rules, intents, conversations, shadow mode and thresholds that stand for a quality or a share."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybrid_router.classify.cut import Cut, for_quality
from hybrid_router.classify.parameters import Point, shipped
from hybrid_router.core.decision import NOT_JUDGED, Earlier, Reason, Refused, Verdict, decide
from hybrid_router.core.terms import Asked, Terms, terms
from hybrid_router.table import Backend, IntentPolicy, Policy, RoutingRule, Target

BACKENDS = {
    "local": Backend(trust="internal", urls=("http://a/v1",)),
    "openai": Backend(trust="external", urls=("https://c/v1",)),
}
BOTH = [Target(backend="local", model="small"), Target(backend="openai", model="large")]


def judged(confidence: float, intent: str = "chat", *earlier: float) -> Verdict:
    before = tuple(Earlier(each, intent) for each in earlier)
    return Verdict(confidence, intent, "embedded", earlier=before)


def asks(policy: Policy, verdict: Verdict, asked: Asked | None = None) -> tuple[str, str]:
    found = terms(policy, asked or Asked())
    made = decide(policy, BOTH, BACKENDS, verdict, lambda _: True, found)
    return made.targets[0].backend, made.reason


RULES = (
    RoutingRule(name="vip", keys=("gold",), prefer="api"),
    RoutingRule(name="batch", headers={"x-batch": "", "x-tenant": "acme"}, prefer="local"),
    RoutingRule(name="long", min_tokens=1_000, threshold=0.99),
    RoutingRule(name="short", max_tokens=10, aliases=("auto", "fast"), models=("small",)),
)


@pytest.mark.parametrize(
    ("asked", "rule"),
    [
        pytest.param(Asked("auto", "gold", 5), "vip", id="the first match counts"),
        pytest.param(
            Asked("auto", None, 50, {b"x-batch": b"1", b"x-tenant": b"acme"}), "batch",
            id="all headers must be there, and those with a value must have it",
        ),
        pytest.param(
            Asked("auto", None, 50, {b"x-batch": b"1", b"x-tenant": b"other"}), None,
            id="another value does not match",
        ),
        pytest.param(Asked("auto", None, 1_000), "long", id="the bound is within"),
        pytest.param(Asked("auto", None, 999), None, id="below it is not"),
        pytest.param(Asked("fast", None, 10), "short", id="one of the names is enough"),
        pytest.param(Asked("slow", None, 10), None, id="another name is not"),
    ],
)  # fmt: skip
def test_which_rule_matches(asked: Asked, rule: str | None) -> None:
    assert terms(Policy(rules=RULES), asked).rule == rule


INTENTS = {
    "text-to-sql": IntentPolicy(threshold=0.7),
    "creative-writing": IntentPolicy(prefer="api"),
    "chat": IntentPolicy(models=("large",)),
}


@pytest.mark.parametrize(
    ("verdict", "asked", "first", "reason"),
    [
        pytest.param(judged(0.75, "text-to-sql"), Asked(), "local", "confident",
                     id="an intent has a threshold of its own"),
        pytest.param(judged(0.75, "maths"), Asked(), "openai", "not-confident",
                     id="others are held to the policy's"),
        pytest.param(judged(0.99, "creative-writing"), Asked(), "openai", "intent",
                     id="an intent's side comes before the confidence"),
        pytest.param(judged(0.99, "creative-writing"), Asked(tokens=2_000), "local", "confident",
                     id="a rule's threshold comes before the intent's side"),
        pytest.param(judged(0.99, "text-to-sql"), Asked(key="gold"), "openai", "rule",
                     id="a rule's side comes before everything"),
        pytest.param(judged(0.99, "chat"), Asked(tokens=50), "openai", "no-local-target",
                     id="an intent's models are the only ones that may answer"),
        pytest.param(judged(0.1, "maths"), Asked("auto", tokens=5), "local", "no-external-target",
                     id="and so are a rule's"),
    ],
)  # fmt: skip
def test_intents_and_rules(verdict: Verdict, asked: Asked, first: str, reason: str) -> None:
    assert asks(Policy(intents=INTENTS, rules=RULES), verdict, asked) == (first, reason)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_model_may_be_allowed_at_one_backend_of_several_that_have_its_name(backend: str) -> None:
    twins = [Target(backend=name, model="same") for name in BACKENDS]
    policy = Policy(rules=(RoutingRule(name="one", models=(f"{backend}/same",)),))
    made = decide(policy, twins, BACKENDS, judged(0.9), lambda _: True, terms(policy, Asked()))
    assert [target.backend for target in made.targets] == [backend]


def test_models_that_are_allowed_and_not_there_refuse_the_request() -> None:
    rule = RoutingRule(name="only", models=("else", "other"))
    with pytest.raises(Refused, match="rule only lets only else, other answer") as refused:
        asks(Policy(rules=(rule,)), judged(0.9))
    assert (refused.value.status, refused.value.code) == (403, "model_not_allowed")
    policy = Policy(intents={"chat": IntentPolicy(models=("else",))}, rules=RULES)
    with pytest.raises(Refused, match="policy of this prompt's intent lets only else"):
        asks(policy, judged(0.9), Asked(tokens=1_000))


UNJUDGED = (
    RoutingRule(name="inside", keys=("batch",), models=("small",)),
    RoutingRule(name="careful", keys=("night",), threshold=0.99),
    RoutingRule(name="paid", keys=("gold",), prefer="api"),
)


@pytest.mark.parametrize(
    ("names", "key", "order", "reason", "rule"),
    [
        pytest.param("large small", "batch", "small", "ordered", "inside",
                     id="a list that nobody judges is cut to the models that a rule allows"),
        pytest.param("small", "batch", "small", "explicit", "inside",
                     id="a model's own name is answered where the rule allows it"),
        pytest.param("large small", "night", "large small", "ordered", None,
                     id="a threshold says nothing where nobody judges, and is not reported"),
        pytest.param("large", "gold", "large", "explicit", None,
                     id="nor does a side, for a model that the client named"),
        pytest.param("large", None, "large", "explicit", None, id="no rule matches"),
    ],
)  # fmt: skip
def test_a_rules_models_bind_every_name_and_are_reported_where_they_do(
    names: str, key: str | None, order: str, reason: str, rule: str | None
) -> None:
    policy = Policy(rules=UNJUDGED)
    targets = [next(t for t in BOTH if t.model == name) for name in names.split()]
    found = terms(policy, Asked(names, key))
    made = decide(policy, targets, BACKENDS, None, lambda _: True, found)
    assert " ".join(t.model for t in made.targets) == order
    assert (made.reason, made.rule) == (reason, rule)


def test_a_named_model_that_a_rule_does_not_allow_is_refused_and_the_rule_is_named() -> None:
    policy = Policy(rules=UNJUDGED)
    with pytest.raises(Refused, match="rule inside lets only small answer") as refused:
        decide(policy, BOTH[1:], BACKENDS, None, lambda _: True, terms(policy, Asked("", "batch")))
    assert (refused.value.status, refused.value.code) == (403, "model_not_allowed")


@pytest.mark.parametrize(("key", "rule"), [("batch", "inside"), ("night", None), ("gold", None)])
def test_where_one_side_can_answer_a_rule_is_reported_for_its_models_only(
    key: str, rule: str | None
) -> None:
    policy = Policy(rules=UNJUDGED)
    found = terms(policy, Asked("auto", key))
    made = decide(policy, BOTH[:1], BACKENDS, NOT_JUDGED, lambda _: True, found)
    assert (made.reason, made.rule) == (Reason.NO_EXTERNAL_TARGET, rule)


@pytest.mark.parametrize(
    ("verdict", "first", "reason"),
    [
        pytest.param(judged(0.86, "chat", 0.2), "openai", "conversation",
                     id="a conversation at the API stays there when little changed"),
        pytest.param(judged(0.84, "chat", 0.9), "local", "conversation",
                     id="a local one likewise"),
        pytest.param(judged(0.95, "chat", 0.2), "local", "confident",
                     id="it moves when the confidence is far above the threshold"),
        pytest.param(judged(0.5, "chat", 0.9), "openai", "not-confident", id="or far below"),
        pytest.param(judged(0.84, "chat", 0.2, 0.95), "local", "conversation",
                     id="where it is follows from all earlier turns"),
        pytest.param(judged(0.84, "chat", 0.9, 0.82, 0.81), "local", "conversation",
                     id="which are held to the hysteresis themselves"),
    ],
)  # fmt: skip
def test_a_conversation_keeps_its_side(verdict: Verdict, first: str, reason: str) -> None:
    assert asks(Policy(), verdict) == (first, reason)


@pytest.mark.parametrize("side", ["local", "api"])
def test_in_shadow_mode_all_go_one_way_and_the_decision_is_recorded(side: Any) -> None:
    policy = Policy(shadow=side)
    for confidence, would in ((0.99, "local"), (0.1, "api")):
        made = decide(policy, BOTH, BACKENDS, judged(confidence), lambda _: True)
        assert made.targets[0].backend == ("local" if side == "local" else "openai")
        assert (made.reason, made.shadowed) == (Reason.SHADOW, would)


def test_shadow_mode_leads_nothing_outside_that_must_stay_inside() -> None:
    policy = Policy(shadow="api", local_only="payment-card")
    made = decide(policy, BOTH, BACKENDS, judged(0.1), lambda _: True)
    assert [t.backend for t in made.targets] == ["local"]


_probability = st.floats(0, 1)


@given(
    _probability, st.lists(_probability, max_size=5), _probability, _probability,
    st.floats(0, 0.3),
)  # fmt: skip
def test_a_higher_threshold_never_moves_a_conversation_to_local(
    confidence: float, earlier: list[float], one: float, other: float, hysteresis: float
) -> None:
    low, high = sorted((one, other))
    verdict = judged(confidence, "chat", *earlier)
    loose, strict = (
        decide(Policy(), BOTH, BACKENDS, verdict, lambda _: True, Terms(x, hysteresis))
        for x in (low, high)
    )
    assert loose.targets[0].backend == "local" or strict.targets[0].backend == "openai"


CURVE = [Point(1.0, 1.0, 0.0), Point(0.8, 0.97, 0.3), Point(0.6, 0.93, 0.6), Point(0.2, 0.8, 1.0)]


@pytest.mark.parametrize(
    ("quality", "threshold"),
    [(1.0, 1.0), (0.97, 0.8), (0.95, 0.8), (0.93, 0.6), (0.5, 0.2)],
)
def test_a_quality_is_the_lowest_threshold_that_keeps_it(quality: float, threshold: float) -> None:
    assert for_quality(CURVE, quality) == threshold


@given(_probability, _probability)
def test_more_quality_and_less_share_never_lower_the_threshold(one: float, other: float) -> None:
    low, high = sorted((one, other))
    curve = shipped().curve
    assert for_quality(curve, low) <= for_quality(curve, high)
    cut = Cut(curve)
    assert cut.threshold(Policy(share=high)) <= cut.threshold(Policy(share=low))


@pytest.mark.parametrize("share", [0.1, 0.25, 0.5, 0.9])
def test_a_share_follows_what_is_asked_here(share: float) -> None:
    cut = Cut(shipped().curve)
    seen = [(i * 37 % 1_000) / 1_000 for i in range(4_000)]
    for confidence in seen:
        cut.saw(confidence)
    threshold = cut.threshold(Policy(share=share))
    local = sum(confidence >= threshold for confidence in seen) / len(seen)
    assert local == pytest.approx(share, abs=0.04)


def test_a_share_of_nothing_and_of_everything() -> None:
    cut = Cut(shipped().curve)
    assert cut.threshold(Policy(share=0.0)) == 1.0
    assert cut.threshold(Policy(share=1.0)) <= min(point.threshold for point in shipped().curve)
