"""`hinf classifier`: score prompts, choose thresholds, and train the embedded classifier."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from hybrid_operator.cli import texts
from hybrid_operator.cli.calibration import apply, fit, rollback
from hybrid_operator.cli.cutting import cut
from hybrid_operator.cli.main import BadInputError
from hybrid_router.classify.embedded import EmbeddedClassifier
from hybrid_router.classify.prompt import Prompt


@click.group()
def classifier() -> None:
    """Score prompts, fit confidences to outcomes, and train the embedded classifier."""


for _command in (fit, apply, rollback, cut):
    classifier.add_command(_command)


@classifier.command()
@click.argument("file")
def score(file: str) -> None:
    """Judge the prompts in FILE (- reads standard input).

    FILE holds one JSON object a line: {"prompt": "..."} or {"messages": [...]}. The answer is one
    object a line: {"p_local": P(the local model is good enough), "intent": "..."}. An empty text or
    white space alone gets p_local null: the router sends such a request to the API.
    """
    judge = EmbeddedClassifier().judge
    for number, line in texts.lines(file):
        verdict = judge(_prompt(line, number))
        known = verdict.confidence is not None
        p_local = round(verdict.confidence, 4) if known and verdict.confidence is not None else None
        sys.stdout.write(json.dumps({"p_local": p_local, "intent": verdict.intent}) + "\n")


def _prompt(line: str, number: int) -> Prompt:
    try:
        row = json.loads(line)
    except ValueError as error:
        raise BadInputError(f"line {number}: is not JSON: {error}") from None
    if isinstance(row, dict) and isinstance(row.get("prompt"), str):
        return Prompt.from_text(row["prompt"])
    if isinstance(row, dict) and isinstance(row.get("messages"), list):
        return Prompt.from_messages(row["messages"])
    raise BadInputError(f'line {number}: needs "prompt" with a text, or "messages" with a list')


@classifier.command()
@click.option(
    "--labels",
    "paths",
    multiple=True,
    required=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="CSV (.gz) with subject, prompt, small_correct, large_correct. May be repeated.",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    default="model.json.gz",
    show_default=True,
    help="Model file to write.",
)
def train(paths: tuple[Path, ...], output: Path) -> None:
    """Train the embedded classifier from labels.

    Intents come from the project's own examples. The same labels give the same bytes. Needs the
    extra `train`: pip install 'hybrid-inference[train]'.
    """
    try:
        from hybrid_router.classify.training import fit as training  # noqa: PLC0415  heavy
    except ImportError as error:
        raise BadInputError(
            f"{error.name} is not there: pip install 'hybrid-inference[train]'"
        ) from None
    from hybrid_router.classify.training import labels  # noqa: PLC0415  belongs to it

    try:
        rows = labels.read(paths)
    except labels.LabelsError as error:
        raise BadInputError(str(error)) from None
    data = training.train(rows, lambda said: click.echo(f"train: {said}", err=True))
    output.write_bytes(data)
    click.echo(f"{output}: {len(data)} bytes, from {len(rows)} questions")
