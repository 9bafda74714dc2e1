"""What a backend is sent for a call: on its own surface untouched, on another one translated."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import msgspec

from hybrid_router.anthropic.request import MessagesCall
from hybrid_router.openai.body import lenient
from hybrid_router.openai.draft import ASKED
from hybrid_router.openai.request import PATHS, Outgoing
from hybrid_router.responses.request import ResponsesCall
from hybrid_router.translate.chat_answer import ChatReader, ChatWriter
from hybrid_router.translate.chat_request import to_messages
from hybrid_router.translate.form import Translated
from hybrid_router.translate.messages_answer import MessagesReader, MessagesWriter
from hybrid_router.translate.messages_request import to_chat
from hybrid_router.translate.pieces import InexpressibleError
from hybrid_router.translate.responses_answer import ResponsesWriter
from hybrid_router.translate.responses_request import echoed
from hybrid_router.translate.responses_request import to_chat as responses_to_chat
from hybrid_router.translate.surfaces import has, surfaces

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from hybrid_router.openai.request import Call, Kind
    from hybrid_router.table import Backend
    from hybrid_router.translate.pieces import Writer


class _StreamOptions(msgspec.Struct):
    include_usage: bool = False


def outgoing(
    call: Call, model: str, backend: Backend, *, ids: bool = False, draft: bool = False
) -> Outgoing:
    """Return what the backend is sent, and how its answer is read.

    Args:
        call: the client's.
        model: the name that the backend knows.
        backend: its surfaces decide whether anything is translated.
        ids: ask for the token ids of a stream, where nothing is translated.
        draft: ask for log-probabilities; only chats and completions have them.

    Raises:
        ApiError: 400, the request is malformed; only found where it is translated.
        InexpressibleError: the backend has no surface that can say it.
    """
    if has(backend, call.kind) and (not draft or call.kind in ASKED):
        return call.outgoing(model, backend, _extra(call.kind, ids=ids, draft=draft))
    chat, writer, dropped = _as_chat(call, backend)
    there = surfaces(backend)
    if "chat" in there:
        sent = chat.outgoing(model, backend, _extra("chat", draft=draft))
        form = Translated(ChatReader, writer)
        return Outgoing(sent.body, sent.path, form, (*dropped, *sent.dropped))
    if "messages" not in there:
        raise InexpressibleError(f"/v1/{call.kind}")
    body, left_out = to_messages(chat, model)
    form = Translated(MessagesReader, writer)
    return Outgoing(body, PATHS["messages"], form, (*dropped, *left_out))


def _extra(kind: Kind, *, ids: bool = False, draft: bool = False) -> Mapping[str, object]:
    """Return the fields that the router itself asks for."""
    if not ids and not draft:
        return {}
    return {**({"return_token_ids": True} if ids else {}), **(ASKED[kind] if draft else {})}


def _as_chat(call: Call, backend: Backend) -> tuple[Call, Callable[[], Writer], list[str]]:
    """Return the call as a chat, what writes its answer, and what was left out."""
    if call.kind == "chat":
        options = call.fields.get("stream_options")
        asked = lenient(options, _StreamOptions | None) if options is not None else None
        shows = asked is not None and asked.include_usage
        return call, partial(ChatWriter, shows_usage=shows), []
    if isinstance(call, MessagesCall) and call.kind == "messages":
        chat, dropped = to_chat(call, backend)
        return chat, MessagesWriter, dropped
    if isinstance(call, ResponsesCall):
        chat, dropped = responses_to_chat(call)
        return chat, partial(ResponsesWriter, echoed(call)), dropped
    raise InexpressibleError(f"/v1/{call.kind}")
