"""The prompts of the demo, and what the answers' headers tell about who answered."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from demo.console import Console
from demo.kube import Answer, Client

SIMPLE = "Summarise in one sentence: 'Invoice INV-2041 of 3 May, due in 30 days.'"
COMPLEX = (
    "Prove step by step that there are infinitely many primes of the form 4k + 3, then compare "
    "your proof with Dirichlet's theorem."
)
AFTERWARDS = "Summarise in one sentence: 'Order A-1733 has left our warehouse today.'"
"""As simple as the first one, for the time when the local engine is dead."""

MAX_TOKENS = 24
SHOWN, SHOWN_WORDS = 30, 76
"""Characters of a prompt in the table, and of an answer below it: both fit 100 columns."""
HEAD = ("prompt", "source", "model", "reason", "confidence", "status", "ms")


def request(endpoint: str, prompt: str) -> dict[str, Any]:
    """Return a chat completion request for the alias `auto`."""
    messages = [{"role": "user", "content": prompt}]
    body = {"model": "auto", "messages": messages, "max_tokens": MAX_TOKENS, "temperature": 0}
    return {"url": f"{endpoint}/chat/completions", "body": body}


@dataclass(frozen=True, slots=True)
class Turn:
    """A prompt and what came back."""

    prompt: str
    answer: Answer

    @property
    def source(self) -> str:
        """`local` or `api`, as the router says; empty without an answer."""
        return self.answer.headers.get("x-hybrid-source", "")

    @property
    def answered(self) -> bool:
        """Whether the client got an answer."""
        return self.answer.status == 200  # noqa: PLR2004  OK

    @property
    def words(self) -> str:
        """What the model said, in one line; empty without an answer."""
        if not self.answered:
            return ""
        message = json.loads(self.answer.body)["choices"][0]["message"]
        return " ".join((message.get("content") or "").split())

    def row(self) -> tuple[str, ...]:
        """Return the turn as a row of the table."""
        said = self.answer.headers
        names = ("source", "model", "reason", "confidence")
        shown = shortened(self.prompt, SHOWN)
        words = tuple(said.get(f"x-hybrid-{name}", "-") for name in names)
        return (shown, *words, str(self.answer.status), str(self.answer.ms))


def ask(client: Client, endpoint: str, *prompts: str) -> list[Turn]:
    """Ask one prompt after the other."""
    answers = client.send(*(request(endpoint, prompt) for prompt in prompts))
    return [Turn(prompt, answer) for prompt, answer in zip(prompts, answers, strict=True)]


def shortened(text: str, most: int) -> str:
    """Return at most so many characters, with dots where some are left out."""
    return text if len(text) <= most else text[: most - 3] + "..."


def show(console: Console, turns: Sequence[Turn]) -> None:
    """Print the table, and what was said."""
    console.table(HEAD, [turn.row() for turn in turns])
    for turn in turns:
        if turn.answered:
            console.note(f"{turn.source} said: {shortened(turn.words, SHOWN_WORDS)}")
        else:
            console.note(f"{turn.answer.status}: {turn.answer.body[:400]}")
