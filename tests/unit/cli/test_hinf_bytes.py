"""`hinf` and bytes that are no text: a sentence that says which and where, never a traceback."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from click.testing import CliRunner

from hybrid_operator.cli.main import cli

MINIMAL = str(Path(__file__).parents[3] / "examples" / "minimal.yaml")
BYTES = b'{"prompt": "a", "text": "a"}\nab\xff\xfe'
SAID = "line 2, byte 3: is not text in UTF-8"
PRICES = ("--api-usd", "1", "2", "--local-usd", "1")


@pytest.mark.parametrize(
    "command",
    [
        pytest.param(("plan", "-f", "FILE"), id="plan"),
        pytest.param(("render", "-f", "FILE"), id="render"),
        pytest.param(("classifier", "score", "FILE"), id="score"),
        pytest.param(("datapolicy", "scan", "FILE"), id="scan"),
    ],
)
@pytest.mark.parametrize("named", [True, False], ids=["a file", "standard input"])
def test_bytes_that_are_no_text_are_bad_input(tmp_path, command, named):
    (tmp_path / "bytes").write_bytes(BYTES)
    path = str(tmp_path / "bytes") if named else "-"
    args = [path if word == "FILE" else word for word in command]
    done = CliRunner().invoke(cli, args, input=BYTES)
    assert (done.exit_code, f"Error: {path}: {SAID}" in done.output) == (2, True), done.output


def test_samples_of_a_cascade_that_are_no_text_are_bad_input():
    done = CliRunner().invoke(cli, ["classifier", "cut", "-", *PRICES], input=b"\xff")
    assert (done.exit_code, done.output) == (2, "Error: -: line 1, byte 1: is not text in UTF-8\n")


@pytest.mark.parametrize(
    ("prompt", "given", "told"),
    [
        pytest.param("-", BYTES, f"-: {SAID}", id="standard input"),
        pytest.param("a\udcff\udcfe", b"", "PROMPT: line 1, byte 2: is not text", id="an argument"),
    ],
)
def test_a_prompt_that_is_no_text_is_bad_input(prompt, given, told):
    done = CliRunner().invoke(cli, ["route", "-f", MINIMAL, prompt], input=given)
    assert (done.exit_code, told in done.output) == (2, True), done.output


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        pytest.param("a.csv", BYTES, "line 2: is not text in UTF-8", id="bytes"),
        pytest.param("a.csv.gz", BYTES, "is not gzip, or is cut off", id="no gzip"),
        pytest.param("a.csv.gz", gzip.compress(BYTES)[:-9], "is not gzip, or is", id="half of it"),
    ],
)
def test_labels_that_cannot_be_read_are_bad_input(tmp_path, name, content, told):
    (tmp_path / name).write_bytes(content)
    done = CliRunner().invoke(cli, ["classifier", "train", "--labels", str(tmp_path / name)])
    assert (done.exit_code, f"{name}: {told}" in done.output) == (2, True), done.output


def test_a_file_that_is_not_there_is_named():
    done = CliRunner().invoke(cli, ["classifier", "score", "no-such.jsonl"])
    assert (done.exit_code, done.output) == (2, "Error: no-such.jsonl: No such file or directory\n")
