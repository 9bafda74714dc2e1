"""Training and measuring: no leak, honest measures, and the command that scores."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from threadpoolctl import threadpool_info

from hybrid_operator.cli.main import cli
from hybrid_router.classify import features, words
from hybrid_router.classify.model import INTENTS
from hybrid_router.classify.parameters import read, shipped
from hybrid_router.classify.score import Score
from hybrid_router.classify.training import evaluate, examples, fit, labels, measures
from tests.support import training

if TYPE_CHECKING:
    from collections.abc import Sequence

PIECES = ("What is ", "x = 0.5 ", "\nA. yes", "\nB. 12", "The NATO ", "1999. ", "Why? ", "é", "\n")


def label(subject: str, prompt: str) -> labels.Label:
    return labels.Label(subject, prompt, small=True, large=True)


def test_a_subject_is_never_divided_between_folds() -> None:
    subjects = [f"s{n % 7}" for n in range(100)]
    chosen = labels.folds(subjects, 3)
    assert set(chosen) == set(subjects)
    assert set(chosen.values()) == {0, 1, 2}
    assert chosen == labels.folds(reversed(subjects), 3)


@pytest.mark.parametrize(
    ("outside", "words_"),
    [
        pytest.param(label("a", "other"), "subjects on both sides: a", id="a subject"),
        pytest.param(label("b", "one"), "a question is on both sides", id="a question"),
    ],
)
def test_a_leak_between_training_and_test_is_an_error(outside: labels.Label, words_: str) -> None:
    with pytest.raises(ValueError, match=words_):
        evaluate.check_no_leak([label("a", "one")], [outside])


def test_scores_out_of_fold_know_nothing_of_their_own_subject(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[set[str]] = []

    class Spy:
        def __init__(self, rows: list[labels.Label]) -> None:
            self.subjects = {row.subject for row in rows}
            seen.append(self.subjects)

        def __call__(self, prompt: str) -> float:
            assert prompt.split(maxsplit=1)[0] not in self.subjects
            return 0.0

    monkeypatch.setattr(fit, "Scorer", Spy)
    rows = [label(f"s{n % 5}", f"s{n % 5} question {n}") for n in range(40)]
    assert len(fit.out_of_fold(rows, 3)) == 40
    assert len(seen) == 3


def test_a_training_gives_the_same_bytes_in_every_process(monkeypatch: pytest.MonkeyPatch) -> None:
    once = training.trained(monkeypatch)
    elsewhere = subprocess.run(
        [sys.executable, "-m", "tests.support.training"],
        cwd=Path(__file__).parents[3],
        env=os.environ | {"PYTHONHASHSEED": "4711"},
        capture_output=True,
        check=True,
        text=True,
    )
    assert hashlib.sha256(once).hexdigest() == elsewhere.stdout
    assert set(fit.model_of(once).scales) == set(shipped().scales)


def test_a_training_uses_one_thread_for_more_would_add_up_in_another_order(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[int] = []

    def fitted(*_: object) -> object:
        seen.extend(pool["num_threads"] for pool in threadpool_info())
        return shipped()

    monkeypatch.setattr(fit, "_fitted", fitted)
    assert read(fit.train([])) == shipped()
    assert set(seen) == {1}


def test_phrases_held_out_are_in_no_example_that_is_trained_on() -> None:
    made = list(examples.generate())
    assert {each.intent for each in made} == set(INTENTS)
    assert len({each.language for each in made}) >= 8
    kept = {(e.language, e.intent, e.text) for e in made if e.part == 0}
    assert kept.isdisjoint((e.language, e.intent, e.text) for e in made if e.part != 0)
    assert made == list(examples.generate())


@pytest.mark.parametrize(
    ("scores", "right", "auc"),
    [
        ([0.1, 0.2, 0.8, 0.9], [False, False, True, True], 1.0),
        ([0.9, 0.8, 0.2, 0.1], [False, False, True, True], 0.0),
        ([0.5, 0.5, 0.5, 0.5], [False, True, False, True], 0.5),
        ([0.1, 0.4, 0.4, 0.9], [False, False, True, True], 0.875),
    ],
)
def test_auc(scores: list[float], right: list[bool], auc: float) -> None:
    assert measures.auc(scores, right) == auc


def test_the_other_measures_on_cases_that_can_be_counted() -> None:
    said, right = [0.85] * 20, [True] * 17 + [False] * 3
    assert measures.ece(said, right) == pytest.approx(0.0)
    assert measures.ece([0.95] * 20, right) == pytest.approx(0.1)
    assert measures.share_at_precision([0.9, 0.8, 0.7, 0.6], [True, True, False, True], 0.75) == 1.0
    small, large = [True, True, False, False], [True, True, True, True]
    points = measures.quality_curve([0.9, 0.8, 0.2, 0.1], small, large)
    assert measures.local_share(points, 1.0) == 0.5
    assert measures.threshold_for_quality(points, 1.0) == 0.8
    assert measures.apgr([0.9, 0.8, 0.2, 0.1], small, large) == pytest.approx(0.75)


def test_tokens_are_bounded_whatever_the_length() -> None:
    assert len(words.said("many different words " * 50_000).tokens()) < 400


def test_the_command_scores_a_file_line_by_line() -> None:
    poem = "\u5199\u4e00\u9996\u5173\u4e8e\u79cb\u5929\u7684\u8bd7\u3002"  # in Chinese
    rows = [
        {"prompt": "Translate 'good morning' to French"},
        {"messages": [{"role": "user", "content": poem}]},
        {"prompt": ""},
        {"prompt": " \n "},
    ]  # fmt: skip
    text = "\n".join(json.dumps(row) for row in rows)
    result = CliRunner().invoke(cli, ["classifier", "score", "-"], input=text)
    assert result.exit_code == 0, result.output
    first, second, empty, blank = map(json.loads, result.output.splitlines())
    assert (first["intent"], second["intent"]) == ("translation", "creative-writing")
    assert first["p_local"] > second["p_local"]
    assert empty == blank == {"p_local": None, "intent": "unknown"}


def test_a_line_that_cannot_be_scored_is_named() -> None:
    result = CliRunner().invoke(
        cli, ["classifier", "score", "-"], input='{"prompt": "a"}\n{"p": 1}'
    )
    assert result.exit_code == 2
    assert "line 2" in result.output


def test_an_interval_draws_whole_subjects_and_holds_the_measure() -> None:
    rows = [label(f"s{n % 9}", f"question {n}") for n in range(90)]
    drawn: list[int] = []

    def measure(at: Sequence[int]) -> float:
        drawn.append(len(at))
        return sum(i % 9 for i in at) / len(at)

    low, high = evaluate.interval(measure, rows)
    assert low < 4.0 < high
    assert set(drawn) == {90}  # nine subjects of ten questions each, however they are drawn
    assert evaluate.interval(measure, rows) == (low, high)


def test_the_score_is_read_from_steps_and_bounded_beyond_them() -> None:
    rows = [f"{'word ' * (n % 40)}{n}?" for n in range(400)]
    fitted = fit.additive(rows, [n % 40 < 20 for n in range(400)])
    short, long = (fitted.score(features.surface("word " * n)) for n in (3, 36))
    assert short > long
    endless = features.surface("word " * 100, 10**9)
    assert max(map(abs, fitted.normal(endless))) <= 2.5


@settings(deadline=None, max_examples=50)
@given(st.text(max_size=300) | st.lists(st.sampled_from(PIECES)).map("".join), st.integers(0, 9999))
def test_a_prompt_scores_the_same_by_the_loop_that_is_compiled(text: str, length: int) -> None:
    found = features.surface(text, length)
    for additive in (shipped().open, shipped().with_options):
        assert Score(additive).of(found) == pytest.approx(additive.score(found), rel=1e-12)


def test_words_count_in_any_order_and_as_often_as_once() -> None:
    lexicon = words.Lexicon(
        {"a": [(0, 1.25), (11, -3.0)], "abcde*": [(0, -0.5)], "b a": [(3, 2.0)]}
    )
    once, twice = (lexicon.votes(words.said(text)) for text in ("a abcdefg", "abcdefg a a"))
    assert once == twice == 75 - (300 << 11 * words.LANE)
    assert lexicon.votes(words.said("b a")) - lexicon.votes(words.said("a b")) == 200 << 96


def test_every_token_of_the_shipped_lexicon_has_its_own_weights_in_the_table() -> None:
    lexicon, known = shipped_lexicon()
    for token in known:
        assert votes_of(lexicon, token) == known[token], token


@settings(deadline=None, max_examples=100)
@given(
    st.text(max_size=300)
    | st.lists(st.sampled_from([*PIECES, "résumé ", "今日は", "اكتب ", "write ", "a poem "])).map(
        "".join
    )
)
def test_the_table_finds_what_the_tokens_say(text: str) -> None:
    lexicon, known = shipped_lexicon()
    found = words.said(text)
    assert lexicon.votes(found) == sum(known.get(token, 0) for token in found.tokens())


@settings(deadline=None, max_examples=200)
@given(
    st.text(max_size=100)
    | st.text("aAzÉßµ²¼ªΩжא9_'- \n·\u00d7“…€ﬁกあ中한😀\u0301\u2fff\u3000\ud800", max_size=40)
    | st.lists(st.sampled_from([*PIECES, "naïve ", "привет ", "“so”… ", "ﬁne", "ก"])).map("".join)
)
def test_words_have_the_keys_that_their_letters_make_in_every_script(text: str) -> None:
    found, written = words.said(text), words.written(words.instructions(text).lower())
    assert found.keys == list(map(words.key, written))
    stems = {words.key(word[: words.STEM]) for word in written if len(word) > words.STEM}
    assert len(set(found.stems)) == len(stems)


def test_a_lexicon_that_no_table_holds_is_an_error() -> None:
    with pytest.raises(ValueError, match="60000 tokens are more than a lexicon holds"):
        words.Lexicon({f"token{number}": [(0, 1.0)] for number in range(60_000)})


@cache
def shipped_lexicon() -> tuple[words.Lexicon, dict[str, int]]:
    """Return the lexicon and what each of its tokens weighs, by the model file."""
    weights = shipped().words
    return words.Lexicon(weights), {
        token: sum(round(weight * words.UNIT) << (words.LANE * lane) for lane, weight in each)
        for token, each in weights.items()
    }


def votes_of(lexicon: words.Lexicon, token: str) -> int:
    """Return what a lexicon holds of one token, however a text would have to say it."""
    if token[0] == "#":
        return lexicon.votes(words.Said("", [], [], [token.encode()]))
    said = token[:-1] + token[0] * 9 if token[-1] == "*" else token.removeprefix("^")
    all_of = words.said(said)
    others = all_of.tokens() - {token}
    _, known = shipped_lexicon()
    return lexicon.votes(all_of) - sum(known.get(other, 0) for other in others)
