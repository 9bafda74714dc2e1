"""What answers and their events are decoded into, as far as the router reads them.

Apart from what reads them, so that that can be compiled: a class that mypyc compiles does not keep
what stands between the brackets of its annotations, and msgspec decodes by that.
"""

from __future__ import annotations

from typing import Any

import msgspec


class Usage(msgspec.Struct, frozen=True, gc=False):
    """Tokens of one attempt."""

    prompt: int
    completion: int
    cached: int = 0
    """Those of the prompt that the backend had in a cache."""
    estimated: bool = False
    """Counted by the router, because the backend did not say."""


class Details(msgspec.Struct):
    """How many of the prompt's tokens were cached."""

    cached_tokens: int | None = None


class WireUsage(msgspec.Struct):
    """`usage` as it stands in answers and in a stream's last chunk."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    prompt_tokens_details: Details | None = None

    def counted(self) -> Usage:
        """Return it as the router counts it."""
        details = self.prompt_tokens_details
        return Usage(
            prompt=self.prompt_tokens,
            completion=self.completion_tokens,
            cached=(details.cached_tokens or 0) if details is not None else 0,
        )


class Answer(msgspec.Struct):
    """A complete answer; its parts stay as they came."""

    usage: msgspec.Raw = msgspec.Raw()
    choices: msgspec.Raw = msgspec.Raw()
    data: msgspec.Raw = msgspec.Raw()


class Error(msgspec.Struct):
    """What a backend says went wrong."""

    message: str = ""
    code: str | int | None = None


class ErrorAnswer(msgspec.Struct):
    """An error, in whichever dialect."""

    error: Error | None = None
    message: str = ""


class Message(msgspec.Struct):
    """A chat's message."""

    content: str | None = None


class Choice(msgspec.Struct):
    """One of a chat's answers."""

    message: Message


class Chat(msgspec.Struct):
    """A complete chat."""

    choices: list[Choice]


class Event(msgspec.Struct):
    """An event of a stream."""

    choices: list[dict[str, Any]] | None = None
    error: Any = None
    object: Any = None
