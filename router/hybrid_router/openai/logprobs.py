"""Log-probabilities as they stand in answers: of chats, and of completions."""

from __future__ import annotations

import msgspec


class Token(msgspec.Struct, gc=False):
    """One of the likeliest tokens at a position."""

    token: str
    logprob: float


class Position(msgspec.Struct):
    """A generated token of a chat, and the likeliest ones at its place."""

    token: str
    logprob: float
    top_logprobs: list[Token] = []
