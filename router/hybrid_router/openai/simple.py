"""The small chat surface: `{"prompt", "user_id"}` in, `{"source", "content", "provider"}` out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from hybrid_router.openai.answer import chat_content
from hybrid_router.openai.body import invalid, required, take_apart, typed
from hybrid_router.openai.request import Call, parse

if TYPE_CHECKING:
    from hybrid_router.table import Backend

MODEL = "auto"


def parse_simple(body: bytes) -> Call:
    """Return the chat that a bare prompt stands for. `user_id` goes no further.

    Raises:
        ApiError: 400, with the field at fault in `param`.
    """
    fields = take_apart(body)
    prompt: str = typed(required(fields, "prompt"), str, "prompt")
    if not prompt.strip():
        raise invalid("prompt", "`prompt` is empty")
    if "user_id" in fields:
        typed(fields["user_id"], str | int | None, "user_id")
    chat = {"model": MODEL, "messages": [{"role": "user", "content": prompt}]}
    return parse("chat", msgspec.json.encode(chat))


def simple_answer(body: bytes, backend: Backend) -> bytes:
    """Return the surface's answer for a backend's chat completion.

    Raises:
        NotAnAnswerError: it is no chat completion.
    """
    internal = backend.trust == "internal"
    return msgspec.json.encode(
        {
            "source": "local_slm" if internal else "openai_api",
            "content": chat_content(body),
            "provider": backend.provider or ("local" if internal else "external"),
        }
    )
