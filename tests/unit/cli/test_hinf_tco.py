"""`hinf tco`: the article's figures, checked, and what bad input gets."""

from __future__ import annotations

import json
from typing import Any

import pytest
from click.testing import CliRunner, Result

from hybrid_operator.cli.main import cli

ARTICLE = ("--requests-per-day", "500000", "--input", "1000", "--output", "300")
MINI = ("--input-price", "0.15", "--output-price", "0.60", "--cached-price", "0.075")
A10G = ("--gpu", "a10g", "--gpu-price", "1.00")


def hinf(*args: str) -> Result:
    return CliRunner().invoke(cli, ("tco", *args), prog_name="hinf")


def answer(*args: str) -> dict[str, Any]:
    result = hinf(*args, "-o", "json")
    assert result.exit_code == 0, result.output
    found: dict[str, Any] = json.loads(result.output)
    return found


def test_the_form_where_tokens_belong_names_the_option_that_was_meant():
    result = hinf(*ARTICLE[:4], "--output-tokens", "300", *MINI, *A10G, "--output", "json")
    assert result.exit_code == 2
    assert "the form is -o json" in result.output


def test_the_fields_are_fixed():
    assert list(answer(*ARTICLE, *MINI, *A10G)) == [
        "api_usd_per_month",
        "local_usd_per_month",
        "gpus",
        "tokens_per_month",
        "local_capacity_tokens_per_month",
        "api_usd_per_million_tokens",
        "local_usd_per_million_tokens",
        "break_even_tokens_per_month",
        "verdict",
        "warnings",
    ]


def test_the_article_pays_4950_usd_for_19_and_a_half_billion_tokens():
    found = answer(*ARTICLE, "--api", "gpt-4o-mini", *A10G)
    assert found["tokens_per_month"] == 19_500_000_000
    assert found["api_usd_per_month"] == 4950.0
    assert any("genai-prices" in each for each in found["warnings"])


def test_three_gpus_at_80_tokens_per_second_cannot_serve_it():
    found = answer(*ARTICLE, *MINI, *A10G, "--tokens-per-s", "80", "--min-gpus", "3")
    assert found["gpus"] == 95
    assert found["break_even_tokens_per_month"] is None
    assert any(
        "3 GPUs at 80 tokens/s can serve 0.622 billion tokens in 720 hours, not 19.5 billion: that "
        "takes 2,508 tokens/s each, or 95 GPUs" in each
        for each in found["warnings"]
    )


def test_in_a_month_of_730_hours_they_serve_a_little_more():
    found = answer(
        *ARTICLE, *MINI, *A10G, "--tokens-per-s", "80", "--min-gpus", "3",
        "--hours-per-month", "730",
    )  # fmt: skip
    assert any("0.631 billion tokens in 730 hours" in each for each in found["warnings"])


def test_the_articles_break_even_holds_at_the_rate_that_it_would_take():
    found = answer(*ARTICLE, *MINI, *A10G, "--tokens-per-s", "2508", "--min-gpus", "3")
    assert (found["gpus"], found["local_usd_per_month"]) == (3, 2160.0)
    assert found["break_even_tokens_per_month"] == pytest.approx(8.5e9, rel=0.01)
    assert found["verdict"] == "3 GPUs of your own save 2,790 USD a month (56 %)"


def test_an_estimate_is_shown_with_its_error():
    found = answer(*ARTICLE, *MINI, *A10G, "--model", "llama-3-8b")
    assert any("is an estimate, 0." in each for each in found["warnings"])
    assert 3 < found["gpus"] < 20


def test_the_t4_trap_has_its_numbers():
    found = answer(*ARTICLE, *MINI, "--gpu", "t4", "--gpu-price", "0.25", "--tokens-per-s", "15")
    assert found["local_usd_per_month"] > 4950
    assert any("4.63 USD per million tokens at 15 tokens/s" in each for each in found["warnings"])


def test_a_cache_lowers_the_price_of_the_api():
    fresh, cached = (answer(*ARTICLE, *MINI, *A10G, "--cached-share", s) for s in ("0", "1"))
    assert fresh["api_usd_per_month"] - cached["api_usd_per_month"] == pytest.approx(1125)


def test_the_terminal_has_a_plot_and_a_verdict():
    text = hinf(*ARTICLE, *MINI, *A10G, "--tokens-per-s", "2508").output
    assert text.startswith("Verdict: ")
    assert "USD a month by billion tokens a month: a API, g GPUs" in text
    assert max(map(len, text.splitlines())) <= 100


def test_the_plot_is_written_as_svg(tmp_path):
    path = tmp_path / "costs.svg"
    rate = ("--tokens-per-s", "2508", "--min-gpus", "3")
    assert hinf(*ARTICLE, *MINI, *A10G, *rate, "--plot", str(path)).exit_code == 0
    drawn = path.read_text()
    assert ">demand: 19.5</text>" in drawn
    assert ">break-even: 8.51</text>" in drawn
    assert drawn.count("<polyline") > 2


def test_the_plot_is_written_as_png(tmp_path):
    path = tmp_path / "costs.png"
    assert hinf(*ARTICLE, *MINI, *A10G, "--plot", str(path)).exit_code == 0
    assert path.read_bytes().startswith(b"\x89PNG")


def test_other_plots_are_refused(tmp_path):
    result = hinf(*ARTICLE, *MINI, *A10G, "--plot", str(tmp_path / "costs.pdf"))
    assert result.exit_code == 2
    assert ".svg and .png files are written" in result.output


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        pytest.param((*ARTICLE, "--api", "gpt-4o-mni"), "did you mean gpt-4o-mini", id="a model"),
        pytest.param((*ARTICLE, *MINI, "--gpu", "a10gg"), "a10g", id="a GPU"),
        pytest.param((*ARTICLE, *MINI, "--model", "llama-3-9b"), "llama-3-8b", id="a local model"),
        pytest.param(
            ARTICLE, "say --api MODEL, or --input-price and --output-price", id="no price"
        ),
        pytest.param(
            (*ARTICLE, "--input-price", "-1", "--output-price", "1"),
            "must be a price in USD",
            id="a negative price",
        ),
        pytest.param(
            (*ARTICLE, *MINI, "--tokens-per-s", "0"), "must be a number above 0", id="no rate"
        ),
        pytest.param(
            (*ARTICLE, *MINI, "--tokens-per-s", "nan"), "must be a number above 0", id="no number"
        ),
        pytest.param(
            ("--requests-per-day", "-5", *ARTICLE[2:], *MINI, "--tokens-per-s", "9"),
            "requests per day: -5.0 must be a number above 0",
            id="negative demand",
        ),
        pytest.param(
            (*ARTICLE, *MINI, "--tokens-per-s", "9", "--utilisation", "1.5"),
            "utilisation: 1.5 must be above 0 and at most 1",
            id="more than everything",
        ),
        pytest.param(
            ("--requests-per-day", "5", "--input", "0", "--output", "0", *MINI),
            "a request must have tokens",
            id="requests without tokens",
        ),
    ],
)
def test_bad_input_is_named(args, expected):
    result = hinf(*args)
    assert result.exit_code == 2
    assert expected in " ".join(result.output.split())
