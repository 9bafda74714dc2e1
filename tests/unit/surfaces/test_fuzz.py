"""Whatever a client or a backend sends, a translation answers with a sentence and not a fault."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hybrid_router.anthropic.request import parse_messages
from hybrid_router.openai.answer import NotAnAnswerError
from hybrid_router.openai.errors import ApiError
from hybrid_router.openai.request import parse
from hybrid_router.responses.request import parse_responses
from hybrid_router.table import Backend
from hybrid_router.translate.chat_answer import ChatReader, ChatWriter
from hybrid_router.translate.form import Translated
from hybrid_router.translate.messages_answer import MessagesReader, MessagesWriter
from hybrid_router.translate.outgoing import outgoing
from hybrid_router.translate.pieces import InexpressibleError
from hybrid_router.translate.responses_answer import ResponsesWriter
from tests.support.fuzzing import examples

BACKENDS = [
    Backend(trust="external", urls=("http://a/v1",), dialect="anthropic"),
    Backend(trust="external", urls=("http://a/v1",), provider="openai", surfaces=("chat",)),
    Backend(trust="internal", urls=("http://a/v1",), engine="vllm", surfaces=("chat",)),
]
WORDS = st.sampled_from(
    [
        "text", "image", "image_url", "file", "document", "tool_use", "tool_result", "thinking",
        "function", "function_call", "function_call_output", "message", "input_text", "custom",
        "base64", "url", "user", "assistant", "system", "tool", "auto", "any", "json_schema",
        "enabled", "{", "{}", '{"a":1}', "data:image/png;base64,aGk=",
    ]
)  # fmt: skip
KEYS = st.sampled_from(
    [
        "type", "text", "role", "content", "name", "id", "input", "source", "data", "media_type",
        "image_url", "url", "file", "file_data", "tool_calls", "function", "arguments", "output",
        "tool_use_id", "tool_call_id", "call_id", "schema", "json_schema", "format", "effort",
        "budget_tokens", "user_id", "input_schema", "parameters", "refusal", "thinking", "strict",
        "choices", "delta", "message", "finish_reason", "stop_reason", "usage", "index",
        "content_block", "partial_json", "error", "model",
    ]
)  # fmt: skip
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 2**65) | st.floats(allow_nan=False) | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)
ROLES = st.sampled_from(["system", "user", "assistant", "tool"])
FIELDS = {
    "chat": ["response_format", "stop", "temperature", "tools", "tool_choice", "user", "n",
             "parallel_tool_calls", "max_tokens", "stream_options", "modalities", "top_p"],
    "messages": ["metadata", "output_config", "stop_sequences", "system", "thinking", "tools",
                 "tool_choice", "temperature", "top_k", "container", "mcp_servers"],
    "responses": ["instructions", "reasoning", "text", "tools", "tool_choice", "store", "stream",
                  "max_output_tokens", "metadata", "include", "conversation"],
}  # fmt: skip
PARSERS = {
    "chat": lambda body: parse("chat", body),
    "messages": lambda body: parse_messages("messages", body),
    "responses": parse_responses,
}
CONTENT = {"chat": "messages", "messages": "messages", "responses": "input"}


@pytest.mark.parametrize("kind", list(FIELDS))
@settings(max_examples=examples(40))
@given(data=st.data())
def test_a_request_is_translated_or_refused(kind, data):
    turn = st.just({"role": "user", "content": "hi"})
    part = st.dictionaries(KEYS, VALUES, max_size=4)
    turn |= st.builds(lambda role, parts: {"role": role, "content": parts}, ROLES, st.lists(part))
    turns = st.lists(turn | part | VALUES, min_size=1, max_size=2)
    turns |= st.just([{"role": "user", "content": "hi"}])
    body = {"model": "m", "max_tokens": 5, CONTENT[kind]: data.draw(turns)}
    body |= data.draw(st.dictionaries(st.sampled_from(FIELDS[kind]), VALUES, max_size=4))
    for backend in BACKENDS:
        try:
            found = outgoing(PARSERS[kind](json.dumps(body).encode()), "up", backend)
        except InexpressibleError:
            continue
        except ApiError as refused:
            status = refused.status
        else:
            status = 400 if isinstance(json.loads(found.body), dict) else 500
        assert status == 400


FORMS = [
    pytest.param(Translated(reader, writer), id=f"{reader.__name__} to {writer.__name__}")
    for reader in (ChatReader, MessagesReader)
    for writer in (ChatWriter, MessagesWriter, ResponsesWriter)
]
ANSWERS = st.dictionaries(KEYS, VALUES, max_size=6)


@pytest.mark.parametrize("form", FORMS)
@settings(max_examples=examples(20))
@given(answers=st.lists(ANSWERS, min_size=1, max_size=4))
def test_an_answer_is_translated_or_no_answer(form, answers):
    for answer in answers:
        body = json.dumps(answer).encode()
        try:
            translated, _ = form.whole(body)
        except NotAnAnswerError:
            pass
        else:
            assert isinstance(json.loads(translated), dict)
        assert isinstance(json.loads(form.error(400, body)), dict)
    stream = form.stream()
    for answer in answers:
        stream.feed(b"data: " + json.dumps(answer).encode() + b"\n\n")
