"""Whatever the official SDKs can say, nothing of it leaves unread: their types are walked.

A place that a new version of an SDK brings is tested without anybody thinking of it; where it looks
like something that no scan can read, somebody has to: it is counted as such, or listed below.
"""

import functools
import json
import re
from collections.abc import Callable
from functools import partial

import pytest

from hybrid_router.anthropic.request import parse_messages
from hybrid_router.datapolicy import document
from hybrid_router.datapolicy.gate import Gate, WithheldError
from hybrid_router.openai.errors import ApiError
from hybrid_router.openai.request import Call, parse
from hybrid_router.responses.request import parse_responses
from hybrid_router.table import Backend, DataPolicy
from hybrid_router.translate.outgoing import outgoing
from hybrid_router.translate.pieces import InexpressibleError
from tests.support.sdk_requests import ROOTS, Place, places

READ: dict[str, Callable[[bytes], Call]] = {
    "chat": partial(parse, "chat"),
    "completions": partial(parse, "completions"),
    "embeddings": partial(parse, "embeddings"),
    "responses": parse_responses,
    "messages": partial(parse_messages, "messages"),
    "count_tokens": partial(parse_messages, "count_tokens"),
}
OUTSIDE = {
    "openai": Backend(trust="external", urls=("http://127.0.0.1:1/v1",), provider="openai"),
    "compatible": Backend(trust="external", urls=("http://127.0.0.1:1/v1",)),
    "anthropic": Backend(trust="external", urls=("http://127.0.0.1:1/v1",), dialect="anthropic"),
    "vllm": Backend(trust="external", urls=("http://127.0.0.1:1/v1",), engine="vllm"),
}
MAIL = "jane.doe@example.com"
ADDRESS = "https://files.example.com/a?of=jane.doe%40example.com"
CARD = 4111111111111111
LOCAL = re.compile(rb"jane\.doe|4\.?1{11}")
"""What must not stand in anything that leaves."""
PERSONAL = {
    "text": (MAIL, ADDRESS),
    "constant": (MAIL,),
    "number": (CARD, float(CARD)),
    "name": ({MAIL: "a"},),
    "anything": (MAIL, CARD, [MAIL], {MAIL: "a"}, {"a": [{"b": MAIL}]}, {"a": {MAIL: 1}}),
}
CLASSES = ("email", "payment-card")
KEEP, REFUSE, REDACT = (
    DataPolicy(keep_local=CLASSES), DataPolicy(refuse=CLASSES), DataPolicy(redact=CLASSES)
)  # fmt: skip

UNREAD_FIELDS = {
    "container": "files and programs that the provider keeps",
    "container_id": "the same",
    "conversation": "turns that the provider keeps",
    "encrypted_content": "what only the provider can read",
    "encrypted_index": "the same",
    "encrypted_stdout": "the same",
    "file_data": "a file",
    "file_id": "a file that the provider keeps",
    "file_ids": "the same",
    "image_url": "a picture",
    "previous_message_id": "turns that the provider keeps",
    "previous_response_id": "the same",
    "variables": "what the provider puts into a text that it keeps",
    "vector_store_ids": "files that the provider keeps",
}
"""Fields that hold, or lead to, what no scan can look into."""
UNREAD_TYPES = {
    "base64": "a picture, or an archive of a skill",
    "computer_screenshot": "a picture",
    "container_upload": "a file that the provider keeps",
    "document": "a file",
    "file": "a file",
    "image": "a picture",
    "image_generation_call": "a picture that the provider drew",
    "image_url": "a picture",
    "input_audio": "sound",
    "input_file": "a file",
    "input_image": "a picture",
    "item_reference": "a turn that the provider keeps",
    "redacted_thinking": "what only the provider can read",
}
"""`type` of objects that are, or lead to, what no scan can look into."""
UNREAD_IDS = {
    "audio": "an answer that the provider said aloud",
    "container": "files and programs that the provider keeps",
    "input": "a turn that the provider keeps",
    "prompt": "a text that the provider keeps",
    "conversation": "turns that the provider keeps",
}
"""Fields whose object leads to what a provider keeps, by an `id`."""

SUSPECT = re.compile(
    r"(^|_)(audio|container|data|fingerprint|ids?|image|index|reference|result|signature|token"
    r"|url|video)$|encrypted|file|previous"
)
"""Names of fields that may hold what a scan cannot look into, until somebody has read of them."""
SUSPECT_WORDS = re.compile(r"base64|encrypted|opaque|\bblob", re.IGNORECASE)
"""The same in what the SDK says of a field."""
READABLE = [
    ("", "(approval_request|call|caller|tool|tool_call|tool_use)_id", "names a call that is here"),
    (".*(Block|Call|Item|List|Output|Param|Request|Response|Tools|Trigger)", "id",
     "names a part of this conversation"),
    ("AgentMessage|PendingSafetyCheck|Program", "id", "the same"),
    ("VoiceID", "id", "names a voice"),
    ("(Beta)?BrowserState.*", "(tab|download)_id", "names a part of the picture in words"),
    ("", "url|server_url", "the words of an address can be read; nothing is sent of its page"),
    ("", "tunnel_id|skill_id", "names a service or program, as a model's name does"),
    ("", "user_id|user_profile_id|workspace_id", "names who asks"),
    ("BackgroundOptions", "continuation_id", "joins requests; brings no text, the SDK says"),
    ("(Beta)?DiagnosticsParam", "previous_message_id", "names what caching is compared with"),
    ("PromptCacheOptions", "comparison_response_id", "the same"),
    ("", "fallback_credit_token|authorization_token", "a key, and read as one"),
    ("BetaFallbackCreditTokenParam", "token", "the same"),
    ("Logprob.*", "token", "a piece of the text beside it"),
    ("(Beta)?PlainTextSource.*", "data", "text"),
    ("Program(Output)?", "fingerprint|result", "a digest of the code beside it; its output"),
    (".*(Thinking|Compaction)Block.*", "signature", "a digest of the text beside it"),
    ("Result", "filename", "words"),
]  # fmt: skip
"""Suspects that can be read after all: type, field, and why."""


@functools.cache
def everywhere() -> list[Place]:
    """Return every place, and at least one of every surface."""
    found = places()
    assert {place.surface for place in found} == READ.keys() == {name for name, _, _ in ROOTS}
    return found


def judged(gate, place, value):
    """Return the call and what may be done with it; None where it is malformed."""
    try:
        call = READ[place.surface](json.dumps(place.wrap(value)).encode())
    except ApiError:
        return None
    return call, gate.judge(call.body)


def personal(policy):
    """Yield every place with a value of every kind that may stand there, judged by a policy."""
    gate = Gate(policy)
    for place in everywhere():
        for value in PERSONAL[place.kind]:
            made = judged(gate, place, value)
            if made is not None:
                yield (f"{place.trail}: {value!r}", *made)


def test_what_must_stay_never_leaves():
    left = []
    for where, call, clearance in personal(KEEP):
        try:
            clearance.clear(call.body, OUTSIDE["openai"], KEEP)
        except WithheldError:
            continue
        left.append(where)
    assert left == []


def test_what_is_to_be_refused_is_refused():
    """Or kept inside, where it stands in what would be a picture if it were no address."""
    left = [
        where
        for where, _, clearance in personal(REFUSE)
        if not clearance.ruling.refused and (ADDRESS in where or clearance.ruling.kept is None)
    ]
    assert left == []


def test_what_is_redacted_never_leaves():
    left = []
    for where, call, clearance in personal(REDACT):
        for name, backend in OUTSIDE.items():
            try:
                sent = outgoing(call, "up", backend).body
                body = clearance.clear(sent, backend, REDACT).body
            except (ApiError, InexpressibleError, WithheldError):
                continue
            if LOCAL.search(body):
                left.append(f"{where} to {name}")
    assert left == []


def reasons(value, name=""):
    """Yield what the tables say of a body: the names and types that no scan can look into."""
    if isinstance(value, list):
        for each in value:
            yield from reasons(each, name)
    if isinstance(value, dict):
        if "id" in value:
            yield from {name} & UNREAD_IDS.keys()
        yield from {value.get("type")} & UNREAD_TYPES.keys()
        for key, each in value.items():
            yield from {key} & UNREAD_FIELDS.keys()
            yield from reasons(each, key)


def harmless():
    """Yield every place with harmless text, and whether nobody can look into the request."""
    gate = Gate(KEEP)
    for place in everywhere():
        value = {"a": "b"} if place.kind == "name" else "a"
        made = judged(gate, place, value)
        if made is not None and place.kind not in {"constant", "number"}:
            yield place, place.wrap(value), made[1].ruling.kept is not None


def test_harmless_text_leaves_unless_it_comes_with_what_nobody_can_look_into():
    needless, found = [], set()
    for place, body, kept in harmless():
        why = set(reasons(body))
        found |= why if kept else set()
        if kept and not why:
            needless.append(place.trail)
    assert needless == []
    assert UNREAD_FIELDS.keys() | UNREAD_TYPES.keys() | UNREAD_IDS.keys() == found


def test_what_looks_unreadable_is_counted_as_such_or_somebody_has_said_why_not():
    unlooked, used = [], set()
    for place, _, kept in harmless():
        suspect = SUSPECT.search(place.field) or SUSPECT_WORDS.search(place.said)
        if kept or not suspect:
            continue
        why = [
            row
            for row in READABLE
            if re.fullmatch(row[0] or ".*", place.owner) and re.fullmatch(row[1], place.field)
        ]
        used |= set(why)
        if not why:
            unlooked.append(f"{place.owner}.{place.field}: {place.trail}")
    assert unlooked == []
    assert [row for row in READABLE if row not in used] == []


@pytest.mark.parametrize(
    "named",
    [
        pytest.param({"tools": [{"input_schema": {"default": {"file_id": "f"}}}]}, id="a schema"),
        pytest.param({"metadata": {"conversation": "a"}}, id="metadata"),
        pytest.param(
            {"content": [{"type": "tool_use", "input": {"type": "image", "image_url": "a"}}]},
            id="a tool's input",
        ),
    ],
)
def test_names_that_are_a_clients_own_are_words(named):
    assert not document.read(json.dumps(named).encode()).unscanned
    with_address = json.dumps(named).replace('"a"', f'"{MAIL}"').replace('"f"', f'"{MAIL}"')
    assert Gate(KEEP).judge(with_address.encode()).ruling.names == ("email",)
