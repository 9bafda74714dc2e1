"""`hinf classifier cut`: which threshold a cascade should have."""

import json

import pytest
from click.testing import CliRunner

from hybrid_operator.cli.main import cli

PRICES = ("--api-usd", "2.5", "10", "--local-usd", "0.2")
TOKENS = {"prompt_tokens": 100, "draft_tokens": 32, "local_tokens": 80, "api_tokens": 90}


def lines(*answers):
    """Return samples of these confidences and local outcomes; the API is always right."""
    rows = [{"confidence": c, "local": right, "api": 1, **TOKENS} for c, right in answers]
    return "".join(json.dumps(row) + "\n" for row in rows)


FOUR = lines((0.91236, 1), (0.8, 1), (0.6, 0), (0.4, 0))


def cut(*options, samples=FOUR):
    return CliRunner().invoke(cli, ["classifier", "cut", "-", *options], input=samples)


def test_the_cheapest_is_named_with_what_to_do_next():
    done = cut("--quality", "0.75", *PRICES)
    assert done.exit_code == 0
    assert "0.6000" in next(row for row in done.output.splitlines() if "the cheapest" in row)
    assert 'routing: {threshold: "0.6000", classifier: {type: cascade}}' in done.output
    assert all(len(row) <= 100 for row in done.output.splitlines())


def test_a_threshold_is_rounded_so_that_its_own_sample_stays_local():
    done = cut("--quality", "1", *PRICES, samples=lines((0.91236, 1), (0.2, 0)))
    assert 'threshold: "0.9123"' in done.output


def test_machines_get_every_cut():
    done = cut("--quality", "1", "-o", "json", *PRICES)
    told = json.loads(done.output)
    assert told["chosen"]["threshold"] == 0.8
    assert [each["threshold"] for each in told["cuts"]] == [None, 0.91236, 0.8, 0.6, 0.4]
    assert told["cuts"][0]["quality"] == 1.0


def test_drafts_that_do_not_pay_are_an_answer_of_its_own():
    done = cut("--quality", "1", "--api-usd", "1", "1", "--local-usd", "1")
    assert done.exit_code == 1
    assert "Drafts do not pay" in done.output


@pytest.mark.parametrize(
    ("samples", "words"),
    [
        pytest.param("", "there are no samples", id="nothing"),
        pytest.param("{", "line 1:", id="no JSON"),
        pytest.param(FOUR + '{"confidence": 0.1}', "line 5:", id="a field that is missing"),
    ],
)
def test_bad_samples_are_named_by_their_line(samples, words):
    done = cut(*PRICES, samples=samples)
    assert done.exit_code == 2
    assert words in done.output
