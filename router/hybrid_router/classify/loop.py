"""A tool loop: what has come since the user last spoke has no say in who answers.

Each request of a loop repeats the conversation and adds calls and their results. Were its length
that of the whole, a long result would lead the loop to another model in the middle of its work.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from hybrid_router.classify.prompt import is_turn
from hybrid_router.openai.request import CONTENT, estimated_tokens

if TYPE_CHECKING:
    from hybrid_router.openai.request import Call

_messages: Final = msgspec.json.Decoder(list[msgspec.Raw])
_message: Final = msgspec.json.Decoder(dict[str, Any])
_LOOPS: Final = frozenset({"chat", "messages", "count_tokens", "responses"})


def tokens_at_turn(call: Call) -> int:
    """Return the estimated tokens of the prompt as it was when the user last said something.

    Those of the whole prompt where that is its end, or cannot be told.
    """
    if call.kind not in _LOOPS:
        return call.prompt_tokens
    raw = call.fields[CONTENT[call.kind]]
    try:
        messages = _messages.decode(raw)
        after = len(messages)
        while after and not is_turn(_message.decode(messages[after - 1])):
            after -= 1
    except (msgspec.DecodeError, RecursionError):
        return call.prompt_tokens
    if after in {0, len(messages)}:
        return call.prompt_tokens
    text, end = bytes(raw), 0
    for message in messages[:after]:
        part = bytes(message)
        end = text.find(part, end) + len(part)
    since = estimated_tokens(call.kind, raw)
    return call.prompt_tokens - since + estimated_tokens(call.kind, msgspec.Raw(text[:end] + b"]"))
