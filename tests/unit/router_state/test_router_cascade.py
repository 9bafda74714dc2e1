"""What a draft's log-probabilities say, what follows from it, and what a cut costs."""

from __future__ import annotations

import json
import math
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybrid_router.core.cascade import Sureness
from hybrid_router.core.cost import Cut, Prices, Sample, choose_cut, curve
from hybrid_router.openai.answer import NotAnAnswerError
from hybrid_router.openai.draft import Held, read_whole
from hybrid_router.table import Price
from tests.support.drafts import position
from tests.support.upstreams import completion, delta, event, finish

LN = math.log


def chat(*positions: dict[str, Any]) -> bytes:
    answer = completion("x")
    answer["choices"][0]["logprobs"] = {"content": list(positions)}
    return json.dumps(answer).encode()


def text(*probabilities: float) -> bytes:
    logprobs = [LN(p) for p in probabilities]
    tops = [{"a": each, "b": LN(0.01)} for each in logprobs]
    found = {"token_logprobs": [None, *logprobs], "top_logprobs": [None, *tops]}
    return json.dumps({"choices": [{"text": "x", "logprobs": found}]}).encode()


def one(*tops: float, said: int = 0) -> dict[str, Any]:
    """Return a position with these probabilities, of which one was said."""
    entries = [{"token": str(i), "logprob": LN(p)} for i, p in enumerate(tops)]
    return {**entries[said], "top_logprobs": entries}


@pytest.mark.parametrize(
    ("body", "logprob", "margin", "tokens"),
    [
        pytest.param(chat(one(0.8, 0.1)), LN(0.8), 0.7, 1, id="the likeliest, and the next"),
        pytest.param(
            chat(one(0.8, 0.1), one(0.4, 0.4)), (LN(0.8) + LN(0.4)) / 2, 0.35, 2, id="are means"
        ),
        pytest.param(
            chat(one(0.1, 0.6, 0.2)), LN(0.1), 0.4, 1,
            id="a token that was drawn, and is not the likeliest",
        ),
        pytest.param(
            chat({**one(0.3), "top_logprobs": one(0.6, 0.2)["top_logprobs"]}), LN(0.3), 0.3, 1,
            id="a token that is not among the likeliest listed",
        ),
        pytest.param(
            chat(one(0.9)), LN(0.9), 0.8, 1, id="with one token alone, the rest may be the next"
        ),
        pytest.param(
            chat(*[one(0.5, 0.5)] * 4, *[one(0.99, 0.01)] * 9), LN(0.5), 0.0, 4,
            id="the first tokens alone",
        ),
        pytest.param(text(0.8), LN(0.8), 0.79, 1, id="a completion's form"),
    ],
)  # fmt: skip
def test_how_sure_a_draft_is(body: bytes, logprob: float, margin: float, tokens: int) -> None:
    _, sure = read_whole(body, 4)
    assert sure is not None
    assert [sure.logprob, sure.margin] == pytest.approx([logprob, margin])
    assert sure.tokens == tokens


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"[]", id="a list"),
        pytest.param(b"<html>", id="a web page"),
        pytest.param(b'{"choices": 3}', id="choices that are a number"),
        pytest.param(b'{"error": {"message": "x"}}', id="an error"),
    ],
)
def test_what_is_no_answer_is_said_to_be_none(body: bytes) -> None:
    with pytest.raises(NotAnAnswerError):
        read_whole(body, 4)


@pytest.mark.parametrize("odd", ["3", "[]", '{"content": 7}', '{"content": [{"a": 1}]}', '"x"'])
def test_log_probabilities_of_another_shape_say_nothing(odd: str) -> None:
    body = b'{"choices":[{"index":0,"logprobs":%s}]}' % odd.encode()
    stripped, sure = read_whole(body, 4)
    assert sure is None
    assert json.loads(stripped) == {"choices": [{"index": 0, "logprobs": None}]}


_sure = st.builds(Sureness, st.floats(-50, 0), st.floats(0, 1), st.integers(1, 32))


@given(_sure, st.floats(0, 5), st.floats(0, 1))
def test_a_surer_draft_never_scores_less(sure: Sureness, more: float, wider: float) -> None:
    better = Sureness(min(sure.logprob + more, 0.0), min(sure.margin + wider, 1.0), sure.tokens)
    assert 0.0 <= sure.score <= better.score <= 1.0


# A stream that is held.


def chunk(token: str, probability: float = 0.9) -> bytes:
    value = delta(content=token)
    value["choices"][0]["logprobs"] = {"content": [position(token, probability)]}
    return event(value)


STREAM = [
    event(delta(role="assistant", content="")),
    *[chunk(token) for token in ("a", "b", "c", "d")],
    event(finish()),
    event(b"[DONE]"),
]


@given(st.lists(st.integers(0, len(b"".join(STREAM))), max_size=8), st.integers(1, 6))
def test_however_a_stream_is_cut_the_client_gets_the_same_without_log_probabilities(
    cuts: list[int], tokens: int
) -> None:
    whole = b"".join(STREAM)
    places = [0, *sorted(cuts), len(whole)]
    held, got = Held(tokens), b""
    for start, end in pairwise(places):
        got += held.feed(whole[start:end])
        if held.ready and not held.released:
            got += held.release()
    events = [json.loads(e[6:]) for e in got.decode().split("\n\n") if e.startswith("data: {")]
    contents = [e["choices"][0]["delta"].get("content") for e in events]
    assert contents == ["", "a", "b", "c", "d", None]
    assert all(e["choices"][0].get("logprobs") is None for e in events)
    assert got.endswith(b"data: [DONE]\n\n")
    assert held.failure is None


def test_a_stream_is_ready_at_its_number_of_tokens_or_at_its_end() -> None:
    held = Held(2)
    assert (held.feed(STREAM[0] + STREAM[1]), held.ready) == (b"", False)
    assert (held.feed(STREAM[2]), held.ready) == (b"", True)
    short = Held(32)
    short.feed(STREAM[0] + STREAM[1])
    assert not short.ready
    short.feed(STREAM[-2])
    assert short.ready


@pytest.mark.parametrize(
    "bad",
    [
        pytest.param(event({"error": {"message": "x"}}), id="an error"),
        pytest.param(event(finish("abort")), id="an engine that gives it up"),
        pytest.param(event(b"nothing that is JSON"), id="garbage"),
        pytest.param(event(delta(content="x" * 1_000_000)) * 2, id="more than can be held"),
    ],
)
def test_a_stream_that_goes_wrong_while_it_is_held_is_a_failed_attempt(bad: bytes) -> None:
    held = Held(32)
    held.feed(STREAM[0] + STREAM[1] + bad)
    assert held.failure is not None


# What a cut costs.

PRICES = Prices(local=Price(input=0.1, output=0.1), api=Price(input=2.5, output=10.0))


def sample(confidence: float, *, local: float, api: float = 1.0) -> Sample:
    return Sample(confidence, local, api, 100, 32, 200, 200)


FOUR = [
    sample(0.9, local=1), sample(0.8, local=1), sample(0.6, local=0), sample(0.4, local=0),
]  # fmt: skip


@pytest.mark.parametrize(
    ("quality", "threshold", "local"),
    [
        pytest.param(1.0, 0.8, 0.5, id="all that is right stays, all else escalates"),
        pytest.param(0.75, 0.6, 0.75, id="one in four may be wrong"),
        pytest.param(0.5, 0.4, 1.0, id="half may be wrong: nothing escalates"),
        pytest.param(0.51, 0.6, 0.75, id="a little more than half"),
    ],
)
def test_the_cut_is_the_cheapest_at_the_wanted_quality(
    quality: float, threshold: float, local: float
) -> None:
    found = choose_cut(FOUR, PRICES, quality)
    assert (found.threshold, found.local) == (threshold, local)


def test_equal_confidences_are_never_told_apart() -> None:
    twins = [sample(0.9, local=1), sample(0.5, local=1), sample(0.5, local=0)]
    assert [cut.threshold for cut in curve(twins, PRICES)] == [None, 0.9, 0.5]


def test_drafts_that_cost_more_than_they_spare_are_not_made() -> None:
    dear = Prices(local=Price(input=2.5, output=10), api=Price(input=2.5, output=10))
    found = choose_cut([sample(0.9, local=1), sample(0.1, local=0)], dear, 1.0)
    assert found.threshold is None


def test_a_local_model_that_is_better_than_the_api_keeps_more_than_all_of_its_quality() -> None:
    better = [sample(0.9, local=1, api=0), sample(0.5, local=1, api=1)]
    assert choose_cut(better, PRICES, 1.0).quality == 2.0


@pytest.mark.parametrize(
    ("samples", "words"),
    [
        pytest.param([], "no samples", id="nothing to go by"),
        pytest.param([sample(0.5, local=1, api=0)], "no quality", id="an API that is never right"),
    ],
)
def test_what_nothing_can_be_chosen_from_is_said(samples: list[Sample], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        choose_cut(samples, PRICES, 0.9)


_samples = st.lists(
    st.builds(
        Sample,
        st.floats(0, 1),
        st.sampled_from([0.0, 0.5, 1.0]),
        st.sampled_from([0.5, 1.0]),
        st.integers(1, 5_000),
        st.integers(1, 32),
        st.integers(32, 2_000),
        st.integers(1, 2_000),
    ),
    min_size=1,
    max_size=30,
)
_usd = st.floats(0, 50)
_prices = st.builds(
    Prices,
    local=st.builds(Price, input=_usd, output=_usd),
    api=st.builds(Price, input=_usd, output=_usd),
)
_quality = st.floats(0, 1)


@given(_samples, _prices, _quality)
def test_no_cut_of_that_quality_is_cheaper(
    samples: list[Sample], prices: Prices, quality: float
) -> None:
    found = choose_cut(samples, prices, quality)
    assert found.quality >= quality - 1e-9
    for other in curve(samples, prices):
        assert other.usd >= found.usd or other.quality < quality - 1e-9


@given(_samples, _prices, _quality, _quality)
def test_more_quality_never_costs_less(
    samples: list[Sample], prices: Prices, one_: float, other: float
) -> None:
    low, high = sorted((one_, other))
    assert choose_cut(samples, prices, low).usd <= choose_cut(samples, prices, high).usd


@given(_samples, _prices)
def test_a_lower_cut_keeps_more_local(samples: list[Sample], prices: Prices) -> None:
    shares = [cut.local for cut in curve(samples, prices)]
    assert shares == sorted(set(shares))
    assert shares[-1] == pytest.approx(1.0)


@given(_samples, _prices, _quality, st.randoms())
def test_the_order_of_the_samples_does_not_matter(
    samples: list[Sample], prices: Prices, quality: float, draw: Any
) -> None:
    shuffled = list(samples)
    draw.shuffle(shuffled)
    one_, other = choose_cut(samples, prices, quality), choose_cut(shuffled, prices, quality)
    assert other.usd == pytest.approx(one_.usd)


@given(_samples, _prices)
def test_what_a_cut_costs_is_what_its_requests_cost(samples: list[Sample], prices: Prices) -> None:
    def usd(price: Price, prompt: int, completion: int) -> float:
        return (prompt * price.input + completion * price.output) / 1e6

    def spent(cut: Cut, each: Sample) -> float:
        api = usd(prices.api, each.prompt_tokens, each.api_tokens)
        if cut.threshold is None:
            return api
        if each.confidence >= cut.threshold:
            return usd(prices.local, each.prompt_tokens, each.local_tokens)
        return api + usd(prices.local, each.prompt_tokens, each.draft_tokens)

    for cut in curve(samples, prices):
        mean = sum(spent(cut, each) for each in samples) / len(samples)
        assert cut.usd == pytest.approx(mean, abs=1e-9)
