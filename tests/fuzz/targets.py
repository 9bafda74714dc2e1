"""What atheris feeds with bytes: each target takes them or refuses them by its own exception."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import suppress

from hybrid_router.anthropic.request import parse_messages
from hybrid_router.anthropic.sse import MessagesFilter
from hybrid_router.openai.answer import NotAnAnswerError
from hybrid_router.openai.errors import ApiError
from hybrid_router.openai.request import Call, parse
from hybrid_router.openai.sse import Filter
from hybrid_router.openai.tokens import Tokens
from hybrid_router.responses.request import parse_responses
from hybrid_router.responses.sse import ResponsesFilter
from hybrid_router.server.body import ChunkedBody
from hybrid_router.server.request import parse_head
from hybrid_router.table import Backend, TableError, decode
from hybrid_router.translate.chat_answer import ChatReader, ChatWriter
from hybrid_router.translate.form import Translated
from hybrid_router.translate.messages_answer import MessagesReader, MessagesWriter
from hybrid_router.translate.outgoing import outgoing
from hybrid_router.translate.pieces import InexpressibleError
from hybrid_router.translate.responses_answer import ResponsesWriter

BACKENDS = (
    Backend(trust="external", urls=("http://a/v1",), dialect="anthropic"),
    Backend(trust="external", urls=("http://a/v1",), provider="openai", surfaces=("chat",)),
    Backend(trust="internal", urls=("http://a/v1",), engine="vllm", surfaces=("chat",)),
    Backend(trust="internal", urls=("http://a/v1",), engine="vllm"),
)
FORMS = tuple(
    Translated(reader, writer)
    for reader in (ChatReader, MessagesReader)
    for writer in (ChatWriter, MessagesWriter, ResponsesWriter)
)
_JSON = b'{"model":"m","max_tokens":5,'


def head(data: bytes) -> None:
    """A request's head."""
    with suppress(ApiError):
        parse_head(data + b"\r\n\r\n")


def chunks(data: bytes) -> None:
    """A chunked body, in two parts: what it says must not depend on where it is cut."""
    cut = data[0] if data else 0
    whole, parted = _unframed([data[1:]]), _unframed([data[1 : cut + 1], data[cut + 1 :]])
    assert whole == parted


def _unframed(parts: list[bytes]) -> object:
    body, said = ChunkedBody(), b""
    try:
        for part in parts:
            if not body.complete:
                said += body.feed(part)
    except ApiError as error:
        return error.status
    return said, body.complete


def table(data: bytes) -> None:
    """A RouteTable."""
    with suppress(TableError):
        decode(data)


def streams(data: bytes) -> None:
    """A backend's stream of events, on every surface; nothing passes before the boundary."""
    cut = data[0] if data else 0
    parts = data[1 : cut + 1], data[cut + 1 :]
    for stream in (Filter(hides_usage=True), MessagesFilter(), ResponsesFilter()):
        passed = b"".join(stream.feed(part) for part in parts if stream.failure is None)
        assert stream.committed or not passed
        assert not stream.done or stream.committed
    tokens = Tokens()
    for part in parts:
        if tokens.failure is None:
            tokens.feed(part)


def _translated(read: Callable[[bytes], Call], data: bytes) -> None:
    """A body is read and translated for every kind of backend, or refused."""
    for body in (data, _JSON + data):
        for backend in BACKENDS:
            with suppress(InexpressibleError, ApiError):
                json.loads(outgoing(read(body), "up", backend).body)


def chat(data: bytes) -> None:
    """OpenAI's chat completions."""
    _translated(lambda body: parse("chat", body), data)


def messages(data: bytes) -> None:
    """Anthropic's messages."""
    _translated(lambda body: parse_messages("messages", body), data)


def responses(data: bytes) -> None:
    """OpenAI's responses."""
    _translated(parse_responses, data)


def answers(data: bytes) -> None:
    """A backend's whole answer, and its events, translated for every surface."""
    for form in FORMS:
        with suppress(NotAnAnswerError):
            json.loads(form.whole(data)[0])
        json.loads(form.error(400, data))
        form.stream().feed(b"data: " + data + b"\n\n")


TARGETS: Mapping[str, Callable[[bytes], None]] = {
    each.__name__: each
    for each in (head, chunks, table, streams, chat, messages, responses, answers)
}
SEEDS: Mapping[str, tuple[bytes, ...]] = {
    "head": (b"POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nContent-Length: 3",),
    "chunks": (b"\x053;x=y\r\nabc\r\n0\r\nT: 1\r\n\r\nrest",),
    "table": (
        (
            b'{"version":1,"models":{"m":{"targets":[{"backend":"a","model":"x"}]}},'
            b'"backends":{"a":{"trust":"internal","urls":["http://h/v1"]}}}'
        ),
    ),
    "streams": (
        (
            b'\x10data: {"choices":[{"index":0,"delta":{"content":"x"},"token_ids":[1]}]}\n\n'
            b"data: [DONE]\n\n"
        ),
        (
            b'\x10event: content_block_delta\ndata: {"type":"content_block_delta","index":0,'
            b'"delta":{"type":"text_delta","text":"x"}}\n\n'
            b'event: message_stop\ndata: {"type":"message_stop"}\n\n'
        ),
        (
            b'\x10data: {"type":"response.output_text.delta","delta":"x"}\n\n'
            b'data: {"type":"response.completed","response":{"usage":{"input_tokens":1}}}\n\n'
        ),
    ),
    "chat": (
        (
            b'"messages":[{"role":"user","content":[{"type":"text","text":"hi"},{"type":"image_url",'
            b'"image_url":{"url":"data:image/png;base64,aGk="}}]}],"tools":[{"type":"function",'
            b'"function":{"name":"f","parameters":{}}}],"tool_choice":"auto","stop":["a"]}'
        ),
    ),
    "messages": (
        (
            b'"system":"s","messages":[{"role":"user","content":[{"type":"tool_result",'
            b'"tool_use_id":"t","content":"x"},{"type":"image","source":{"type":"base64",'
            b'"media_type":"image/png","data":"aGk="}}]}],"tools":[{"name":"f","input_schema":{}}]}'
        ),
    ),
    "responses": (
        (
            b'"instructions":"s","input":[{"type":"message","role":"user","content":[{"type":'
            b'"input_text","text":"hi"}]},{"type":"function_call","call_id":"c","name":"f",'
            b'"arguments":"{}"},{"type":"function_call_output","call_id":"c","output":"x"}]}'
        ),
    ),
    "answers": (
        (
            b'{"choices":[{"index":0,"message":{"role":"assistant","content":"x","tool_calls":[{"id":'
            b'"c","type":"function","function":{"name":"f","arguments":"{}"}}]},"finish_reason":'
            b'"stop"}],"usage":{"prompt_tokens":1,"completion_tokens":1}}'
        ),
        (
            b'{"type":"message","role":"assistant","content":[{"type":"text","text":"x"}],'
            b'"stop_reason":"end_turn","usage":{"input_tokens":1,"output_tokens":1}}'
        ),
    ),
}
"""Where atheris begins."""
