"""What of a request is judged: the last thing the user said, and a little of what came before.

Tool results are not what the user wants, and neither are the assistant's own words. Every part is
bounded, so that judging a request of 64 KB costs what one of 4 KB does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

TURN_HEAD: Final = 3_000
TURN_TAIL: Final = 1_000
"""Characters kept of the last user turn: people put the task first, or after a pasted text."""
CONTEXT_HEAD: Final = 800
CONTEXT_TAIL: Final = 400
"""Characters kept of the system prompt and earlier user turns together, likewise."""
TURNS: Final = 8
"""Earlier user turns that count: the first one, and the last ones."""
CUT: Final = "\n[...]\n"
"""Stands where something was left out."""

_INSTRUCTIONS: Final[tuple[str, ...]] = ("system", "developer")
_TEXT_PARTS: Final[tuple[str, ...]] = ("text", "input_text")


class Prompt(msgspec.Struct, frozen=True):
    """The judged part of a request."""

    turn: str
    """The last user turn that holds text; bounded."""
    length: int = 0
    """Characters of the last user turn before it was bounded."""
    system: str = ""
    """What system and developer say; bounded."""
    turns: tuple[str, ...] = ()
    """The first user turn and the last ones before `turn`, in order; each bounded as `turn` is, so
    that it is read as it was when it was the last."""
    lengths: tuple[int, ...] = ()
    """Characters of each before it was bounded."""
    earlier: int = 0
    """How many user turns came before it."""

    @property
    def context(self) -> str:
        """System prompt and earlier user turns together, bounded."""
        pieces = [self.system] if self.system else []
        return clip("\n".join([*pieces, *self.turns[-4:]]), CONTEXT_HEAD, CONTEXT_TAIL)

    @classmethod
    def from_text(cls, text: str) -> Prompt:
        """Judge a bare prompt. White space alone is nothing to judge, as in a chat."""
        text = text.strip()
        return cls(turn=clip(text, TURN_HEAD, TURN_TAIL), length=len(text))

    @classmethod
    def from_messages(cls, messages: Sequence[Mapping[str, object]]) -> Prompt:
        """Judge a chat. What is not of the expected shape is passed over; nothing is raised."""
        turns: list[str] = []
        said: list[str] = []
        for message in messages:
            role = _role(message)
            if role == "user" or role in _INSTRUCTIONS:
                text = _text(message)
                if text:
                    (turns if role == "user" else said).append(text)
        if not turns:
            return cls(turn="")
        last = turns.pop()
        kept = turns if len(turns) <= TURNS else [turns[0], *turns[1 - TURNS :]]
        return cls(
            turn=clip(last, TURN_HEAD, TURN_TAIL),
            length=len(last),
            system=clip("\n".join(said[:2]), CONTEXT_HEAD, CONTEXT_TAIL),
            turns=tuple([clip(text, TURN_HEAD, TURN_TAIL) for text in kept]),
            lengths=tuple([len(text) for text in kept]),
            earlier=len(turns),
        )


def is_turn(message: Mapping[str, object]) -> bool:
    """Return whether the user says something in a message; a tool's result alone is none."""
    return _role(message) == "user" and _text(message) != ""


def clip(text: str, head: int, tail: int) -> str:
    """Return `text`, or its first `head` and last `tail` characters when it is longer than both."""
    if len(text) <= head + tail + len(CUT):
        return text
    return text[:head] + CUT + text[-tail:]


def _role(message: object) -> object:
    return message.get("role") if isinstance(message, dict) else None


def _text(message: Mapping[str, object]) -> str:
    content = message.get("content")
    if isinstance(content, str):
        return content.strip()
    if isinstance(content, list):
        return "\n".join(_parts(content)).strip()
    return ""


def _parts(content: list[object]) -> list[str]:
    """Return the text parts; a tool's result inside a user turn (Anthropic's form) is none."""
    found: list[str] = []
    for part in content:
        if isinstance(part, dict) and part.get("type") in _TEXT_PARTS:
            text = part.get("text")
            if isinstance(text, str):
                found.append(text)
    return found
